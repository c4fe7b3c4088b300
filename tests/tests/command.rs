//! The command as a person meets it: configuration files, completions, man pages, the log.

use std::process::{Command, ExitCode};

use procvisor_tests::process::{self, DEADLINE};
use procvisor_tests::procvisor::{command, procvisor};
use procvisor_tests::{behaviours, harness, root};

fn main() -> ExitCode {
    harness::run(behaviours![
        Nothing: completions_are_taken_by_the_shell_they_are_for,
            every_command_has_a_man_page_that_formats,
            a_wrong_configuration_file_is_refused_in_one_line;
        Kvm: a_configuration_file_is_equal_to_its_flags,
            a_configuration_file_starts_a_detached_vm,
            the_log_says_what_happens_and_nothing_without_a_level;
    ])
}

fn completions_are_taken_by_the_shell_they_are_for() {
    let script = procvisor(["completions", "bash"]).success();
    let mut bash = Command::new("bash");
    // The shell itself completes a line whose words are given.
    bash.args(["-c", "eval \"$(cat)\"; COMP_WORDS=(procvisor re); COMP_CWORD=1; _procvisor procvisor re procvisor; echo ${COMPREPLY[@]}"]);
    let completed = process::run(&mut bash, script.as_bytes(), DEADLINE).success();
    assert!(completed.split_whitespace().any(|word| word == "readlink"), "{completed}");
    for shell in ["zsh", "fish"] {
        let text = procvisor(["completions", shell]).success();
        assert!(text.contains("readlink") && text.contains("proc-mount"), "{shell}: {text}");
    }
    procvisor(["completions", "nosuch"]).ended_with(125);
}

fn every_command_has_a_man_page_that_formats() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    procvisor(["man", root::text(directory.path())]).success();
    let help = procvisor(["--help"]).success();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = listed
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?.split_whitespace().next())
        .collect();
    assert!(names.contains(&"run") && names.contains(&"cat"), "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let page = std::fs::read_to_string(directory.path().join(format!("procvisor-{name}.1"))).expect("a man page");
        assert!(page.contains(".TH") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
}

fn a_wrong_configuration_file_is_refused_in_one_line() {
    for (text, part) in [
        ("memory = \"much\"", "64M"),
        ("colour = \"red\"", "colour is no option of run"),
        ("name = [", "line 1"),
        ("name = \"x\"", "which PROGRAM"),
        ("config = \"other.toml\"", "config is no option of run"),
    ] {
        let file = written(text);
        let outcome = procvisor(["run", "--config", root::text(file.path())]);
        let errors = outcome.errors();
        assert!(outcome.status == 125 && errors.lines().count() == 1 && errors.contains(part), "{text}: {outcome}");
    }
}

fn a_configuration_file_is_equal_to_its_flags() {
    let file = written(
        "memory = \"64M\"\nhostname = \"fromfile\"\nuser = \"7:8\"\nenv = { A = \"file\", B = \"file\" }\n\
         command = [\"/bin/busybox\", \"sh\", \"-c\", \"hostname; id -u; id -g; echo $A $B; exit 3\"]\n",
    );
    let path = root::text(file.path());
    let outcome = procvisor(["run", "--config", path]);
    assert_eq!((outcome.status, outcome.text().as_str()), (3, "fromfile\n7\n8\nfile file\n"), "{outcome}");
    let over = procvisor(["run", "--hostname=flag", "--config", path, "--env", "A=flag"]);
    assert_eq!((over.status, over.text().as_str()), (3, "flag\n7\n8\nflag file\n"), "{over}");
    let other = procvisor(["run", "--config", path, "/bin/busybox", "hostname"]).success();
    assert_eq!(other, "fromfile\n");
}

fn a_configuration_file_starts_a_detached_vm() {
    let runtime = tempfile::tempdir().expect("a temporary directory");
    let file = written("name = \"cfg\"\ndetach = true\ncommand = [\"/bin/busybox\", \"sleep\", \"1000\"]\n");
    let run = |words: &[&str]| process::run(&mut command(runtime.path(), words), b"", DEADLINE).success();
    assert_eq!(run(&["run", "--config", root::text(file.path())]), "cfg\n");
    assert_eq!(run(&["cat", "cfg", "1/comm"]), "busybox\n");
    run(&["stop", "cfg"]);
}

fn the_log_says_what_happens_and_nothing_without_a_level() {
    let silent = procvisor(["run", "--", "/bin/busybox", "true"]);
    assert_eq!((silent.status, silent.errors().as_str()), (0, ""));
    let told = procvisor(["--log-level", "info", "--log-format=json", "run", "--", "/bin/busybox", "true"]).errors();
    for line in told.lines() {
        assert!(line.starts_with("{\"timestamp\":") && line.ends_with('}'), "{line}");
    }
    assert!(told.contains("the vCPU has ended"), "{told}");
    let runtime = tempfile::tempdir().expect("a temporary directory");
    let mut by_environment = command(runtime.path(), ["run", "--", "/bin/busybox", "true"]);
    let told = process::run(by_environment.env("PROCVISOR_LOG", "info"), b"", DEADLINE).errors();
    assert!(told.contains("INFO") && !told.contains('\u{1b}'), "{told}");
}

fn written(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("it takes a few bytes");
    file
}
