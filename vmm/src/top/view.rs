//! What of the model is looked at: which VM, sorted how, filtered by what, which line is chosen; and the keys that change it.
//!
//! The selection is a process, not a line: it stays on its process while lines move. Pure: time, VMs and the terminal are the caller's.

use std::cmp::Ordering;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Used, Vm};
use crate::proc::table::tree;

/// What the processes are sorted by; the first of equals is the lower number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Processor use, most first.
    Cpu,
    /// Resident memory, most first.
    Memory,
    /// Processor time, most first.
    Time,
    /// Threads, most first.
    Threads,
    /// Number.
    Pid,
    /// Command line.
    Command,
}

/// In the order in which `<` and `>` go through them.
pub const SORTS: [(Sort, &str); 6] = [
    (Sort::Pid, "pid"),
    (Sort::Threads, "threads"),
    (Sort::Cpu, "cpu"),
    (Sort::Memory, "memory"),
    (Sort::Time, "time"),
    (Sort::Command, "command"),
];

impl std::str::FromStr for Sort {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = SORTS.iter().find(|(_, name)| *name == word).map(|(sort, _)| *sort);
        found.ok_or_else(|| "sort by pid, threads, cpu, memory, time or command".into())
    }
}

/// A process of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The VM's name.
    pub vm: String,
    /// The process's number.
    pub pid: i32,
}

/// One process that has been expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Which.
    pub of: Chosen,
    /// What there is to say, printable; `None` until it came.
    pub lines: Option<Vec<String>>,
    /// The first line that is shown.
    pub top: usize,
}

/// What is looked at.
#[derive(Debug)]
pub struct View {
    /// Sorted by this.
    pub sort: Sort,
    /// Last first.
    pub is_reversed: bool,
    /// Only command lines, VM names and numbers with this text in them, whatever its case.
    pub filter: String,
    /// The filter is being typed.
    pub is_typing: bool,
    /// Children below their parents.
    pub is_tree: bool,
    /// Nothing is asked for until it is no more.
    pub is_paused: bool,
    /// The keys are shown.
    pub is_help: bool,
    /// Only this VM's processes.
    pub only: Option<String>,
    /// The chosen process.
    pub chosen: Option<Chosen>,
    /// The expanded process.
    pub details: Option<Details>,
    /// Lines of processes that the screen last had room for.
    pub page_lines: usize,
}

/// A line of the processes' table.
#[derive(Debug)]
pub struct Line<'a> {
    /// Its VM.
    pub vm: &'a Vm,
    /// The process.
    pub used: &'a Used,
    /// What draws the tree.
    pub prefix: String,
}

/// What the caller has to do for a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Draw.
    Draw,
    /// End.
    Quit,
    /// Ask for the details of this process, and draw.
    Expand(Chosen),
}

impl Default for View {
    fn default() -> Self {
        Self {
            sort: Sort::Cpu,
            is_reversed: false,
            filter: String::new(),
            is_typing: false,
            is_tree: false,
            is_paused: false,
            is_help: false,
            only: None,
            chosen: None,
            details: None,
            page_lines: 10,
        }
    }
}

impl View {
    /// The lines of the table, in their order.
    pub fn lines<'a>(&self, vms: &'a [Vm]) -> Vec<Line<'a>> {
        let wanted = self.filter.to_lowercase();
        let mut lines: Vec<Line<'a>> = vms
            .iter()
            .filter(|vm| self.only.as_ref().is_none_or(|only| *only == vm.name))
            .flat_map(|vm| vm.processes.iter().map(move |used| Line { vm, used, prefix: String::new() }))
            .filter(|line| wanted.is_empty() || matches(line, &wanted))
            .collect();
        lines.sort_by(|one, other| if self.is_reversed { self.compare(other, one) } else { self.compare(one, other) });
        if !self.is_tree {
            return lines;
        }
        let mut ordered = Vec::with_capacity(lines.len());
        // A tree for each VM: numbers of two are not related.
        for vm in vms {
            let own: Vec<&Line<'a>> = lines.iter().filter(|line| std::ptr::eq(line.vm, vm)).collect();
            let numbers: Vec<_> = own.iter().map(|line| (line.used.process.pid, line.used.process.ppid)).collect();
            ordered.extend(tree::order(&numbers).into_iter().map(|node| Line {
                vm,
                used: own[node.index].used,
                prefix: node.prefix,
            }));
        }
        ordered
    }

    fn compare(&self, one: &Line<'_>, other: &Line<'_>) -> Ordering {
        let (left, right) = (&one.used.process, &other.used.process);
        let order = match self.sort {
            Sort::Cpu => other.used.cpu_percent.total_cmp(&one.used.cpu_percent),
            Sort::Memory => right.rss_bytes.cmp(&left.rss_bytes),
            Sort::Time => right.cpu_ticks.cmp(&left.cpu_ticks),
            Sort::Threads => right.threads.cmp(&left.threads),
            Sort::Pid => Ordering::Equal,
            Sort::Command => left.command.cmp(&right.command),
        };
        order.then(left.pid.cmp(&right.pid)).then_with(|| one.vm.name.cmp(&other.vm.name))
    }

    /// Where the chosen process is among `lines`; the first when it has gone.
    pub fn place(&self, lines: &[Line<'_>]) -> usize {
        let is_chosen = |line: &Line<'_>| {
            self.chosen.as_ref().is_some_and(|chosen| chosen.pid == line.used.process.pid && chosen.vm == line.vm.name)
        };
        lines.iter().position(is_chosen).unwrap_or(0)
    }

    /// Takes a key.
    pub fn press(&mut self, key: KeyEvent, vms: &[Vm]) -> Action {
        if key.kind == KeyEventKind::Release {
            return Action::Draw;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Action::Quit } else { Action::Draw };
        }
        if self.is_typing {
            self.type_in(key.code);
        } else if self.is_help {
            self.is_help = false;
        } else if key.code == KeyCode::Char('q') {
            return Action::Quit;
        } else if self.details.is_some() {
            self.move_in_details(key.code);
        } else {
            return self.command(key.code, vms);
        }
        Action::Draw
    }

    fn type_in(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char(letter) if !letter.is_control() => self.filter.push(letter),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            _ => {}
        }
    }

    fn move_in_details(&mut self, code: KeyCode) {
        let page = self.page_lines.max(1);
        let Some(details) = &mut self.details else { return };
        let last = details.lines.as_ref().map_or(0, Vec::len).saturating_sub(1);
        details.top = match code {
            KeyCode::Esc | KeyCode::Enter => return self.details = None,
            KeyCode::Up | KeyCode::Char('k') => details.top.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => details.top + 1,
            KeyCode::PageUp => details.top.saturating_sub(page),
            KeyCode::PageDown => details.top + page,
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => details.top,
        }
        .min(last);
    }

    fn command(&mut self, code: KeyCode, vms: &[Vm]) -> Action {
        let page = self.page_lines.max(1);
        match code {
            KeyCode::Char('P') => self.sort = Sort::Cpu,
            KeyCode::Char('M') => self.sort = Sort::Memory,
            KeyCode::Char('T') => self.sort = Sort::Time,
            KeyCode::Char('N') => self.sort = Sort::Pid,
            KeyCode::Char('<') => self.sort = self.sort_beside(SORTS.len() - 1),
            KeyCode::Char('>') => self.sort = self.sort_beside(1),
            KeyCode::Char('R') => self.is_reversed = !self.is_reversed,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('t') => self.is_tree = !self.is_tree,
            KeyCode::Char(' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('h' | '?') => self.is_help = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Tab => self.only = next(self.only.as_deref(), vms.iter().map(|vm| vm.name.as_str())),
            KeyCode::BackTab => self.only = next(self.only.as_deref(), vms.iter().rev().map(|vm| vm.name.as_str())),
            KeyCode::Up | KeyCode::Char('k') => self.choose(vms, |place, _| place.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.choose(vms, |place, _| place + 1),
            KeyCode::PageUp => self.choose(vms, |place, _| place.saturating_sub(page)),
            KeyCode::PageDown => self.choose(vms, |place, _| place + page),
            KeyCode::Home => self.choose(vms, |_, _| 0),
            KeyCode::End => self.choose(vms, |_, last| last),
            KeyCode::Enter => {
                self.choose(vms, |place, _| place);
                if let Some(chosen) = self.chosen.clone() {
                    self.details = Some(Details { of: chosen.clone(), lines: None, top: 0 });
                    return Action::Expand(chosen);
                }
            }
            _ => {}
        }
        Action::Draw
    }

    fn sort_beside(&self, step: usize) -> Sort {
        let place = SORTS.iter().position(|(sort, _)| *sort == self.sort).unwrap_or(0);
        SORTS[(place + step) % SORTS.len()].0
    }

    /// Chooses another line; `to` gets the place and the last place.
    fn choose(&mut self, vms: &[Vm], to: impl Fn(usize, usize) -> usize) {
        let lines = self.lines(vms);
        let last = lines.len().saturating_sub(1);
        let place = to(self.place(&lines), last).min(last);
        let chosen = lines.get(place).map(|line| Chosen { vm: line.vm.name.clone(), pid: line.used.process.pid });
        self.chosen = chosen;
    }
}

fn matches(line: &Line<'_>, wanted: &str) -> bool {
    line.used.process.command.to_lowercase().contains(wanted)
        || line.vm.name.to_lowercase().contains(wanted)
        || line.used.process.pid.to_string() == wanted
}

/// The name behind `only`, or all behind the last.
fn next<'a>(only: Option<&str>, mut names: impl Iterator<Item = &'a str>) -> Option<String> {
    match only {
        None => names.next(),
        Some(only) => {
            names.by_ref().find(|name| *name == only);
            names.next()
        }
    }
    .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{process, sample};
    use super::*;

    fn vms() -> Vec<Vm> {
        let mut one = Vm::new("one".into());
        one.take(sample(
            1000,
            0,
            vec![process(1, 0, 10, "init"), process(2, 1, 500, "Hog"), process(3, 2, 20, "shell")],
        ));
        let mut two = Vm::new("two".into());
        two.take(sample(1000, 0, vec![process(1, 0, 700, "server"), process(9, 1, 0, "idle")]));
        vec![one, two]
    }

    fn pids(view: &View, vms: &[Vm]) -> Vec<i32> {
        view.lines(vms).iter().map(|line| line.used.process.pid).collect()
    }

    fn press(view: &mut View, vms: &[Vm], keys: &str) {
        for letter in keys.chars() {
            view.press(KeyCode::Char(letter).into(), vms);
        }
    }

    #[test]
    fn lines_are_sorted_by_what_was_chosen() {
        let (vms, mut view) = (vms(), View::default());
        assert_eq!(pids(&view, &vms), [1, 2, 3, 1, 9]);
        press(&mut view, &vms, "N");
        assert_eq!(pids(&view, &vms), [1, 1, 2, 3, 9]);
        press(&mut view, &vms, "R");
        assert_eq!(pids(&view, &vms), [9, 3, 2, 1, 1]);
        press(&mut view, &vms, "R<");
        assert_eq!((view.sort, pids(&view, &vms)), (Sort::Command, vec![2, 9, 1, 1, 3]));
        press(&mut view, &vms, ">>");
        assert_eq!(view.sort, Sort::Threads);
    }

    #[test]
    fn the_filter_takes_names_numbers_and_vms_of_any_case() {
        let (vms, mut view) = (vms(), View::default());
        press(&mut view, &vms, "/hOg");
        assert!(view.is_typing && pids(&view, &vms) == [2]);
        view.press(KeyCode::Backspace.into(), &vms);
        view.press(KeyCode::Enter.into(), &vms);
        assert!(!view.is_typing && view.filter == "hO");
        view.press(KeyCode::Esc.into(), &vms);
        press(&mut view, &vms, "/two");
        assert_eq!(pids(&view, &vms), [1, 9]);
        view.press(KeyCode::Esc.into(), &vms);
        press(&mut view, &vms, "/9");
        assert_eq!(pids(&view, &vms), [9]);
    }

    #[test]
    fn the_tree_keeps_vms_apart() {
        let (vms, mut view) = (vms(), View::default());
        press(&mut view, &vms, "t");
        let drawn: Vec<_> = view
            .lines(&vms)
            .into_iter()
            .map(|line| (line.vm.name.clone(), line.used.process.pid, line.prefix))
            .collect();
        let expected =
            [("one", 1, ""), ("one", 2, " \\_ "), ("one", 3, "     \\_ "), ("two", 1, ""), ("two", 9, " \\_ ")];
        assert_eq!(drawn, expected.map(|(vm, pid, prefix)| (vm.to_owned(), pid, prefix.to_owned())));
    }

    #[test]
    fn the_selection_stays_on_its_process() {
        let (mut vms, mut view) = (vms(), View::default());
        press(&mut view, &vms, "j");
        assert_eq!(view.chosen, Some(Chosen { vm: "one".into(), pid: 2 }));
        vms[0].take(sample(
            1100,
            0,
            vec![process(1, 0, 10, "init"), process(2, 1, 500, "Hog"), process(3, 2, 90, "shell")],
        ));
        assert_eq!(
            view.place(&view.lines(&vms)),
            4 - pids(&view, &vms).iter().rev().position(|pid| *pid == 2).unwrap()
        );
        view.press(KeyCode::End.into(), &vms);
        press(&mut view, &vms, "jjj");
        assert_eq!(view.place(&view.lines(&vms)), 4);
        let expand = view.press(KeyCode::Enter.into(), &vms);
        assert!(matches!(expand, Action::Expand(_)) && view.details.is_some());
        view.press(KeyCode::Esc.into(), &vms);
        assert!(view.details.is_none());
        vms.clear();
        press(&mut view, &vms, "jk");
        assert_eq!((view.chosen.clone(), view.press(KeyCode::Enter.into(), &vms)), (None, Action::Draw));
    }

    #[test]
    fn tab_goes_through_the_vms_and_all() {
        let (vms, mut view) = (vms(), View::default());
        let mut seen = Vec::new();
        for _ in 0..3 {
            view.press(KeyCode::Tab.into(), &vms);
            seen.push(view.only.clone());
        }
        assert_eq!(seen, [Some("one".into()), Some("two".into()), None]);
        view.press(KeyCode::BackTab.into(), &vms);
        assert_eq!((view.only.as_deref(), pids(&view, &vms)), (Some("two"), vec![1, 9]));
        view.only = Some("gone".into());
        view.press(KeyCode::Tab.into(), &vms);
        assert_eq!(view.only, None);
    }

    #[test]
    fn q_and_control_c_quit_but_q_is_a_letter_of_a_filter() {
        let (vms, mut view) = (vms(), View::default());
        assert_eq!(view.press(KeyCode::Char('q').into(), &vms), Action::Quit);
        press(&mut view, &vms, "/");
        assert_eq!(view.press(KeyCode::Char('q').into(), &vms), Action::Draw);
        assert_eq!(view.filter, "q");
        assert_eq!(view.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), &vms), Action::Quit);
    }
}
