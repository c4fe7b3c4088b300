//! `top`: the loop between the VMs, the keys and the terminal; and `top --batch`.

use std::io::{IsTerminal, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, execute};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use vmm::proc::table::printable;
use vmm::registry::{Condition, Entry, Registry};
use vmm::top::model::{Standing, Vm};
use vmm::top::screen;
use vmm::top::source::{Ask, PATIENCE, Source, Told};
use vmm::top::text::{self, PROCESS_HEADERS, VM_HEADERS};
use vmm::top::view::{Action, View};
use vmm::usage;

use super::args::Top as Args;
use super::target::resolve;
use super::{Failure, complain, plain, print};

/// What wakes the loop.
enum Woken {
    /// The VM of this number has told something.
    Told(u64, Told),
    /// A key, or another size.
    Event(Event),
    /// Nobody types any more.
    InputEnded,
    /// A signal that ends the command.
    Signal(i32),
}

/// A VM with the thread that asks it.
struct Watched {
    /// Never given out twice, so that a late answer of an ended VM is nobody's.
    number: u64,
    /// `None` of a socket that was given by its path.
    entry: Option<Entry>,
    source: Source,
    /// Looks that were asked for and not answered: at most one.
    is_asked: bool,
}

/// Which VMs are wanted.
enum Wanted {
    /// All of the registry.
    All,
    /// The one of this name.
    Named(String),
    /// The one behind this socket.
    Socket(PathBuf),
}

struct Top {
    wanted: Wanted,
    woken: Sender<Woken>,
    next_number: u64,
    /// In the order of `vms`.
    watched: Vec<Option<Watched>>,
    vms: Vec<Vm>,
    start: Instant,
}

pub(crate) fn top(args: &Args, connect: Option<&Path>) -> Result<u8, Failure> {
    let wanted = match (connect, &args.words[..]) {
        (Some(socket), []) => Wanted::Socket(socket.to_owned()),
        (None, []) => Wanted::All,
        (None, [_]) => Wanted::Named(resolve(None, &args.words, true)?.name),
        _ => return Err(Failure::ours("top takes one VM, or none for all")),
    };
    let (woken, wakes) = channel();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Failure::ours(format!("cannot catch signals: {}", plain(&error))))?;
    let sender = woken.clone();
    thread::spawn(move || {
        for signal in signals.forever() {
            if sender.send(Woken::Signal(signal)).is_err() {
                return;
            }
        }
    });
    let top = Top { wanted, woken, next_number: 0, watched: Vec::new(), vms: Vec::new(), start: Instant::now() };
    let view = View {
        sort: args.sort,
        is_tree: args.tree,
        filter: args.filter.clone().unwrap_or_default(),
        ..View::default()
    };
    let start = Instant::now();
    let outcome = if args.batch { top.batch(args, view, &wakes) } else { top.show(args, view, &wakes) };
    if args.timing {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let used_s = used.tv_sec as f64 + used.tv_nsec as f64 / 1e9;
        let elapsed_s = start.elapsed().as_secs_f64();
        let percent = used_s * 100.0 / elapsed_s;
        complain(&format!(
            "timing: {:.0} ms of CPU in {elapsed_s:.2} s, {percent:.2} % of one processor",
            used_s * 1e3
        ));
    }
    outcome
}

impl Top {
    /// Sees which VMs there are, asks each that owes no answer, and looks at the host's side.
    fn ask(&mut self) -> Result<(), Failure> {
        let entries = match &self.wanted {
            Wanted::All => Registry::open()?.list()?,
            // A VM that is no more is no failure of the screen.
            Wanted::Named(name) => Registry::open()?.find(name).into_iter().collect(),
            Wanted::Socket(_) => Vec::new(),
        };
        self.end_others(&entries);
        for entry in entries {
            let is_it = |watched: &&mut Watched| watched.entry.as_ref().is_some_and(|known| is_same(known, &entry));
            match self.watched.iter_mut().flatten().find(is_it) {
                // It may have been paused since.
                Some(watched) => watched.entry = Some(entry),
                None => self.watch(printable(&entry.name), entry.socket.clone(), Some(entry))?,
            }
        }
        if let (Wanted::Socket(socket), true) = (&self.wanted, self.vms.is_empty()) {
            let socket = socket.clone();
            self.watch(printable(&socket.display().to_string()), socket, None)?;
        }
        let now_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        for (watched, vm) in self.watched.iter_mut().zip(&mut self.vms) {
            let Some(watched) = watched else { continue };
            vm.take_vmm(watched.entry.as_ref().and_then(usage::of_vmm), now_ms);
            if watched.entry.as_ref().is_some_and(|entry| entry.state == Condition::Paused) {
                vm.pause();
            } else if !std::mem::replace(&mut watched.is_asked, true) {
                watched.source.ask(Ask::Look);
            }
        }
        Ok(())
    }

    /// Lets those go that have ended; one that was asked for by its name stays in sight.
    fn end_others(&mut self, entries: &[Entry]) {
        for index in (0..self.vms.len()).rev() {
            let Some(Some(Watched { entry: Some(known), .. })) = self.watched.get(index) else { continue };
            if entries.iter().any(|entry| is_same(known, entry)) {
                continue;
            }
            if matches!(self.wanted, Wanted::All) || !entries.is_empty() {
                self.watched.remove(index);
                self.vms.remove(index);
            } else {
                self.watched[index] = None;
                self.vms[index].end();
            }
        }
        // It runs again: the line of the one before goes.
        if !entries.is_empty() {
            let mut is_gone = self.watched.iter().map(Option::is_none).collect::<Vec<_>>().into_iter();
            self.vms.retain(|_| !is_gone.next().unwrap_or(false));
            self.watched.retain(Option::is_some);
        }
    }

    fn watch(&mut self, name: String, socket: PathBuf, entry: Option<Entry>) -> Result<(), Failure> {
        let number = self.next_number;
        self.next_number += 1;
        let woken = self.woken.clone();
        // Once the loop has gone there is nobody to tell.
        let source = Source::start(socket, move |told| drop(woken.send(Woken::Told(number, told))))
            .map_err(|error| Failure::ours(format!("cannot start a thread: {}", plain(&error))))?;
        let place = self.vms.iter().position(|vm| vm.name > name).unwrap_or(self.vms.len());
        self.vms.insert(place, Vm::new(name));
        self.watched.insert(place, Some(Watched { number, entry, source, is_asked: false }));
        Ok(())
    }

    /// Takes in what a VM has told.
    fn hear(&mut self, number: u64, told: Told, view: &mut View) {
        let is_it = |watched: &Option<Watched>| watched.as_ref().is_some_and(|watched| watched.number == number);
        let Some(index) = self.watched.iter().position(is_it) else { return };
        let (Some(watched), vm) = (&mut self.watched[index], &mut self.vms[index]) else { return };
        match told {
            Told::Sample(sample) => {
                watched.is_asked = false;
                vm.take(sample);
            }
            Told::Silent(why) => {
                watched.is_asked = false;
                if vm.standing != Standing::Paused {
                    vm.fall_silent(printable(&why));
                }
            }
            Told::Details(pid, lines) => {
                if let Some(details) =
                    view.details.as_mut().filter(|details| details.of.pid == pid && details.of.vm == vm.name)
                {
                    details.top = details.top.min(lines.len().saturating_sub(1));
                    details.lines = Some(lines);
                }
            }
        }
    }

    fn ask_details(&self, view: &View) {
        let Some(details) = &view.details else { return };
        let place = self.vms.iter().position(|vm| vm.name == details.of.vm);
        if let Some(watched) = place.and_then(|place| self.watched[place].as_ref()) {
            watched.source.ask(Ask::Details(details.of.pid));
        }
    }

    /// The live screen.
    fn show(mut self, args: &Args, mut view: View, wakes: &Receiver<Woken>) -> Result<u8, Failure> {
        if !(stdin().is_terminal() && stdout().is_terminal()) {
            return Err(Failure::ours("top needs a terminal; without one, top --batch prints"));
        }
        let failed = |error: std::io::Error| Failure::ours(format!("cannot draw on the terminal: {}", plain(&error)));
        let _restored = Screen::enter().map_err(failed)?;
        let mut terminal = Terminal::new(CrosstermBackend::new(stdout())).map_err(failed)?;
        let sender = self.woken.clone();
        thread::spawn(move || {
            while let Ok(event) = event::read() {
                if sender.send(Woken::Event(event)).is_err() {
                    return;
                }
            }
            drop(sender.send(Woken::InputEnded));
        });
        let mut next_look = Instant::now();
        loop {
            if Instant::now() >= next_look {
                next_look = Instant::now() + args.delay;
                if !view.is_paused {
                    self.ask()?;
                    self.ask_details(&view);
                }
            }
            terminal.draw(|frame| screen::draw(frame, &mut view, &self.vms)).map_err(failed)?;
            // All that waits is taken in before the next drawing: twenty answers cost one.
            let mut woken = wakes.recv_timeout(next_look.saturating_duration_since(Instant::now()));
            let settle = Instant::now() + SETTLE;
            loop {
                match woken {
                    Ok(Woken::Told(number, told)) => self.hear(number, told, &mut view),
                    Ok(Woken::Event(Event::Key(key))) => {
                        match view.press(key, &self.vms) {
                            Action::Quit => return Ok(0),
                            Action::Expand(_) => self.ask_details(&view),
                            Action::Draw => {}
                        }
                        break;
                    }
                    // ratatui asks for the size at each drawing.
                    Ok(Woken::Event(_)) => break,
                    Ok(Woken::InputEnded) => return Ok(0),
                    Ok(Woken::Signal(signal)) => return Ok(128 + u8::try_from(signal).unwrap_or(0)),
                    Err(_) => break,
                }
                woken = wakes.recv_timeout(settle.saturating_duration_since(Instant::now()));
            }
        }
    }

    /// Tables one after the other.
    fn batch(mut self, args: &Args, mut view: View, wakes: &Receiver<Woken>) -> Result<u8, Failure> {
        let mut left = args.count;
        loop {
            let look = Instant::now();
            self.ask()?;
            if let Some(signal) = self.hear_until(look + PATIENCE, &mut view, wakes, |top| !top.is_owed_an_answer()) {
                return Ok(signal);
            }
            print(self.table(&view).as_bytes())?;
            if let [Vm { name, standing: Standing::Ended, .. }] = &self.vms[..] {
                return Err(Failure::ours(format!("{name} has ended")));
            }
            left = left.map(|left| left.saturating_sub(1));
            if left == Some(0) {
                return Ok(0);
            }
            if let Some(signal) = self.hear_until(look + args.delay, &mut view, wakes, |_| false) {
                return Ok(signal);
            }
        }
    }

    fn is_owed_an_answer(&self) -> bool {
        self.watched.iter().flatten().any(|watched| watched.is_asked)
    }

    /// Takes in what comes until then or until `is_enough`; gives the status when a signal ends it.
    fn hear_until(
        &mut self,
        until: Instant,
        view: &mut View,
        wakes: &Receiver<Woken>,
        is_enough: impl Fn(&Self) -> bool,
    ) -> Option<u8> {
        while !is_enough(self) {
            match wakes.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Woken::Told(number, told)) => self.hear(number, told, view),
                Ok(Woken::Signal(signal)) => return Some(128 + u8::try_from(signal).unwrap_or(0)),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        None
    }

    fn table(&self, view: &View) -> String {
        let mut out = text::header(&VM_HEADERS);
        for vm in &self.vms {
            out.push('\n');
            out.push_str(&text::line(&VM_HEADERS, &text::of_vm(vm)));
        }
        out.push_str("\n\n");
        out.push_str(&text::header(&PROCESS_HEADERS));
        for line in view.lines(&self.vms) {
            out.push('\n');
            out.push_str(&text::line(&PROCESS_HEADERS, &text::of_process(line.vm, line.used, &line.prefix)));
        }
        out.push_str("\n\n");
        out
    }
}

/// How long answers are gathered before they are drawn.
const SETTLE: Duration = Duration::from_millis(30);

/// Whether two entries are of one VM: a name may be taken again.
fn is_same(one: &Entry, other: &Entry) -> bool {
    one.name == other.name && one.pid == other.pid && one.pid_start == other.pid_start
}

/// The terminal as the screen needs it; as it was before when dropped.
struct Screen;

impl Screen {
    fn enter() -> std::io::Result<Self> {
        enable_raw_mode()?;
        // From here on the drop puts back whatever was reached.
        let screen = Self;
        execute!(stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing.
        let _ = execute!(stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
        let _ = stdout().flush();
    }
}
