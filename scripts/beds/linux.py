"""A Linux for the test beds: Debian's own kernel, taken out of its package, never installed.

Owns target/beds/linux: the uncompressed kernel, which QEMU starts by its PVH note faster than the compressed one, and the modules that
KVM on an AMD processor needs. Debian's cloud flavour serves: it has all that is needed and is the smallest to fetch and the first to boot.
Source of the image's layout: Linux 6.12 Documentation/arch/x86/boot.rst (setup_sects, payload_offset, payload_length).
"""

import dataclasses
import gzip
import lzma
import pathlib
import shutil
import struct
import subprocess
import tempfile

PACKAGE = "linux-image-cloud-amd64"
# In the order in which they must be loaded; one that a kernel does not have, it does not need.
KVM_MODULES = ["irqbypass", "ccp", "kvm", "kvm-amd"]


class BedError(Exception):
    """A bed cannot be had here; the text says why and what would help."""


@dataclasses.dataclass(frozen=True)
class Kernel:
    """An unpacked Linux: its ELF image and the modules for KVM in load order."""

    image: pathlib.Path
    modules: list
    version: str


def kernel(beds):
    """The Linux under `beds` (a directory), fetched and unpacked when it is not there yet.

    Raises BedError when the package cannot be had or unpacked.
    """
    home = beds / "linux"
    if not (home / "version").is_file():
        beds.mkdir(parents=True, exist_ok=True)
        # Made whole beside its place and then renamed, so that an interrupted run leaves nothing half there.
        with tempfile.TemporaryDirectory(dir=beds, prefix="linux-") as scratch:
            made = _make(pathlib.Path(scratch))
            shutil.rmtree(home, ignore_errors=True)
            made.rename(home)
    modules = [home / f"{name}.ko" for name in KVM_MODULES if (home / f"{name}.ko").is_file()]
    return Kernel(home / "vmlinux", modules, (home / "version").read_text().strip())


def _make(scratch):
    package = _download(scratch)
    tree = scratch / "tree"
    _run(["dpkg-deb", "-x", str(package), str(tree)], f"cannot unpack {package.name}")
    images = list((tree / "boot").glob("vmlinuz-*"))
    if len(images) != 1:
        raise BedError(f"{package.name} holds {len(images)} kernels, one was expected")
    made = scratch / "made"
    made.mkdir()
    (made / "vmlinux").write_bytes(uncompressed(images[0].read_bytes()))
    found = {path.name.split(".")[0]: path for path in tree.rglob("*.ko*")}
    for name in KVM_MODULES:
        if name in found:
            (made / f"{name}.ko").write_bytes(_module(found[name]))
    for name in ("kvm", "kvm-amd"):
        if name not in found:
            raise BedError(f"{package.name} has no module {name}")
    (made / "version").write_text(images[0].name.removeprefix("vmlinuz-") + "\n")
    return made


def _download(scratch):
    """Fetches the package that the flavour's meta-package names today."""
    depends = _run(["apt-cache", "depends", PACKAGE], f"apt knows no {PACKAGE}: run scripts/setup")
    names = [line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line]
    if not names:
        raise BedError(f"apt knows no {PACKAGE}: run apt-get update")
    # The sandbox user of apt may not write here; nothing needs it to.
    command = ["apt-get", "-o", "APT::Sandbox::User=root", "download", names[0]]
    _run(command, f"cannot download {names[0]}", scratch)
    return next(scratch.glob("*.deb"))


def uncompressed(image):
    """The ELF kernel inside a bzImage."""
    if image[0x202:0x206] != b"HdrS":
        raise BedError("the kernel of the package is not a bzImage")
    sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + offset
    # The last four bytes are the uncompressed size, which only gzip has as a part of its own format.
    payload = image[start : start + length]
    elf = decompressed(payload if payload.startswith(b"\x1f\x8b") else payload[:-4])
    if not elf.startswith(b"\x7fELF"):
        raise BedError("the kernel of the package does not unpack to an ELF file")
    return elf


def decompressed(data):
    """`data` as it was before gzip, xz, zstd or lz4, known by its first bytes."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\xfd7zXZ\0"):
        return lzma.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return _filtered(["zstd", "-dc"], data)
    if data.startswith((b"\x02\x21\x4c\x18", b"\x04\x22\x4d\x18")):
        return _filtered(["lz4", "-dc"], data)
    raise BedError(f"unknown compression: {data[:4].hex()}")


def _module(path):
    return path.read_bytes() if path.suffix == ".ko" else decompressed(path.read_bytes())


def _filtered(command, data):
    try:
        return subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BedError(f"{command[0]} failed: {error}") from error


def _run(command, complaint, directory=None):
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BedError(f"{complaint}: {error}") from error
    if done.returncode != 0:
        raise BedError(f"{complaint}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return done.stdout
