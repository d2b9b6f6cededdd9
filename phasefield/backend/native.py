"""The loop every thread of the CPU runs: tiles of transforms and kernels, phase by phase, with no Python in between.

A job is a list of phases; a phase is a number of tiles and a range of operations to do on each. Every thread has a share of the
tiles of a phase, the same each time, so that data stays in its core's cache; then it helps the others with theirs. All enter the
next phase when all tiles of this one are done, so that one that comes late, or not at all, holds nobody up.

FFTW plans and kernels are called by address. All tables hold 64-bit integers:

- ``phases[p]``: first operation, end of the operations, number of tiles;
- ``operations[o]``: `KERNEL`, address of the kernel's entry, of its context, indices per tile, number of indices; or `TRANSFORM`,
  address of FFTW's execute function, plan, plan of the last tile, address of the data, bytes between tiles, tiles per
  group of components, bytes between components, components in a group, which are done at once, bytes from the data to where
  the result goes; or `COPY`, address of C's memcpy, of a table of blocks, how many of them, address of where they go, bytes of
  every plane per tile, planes per tile (0: all of them), and address of where they come from. A block is where it begins there
  and here, in bytes from these addresses, planes, bytes from plane to plane there and here, lines of a plane, bytes from line to
  line there and here, and bytes of a line; where tiles are parts of planes, these have one line;
- ``counters``: of every phase the tiles claimed of each thread's share and those done, each on a cache line of its own;
- ``control``: see the constants below.

This file is not imported but loaded from the cache folder like generated kernels (see `cache`), to keep its compiled code there.
"""

from __future__ import annotations

from numba import carray, float64, int64, njit, void

from phasefield.backend.intrinsics import add, call, load, pointer

KERNEL, TRANSFORM, COPY = 0, 1, 2
SUM, LEAST, MOST = 0, 1, 2
#: Places in ``control``, a cache line apart. SEQUENCE is even while a job is open; ACTIVE counts threads that look at it.
SEQUENCE, ACTIVE, SLEEPERS, JOB, SLEEPING = 0, 8, 16, 24, 32
#: Integers in a cache line.
LINE = 8
#: Empty looks at a counter before the core is offered to others.
_SPINS = 64
_LIST, _TABLE = int64[::1], int64[:, ::1]


@njit(void(_LIST, int64), nogil=True, cache=True)
def transform(operation, tile):
    """One tile of a transform."""
    group, place = tile // operation[6], tile % operation[6]
    plan = operation[3] if place == operation[6] - 1 else operation[2]
    data = operation[4] + group * operation[8] * operation[7] + place * operation[5]
    for c in range(operation[8]):
        call(operation[1], plan, data + c * operation[7], data + c * operation[7] + operation[9])


@njit(void(_LIST, int64), nogil=True, cache=True)
def copy(operation, tile):
    """One tile of blocks of planes."""
    blocks = carray(pointer(operation[2]), (operation[3], 9), int64)
    across, down = operation[5], operation[6]
    for b in range(operation[3]):
        first, end, left, right = 0, blocks[b, 2], 0, blocks[b, 8]
        if down > 0:
            first, end = tile * down, min(end, (tile + 1) * down)
        if across > 0:
            left, right = tile * across, min(right, (tile + 1) * across)
        source, target = operation[7] + blocks[b, 0] + left, operation[4] + blocks[b, 1] + left
        for plane in range(first, end):
            there, here = source + plane * blocks[b, 3], target + plane * blocks[b, 4]
            for line in range(blocks[b, 5]):
                call(operation[1], here + line * blocks[b, 7], there + line * blocks[b, 6], right - left)


@njit(void(_TABLE, int64, int64, int64), nogil=True, cache=True)
def work(operations, first, end, tile):
    """One tile of a phase."""
    for o in range(first, end):
        operation = operations[o]
        if operation[0] == KERNEL:
            low = tile * operation[3]
            call(operation[1], low, min(low + operation[3], operation[4]), operation[2])
        elif operation[0] == TRANSFORM:
            transform(operation, tile)
        else:
            copy(operation, tile)


@njit(void(_TABLE, _TABLE, _LIST, int64, int64, int64), nogil=True, cache=True)
def participate(phases, operations, counters, thread, threads, pause):
    """Takes part in a job until nothing is left of it."""
    for p in range(phases.shape[0]):
        first, end, tiles = phases[p, 0], phases[p, 1], phases[p, 2]
        base = LINE * p * (threads + 1)
        done = base + LINE * threads
        for s in range(threads):
            share = (thread + s) % threads
            low, high = tiles * share // threads, tiles * (share + 1) // threads
            while load(counters, base + LINE * share) < high - low:
                tile = low + add(counters, base + LINE * share, 1)
                if tile >= high:
                    break
                work(operations, first, end, tile)
                add(counters, done, 1)
        looks = 0
        while load(counters, done) < tiles:
            looks += 1
            if looks > _SPINS:
                call(pause, 0, 0, 0)


@njit(void(_TABLE, _TABLE), nogil=True, cache=True)
def alone(phases, operations):
    """A job for this thread only."""
    for p in range(phases.shape[0]):
        for tile in range(phases[p, 2]):
            work(operations, phases[p, 0], phases[p, 1], tile)


@njit(void(float64[:, ::1], _LIST, float64[::1]), nogil=True, cache=True)
def combine(partial, ways, found):
    """The reductions from their partial results ``(reduction, index)``, by `SUM`, `LEAST` or `MOST`; a NaN stays one.

    Sums are compensated (Neumaier, ZAMM 54 (1974) 39), so that what is lost does not grow with the grid.
    """
    for r in range(partial.shape[0]):
        total, lost, way = partial[r, 0], 0.0, ways[r]
        for i in range(1, partial.shape[1]):
            value = partial[r, i]
            if way == SUM:
                new = total + value
                lost += (total - new) + value if abs(total) >= abs(value) else (value - new) + total
                total = new
            elif value != value or (value < total if way == LEAST else value > total):
                total = value
            elif total != total:
                break
        # What is not finite has lost nothing that can be told.
        found[r] = total + lost if lost - lost == 0.0 else total


@njit(void(_LIST, int64), nogil=True, cache=True)
def leave_alone(control, pause):
    """Waits until nobody looks at a closed job any more."""
    looks = 0
    while load(control, ACTIVE) > 0:
        looks += 1
        if looks > _SPINS:
            call(pause, 0, 0, 0)


@njit(void(_LIST, _TABLE, _TABLE, _LIST, int64, int64, int64), nogil=True, cache=True)
def finish(control, phases, operations, counters, thread, threads, pause):
    """Does an open job and closes it. Nobody looks at its tables when this returns."""
    participate(phases, operations, counters, thread, threads, pause)
    add(control, SEQUENCE, 1)
    leave_alone(control, pause)


@njit(int64(_LIST, int64, _TABLE, _TABLE, _LIST, int64, int64, int64, int64), nogil=True, cache=True)
def start(control, job, phases, operations, counters, thread, threads, pause, begun):
    """Opens a job to the other threads and does it; if some of them sleep, returns at once with their number instead. Of one that
    other processes have ``begun`` the counters are theirs.
    """
    if not begun:
        counters[:] = 0
    control[JOB] = job
    add(control, SEQUENCE, 1)
    sleepers = load(control, SLEEPERS)
    if sleepers == 0:
        finish(control, phases, operations, counters, thread, threads, pause)
    return sleepers


@njit(void(_LIST, int64, _LIST, int64), nogil=True, cache=True)
def open_run(control, number, counters, pause):
    """Opens the job of this number, of those that processes do together, to the others; ``control`` and counters are shared."""
    leave_alone(control, pause)
    counters[:] = 0
    add(control, SEQUENCE, 2 * number - load(control, SEQUENCE))


@njit(int64(_LIST, int64, int64), nogil=True, cache=True)
def enter_run(control, number, pause):
    """Waits for the job of this number; whether it is still open, and then to be left by `leave_run`."""
    looks = 0
    while load(control, SEQUENCE) < 2 * number:
        looks += 1
        if looks > _SPINS:
            call(pause, 0, 0, 0)
    add(control, ACTIVE, 1)
    if load(control, SEQUENCE) == 2 * number:
        return 1
    add(control, ACTIVE, -1)
    return 0


@njit(void(_LIST), nogil=True, cache=True)
def leave_run(control):
    """Looks no more at a job that was entered."""
    add(control, ACTIVE, -1)


@njit(void(_LIST, int64), nogil=True, cache=True)
def close_run(control, pause):
    """Closes a job when all its tiles are done. Nobody looks at it when this returns."""
    add(control, SEQUENCE, 1)
    leave_alone(control, pause)


@njit(void(_LIST, int64, int64), nogil=True, cache=True)
def meet(control, processes, pause):
    """Comes back when all processes that share ``control`` have called this."""
    number = add(control, SEQUENCE, 1) // processes + 1
    looks = 0
    while load(control, SEQUENCE) < number * processes:
        looks += 1
        if looks > _SPINS:
            call(pause, 0, 0, 0)


@njit(void(_LIST, int64, int64, int64, int64, int64), nogil=True, cache=True)
def serve(control, thread, offset, threads, pause, patience):
    """Takes part in jobs until none has come for ``patience`` looks, then marks itself asleep.

    Of the ``threads`` that share a job it is the one of number ``offset + thread``.
    """
    seen, looks = int64(-1), 0
    while looks < patience:
        sequence = load(control, SEQUENCE)
        if sequence % 2 != 0 or sequence == seen:
            looks += 1
            if looks > _SPINS:
                call(pause, 0, 0, 0)
            continue
        looks = 0
        add(control, ACTIVE, 1)
        if load(control, SEQUENCE) == sequence:
            job = carray(pointer(control[JOB]), (5,), int64)
            participate(
                carray(pointer(job[0]), (job[1], 3), int64),
                carray(pointer(job[2]), (job[3], 10), int64),
                carray(pointer(job[4]), (LINE * job[1] * (threads + 1),), int64),
                offset + thread,
                threads,
                pause,
            )
            seen = sequence
        add(control, ACTIVE, -1)
    add(control, SLEEPING + LINE * thread, 1)
    add(control, SLEEPERS, 1)


@njit(void(_LIST, int64), nogil=True, cache=True)
def wake(control, thread):
    """Takes a sleeper's mark away; the caller then lets it go on."""
    add(control, SLEEPING + LINE * thread, -1)
    add(control, SLEEPERS, -1)
