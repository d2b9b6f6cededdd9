"""What a program is made of: kernels, transforms and functions on the host, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from ..codegen import Kernel
from ..errors import DeviceError
from .layout import Layout


@dataclass(frozen=True)
class Apply:
    """One pass of a kernel.

    Attributes:
        names: what a kernel's array is called in the program, where that differs.
        flips: axes of the grid along which the modes that it visits are those of the other basis, as of a `Transform`.
    """

    kernel: Kernel
    names: Mapping[str, str] = field(default_factory=dict)
    flips: tuple[int, ...] = ()

    @property
    def arrays(self) -> list[str]:
        """The program's names of the kernel's arrays, in its order."""
        return [self.names.get(array, array) for array in self.kernel.arrays]


@dataclass(frozen=True)
class Transform:
    """A transform of the first ``components`` of an array, in place and not normalised.

    Attributes:
        flips: axes of the grid along which the array lies in the other basis, sines for cosines and cosines for sines, as a
            `Derivative` along them leaves it. Periodic axes have but one.
        lean: whether single precision will do for its numbers.
    """

    array: str
    components: int
    flips: tuple[int, ...] = ()
    lean: bool = False

    forward: ClassVar[bool]

    @property
    def arrays(self) -> list[str]:
        return [self.array]


class Forward(Transform):
    """Cells to modes."""

    forward = True


class Inverse(Transform):
    """Modes to cells."""

    forward = False


#: What a `Host` calls: host arrays by the program's names, and the program's scalars.
HostFunction = Callable[[Mapping[str, np.ndarray], Mapping[str, float]], None]


@dataclass(frozen=True)
class Host:
    """A call of a Python function on the host, in the order of the program: what no kernel can say, such as a solver.

    The function gets the whole buffers, shape `Layout.buffer_shape`, of the arrays that it reads or writes, and may keep none of
    them. On the CPU they are the program's own; elsewhere copies, brought over before the call and back after it, for which the
    device waits. It must change nothing but what it says it writes, and what it only writes it writes whole.

    Attributes:
        reads, writes: the program's names of arrays.
    """

    function: HostFunction
    reads: Sequence[str]
    writes: Sequence[str]

    @property
    def arrays(self) -> list[str]:
        return list(dict.fromkeys([*self.reads, *self.writes]))


#: What steers a `Solve`: given the program's scalars, it yields the name of a part with scalars of its own, is sent what the part
#: reduced, and returns sums that are told as if kernels of the program had reduced them.
Steering = Callable[
    [Mapping[str, float]],
    Generator[tuple[str, Mapping[str, float]], Mapping[str, float], Mapping[str, float]],
]


@dataclass(frozen=True)
class Solve:
    """An iteration on the device: parts that run in an order, and as often, as what they reduce asks for.

    Attributes:
        steer: says which part comes next. It keeps nothing from one call to the next. parts: name -> operations.
        told: names of the sums that it returns.
    """

    steer: Steering
    parts: Mapping[str, Sequence[Operation]]
    told: Sequence[str] = ()

    @property
    def arrays(self) -> list[str]:
        return names_of(self.within)

    @property
    def within(self) -> list[Operation]:
        """The operations of all parts."""
        return [operation for operations in self.parts.values() for operation in operations]

    def run(
        self,
        scalars: Mapping[str, float],
        programs: Mapping[str, Callable[[Mapping[str, float]], Mapping[str, float]]],
    ) -> Mapping[str, float]:
        """Goes through the iteration. ``programs``: of the parts, by name, each a function of the scalars."""
        steering = self.steer(scalars)
        part, own = next(steering)
        while True:
            found = programs[part]({**scalars, **own})
            try:
                part, own = steering.send(found)
            except StopIteration as end:
                return dict(end.value or {})


Operation = Apply | Forward | Inverse | Host | Solve


def flattened(operations: Sequence[Operation]) -> list[Apply | Forward | Inverse | Host]:
    """Operations with those of the parts of every `Solve`, each once."""
    out: list[Apply | Forward | Inverse | Host] = []
    for operation in operations:
        out += flattened(operation.within) if isinstance(operation, Solve) else [operation]
    return out


def leaned(operations: Sequence[Operation], arrays: Collection[str]) -> list[Operation]:
    """The same operations with some arrays lean: in single precision, which will do for their numbers, at the beginning of the
    memory of every component. What the memory held is lost.
    """
    out: list[Operation] = []
    for operation in operations:
        if isinstance(operation, Apply):
            own = zip(operation.kernel.arrays, operation.arrays, strict=True)
            lean = frozenset(inside for inside, name in own if name in arrays)
            out.append(replace(operation, kernel=replace(operation.kernel, lean=lean)))
        elif isinstance(operation, Transform):
            out.append(replace(operation, lean=operation.array in arrays))
        else:
            out.append(operation)
    return out


def kernels_of(operations: Sequence[Operation]) -> list[Kernel]:
    return [o.kernel for o in flattened(operations) if isinstance(o, Apply)]


def transforms_of(operations: Sequence[Operation]) -> list[Transform]:
    return [o for o in flattened(operations) if isinstance(o, Transform)]


def names_of(operations: Sequence[Operation]) -> list[str]:
    """The arrays of a program, each once."""
    return list(dict.fromkeys(name for o in operations for name in o.arrays))


def traffic(layout: Layout, operations: Sequence[Operation]) -> int:
    """Real fields that operations read or write in the device's memory, if every pass goes through it.

    A kernel reads and writes every array component it uses once. A transform reads and writes its components once per axis.
    Not counted: padding, 1-D arrays, partial reductions, what a transform's library moves beyond that, functions on the host;
    of what is repeated, all but the first time.
    """
    passes = sum(kernel.touches for kernel in kernels_of(operations))
    return passes + sum(2 * layout.grid.dim * t.components for t in transforms_of(operations))


def cells_beyond(operation: Apply, layout: Layout) -> list[tuple[str, int]]:
    """Components, of arrays by the program's names, of which a pass looks at cells beyond the ends of a part."""
    if layout.part is None or not operation.kernel.gradients:
        return []
    return [(operation.names.get(array, array), component) for array, component in operation.kernel.reads]


def modes_beyond(operation: Apply, layout: Layout) -> list[tuple[str, int]]:
    """The same of modes, which derivatives between walls look at.

    Raises:
        DeviceError: a derivative needs modes of ranks that are no neighbours.
    """
    kernel = operation.kernel
    calls = [call for call in kernel.derivatives if call.axis < layout.grid.dim]
    for call in calls:
        if not layout.local(call.axis):
            raise DeviceError(
                f"{kernel.name}: derivatives along {layout.grid.names[call.axis]}, periodic where others have walls, need modes "
                "of ranks far away\n  exchange the axes, or run it as one process, or with ranks that share memory"
            )
    names = {call.array.name for call in calls if layout.reaches(layout.places[call.axis])}
    return [(operation.names.get(a, a), c) for a, c in kernel.reads if f"{a}@{c}" in names]
