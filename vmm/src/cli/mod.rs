//! The commands: words in, work by the library, text and an exit status out.
//!
//! Statuses: the program's own, 128+n for signal n, 124 for `--timeout`, 125 for a failure of ours, 126 and 127 as a shell has them; for
//! the commands that read, 1 when a path fails and 125 when the VM does. An error is one line on standard error.

mod args;
mod config_file;
mod detach;
mod files;
mod lifecycle;
mod list;
mod log;
mod manual;
mod metrics;
mod mount;
mod progress;
mod ps;
mod run;
mod signal;
mod target;
mod top;
mod watch;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use vmm::proc::table::printable;
use vmm::timing::ProcessStart;

use args::{Cli, Command};

/// The status of a failure that is neither the program's nor the shell's.
pub(crate) const OURS: u8 = 125;
/// What a shell reports for a command that SIGPIPE ended.
const BROKEN_PIPE: u8 = 128 + 13;

/// An exit status, and the line that says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: u8,
    /// Without the `procvisor: ` in front; `None` when everything is said.
    pub(crate) message: Option<String>,
}

impl Failure {
    pub(crate) fn new(status: u8, message: impl Display) -> Self {
        Self { status, message: Some(message.to_string()) }
    }

    /// A failure of ours.
    pub(crate) fn ours(message: impl Display) -> Self {
        Self::new(OURS, message)
    }

    /// Prints the line, if there is one.
    pub(crate) fn report(&self) {
        if let Some(message) = &self.message {
            complain(message);
        }
    }
}

impl From<vmm::registry::Error> for Failure {
    fn from(error: vmm::registry::Error) -> Self {
        Self::ours(plain(&error))
    }
}

/// Prints one line on standard error. Guests have a say in some texts, so it is made printable; nobody is left to tell if it fails.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "procvisor: {}", printable(message));
}

/// An error and its causes in one line, without Rust's `(os error N)`.
pub(crate) fn plain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = source.source();
    }
    while let Some(start) = text.find(" (os error ") {
        let end = text[start..].find(')').map_or(text.len(), |end| start + end + 1);
        text.replace_range(start..end, "");
    }
    text
}

/// Writes to standard output; a reader that has gone ends the command as it would `cat`.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure { status: BROKEN_PIPE, message: None },
        _ => Failure::ours(format!("cannot write to standard output: {}", plain(&error))),
    })
}

/// Prints a value as JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::ours(format!("cannot print: {error}")))?;
    text.push('\n');
    print(text.as_bytes())
}

/// Runs the command that the process was started with.
pub(crate) fn main() -> ExitCode {
    let start = ProcessStart::at_main();
    let outcome =
        config_file::expand(std::env::args_os().collect()).and_then(|words| match Cli::try_parse_from(words) {
            Ok(cli) => {
                log::start(cli.log_level, cli.log_format);
                dispatch(cli, start)
            }
            Err(error) => usage(&error),
        });
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.status)
        }
    }
}

fn dispatch(cli: Cli, start: ProcessStart) -> Result<u8, Failure> {
    let connect = cli.connect.as_deref();
    match cli.command {
        Command::Run(_)
        | Command::List { .. }
        | Command::Stop { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Wait { .. }
        | Command::Logs { .. }
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Metrics(_)
            if connect.is_some() =>
        {
            Err(Failure::ours("--connect goes with ls, cat, readlink, stat, write, ps, top and mount only"))
        }
        Command::Run(run) if run.command.is_empty() => {
            Err(Failure::ours("which PROGRAM? give it behind the options, or as command = [...] in the --config file"))
        }
        Command::Run(run) if run.detach && !run.detached_child => detach::start(),
        Command::Run(run) => run::run(&run, start),
        Command::List { json } => list::list(json),
        Command::Stop { signal, grace, name } => signal::stop(&name, signal, grace),
        Command::Signal { words } => signal::signal(&target::resolve(connect, &words, true)?),
        Command::Pause { name } => lifecycle::pause(&name),
        Command::Resume { name } => lifecycle::resume(&name),
        Command::Wait { name } => lifecycle::wait(&name),
        Command::Logs { name, follow, kernel } => lifecycle::logs(
            &name,
            if kernel { lifecycle::Log::Kernel } else { lifecycle::Log::Output },
            if follow { lifecycle::Until::End } else { lifecycle::Until::Now },
        ),
        Command::Ls { json, long, target } => files::ls(&target::resolve(connect, &target.words, true)?, json, long),
        Command::Cat { raw, target } => files::cat(&target::resolve(connect, &target.words, false)?, raw),
        Command::Readlink { json, target } => files::readlink(&target::resolve(connect, &target.words, false)?, json),
        Command::Stat { json, target } => files::stat(&target::resolve(connect, &target.words, false)?, json),
        Command::Write { target } => files::write(&target::resolve(connect, &target.words, false)?),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::man(&directory),
        Command::Metrics(args) => metrics::metrics(&args),
        Command::Mount(args) => mount::mount(&args, connect),
        Command::Top(args) => top::top(&args, connect),
        Command::Ps(args) => ps::ps(&target::resolve(connect, &args.target.words, true)?, &args),
    }
}

/// Help goes where it was asked for; a mistake becomes one line.
fn usage(error: &clap::Error) -> Result<u8, Failure> {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = error.to_string();
            print(format!("{}\n", text.trim_end()).as_bytes()).map(|()| 0)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Failure::ours("which command? procvisor --help lists them"))
        }
        _ => {
            let text = error.to_string();
            let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
            let told: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
            let told = told.join(" ");
            let told = told.strip_prefix("error: ").unwrap_or(&told);
            let told = told.split(" For more information").next().unwrap_or(told);
            Err(Failure::ours(format!("{told}; see procvisor --help")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_errors_are_one_line_that_names_the_mistake() {
        for (words, part) in [
            (&["procvisor", "run", "--memory", "much", "x"][..], "64M"),
            (&["procvisor", "run", "--nosuch", "x"], "--nosuch"),
            (&["procvisor", "nosuch"], "nosuch"),
            (&["procvisor", "run"], "PROGRAM"),
            (&["procvisor"], "--help"),
        ] {
            let failure = usage(&Cli::try_parse_from(words).unwrap_err()).unwrap_err();
            let message = failure.message.unwrap();
            assert!(failure.status == OURS && message.contains(part) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn causes_are_told_once_and_without_numbers() {
        let error =
            vmm::registry::Error::Io { action: "create", path: "/x".into(), source: io::Error::from_raw_os_error(13) };
        assert_eq!(plain(&error), "cannot create /x: Permission denied");
    }
}
