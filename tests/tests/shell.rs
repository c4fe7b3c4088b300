//! Debian's busybox: scripts of its shell that print the same on the host's Linux and in a VM, and its tools over the VM's own /proc.

use std::process::ExitCode;

use procvisor_tests::behaviours;
use procvisor_tests::compare::same_shell_on_both;
use procvisor_tests::harness;
use procvisor_tests::procvisor::shell;

fn main() -> ExitCode {
    harness::run(behaviours![
        Kvm: pipelines_give_their_last_status,
            redirections_open_close_and_copy_descriptors,
            here_documents_and_substitutions_run_children,
            background_jobs_are_waited_for,
            a_killed_job_is_reported_by_its_signal,
            traps_run_on_signals,
            loops_fork_hundreds_of_children,
            a_large_pipeline_loses_no_byte,
            files_are_written_listed_and_removed,
            tools_over_proc_find_the_shell,
            ps_lists_the_background_jobs,
            top_prints_one_screen,
            proc_is_mounted_and_dev_null_is_there,
            a_stopped_job_goes_on,
            the_processor_stays_the_same;
    ])
}

fn pipelines_give_their_last_status() {
    same_shell_on_both(
        "true | false; echo $?; false | true; echo $?; ! true; echo $?; (exit 9); echo $?; sh -c 'exit 300'; echo $?",
    );
}

fn redirections_open_close_and_copy_descriptors() {
    same_shell_on_both(
        "exec 3>&1; echo to3 >&3; echo out; echo err >&2; (echo both; echo too >&2) 2>&1 | cat; exec 3>&-; echo x >&3; echo $?",
    );
}

fn here_documents_and_substitutions_run_children() {
    same_shell_on_both(
        "cat <<END | wc\nline one\nline two $((6*7))\nEND\necho $(echo inner $(echo deeper)) `echo back`",
    );
}

fn background_jobs_are_waited_for() {
    same_shell_on_both("(sleep 0.2; echo second) & (echo first) & wait; echo third; sh -c 'exit 5' & wait $!; echo $?");
}

fn a_killed_job_is_reported_by_its_signal() {
    // Whether the shell says how a job ended depends on when it learns of it, on Linux too.
    same_shell_on_both(
        "exec 2>/dev/null; sleep 100 & kill $!; wait $!; echo $?; sleep 100 & kill -9 $!; wait $!; echo $?; kill $!; echo $?; sh -c 'kill -SEGV $$'; echo $?",
    );
}

fn traps_run_on_signals() {
    same_shell_on_both(
        "trap 'echo got USR1' USR1; kill -USR1 $$; echo between; trap 'echo bye' EXIT; trap '' TERM; kill $$; echo still here; exit 3",
    );
}

fn loops_fork_hundreds_of_children() {
    same_shell_on_both(
        "i=0; n=0; while [ $i -lt 200 ]; do (exit 1) || n=$((n+1)); i=$((i+1)); done; echo $i $n; echo $(seq 1 50 | sort -rn | head -3)",
    );
}

fn a_large_pipeline_loses_no_byte() {
    same_shell_on_both(
        "dd if=/dev/zero bs=4096 count=2000 2>/dev/null | tr '\\0' 'a' | cat | md5sum; yes 2>/dev/null | head -100000 | wc -lc",
    );
}

fn files_are_written_listed_and_removed() {
    let script = "mkdir -p /tmp/procvisor-$$/a/b; cd /tmp/procvisor-$$ || exit 1; echo one >f; echo two >>f; cat f; cp f a/b/g; ln -s f l; chmod 640 f; \
                  ls -l | awk '/^[-l]/ {print $1, $2, $5, $9, $10, $11} /^d/ {print $1, $2, $9}'; find . | sort; mv a c; cmp f c/b/g && echo same; rm -r c f l; ls; cd /; rmdir /tmp/procvisor-$$; echo $?";
    same_shell_on_both(script);
}

fn tools_over_proc_find_the_shell() {
    let script = "exec 2>&1; cat /proc/self/comm; tr '\\0' ' ' </proc/self/cmdline; echo; readlink /proc/$$/exe; cd /proc; readlink /proc/self/cwd; \
                  awk '{print $1 == ENVIRON[\"me\"], NF}' me=$$ /proc/$$/stat; grep -c '' /proc/$$/status >/dev/null && echo status; \
                  pidof nosuchprogram; echo $?; sleep 77 & p=$!; sleep 0.3; for q in $(pidof sleep); do [ $q = $p ] && echo found; done; kill $p";
    same_shell_on_both(script);
}

fn ps_lists_the_background_jobs() {
    // The shell becomes its last command, so something must follow ps.
    let listed = shell("for i in 1 2 3; do sleep 50 & done; sleep 0.3; ps -o pid,ppid,args; true").success();
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["PID", "PPID", "COMMAND"], "{listed}");
    assert_eq!(lines[1][..4], ["1", "0", "/bin/busybox", "sh"], "pid 1 is the program, and nobody's child:\n{listed}");
    assert_eq!(lines.iter().filter(|words| words[1..] == ["1", "sleep", "50"]).count(), 3, "{listed}");
    assert!(lines.iter().any(|words| words[1] == "1" && words[2].contains("ps")), "ps sees itself:\n{listed}");
}

fn top_prints_one_screen() {
    let screen = shell("sleep 50 & top -bn1 | head -12").success();
    assert!(screen.starts_with("Mem: "), "{screen}");
    for words in ["K used, ", "CPU:", "Load average: ", "PID  PPID USER     STAT", "sleep 50"] {
        assert!(screen.contains(words), "no {words:?} in\n{screen}");
    }
}

fn proc_is_mounted_and_dev_null_is_there() {
    same_shell_on_both(
        "grep -q ' /proc proc ' /proc/mounts && echo mounted; echo gone >/dev/null; wc -c </dev/null; head -c 5 /dev/zero | od -An -tx1; [ -c /dev/null ] && echo device",
    );
}

fn a_stopped_job_goes_on() {
    let script = "sleep 0.3 & p=$!; kill -STOP $p; sleep 0.1; awk '{print $3}' /proc/$p/stat; grep State /proc/$p/status; sleep 0.5; [ -d /proc/$p ] && echo still; \
                  kill -CONT $p; wait $p; echo $?; [ -d /proc/$p ] || echo gone";
    same_shell_on_both(script);
}

fn the_processor_stays_the_same() {
    // The host moves the VM from one of its processors to another meanwhile.
    let script = "for i in $(seq 60); do md5sum </proc/cpuinfo; sleep 0.02; done | sort -u | wc -l";
    assert_eq!(shell(script).success(), "1\n");
}
