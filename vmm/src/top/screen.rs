//! The view on a terminal: the VMs above, the processes or one of them below, a line of help at the end.
//!
//! Any size will do: what has no room is left out from the end, and no text is wider than its line.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line as TextLine, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::model::Vm;
use super::text::{self, PROCESS_HEADERS, VM_HEADERS};
use super::view::{SORTS, View};

const HELP: [&str; 13] = [
    "q, ^C        quit",
    "up, down     choose a process (also k, j, page up, page down, home, end)",
    "enter        show its status, files and memory; enter or escape goes back",
    "P M T N      sort by processor, memory, time, number",
    "< >          sort by the column before, after",
    "R            last first",
    "/            show only what has this text: enter keeps, escape clears it",
    "t            tree",
    "tab          only one VM: the next, the one before (shift), all",
    "space        pause",
    "h, ?         this text",
    "",
    "%CPU is of one processor since the last look; VMM is the host's process of a VM.",
];

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, view: &mut View, vms: &[Vm]) {
    // The VMs get at most a third.
    let vm_lines = u16::try_from(vms.len() + 1).unwrap_or(u16::MAX).min((frame.area().height / 3).max(2));
    let [of_vms, below, last] =
        Layout::vertical([Constraint::Length(vm_lines), Constraint::Fill(1), Constraint::Length(1)])
            .areas(frame.area());
    view.page_lines = usize::from(below.height.saturating_sub(1));
    draw_vms(frame, of_vms, view, vms);
    if view.details.is_some() {
        draw_details(frame, below, view);
    } else {
        draw_processes(frame, below, view, vms);
    }
    frame.render_widget(Paragraph::new(status(view)), last);
    if view.is_help {
        frame.render_widget(Clear, below);
        frame.render_widget(Paragraph::new(HELP.map(TextLine::from).to_vec()), below);
    }
}

fn draw_vms(frame: &mut Frame<'_>, area: Rect, view: &View, vms: &[Vm]) {
    let room = usize::from(area.height.saturating_sub(1));
    // The chosen one is always among those shown.
    let place = vms.iter().position(|vm| view.only.as_deref() == Some(vm.name.as_str())).unwrap_or(0);
    let first = place.saturating_sub(room.saturating_sub(1));
    let mut lines = vec![heading(text::header(&VM_HEADERS))];
    lines.extend(vms.iter().enumerate().skip(first).take(room).map(|(index, vm)| {
        let is_chosen = index == place && view.only.is_some();
        let style = if is_chosen { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
        TextLine::from(Span::styled(text::line(&VM_HEADERS, &text::of_vm(vm)), style))
    }));
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_processes(frame: &mut Frame<'_>, area: Rect, view: &View, vms: &[Vm]) {
    // With one VM its name would say nothing.
    let skipped = usize::from(vms.len() == 1);
    let rows = view.lines(vms);
    let room = usize::from(area.height.saturating_sub(1));
    let place = view.place(&rows);
    let first = place.saturating_sub(room.saturating_sub(1));
    let mut lines = vec![heading(text::header(&PROCESS_HEADERS[skipped..]))];
    lines.extend(rows.iter().enumerate().skip(first).take(room).map(|(index, row)| {
        let cells = text::of_process(row.vm, row.used, &row.prefix);
        let is_chosen = index == place && view.chosen.is_some();
        let style = if is_chosen { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        TextLine::from(Span::styled(text::line(&PROCESS_HEADERS[skipped..], &cells[skipped..]), style))
    }));
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_details(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let Some(details) = &view.details else { return };
    let mut lines = vec![heading(format!("process {} of {}", details.of.pid, details.of.vm))];
    match &details.lines {
        None => lines.push("asked".into()),
        Some(text) => {
            let room = usize::from(area.height.saturating_sub(1));
            lines.extend(text.iter().skip(details.top).take(room).map(|line| TextLine::from(line.as_str())));
        }
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn heading(text: String) -> TextLine<'static> {
    TextLine::from(Span::styled(text, Style::new().add_modifier(Modifier::REVERSED)))
}

fn status(view: &View) -> String {
    if view.is_typing {
        return format!("/{}_  enter keeps, escape clears", view.filter);
    }
    let sort = SORTS.iter().find(|(sort, _)| *sort == view.sort).map_or("", |(_, name)| *name);
    let mut text = format!("q quit  h help  sort: {sort}{}", if view.is_reversed { " (last first)" } else { "" });
    if let Some(only) = &view.only {
        text.push_str(&format!("  VM: {only}"));
    }
    if !view.filter.is_empty() {
        text.push_str(&format!("  filter: {}", view.filter));
    }
    if view.is_paused {
        text.push_str("  PAUSED");
    }
    text
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyCode;

    use super::super::model::tests::{process, sample};
    use super::super::view::{Chosen, Details};
    use super::*;

    fn vms(count: usize) -> Vec<Vm> {
        let named = |index: usize| {
            let mut vm = Vm::new(format!("vm{index}"));
            vm.take(sample(1000, 100, (1..=30).map(|pid| process(pid, pid - 1, 0, &format!("cmd{pid}"))).collect()));
            vm
        };
        (0..count).map(named).collect()
    }

    fn drawn(width: u16, height: u16, view: &mut View, vms: &[Vm]) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view, vms)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    #[test]
    fn vms_stand_above_their_processes() {
        let lines = drawn(90, 12, &mut View::default(), &vms(2));
        assert!(
            lines[0].starts_with("VM ") && lines[1].starts_with("vm0 ") && lines[2].starts_with("vm1 "),
            "{lines:#?}"
        );
        assert!(
            lines[3].ends_with("COMMAND") && lines[4].starts_with("vm0 ") && lines[4].ends_with("cmd1"),
            "{lines:#?}"
        );
        assert!(lines[11].starts_with("q quit"), "{lines:#?}");
        let alone = drawn(90, 12, &mut View::default(), &vms(1));
        assert!(alone[3].trim_start().starts_with("1 ") && alone[3].ends_with("cmd1"), "{alone:#?}");
    }

    #[test]
    fn the_chosen_line_is_always_in_sight() {
        let (vms, mut view) = (vms(1), View::default());
        view.press(KeyCode::End.into(), &vms);
        let lines = drawn(90, 12, &mut view, &vms);
        assert!(lines[10].ends_with("cmd30"), "{lines:#?}");
    }

    #[test]
    fn every_size_can_be_drawn_in_every_mode() {
        let vms = vms(5);
        let details =
            Details { of: Chosen { vm: "vm1".into(), pid: 1 }, lines: Some(vec!["x".repeat(300); 50]), top: 3 };
        let views = || {
            [
                View::default(),
                View { is_help: true, ..View::default() },
                View { is_tree: true, only: Some("vm4".into()), is_typing: true, ..View::default() },
                View { details: Some(details.clone()), ..View::default() },
            ]
        };
        for width in [1, 2, 10, 79, 300] {
            for height in [1, 2, 3, 5, 24, 80] {
                for mut view in views() {
                    drawn(width, height, &mut view, &vms);
                    drawn(width, height, &mut view, &[]);
                }
            }
        }
    }

    #[test]
    fn details_take_the_place_of_the_processes() {
        let of = Chosen { vm: "vm0".into(), pid: 3 };
        let mut view = View { details: Some(Details { of, lines: None, top: 0 }), ..View::default() };
        let vms = vms(1);
        assert!(drawn(80, 10, &mut view, &vms)[3].contains("asked"));
        view.details.as_mut().unwrap().lines = Some((0..40).map(|line| format!("line {line}")).collect());
        view.press(KeyCode::PageDown.into(), &vms);
        let lines = drawn(80, 10, &mut view, &vms);
        assert!(lines[2].contains("process 3 of vm0") && lines[3].starts_with("line 6"), "{lines:#?}");
    }
}
