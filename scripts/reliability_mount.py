"""Mounts a `reliability_disk.Disk` with FUSE and writes down every change that a program makes on it.

python scripts/reliability_mount.py FOLDER CHANGES [CONTENT]

FOLDER is where; CHANGES is the file for the list of changes (a pickle, written when FOLDER is unmounted); CONTENT is a folder
whose files are there from the beginning, and count as synced. Needs /dev/fuse, ``fusermount3`` and the package mfusepy.
"""

from __future__ import annotations

import errno
import itertools
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reliability_disk import ROOT, Change, Disk, attributes

try:
    import mfusepy
except (ImportError, OSError):  # no package, or no library of FUSE
    mfusepy = None  # type: ignore[assignment]


def can_mount() -> bool:
    """Whether such a file system can be had here."""
    return mfusepy is not None and os.access("/dev/fuse", os.R_OK | os.W_OK)


class Face:
    """The operations that FUSE asks for, as changes of a disk. Handles of open files are their nodes."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._numbers = itertools.count(max(disk.nodes) + 1)

    def _node(self, path: str) -> int:
        number = self._disk.find(path)
        if number is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return number

    def _at(self, path: str) -> tuple[int, str]:
        """The folder of a path and the name in it."""
        folder, _, name = path.rpartition("/")
        return self._node(folder), name

    def _new(self, path: str, folder: bool) -> int:
        where, name = self._at(path)
        number = next(self._numbers)
        self._disk.make(Change("make", number, at=folder))
        self._disk.make(Change("times", number, at=time.time_ns()))
        self._disk.make(Change("name", where, name, of=number))
        return number

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        number = fh if fh is not None else self._node(path)
        links = sum(list(n.names.values()).count(number) for n in self._disk.nodes.values())
        return attributes(self._disk.nodes[number], links)

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *self._disk.nodes[self._node(path)].names]

    def opendir(self, path: str) -> int:
        return self._node(path)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return self._new(path, False)

    def mkdir(self, path: str, mode: int) -> int:
        self._new(path, True)
        return 0

    def open(self, path: str, flags: int) -> int:
        number = self._node(path)
        if flags & os.O_TRUNC:
            self.truncate(path, 0, number)
        return number

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._disk.nodes[fh].data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._disk.make(Change("write", fh, at=offset, data=bytes(data)))
        self._disk.make(Change("times", fh, at=time.time_ns()))
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._disk.make(Change("size", fh if fh is not None else self._node(path), at=length))
        return 0

    def unlink(self, path: str) -> int:
        self._node(path)
        where, name = self._at(path)
        self._disk.make(Change("unname", where, name))
        return 0

    def rmdir(self, path: str) -> int:
        if self._disk.nodes[self._node(path)].names:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        return self.unlink(path)

    def rename(self, old: str, new: str) -> int:
        number = self._node(old)
        (source, name), (target, to) = self._at(old), self._at(new)
        if source == target:
            self._disk.make(Change("rename", source, name, to, number))
        else:
            self._disk.make(Change("name", target, to, of=number))
            self._disk.make(Change("unname", source, name))
        return 0

    def link(self, target: str, source: str) -> int:
        where, name = self._at(target)
        if name in self._disk.nodes[where].names:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        self._disk.make(Change("name", where, name, of=self._node(source)))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._disk.make(Change("sync", fh))
        return 0

    fsyncdir = fsync

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self._disk.make(Change("times", self._node(path), at=times[1] if times else time.time_ns()))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        return {
            "f_bsize": 4096,
            "f_frsize": 4096,
            "f_blocks": 2**20,
            "f_bfree": 2**20,
            "f_bavail": 2**20,
            "f_namemax": 255,
        }


@contextmanager
def mounted(folder: Path, content: Path | None = None) -> Iterator[list[Change]]:
    """A disk at ``folder``; the list is filled with its changes when the block ends.

    Args:
        content: what is on it from the beginning.
    """
    folder.mkdir()
    changes: list[Change] = []
    with tempfile.TemporaryDirectory(prefix="phasefield-reliability-") as place:
        kept = Path(place) / "changes"
        words = [sys.executable, __file__, folder, kept, *([content] if content else [])]
        serving = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        try:
            while not os.path.ismount(folder):
                if serving.poll() is not None:
                    raise OSError(f"{folder}: cannot be mounted")
                time.sleep(0.01)
            yield changes
        finally:
            subprocess.run(["fusermount3", "-u", folder], check=True)
            serving.wait(60)
        changes += pickle.loads(kept.read_bytes())


def main() -> None:
    folder, kept, *content = map(Path, sys.argv[1:])
    disk = Disk(record=True)
    for path in content:
        disk.load(path)
        disk.changes.clear()

    class Operations(Face, mfusepy.Operations):
        use_ns = True

    # No cache of the kernel's, so that everything is seen; one thread, so that it is seen in order.
    mfusepy.FUSE(
        Operations(disk), str(folder), foreground=True, nothreads=True, hard_remove=True,
        entry_timeout=0, attr_timeout=0, negative_timeout=0,
    )  # fmt: skip
    kept.write_bytes(pickle.dumps(disk.changes))


if __name__ == "__main__":
    assert ROOT == 0
    main()
