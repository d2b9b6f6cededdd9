"""Times the homogenization of voxel images, beside other programs that are installed, on the same images.

    python scripts/benchmark_homogenize.py                    # conductivity on 128^3, stiffness on 64^3
    python scripts/benchmark_homogenize.py --peers            # also TauFactor and muGrid

``scripts/benchmark.py --peers`` prints the same rows below its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phasefield.mechanics import tensors
from phasefield.mechanics.cell import CellProblem
from phasefield.mechanics.loads import Load
from phasefield.mechanics.options import Options

#: The tolerance of the effective property.
TOLERANCE = 1e-6


def smooth_image(n: int, seed: int = 1) -> np.ndarray:
    """Two phases of equal fraction with sharp, rounded interfaces: the sign of band-limited noise."""
    rng = np.random.default_rng(seed)
    k = np.sqrt(sum(f**2 for f in np.meshgrid(*(n * np.fft.fftfreq(n),) * 3, indexing="ij")))
    modes = np.fft.fftn(rng.standard_normal((n,) * 3)) * np.exp(-(((k - 6) / 2) ** 2))
    return (np.fft.ifftn(modes).real > 0).astype(np.int32)


def random_image(n: int, seed: int = 1) -> np.ndarray:
    """Every voxel of either phase, at random."""
    return np.random.default_rng(seed).integers(0, 2, (n,) * 3).astype(np.int32)


@dataclass(frozen=True)
class Case:
    """A property of an image of two phases, the second stiffer (more conductive) than the first by ``contrast``."""

    name: str
    image: Callable[[int], np.ndarray]
    n: int
    contrast: float

    @property
    def elastic(self) -> bool:
        return self.name == "stiffness"


CASES = (
    Case("conductivity", smooth_image, 128, 100.0),
    Case("conductivity", random_image, 128, 100.0),
    Case("stiffness", random_image, 64, 10.0),
)
#: Of the softer phase: Lame constants for Young's modulus 1 and Poisson's ratio 0.3.
LAMBDA, MU = 0.3 / (1.3 * 0.4), 1 / 2.6


@dataclass
class Answer:
    """What a program made of a case: its time, and the number it gave for loads along xx."""

    program: str
    loads: int
    seconds: list[float]
    value: float
    iterations: float
    tolerance: str
    bytes_per_voxel: float | None = None


def phasefield(case: Case, image: np.ndarray, options: Options) -> Answer:
    """One direction of a conductivity, all six loads of a stiffness; setting up counts."""
    factor = np.array([1.0, case.contrast])[:, None, None]
    table = factor * (tensors.isotropic_stiffness(LAMBDA + 2 * MU / 3, MU) if case.elastic else np.eye(3))
    loads = range(6) if case.elastic else range(1)
    start = time.perf_counter()
    problem = CellProblem(image, table, (1.0,) * 3, options)
    solutions = problem.solve_all([Load(np.eye(problem.size)[load]) for load in loads])
    seconds = time.perf_counter() - start
    iterations = statistics.mean(s.iterations for s in solutions)
    value = float(solutions[0].mean[0])
    return Answer(
        "phasefield", len(loads), [seconds], value, iterations, f"{options.tolerance:g}", problem.bytes_per_voxel
    )


def taufactor(case: Case, image: np.ndarray, options: Options) -> Answer | None:
    """TauFactor: red-black relaxation in single precision, with fixed potential on the faces normal to x and walls elsewhere; its
    tolerance is on the flux through the layers.
    """
    if case.elastic:
        return None
    import taufactor
    import torch

    torch.set_num_threads(options.threads or torch.get_num_threads())
    start = time.perf_counter()
    solver = taufactor.MultiPhaseSolver(image + 1, {1: 1.0, 2: case.contrast}, device="cpu")
    solver.solve(verbose=False, conv_crit=1e-2)
    seconds = time.perf_counter() - start
    return Answer("TauFactor", 1, [seconds], float(np.ravel(solver.D_eff)[0]), solver.iter, "0.01 (flux)")


def mugrid(case: Case, image: np.ndarray, options: Options) -> Answer | None:
    """muGrid: the same trilinear elements, conjugate gradients with its Green operator, tolerance on the residual."""
    if not case.elastic:
        return None
    import muGrid
    from muGrid.Preconditioners import make_reference_stiffness_preconditioner
    from muGrid.Solvers import conjugate_gradients

    start = time.perf_counter()
    spacing, factor = [1.0] * 3, np.where(image == 1, case.contrast, 1.0)
    operator = muGrid.IsotropicStiffnessOperator3D(spacing)
    engine = muGrid.FFTEngine(list(image.shape), ghosts=operator)
    u, b = (engine.real_space_field(name, components=(3,)) for name in ("displacement", "load"))
    la, mu = engine.real_space_field("lambda"), engine.real_space_field("mu")
    la.p[...], mu.p[...] = LAMBDA * factor, MU * factor
    for constants in (la, mu):
        engine.communicate_ghosts(constants)
    mean = 0.5 * (1 + case.contrast)
    green = make_reference_stiffness_preconditioner(
        engine, element=muGrid.FEMElement.q1, grid_spacing=spacing, lambda_ref=LAMBDA * mean, mu_ref=MU * mean
    )
    iterations = 0

    def stiffness(displacement: Any, force: Any) -> None:
        engine.communicate_ghosts(displacement)
        operator.apply(displacement, la, mu, force)

    def count(*_: Any) -> None:
        nonlocal iterations
        iterations += 1

    stresses = []
    for i, j in tensors.PAIRS:
        strain = np.zeros((3, 3))
        strain[i, j] = strain[j, i] = 1.0 if i == j else 0.5
        operator.apply_macro_rhs(la, mu, strain.ravel(), b)
        b.s[...] *= -1
        u.s[...] = 0
        conjugate_gradients(
            engine.communicator,
            engine.real_space_collection,
            b,
            u,
            stiffness,
            green,
            rtol=options.tolerance,
            callback=count,
        )
        engine.communicate_ghosts(u)
        stresses.append(np.reshape(operator.average_stress(u, la, mu, strain.ravel()), (3, 3)) / image.size)
    seconds = time.perf_counter() - start
    return Answer("muGrid", 6, [seconds], float(stresses[0][0, 0]), iterations / 6, f"{options.tolerance:g} (residual)")


PEERS: dict[str, tuple[str, Callable[[Case, np.ndarray, Options], Answer | None]]] = {
    "TauFactor": ("taufactor", taufactor),
    "muGrid": ("muGrid", mugrid),
}


def measure(n: int | None, rounds: int, peers: bool, options: Options) -> list[dict[str, Any]]:
    """Rows of the table: median and range of seconds, programs taking turns in every round.

    Args:
        n: voxels per axis, instead of those of the cases.
    """
    rows = []
    for case in CASES:
        image = case.image(n or case.n)
        solvers: list[Callable[..., Answer | None]] = [phasefield]
        if peers:
            solvers += [solver for module, solver in PEERS.values() if importlib.util.find_spec(module)]
        phasefield(case, image, options)  # compiles, and measures the transforms' plans
        answers: dict[str, Answer] = {}
        for _ in range(rounds):
            for solver in solvers:
                answer = solver(case, image, options)
                if answer is None:
                    continue
                if answer.program in answers:
                    answer.seconds += answers[answer.program].seconds
                answers[answer.program] = answer
        for answer in answers.values():
            rows.append(
                {
                    "property": case.name, "image": case.image.__name__.removesuffix("_image"), "shape": list(image.shape),
                    "contrast": case.contrast, "program": answer.program, "loads": answer.loads,
                    "seconds": statistics.median(answer.seconds), "range": [min(answer.seconds), max(answer.seconds)],
                    "iterations": answer.iterations, "tolerance": answer.tolerance, "value": answer.value,
                    "bytes_per_voxel": answer.bytes_per_voxel,
                }
            )  # fmt: skip
            print(line(rows[-1]), flush=True)
    return rows


COLUMNS = (
    ("property", 12, lambda r: r["property"]),
    ("image", 7, lambda r: r["image"]),
    ("grid", 11, lambda r: "x".join(map(str, r["shape"]))),
    ("contrast", 8, lambda r: f"{r['contrast']:g}"),
    ("program", 10, lambda r: r["program"]),
    ("loads", 5, lambda r: r["loads"]),
    ("seconds", 7, lambda r: f"{r['seconds']:.2f}"),
    ("min-max", 12, lambda r: "{:.2f}-{:.2f}".format(*r["range"])),
    ("iterations", 10, lambda r: f"{r['iterations']:.0f}"),
    ("tolerance", 16, lambda r: r["tolerance"]),
    ("B/voxel", 7, lambda r: "" if r["bytes_per_voxel"] is None else f"{r['bytes_per_voxel']:.0f}"),
    ("xx", 9, lambda r: f"{r['value']:.7g}"),
)
HEAD = " ".join(f"{name:>{width}}" for name, width, _ in COLUMNS)


def line(row: dict[str, Any]) -> str:
    return " ".join(f"{text(row):>{width}}" for _, width, text in COLUMNS)


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    out = [[name for name, *_ in COLUMNS], ["---"] * len(COLUMNS)]
    out += [[str(text(row)) for *_, text in COLUMNS] for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in out)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, help="threads on the CPU (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, help="voxels per axis, instead of 128 and 64")
    parser.add_argument("--peers", action="store_true", help="time other programs that are installed, too")
    parser.add_argument("--output", type=Path, help="write the rows to this JSON file")
    options = parser.parse_args()
    print(HEAD)
    rows = measure(options.size, options.rounds, options.peers, Options(tolerance=TOLERANCE, threads=options.threads))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
