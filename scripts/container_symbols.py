"""Shortens shared libraries by what only debuggers and linkers read: symbols, debugging information, sections.

python scripts/container_symbols.py FOLDER [LEFT_OUT ...]

All that the loader takes into memory is named by the program headers (System V ABI, "Program Header") and stays byte for byte;
what lies behind the last of it goes. ``strip`` moves parts about instead, and some libraries that auditwheel has changed do
not load after that. LEFT_OUT are folders whose libraries stay as they are. Prints the MB that were saved.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")


def shortened(library: bytearray) -> bool:
    """Cuts off what is behind the last byte that is loaded; whether ``library`` is a shared library at all."""
    if library[: len(_MAGIC)] != _MAGIC:
        return False
    kind, *_, programs, _, _, size, each, count, _, _, _ = _HEADER.unpack_from(library)
    if kind != 3:  # ET_DYN
        return False
    spans = [struct.unpack_from("<8xQ16xQ", library, programs + each * n) for n in range(count)]
    del library[max(size, programs + each * count, *(at + length for at, length in spans)) :]
    struct.pack_into("<Q", library, 40, 0)  # where the table of sections was,
    struct.pack_into("<HHH", library, 58, 0, 0, 0)  # and its size
    return True


def main() -> None:
    folder, *left_out = map(Path, sys.argv[1:])
    saved = 0
    for path in sorted(folder.rglob("*.so*")):
        if path.is_symlink() or not path.is_file() or any(path.is_relative_to(one) for one in left_out):
            continue
        library = bytearray(path.read_bytes())
        before = len(library)
        if shortened(library):
            # In another file, for a library that is loaded must not change.
            new = path.with_name(path.name + ".new")
            new.write_bytes(library)
            new.chmod(path.stat().st_mode)
            os.replace(new, path)
            saved += before - len(library)
    print(f"{folder}: {saved / 1e6:.1f} MB of symbols less")


if __name__ == "__main__":
    main()
