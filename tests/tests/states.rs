//! Every state that `/proc` is compared in: Linux on the host against a VM, state by state.
//!
//! Owns the list of differences that stand, each with its reason. The states themselves are `tests/programs/proc-states`: one program, run
//! once on each side, that prints each state between two lines. A state counts as equal, as differing for a reason listed here, or as not
//! run; one that is listed and does not differ any more fails too, so that the list can only tell the truth.

use std::collections::BTreeMap;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use procvisor_tests::compare::{difference, on_linux};
use procvisor_tests::harness::Need;
use procvisor_tests::procvisor::procvisor;
use procvisor_tests::program;

/// States in which the VM differs from Linux, and why that stands.
const LISTED: &[(&str, &str)] = &[
    ("areas_of_memfd", "there is no memfd_create(2)"),
    ("scheduling_in_stat", "every process has nice value 0 and the ordinary scheduling class"),
];

/// Fewer states than this would mean that the comparison has quietly shrunk.
const AT_LEAST: usize = 150;

/// What a state printed on one side, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    lines: String,
    end: String,
}

impl Seen {
    /// Why the state could not be run on this side.
    fn not_run(&self) -> Option<&str> {
        let reason = self.lines.lines().find_map(|line| line.strip_prefix("not run: "));
        reason.filter(|_| self.end == "exit 77")
    }
}

/// What became of a state.
#[derive(Debug)]
enum Verdict {
    Equal,
    Listed(&'static str),
    NotRun(String),
    Differs(String),
    NoLongerDiffers,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if let Some(reason) = Need::KvmAndRoot.missing() {
        println!("not run: the states of /proc: {reason}");
        let trial = Trial::test("the_states_of_proc", || Ok(())).with_ignored_flag(true);
        return libtest_mimic::run(&arguments, vec![trial]).exit_code();
    }
    let program = program::built("proc-states");
    let names = on_linux(&program, &["--list"]).success();
    let mut names: Vec<&str> = names.lines().collect();
    if arguments.list {
        let trials = names.into_iter().map(|name| Trial::test(name, || Ok(()))).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let all = names.len();
    names.retain(|name| !is_filtered_out(&arguments, name));
    // The program runs all when none is named.
    let (linux, guest) = run_both(&program, if names.len() == all { &[] } else { &names });
    let mut trials = Vec::new();
    let mut counts = BTreeMap::new();
    for name in &names {
        let verdict = judge(name, linux.get(*name), guest.get(*name));
        *counts.entry(verdict.word()).or_insert(0) += 1;
        trials.push(verdict.trial(name));
    }
    let count = |word: &str| counts.get(word).copied().unwrap_or(0);
    let compared = count(EQUAL) + count(LISTED_WORD);
    println!(
        "{} states: {} equal, {} differ as listed, {} not run, {} wrong",
        names.len(),
        count(EQUAL),
        count(LISTED_WORD),
        count(NOT_RUN),
        count(WRONG)
    );
    if arguments.filter.is_none() && arguments.skip.is_empty() {
        trials.extend(checks_of_the_whole(&names, compared));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

const EQUAL: &str = "equal";
const LISTED_WORD: &str = "listed";
const NOT_RUN: &str = "not run";
const WRONG: &str = "wrong";

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Equal => EQUAL,
            Self::Listed(_) => LISTED_WORD,
            Self::NotRun(_) => NOT_RUN,
            Self::Differs(_) | Self::NoLongerDiffers => WRONG,
        }
    }

    fn trial(self, name: &str) -> Trial {
        match self {
            Self::Equal => Trial::test(name, || Ok(())).with_kind("equal"),
            Self::Listed(reason) => Trial::test(name, || Ok(())).with_kind(format!("differs: {reason}")),
            Self::NotRun(reason) => {
                println!("not run: {name}: {reason}");
                Trial::test(name, || Ok(())).with_ignored_flag(true)
            }
            Self::Differs(how) => Trial::test(name, move || Err(how.into())),
            Self::NoLongerDiffers => Trial::test(name, || Err("is listed as different, but is equal".into())),
        }
    }
}

fn is_filtered_out(arguments: &Arguments, name: &str) -> bool {
    let is_meant = |word: &String| if arguments.exact { name == word } else { name.contains(word) };
    arguments.filter.as_ref().is_some_and(|word| !is_meant(word)) || arguments.skip.iter().any(is_meant)
}

/// What each state printed, on Linux and in a VM.
fn run_both(program: &std::path::Path, names: &[&str]) -> (BTreeMap<String, Seen>, BTreeMap<String, Seen>) {
    let linux = on_linux(program, names);
    let mut command = vec!["run", "--", program.to_str().expect("the workspace's path is text")];
    command.extend(names);
    let guest = procvisor(command);
    assert!(linux.errors().is_empty(), "Linux:\n{linux}");
    let (linux_states, guest_states) = (states_of(&linux.text()), states_of(&guest.text()));
    // A kernel that panics says so here, and its last state stands without an end.
    if guest.status != 0 || !guest.stderr.is_empty() {
        println!("the VM ended with {}: {}", guest.status, guest.errors());
    }
    (linux_states, guest_states)
}

/// The states that a run printed, by their names.
fn states_of(output: &str) -> BTreeMap<String, Seen> {
    let mut states = BTreeMap::new();
    let mut name = None;
    for line in output.lines() {
        if let Some(new) = line.strip_prefix("=== ") {
            name = Some(new.to_owned());
            states.insert(new.to_owned(), Seen { lines: String::new(), end: "never ended".to_owned() });
        } else if let Some(seen) = name.as_ref().and_then(|name| states.get_mut(name)) {
            match line.strip_prefix("---: ") {
                Some(end) => seen.end = end.to_owned(),
                None => seen.lines.extend([line, "\n"]),
            }
        }
    }
    states
}

fn judge(name: &str, linux: Option<&Seen>, guest: Option<&Seen>) -> Verdict {
    let (Some(linux), Some(guest)) = (linux, guest) else {
        let side = if linux.is_none() { "Linux" } else { "the VM" };
        return Verdict::Differs(format!("{side} has not run it"));
    };
    if let Some(reason) = linux.not_run() {
        return Verdict::NotRun(format!("on Linux: {reason}"));
    }
    if linux.end != "exit 0" {
        return Verdict::Differs(format!("on Linux: {}\n{}", linux.end, linux.lines));
    }
    let listed = LISTED.iter().find(|(listed, _)| *listed == name);
    match (linux == guest, listed) {
        (true, None) => Verdict::Equal,
        (true, Some(_)) => Verdict::NoLongerDiffers,
        // A reason is one for other words, never for another end.
        (false, Some((_, reason))) if linux.end == guest.end => Verdict::Listed(reason),
        (false, _) => {
            let lines = difference(&linux.lines, &guest.lines);
            Verdict::Differs(format!("Linux (-): {}, the VM (+): {}\n{lines}", linux.end, guest.end))
        }
    }
}

/// What holds of all states together.
fn checks_of_the_whole(names: &[&str], compared: usize) -> Vec<Trial> {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let is_unique = sorted.len() == names.len();
    let stale: Vec<&str> = LISTED.iter().map(|(name, _)| *name).filter(|name| !names.contains(name)).collect();
    vec![
        Trial::test("at_least_150_states_are_compared", move || match compared {
            AT_LEAST.. => Ok(()),
            fewer => Err(format!("only {fewer} are").into()),
        }),
        Trial::test("each_state_has_a_name_of_its_own", move || match is_unique {
            true => Ok(()),
            false => Err("two have the same".into()),
        }),
        Trial::test("each_listed_difference_names_a_state", move || match stale.is_empty() {
            true => Ok(()),
            false => Err(format!("none is called {stale:?}").into()),
        }),
    ]
}
