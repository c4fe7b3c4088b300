//! Holds what a VM did against what the host's Linux did.

use std::path::Path;
use std::process::Command;

use crate::process::{self, DEADLINE, Outcome};
use crate::procvisor::procvisor;
use crate::program;

/// Runs the guest program of that name on the host's Linux and then in a VM, and panics at the first lines that differ.
#[track_caller]
pub fn same_on_both(name: &str) {
    let program = program::built(name);
    let linux = on_linux(&program, &[]);
    assert_eq!(linux.status, 0, "{name} must pass on Linux before its result in a VM counts:\n{linux}");
    let program = program.to_str().expect("the workspace's path is text");
    assert_same(name, &linux, &procvisor(["run", "--", program]));
}

/// Runs a script of busybox's shell on the host's Linux and in a VM, and panics where they differ.
#[track_caller]
pub fn same_shell_on_both(script: &str) {
    let busybox = Path::new("/bin/busybox");
    let linux = on_linux(busybox, &["sh", "-c", script]);
    assert_same(script, &linux, &crate::procvisor::shell(script));
}

/// Runs a program on the host's Linux, without the environment of the test and where every VM has a directory too.
pub fn on_linux(program: &Path, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
    process::run(&mut command, b"", DEADLINE)
}

#[track_caller]
fn assert_same(what: &str, linux: &Outcome, guest: &Outcome) {
    if linux == guest {
        return;
    }
    panic!(
        "{what}: the VM (+) differs from Linux (-)\nstatus {} on Linux, {} in the VM\nstdout:\n{}stderr:\n{}",
        linux.status,
        guest.status,
        difference(&linux.text(), &guest.text()),
        difference(&linux.errors(), &guest.errors()),
    );
}

/// Lines that only one text has, by their longest common subsequence, with what they have in common around them.
pub fn difference(one: &str, other: &str) -> String {
    let (one, other): (Vec<&str>, Vec<&str>) = (one.lines().collect(), other.lines().collect());
    let mut common = vec![vec![0u32; other.len() + 1]; one.len() + 1];
    for i in (0..one.len()).rev() {
        for j in (0..other.len()).rev() {
            common[i][j] =
                if one[i] == other[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < one.len() || j < other.len() {
        if i < one.len() && j < other.len() && one[i] == other[j] {
            lines.push((' ', one[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == other.len() || (i < one.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(('-', one[i]));
            i += 1;
        } else {
            lines.push(('+', other[j]));
            j += 1;
        }
    }
    let is_near =
        |at: usize| lines[at.saturating_sub(2)..(at + 3).min(lines.len())].iter().any(|(sign, _)| *sign != ' ');
    let near = (0..lines.len()).filter(|at| is_near(*at)).take(80);
    near.map(|at| format!("{} {}\n", lines[at].0, lines[at].1)).collect()
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn difference_of_equal_texts_is_empty() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), "");
    }

    #[test]
    fn difference_shows_what_each_side_has_alone() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\nd\n"), "  a\n- b\n+ x\n  c\n+ d\n");
    }
}
