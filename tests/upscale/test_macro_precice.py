"""Cells as micro simulations of preCICE's Micro Manager: the class alone, and with that package's own driver where it is
installed."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
import types
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from phasefield.errors import ConfigError
from phasefield.mechanics import Options
from phasefield.mechanics.nonlinear import NonlinearCell
from phasefield.mechanics.potentials import Expression, Quadratic
from phasefield.mechanics.tensors import FACTOR, isotropic_stiffness, to_voigt
from phasefield.upscale.macro import CellMicro
from phasefield.upscale.macro.precice import Exchange, micro_simulation

STRAIN = np.array([0.02, -0.01, 0.005, 0.01, 0.004, 0.03])  # engineering shear


def make_cell() -> CellMicro:
    index = np.zeros((6, 6, 6), np.int32)
    index[1:4, 1:5, 2:5] = 1
    soft = Expression("K*tr**2/2 + G*d2 + b*d2**2", True, {"K": 1.0, "G": 0.5, "b": 40.0})
    options = Options(scheme="rotated", tolerance=1e-9, threads=1, device="cpu")
    return CellMicro(NonlinearCell(index, [soft, Quadratic(isotropic_stiffness(10.0, 6.0))], options=options))


def sent(strain: np.ndarray) -> dict[str, np.ndarray]:
    return {"strains1to3": strain[:3], "strains4to6": strain[3:]}


def test_a_point_answers_in_voigt_form_and_goes_back_to_a_checkpoint(tmp_path: Path) -> None:
    cls = micro_simulation(make_cell, Exchange.stress(), folder=tmp_path)
    one, other = cls(3), cls(-1)
    start = one.initialize()
    first = one.solve(sent(STRAIN), 0.1)
    direct = make_cell().solve(STRAIN / FACTOR)
    np.testing.assert_allclose(
        np.concatenate([first["stresses1to3"], first["stresses4to6"]]), direct.flux / FACTOR, atol=1e-9
    )
    upper = to_voigt(direct.tangent)[np.triu_indices(6)]
    np.testing.assert_allclose(np.concatenate([first[f"cmat{k}"] for k in range(1, 8)]), upper, atol=1e-8)
    # at no strain the tangent gives the stress of a small one
    small = np.concatenate([one.solve(sent(1e-6 * STRAIN), 0.1)[f"stresses{k}"] for k in ("1to3", "4to6")])
    matrix = np.zeros((6, 6))
    matrix[np.triu_indices(6)] = np.concatenate([start[f"cmat{k}"] for k in range(1, 8)])
    whole = matrix + np.triu(matrix, 1).T
    np.testing.assert_allclose(small, whole @ (1e-6 * STRAIN), rtol=0, atol=1e-6 * np.abs(small).max())

    state = one.get_state()
    other.set_state(pickle.loads(pickle.dumps(state)))
    other.set_global_id(7)
    assert (one.get_global_id(), other.get_global_id()) == (3, 7)
    for point in (one, other):
        point.set_state(state)
        again = point.solve(sent(STRAIN), 0.1)
        np.testing.assert_allclose(again["stresses1to3"], first["stresses1to3"], atol=1e-9)
    one.output()
    with np.load(tmp_path / "micro_3.npz") as kept:
        np.testing.assert_allclose(kept["strain"] * FACTOR, STRAIN)
        assert kept["fluctuation"].shape == (3, 6, 6, 6)
    with pytest.raises(ConfigError, match="strains4to6: is missing"):
        one.solve({"strains1to3": STRAIN[:3]}, 0.1)
    with pytest.raises(ConfigError, match="3 finite numbers"):
        one.solve(sent(np.full(6, np.nan)), 0.1)


def test_orders_and_scalars() -> None:
    """Names of conduction and of the plane, and an order of components that is another solver's."""
    calculix = Exchange.stress((0, 1, 2, 5, 4, 3))
    assert calculix.reads["strains4to6"] == (5, 4, 3)
    np.testing.assert_allclose(calculix.strain(sent(STRAIN)) * FACTOR, STRAIN[[0, 1, 2, 5, 4, 3]])
    answer = calculix.answer(np.arange(6.0) * FACTOR, np.eye(6))
    assert answer["stresses4to6"].tolist() == [5, 4, 3]
    plane = Exchange.plane().answer(np.array([1.0, 2.0, 3 * 2**0.5]), np.diag([1.0, 2.0, 3.0]))
    assert plane == pytest.approx(
        {"stress_xx": 1, "stress_yy": 2, "stress_xy": 3, "c_xx_xx": 1, "c_xx_yy": 0, "c_xx_xy": 0}
        | {"c_yy_yy": 2, "c_yy_xy": 0, "c_xy_xy": 1.5}
    )
    conduction = Exchange.conduction(2).answer(np.array([1.0, 2.0]), np.array([[3.0, 4.0], [5.0, 6.0]]))
    assert [conduction[f"k_{i}"] for i in ("00", "01", "10", "11")] == [3, 4, 5, 6]
    with pytest.raises(ConfigError, match="has 2 components, the microstructure 6"):
        micro_simulation(make_cell, Exchange.conduction(2))(0).initialize()


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.ModuleType:
    """The package, with an empty module for the coupling library where that is absent: what is tested here never calls it."""
    if importlib.util.find_spec("micro_manager") is None:
        pytest.skip("micro-manager-precice is not installed")
    if importlib.util.find_spec("precice") is None:
        empty = types.ModuleType("precice")
        empty.Participant = object  # type: ignore[attr-defined]  # named in annotations
        monkeypatch.setitem(sys.modules, "precice", empty)
    try:
        module = importlib.import_module("micro_manager")
    except ImportError as error:
        pytest.skip(f"micro_manager needs more: {error}")
    (tmp_path / "micro_of_ours.py").write_text(
        "from test_macro_precice import make_cell\n"
        "from phasefield.upscale.macro.precice import Exchange, micro_simulation\n"
        "MicroSimulation = micro_simulation(make_cell, Exchange.stress())\n"
    )
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "micro_of_ours", raising=False)
    return module


def test_the_micro_manager_takes_the_class(manager: types.ModuleType) -> None:
    """Loading, probing of `initialize` and `output`, tasks of workers, checkpoints: the package's own code."""
    from micro_manager.micro_simulation import MicroSimulationInterface, create_simulation_class, load_backend_class
    from micro_manager.simulation_container import SimulationContainer
    from micro_manager.tasking.task import ConstructTask, GetStateTask, SetStateTask, SolveTask
    from micro_manager.tools.mpi_handler import MPI, MPIHandler

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a class that does not inherit is wrapped with a warning
        cls = load_backend_class("micro_of_ours")
    assert issubclass(cls, MicroSimulationInterface)
    made = create_simulation_class(None, cls, "micro_of_ours", 1)
    container = SimulationContainer(MPIHandler(MPI.COMM_WORLD))
    for gid in (0, 1):
        container.add_sim(gid, made(gid), np.zeros(3))
    has, with_data, returns, answer = made.check_initialize(container[0], sent(STRAIN))
    assert (has, with_data, returns, made.check_output()) == (True, False, True, False)
    assert set(answer) == set(container[0].solve(sent(STRAIN), 0.1))
    container.write_checkpoints()
    kept = container[0].get_state()
    container[0].solve(sent(2 * STRAIN), 0.1)
    assert container[0].get_state() is not kept
    container.load_checkpoints()
    assert container[0].get_state() is kept
    assert container[1].get_state() is None

    data: dict = {"sim_instances": {}, "sim_classes": {}, "load_function": load_backend_class}
    ConstructTask(5, "micro_of_ours")(data)
    remote = SolveTask(5, sent(STRAIN), 0.1)(data)
    np.testing.assert_allclose(remote["cmat1"], container[0].solve(sent(STRAIN), 0.1)["cmat1"], atol=1e-8)
    SetStateTask(5, GetStateTask(5)(data))(data)


def test_the_micro_manager_computes_snapshots(
    manager: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its driver without coupling: a database of answers for a table of macro-scale strains; a bad one is left out by it."""
    if not manager.is_snapshot_possible:
        pytest.skip("the Micro Manager's snapshots need h5py")
    from importlib import metadata

    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "unknown" if "micro-manager" in name else real(name))
    monkeypatch.chdir(tmp_path)
    strains = np.array([STRAIN, np.full(6, np.nan), -STRAIN])
    with h5py.File("strains.hdf5", "w") as file:
        file["strains1to3"], file["strains4to6"] = strains[:, :3], strains[:, 3:]
    names = ["stresses1to3", "stresses4to6", *(f"cmat{k}" for k in range(1, 8))]
    config = {
        "micro_file_names": ["micro_of_ours"],
        "coupling_params": {
            "parameter_file_name": "strains.hdf5",
            "read_data_names": ["strains1to3", "strains4to6"],
            "write_data_names": names,
        },
        "simulation_params": {"micro_dt": 1.0},
        "snapshot_params": {"output_file_name": "answers"},
        "output_directory": "out",
    }
    Path("config.json").write_text(json.dumps({"micro_manager": config}))
    driver = manager.MicroManagerSnapshot(str(tmp_path / "config.json"))
    driver.initialize()
    driver.solve()
    with h5py.File("out/answers.hdf5") as file:
        assert file.attrs["status"] == "finished"
        assert file["crashed_snapshots"][:].tolist() == [1]
        for row in (0, 2):
            direct = make_cell().solve(strains[row] / FACTOR).flux / FACTOR
            np.testing.assert_allclose(
                np.append(file["stresses1to3"][row], file["stresses4to6"][row]), direct, atol=1e-8
            )
