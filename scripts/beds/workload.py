"""What every engine runs, and what it must print.

Owns the cases and their one root file system, so that no engine has another. What a case prints must not depend on the engine: no time,
no clock rate, no size of memory; the expectation is written here, or comes from running the same on the host's Linux.
"""

import dataclasses
import pathlib
import subprocess

from beds import cpio, qemu

BUSYBOX = pathlib.Path("/bin/busybox")

# The engines differ in where descriptors 0 to 2 lead (streams or a console), so nothing here shows that.
SCRIPTS = {
    "shell": """
echo "$((6 * 7))" from the shell
i=0; while [ $i -lt 20 ]; do (exit $i); echo -n "$? "; i=$((i+1)); done; echo
seq 1 1000 | sort -rn | tail -2
yes 2>/dev/null | head -20000 | md5sum
sleep 100 & kill $!; wait $! 2>/dev/null; echo "killed $?"
sh -c 'kill -SEGV $$' 2>/dev/null; echo "fault $?"
trap 'echo trapped' USR1; kill -USR1 $$
exit 7
""",
    "proc": """
tr '\\0' ' ' </proc/1/cmdline; echo
cat /proc/1/comm
readlink /proc/1/exe
set -- $(cat /proc/self/stat); echo $#
sed -n 's/^\\(Name\\|State\\|Tgid\\|Pid\\|PPid\\|Threads\\|Uid\\|Gid\\):/\\1/p' /proc/1/status
awk '{print $1, $2, $4}' /proc/1/stat
sed 's/.* //' /proc/1/maps | grep '^[/[]' | uniq | head -1
sleep 1000 & sleep 0.2
tr '\\0' ' ' </proc/$!/cmdline; echo
awk '{print $2, $3, $4}' /proc/$!/stat
kill $!; wait $! 2>/dev/null
[ -d /proc/$! ] || echo gone
cut -d' ' -f1-2 /proc/version
exit 0
""",
    # Waits until it has been looked at from outside, or for two seconds.
    "watched": """
sleep 2
echo watched
""",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A program with its arguments, and the file below /proc that is read from outside while it runs."""

    name: str
    arguments: tuple
    outside: str = ""


CASES = [
    Case("shell", ("/bin/busybox", "sh", "/shell")),
    Case("proc", ("/bin/busybox", "sh", "/proc-script")),
    Case("watched", ("/bin/busybox", "sh", "/watched"), "1/cmdline"),
]
_PLACES = {"shell": "shell", "proc": "proc-script", "watched": "watched"}

_PROC = """/bin/busybox sh /proc-script 
busybox
/bin/busybox
52
Name\tbusybox
State\tS (sleeping)
Tgid\t1
Pid\t1
PPid\t0
Uid\t0\t0\t0\t0
Gid\t0\t0\t0\t0
Threads\t1
1 (busybox) 0
/bin/busybox
sleep 1000 
(sleep) S 1
gone
Linux version
"""


def root():
    """The archive that every engine boots with."""
    archive = cpio.Archive()
    for directory in ("proc", "dev", "tmp"):
        archive.directory(directory)
    archive.copy(BUSYBOX.resolve(), "bin/busybox")
    archive.symlink("bin/sh", "busybox")
    for name, script in SCRIPTS.items():
        archive.file(_PLACES[name], script.lstrip().encode(), 0o644)
    return archive


def expected():
    """What each case must leave, by name."""
    shell = subprocess.run(
        [BUSYBOX, "sh", "-c", SCRIPTS["shell"]], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False, cwd="/"
    )
    return {
        "shell": qemu.Outcome(shell.returncode, shell.stdout, b""),
        "proc": qemu.Outcome(0, _PROC.encode(), b""),
        "watched": qemu.Outcome(0, b"watched\n", b""),
        "watched from outside": qemu.Outcome(0, b"/bin/busybox\0sh\0/watched\0", b""),
    }
