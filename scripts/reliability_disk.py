"""What a disk may hold after the power is cut: a small file system that knows what has been synced.

Files and folders are numbered nodes; a `Change` is one operation on one of them. After a cut, what is on the disk follows from
the changes so far and from one rule, that of POSIX: ``fsync`` of a file makes its content last, ``fsync`` of a folder the
names in it, and of all other changes any may be there or not. File systems promise more than that, each something else, and
`LEFT` names what some of them leave. To list the states and try them all is the method of ALICE (Pillai et al., "All file
systems are not created equal", OSDI 2014) and CrashMonkey (Mohan et al., "Finding crash-consistency bugs with bounded
black-box crash testing", OSDI 2018).
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ROOT = 0
#: Bytes that a disk writes at once, or not.
_PAGE = 4096


class Change(NamedTuple):
    """One change of a node.

    Attributes:
        what: of a folder ``name`` (a name given to node ``of``, taken from what had it), ``unname``, ``rename`` (from ``name`` to
            ``to``); of a file ``write``, ``size``, ``times``; of both ``sync``; of a new node ``make``.
        node: the folder or file. name, to: names in the folder. of: a node.
        at: offset, size or time (ns). data: what is written.
    """

    what: str
    node: int
    name: str = ""
    to: str = ""
    of: int = 0
    at: int = 0
    data: bytes = b""


@dataclass
class Node:
    """A file or a folder.

    Attributes:
        folder: which of the two. data: of a file. names: of a folder, with their nodes. time: of the last change, in ns.
    """

    folder: bool
    data: bytearray = field(default_factory=bytearray)
    names: dict[str, int] = field(default_factory=dict)
    time: int = 10**18

    def apply(self, change: Change) -> None:
        """Makes a change; one that a lost change has made impossible does nothing."""
        match change.what:
            case "name":
                self.names[change.name] = change.of
            case "unname":
                self.names.pop(change.name, None)
            case "rename":
                if self.names.get(change.name) == change.of:
                    del self.names[change.name]
                self.names[change.to] = change.of
            case "write":
                self.data.extend(bytes(max(0, change.at + len(change.data) - len(self.data))))
                self.data[change.at : change.at + len(change.data)] = change.data
            case "size":
                del self.data[change.at :]
                self.data.extend(bytes(change.at - len(self.data)))
            case "times":
                self.time = change.at


class Disk:
    """A file system in memory.

    Attributes:
        nodes: by number. changes: all that were made, if ``record`` asks for them.
    """

    def __init__(self, record: bool = False) -> None:
        self.nodes = {ROOT: Node(True)}
        self.changes: list[Change] = []
        self._record = record

    def make(self, change: Change) -> None:
        if change.what == "make":
            self.nodes[change.node] = Node(bool(change.at))
        else:
            self.nodes[change.node].apply(change)
        if self._record:
            self.changes.append(change)

    def load(self, folder: Path) -> None:
        """Takes over what is in a real folder. Links are not known here."""
        where = {folder: ROOT}
        for path in sorted(folder.rglob("*")):
            number = where[path] = len(self.nodes)
            found = path.stat()
            self.make(Change("make", number, at=path.is_dir()))
            self.make(Change("name", where[path.parent], path.name, of=number))
            if path.is_file():
                self.make(Change("write", number, data=path.read_bytes()))
            self.make(Change("times", number, at=found.st_mtime_ns))

    def store(self, folder: Path) -> None:
        """Writes all into a real folder."""
        for path, node in self.walk():
            real = folder / path
            if node.folder:
                real.mkdir(exist_ok=True)
            else:
                real.write_bytes(node.data)
                os.utime(real, ns=(node.time, node.time))

    def walk(self, number: int = ROOT, path: str = ".") -> Iterator[tuple[str, Node]]:
        """Every file and folder by its path, folders before what is in them."""
        node = self.nodes[number]
        yield path, node
        for name in sorted(node.names):
            yield from self.walk(node.names[name], f"{path}/{name}")

    def find(self, path: str) -> int | None:
        """The node of a path from the root, if there is one."""
        number = ROOT
        for name in filter(None, path.split("/")):
            if (found := self.nodes[number].names.get(name)) is None:
                return None
            number = found
        return number

    def content(self, leave_out: Sequence[str] = ()) -> tuple[tuple[str, bytes | None], ...]:
        """Every path with what is in the file, None for a folder, without files of some names."""
        return tuple(
            (path, None if node.folder else bytes(node.data))
            for path, node in self.walk()
            if path.rpartition("/")[2] not in leave_out
        )


#: What of the changes that are not synced is there after a cut.
LEFT = {
    "nothing": "what was synced, and no more",
    "names": "all names, and of contents only what was synced: new files are empty (ext4, XFS, after a rename)",
    "sizes": "all names and sizes; where nothing was synced, zeros (XFS, ext4 without delayed allocation)",
    "contents": "all contents, and names only as they were synced (a file synced, its folder not)",
    "some": "of every page and every name, one or the other, at random",
}


def after_a_cut(start: Iterable[Change], changes: Iterable[Change], left: str, seed: int = 0) -> Disk:
    """The disk after the power is cut behind ``changes``.

    Args:
        start: what was there before, all of it synced. left: a key of `LEFT`. seed: of what is left at random.
    """
    draw = random.Random(seed)
    disk = Disk()
    for change in start:
        disk.make(change)
    waiting: dict[int, list[Change]] = {}
    for change in changes:
        if change.what == "make":
            disk.make(change)
        elif change.what == "sync":
            for one in waiting.pop(change.node, []):
                disk.make(one)
        else:
            waiting.setdefault(change.node, []).append(change)
    for number in sorted(waiting):
        for change in waiting[number]:
            for kept in _left(change, disk.nodes[number], left, draw):
                disk.make(kept)
    return disk


def _left(change: Change, node: Node, left: str, draw: random.Random) -> Iterator[Change]:
    """What is left of a change that was not synced."""
    if left == "some":
        for page in _pages(change):
            if draw.random() < 0.5:
                yield page
    elif node.folder:
        if left in ("names", "sizes"):
            yield change
    elif left == "contents":
        yield change
    elif left == "sizes" and change.what in ("write", "size"):
        end = change.at + len(change.data)
        if change.what == "size" or end > len(node.data):
            yield Change("size", change.node, at=end)


def _pages(change: Change) -> Iterator[Change]:
    """A write page by page; another change as it is."""
    if change.what != "write":
        yield change
        return
    at, data = change.at, change.data
    while data:
        count = _PAGE - at % _PAGE
        yield change._replace(at=at, data=data[:count])
        at, data = at + count, data[count:]


def attributes(node: Node, links: int) -> dict[str, int]:
    """What ``stat`` tells of a node."""
    mode = stat.S_IFDIR | 0o755 if node.folder else stat.S_IFREG | 0o644
    times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), node.time)
    return {"st_mode": mode, "st_nlink": links, "st_size": len(node.data), **times}
