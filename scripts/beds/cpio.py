"""Writes cpio archives in the newc form, as an initramfs has them.

Owns the format only. Written here rather than by cpio(1), because device nodes then need no privilege and the bytes depend on nothing
but the input: no owner, time or inode number of the host gets in.
Source: Linux 6.12 Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import pathlib
import stat


class Archive:
    """A root file system; entries keep the order in which they were added, and a path added twice is added once."""

    def __init__(self):
        self._chunks = []
        self._paths = set()

    def directory(self, path, mode=0o755):
        """Adds a directory and what is above it."""
        parts = pathlib.PurePosixPath(path.strip("/")).parts
        for depth in range(1, len(parts) + 1):
            self._add("/".join(parts[:depth]), stat.S_IFDIR | (mode if depth == len(parts) else 0o755))

    def file(self, path, data, mode=0o755):
        """Adds a regular file with these bytes."""
        self._parents(path)
        self._add(path.strip("/"), stat.S_IFREG | mode, data)

    def copy(self, source, path=None):
        """Adds a file of the host, with its mode, at `path` (without one: at the place it has on the host)."""
        source = pathlib.Path(source)
        self.file(path or str(source), source.read_bytes(), stat.S_IMODE(source.stat().st_mode))

    def symlink(self, path, target):
        """Adds a symbolic link."""
        self._parents(path)
        self._add(path.strip("/"), stat.S_IFLNK | 0o777, target.encode())

    def device(self, path, major, minor, mode=0o600):
        """Adds a character device."""
        self._parents(path)
        self._add(path.strip("/"), stat.S_IFCHR | mode, b"", (major, minor))

    def bytes(self):
        """The whole archive with its trailer."""
        return b"".join(self._chunks) + self._entry("TRAILER!!!", 0, b"", (0, 0), 0)

    def _parents(self, path):
        parent = str(pathlib.PurePosixPath(path.strip("/")).parent)
        if parent != ".":
            self.directory(parent)

    def _add(self, path, mode, data=b"", device=(0, 0)):
        if path in self._paths:
            return
        self._paths.add(path)
        self._chunks.append(self._entry(path, mode, data, device, len(self._paths)))

    @staticmethod
    def _entry(path, mode, data, device, inode):
        name = path.encode() + b"\0"
        fields = [inode, mode, 0, 0, 2 if stat.S_ISDIR(mode) else 1, 0, len(data), 0, 0, *device, len(name), 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        return _padded(head) + _padded(data)


def _padded(data):
    return data + b"\0" * (-len(data) % 4)
