"""Starts QEMU machines without KVM and brings back what came out of them.

Owns the command lines of the two machines that the tests use: our kernel on a microvm, and a Linux with nested KVM in which `procvisor`
itself runs. Every machine has a deadline and is gone when its function returns.
Facts behind the options, each found by trial with QEMU 7.2: Linux boots by PVH on a microvm only without ACPI; its TSC must be told
(`tsc_early_khz`) or KVM now and then waits for ever; nested KVM needs nested paging (`+npt`).
"""

import base64
import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from beds.linux import BedError

QEMU = "qemu-system-x86_64"
MICROVM = "microvm,acpi=off"
# QEMU would add the device's word at the end, where it is an argument of init. Without a second interrupt controller a microvm has eight
# places for devices and fills the last one first.
ONE_DEVICE = "virtio_mmio.device=512@0xfeb00e00:12"
LINUX_WORDS = "console=ttyS0 reboot=t panic=-1 loglevel=1 tsc_early_khz=2596142"
# What the script in the nested Linux writes before its records, so that nothing the kernel prints is taken for one.
MARK = "@@bed"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a program left: its exit status and both of its streams."""

    status: int
    stdout: bytes
    stderr: bytes


class Machine(contextlib.AbstractContextManager):
    """A QEMU that runs until the end of a `with` block at the latest; its standard output is kept in a file."""

    def __init__(self, *options):
        self._output = tempfile.TemporaryFile()
        self._errors = tempfile.TemporaryFile()
        self.started = time.monotonic()
        command = [QEMU, "-accel", "tcg", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", *options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._errors, start_new_session=True
        )
        self.pid = self._process.pid

    def wait(self, seconds):
        """The exit status of QEMU, or None when the time is up first."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def program_status(self, seconds):
        """What the guest wrote to the exit port. Raises BedError when it did not end so within `seconds`."""
        status = self.wait(seconds)
        if status is None:
            raise BedError(f"not done after {seconds} s")
        # QEMU ends with twice the number plus one; with one, too, when it could not even start, but then it says why.
        if status % 2 == 0 or self.errors():
            raise BedError(f"QEMU ended with status {status} {self.errors()}".strip())
        return status >> 1

    def output(self):
        """What the machine printed so far."""
        return _content(self._output)

    def errors(self):
        """What QEMU itself had to say."""
        return _content(self._errors).decode(errors="replace").strip()

    def __exit__(self, *_):
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()
        self._errors.close()


def require():
    """Raises BedError when there is no QEMU."""
    if not shutil.which(QEMU):
        raise BedError(f"{QEMU} is not installed: run scripts/setup")


def our_kernel(kernel, initrd, words, proc_socket, memory_mib=64):
    """Our kernel on a microvm, entered by PVH: the console on standard output, the proc port on a unix socket.

    `words` go on the kernel's command line; the end of the program ends QEMU with twice its status plus one.
    """
    console = ["-chardev", "stdio,id=console,signal=off", "-device", "virtconsole,chardev=console"]
    proc = ["-chardev", f"socket,id=proc,path={proc_socket},server=on,wait=off"]
    return Machine(
        *["-M", f"{MICROVM},rtc=off,ioapic2=off,auto-kernel-cmdline=off", "-cpu", "max", "-m", str(memory_mib)],
        *["-global", "virtio-mmio.force-legacy=false", "-device", "virtio-serial-device"],
        *console,
        *proc,
        *["-device", "virtserialport,chardev=proc,name=procvisor.proc"],
        *["-serial", "file:" + proc_socket + ".log", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"],
        *["-kernel", str(kernel), "-initrd", str(initrd), "-append", f"{ONE_DEVICE} {words}"],
    )


def linux(kernel, initrd, memory_mib=256, words=""):
    """Debian's Linux on a microvm; the serial line is on standard output and the processor has SVM."""
    return Machine(
        *["-M", MICROVM, "-cpu", "EPYC,+svm,+npt", "-m", str(memory_mib), "-serial", "stdio"],
        *["-kernel", str(kernel), "-initrd", str(initrd), "-append", f"{LINUX_WORDS} {words}".strip()],
    )


# One virtual CPU and one retry: of some hundred boots none hung with one CPU, but a slow host may still miss the deadline.
def nested(kernel, archive, commands, seconds, attempts=2):
    """Runs `commands` (name to shell text) one after the other in a Linux with /dev/kvm of its own, and returns an Outcome for each.

    `archive` holds what they need; the init script, the modules and busybox are added to it here.
    Raises BedError when the machine does not get to the end within `seconds`, with the last lines that it printed.
    """
    require()
    _furnish(archive, kernel, commands)
    with tempfile.TemporaryDirectory(prefix="procvisor-bed-") as scratch:
        initrd = pathlib.Path(scratch) / "initrd.cpio"
        initrd.write_bytes(archive.bytes())
        memory_mib = max(512, 192 + 2 * initrd.stat().st_size // (1 << 20))
        trouble = ""
        for _ in range(attempts):
            with linux(kernel.image, initrd, memory_mib) as machine:
                ended = machine.wait(seconds)
                text = machine.output().decode(errors="replace").replace("\r\n", "\n")
                if ended == 0 and f"{MARK} done" in text:
                    return _records(text, commands)
                why = f"not done after {seconds} s" if ended is None else f"QEMU ended with status {ended} {machine.errors()}"
            trouble = f"{why}; last lines: " + " | ".join(text.strip().splitlines()[-5:])
        raise BedError(f"the nested Linux failed {attempts} times: {trouble}")


def _furnish(archive, kernel, commands):
    busybox = shutil.which("busybox")
    if not busybox:
        raise BedError("busybox is not installed: run scripts/setup")
    for directory in ("proc", "sys", "dev", "tmp", "run"):
        archive.directory(directory)
    # The register of VMs may be nobody else's.
    archive.directory("run/vm", 0o700)
    archive.device("dev/console", 5, 1)
    archive.copy(os.path.realpath(busybox), "bin/busybox")
    archive.symlink("bin/sh", "busybox")
    for module in kernel.modules:
        archive.file(f"modules/{module.name}", module.read_bytes(), 0o644)
    lines = [
        "#!/bin/busybox sh",
        "/bin/busybox --install -s /bin",
        "export PATH=/bin HOME=/ XDG_RUNTIME_DIR=/run/vm",
        "mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev && mount -t tmpfs tmp /tmp",
        *[f"insmod /modules/{module.name} || echo '{MARK} no module {module.name}'" for module in kernel.modules],
        "record() {",
        f"  echo '{MARK}' status $1 $2; echo '{MARK}' stdout $1; base64 /tmp/stdout; echo '{MARK}' stderr $1; base64 /tmp/stderr",
        "}",
    ]
    for name, text in commands.items():
        archive.file(f"commands/{name}", text.encode() + b"\n")
        lines += [f"sh /commands/{name} </dev/null >/tmp/stdout 2>/tmp/stderr; record {name} $?"]
    lines += [f"echo '{MARK} done'", "sync", "reboot -f"]
    archive.file("init", "\n".join(lines).encode() + b"\n")


def _records(text, commands):
    parts, current = {}, None
    for line in text.splitlines():
        if line.startswith(MARK):
            words = line.split()[1:]
            current = None
            if words[0] == "status":
                parts[words[1], "status"] = int(words[2])
            elif words[0] in ("stdout", "stderr"):
                current = (words[1], words[0])
                parts[current] = ""
        elif current:
            parts[current] += line
    missing = [name for name in commands if (name, "stderr") not in parts]
    if missing:
        raise BedError(f"the nested Linux brought no record of: {', '.join(missing)}")
    decode = base64.b64decode
    return {
        name: Outcome(parts[name, "status"], decode(parts[name, "stdout"]), decode(parts[name, "stderr"])) for name in commands
    }


def _content(file):
    # By position: the descriptor is shared with QEMU, which writes where it left off.
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
