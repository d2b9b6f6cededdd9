"""Shared by all tests: one cache of compiled kernels for the session, one thread per process, and the device.

Set before anything is imported and inherited by parallel workers (pytest-xdist) and the processes that tests start.

``PHASEFIELD_TEST_DEVICE`` says where tests run that do not name a device: ``cpu`` (the default; GPUs are hidden, so that the
suite does the same on every machine), ``gpu`` (for `tests/gpu` and `tests/verification`, see scripts/gpu_session.sh), or
``stand-in``, which plays a GPU on host memory.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator

import pytest

DEVICE = os.environ.get("PHASEFIELD_TEST_DEVICE", "cpu")


#: Members of families and pages that take long, of which the others, or one of each kind, run with every suite; these run in
#: turns (`slow`, ``--share``), but on a card all of them.
IN_TURNS = [
    re.compile(pattern)
    for pattern in (
        r"gpu/test_gpu\.py::test_schemes_agree_with_the_cpu\[(?!etdms3-|etdrk4-true|sbdf2-false)",
        r"gpu/test_gpu\.py::test_models_agree_with_the_cpu\[(?!plane-true|no-flux-false|grains-false|logarithms-true)",
        r"gpu/test_gpu\.py::test_graphs_and_plain_launches_give_the_same_bits\[(?!true-etdms2|false-etdrk4)",
        r"gpu/test_gpu\.py::test_resuming_gives_the_same_bits\[(?!true-plane|false-no-flux)",
        r"gpu/test_gpu\.py::test_single_precision_agrees_with_the_cpu\[(?!conserved)",
        r"gpu/test_gpu_homogenize\.py::test_solutions_are_the_cpus\[(?!shape0-False-cut-q1|shape1-True-isotropic-rotated)",
        r"gpu/test_gpu_homogenize\.py::test_walls\[(?!shape0-kinematic-True-q1|shape2-static-False-rotated)",
        r"gpu/test_gpu_homogenize\.py::test_the_solve_at_the_surface_is_the_cpus\[(?!2-True-q1|3-False-rotated)",
        r"gpu/test_gpu_scripts\.py::test_checks_pass_in_small",
        r"test_viewing\.py::test_a_run_with_components\[\(y, x\)",
        r"test_anisotropy\.py::test_one_coefficient_per_axis_is_a_stretched_grid\[periodic",
        r"test_runs\.py::test_grain_growth_from_a_voronoi_structure\[shape0",
        r"test_resume\.py::test_stop_and_resume\[(grains|etdrk4 fixed)",
        r"test_conservation\.py::.*precipitate",
        r"test_voxel_cuda\.py::test_walls_of_large_grids",
        r"homogenize/test_loads\.py::test_side_by_side_is_one_after_another\[[36]-periodic-options4",
        r"test_docs\.py::test_page\[docs/(extending_kernels|surrogate|uncertainty|statistics|macro|cards)\.md",
        r"upscale/test_chain\.py",
        r"backend/test_cpu\.py::test_(processes_share_one_cold_cache|other_grids_and_constants)",
        r"backend/test_cpu\.py::test_result_does_not_depend_on_threads\[sbdf2",
        r"backend/test_cpu\.py::test_steps_allocate_nothing\[2",
        r"test_launchers\.py::test_members_at_once",
        r"test_resume\.py::test_(a_run_of_an_earlier_version|checkpoints_of_earlier|killed_at_random)",
        r"test_resume\.py::test_a_lost_file_is_begun_anew_where_asked_for\[(?!missing-fields)",
        r"test_report\.py::test_(odd_shapes|3d_run|1d_run|reference_changes|backend_and_style)",
        r"verification/test_rates\.py::test_what_follows_a_slow_field",
        r"verification/test_order\.py::test_error_in_space_falls_faster_than_any_power\[(?!allen_cahn-periodic)",
        r"verification/test_conservation\.py::test_every_scheme_conserves_mass_to_the_bit\[False-(?!etdms3)",
        r"verification/test_manufactured\.py::test_every_preset\[(precipitate|flory)",
        r"homogenize/test_pictures\.py::test_report_shows",
        r"backend/test_voxel_cuda\.py::test_more_threads",
        r"upscale/test_surrogate\.py",
        r"upscale/test_statistics_command\.py::test_side_by_side",
        r"verification/test_elastic\.py::test_(n_and_l|variants|walls|schemes_keep_their_order\[sbdf2|the_variant)",
        r"test_docs\.py::test_page\[docs/(models|tutorial_material|theory|mobility|operators|parameters|elasticity)\.md",
        r"test_examples\.py::test_example\[(from_file|laminate|sessile_drop|crystal|quench|surface_diffusion|battery)",
        r"test_watch\.py::test_interrupted",
        r"verification/test_operators\.py::test_(liquid_and_crystal|growth_of_a_liquid|energy_falls.*block)",
        r"verification/test_parameters\.py::test_(energies_are|fluctuations.*periodic)",
        r"verification/test_elastic\.py::test_energy_stress_and_strain_are_those_of_equilibrium\[True",
        r"upscale/test_uncertainty\.py::test_stiffness_and_expansion_with_ranges",
        r"verification/test_elastic\.py::test_schemes_keep_their_order\[etdms3",
        r"verification/test_operators\.py::test_(the_spacing|half_of_the_gradient|schemes_keep_their_order\[sbdf2)",
        r"verification/test_mobility\.py::test_transforms_of_a_step\[\('periodic', 'periodic', 'periodic'",
        r"verification/test_mobility\.py::test_(order_in_time\[conserved-sbdf2|resuming_gives_the_same_bits\[keys2)",
        r"verification/test_mobility\.py::test_manufactured_solutions\[.*\('fixed', 'no-flux'\)",
        r"verification/test_parameters\.py::test_schemes_keep_their_order\[etdrk4",
        r"verification/test_order\.py::test_order_with_a_source_that_moves\[(?!etdms3)",
        r"verification/test_order\.py::test_order_on_a_gradient_flow\[etdms[24]",
        r"verification/test_rates\.py::test_a_wave_travels_at_its_speed\[etd(rk4|ms4)",
        r"verification/test_resolution\.py::test_coupled_fields",
        r"test_docs\.py::test_page\[docs/(cluster|extending|record|upward)\.md",
        r"test_extending\.py::test_a_term_is_one_file",
        r"test_docs\.py::test_page\[docs/(boundaries|charge|noise|anisotropy|ranks|scaling)\.md",
        r"test_examples\.py::test_example\[(dendrite|crystal_shape|wetting|double_layer|capillary_waves|transformation)",
        r"test_renamed\.py",
        r"verification/test_elastic_phases\.py::test_(walls_are|phases_of_one)",
        r"verification/test_noise\.py::test_(the_same_bits|single_precision|decomposition|fluctuations_at_rest\[.*-1000\.0)",
        r"verification/test_walls\.py::test_(a_resumed|what_flows_in.*mobility|moving_data.*etdms3|diffusion_through)",
        r"verification/test_electric\.py::test_two_ions",
        r"verification/test_normals\.py::test_(order|transforms_and_memory_of_a_step\[\('periodic', 'fixed'|resum)",
        r"verification/test_elastic\.py::test_schemes_keep_their_order",
        r"verification/test_mobility\.py::test_(a_law_that_is_constant.*periodic|mass_and_energy.*sbdf2|resuming)",
        r"verification/test_conservation\.py::test_energy_never_rises\[periodic-(surface|cuboids|block|phase|crystal|grain)",
        r"verification/test_anisotropy\.py::test_one_coefficient.*no-flux,periodic",
        r"test_nucleation\.py::test_resumed_anywhere.*keys1",
        r"test_viewing\.py::test_a_run_with_components\[\(z, y, x\)",
        r"gpu/test_gpu\.py::test_(schemes_agree_with_the_cpu\[etdrk4-true|noise_agrees_with_the_cpu_in_single)",
        r"backend/test_voxel_cuda\.py::test_memory",
        r"test_resume\.py::test_stop_and_resume\[sbdf2",
        r"test_ensemble\.py::test_who_is_killed",
        r"test_console\.py::test_results_survive_a_disk_that_is_full\[(0|1000000000)\]",
    )
]


def pytest_itemcollected(item: pytest.Item) -> None:
    if DEVICE != "gpu" and any(pattern.search(item.nodeid) for pattern in IN_TURNS):
        item.add_marker("slow")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--share", metavar="K/N", help="every N-th of the tests chosen, from the K-th on: long ones in turns"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if share := config.getoption("--share"):
        first, count = map(int, share.split("/"))
        config.hook.pytest_deselected(items=[item for i, item in enumerate(items) if i % count != first % count])
        items[:] = items[first % count :: count]


def pytest_configure(config: pytest.Config) -> None:
    """``PHASEFIELD_CACHE``, unless set, is a folder of this session's."""
    if hasattr(config, "workerinput"):
        return
    if DEVICE != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # Two FFTW threads in each of several processes would wait for each other more than they compute.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "PHASEFIELD_CACHE" not in os.environ:
        os.environ["PHASEFIELD_CACHE"] = tempfile.mkdtemp(prefix="phasefield-tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop("PHASEFIELD_CACHE"), ignore_errors=True))


@pytest.fixture(scope="session")
def test_device() -> str:
    """``PHASEFIELD_TEST_DEVICE``."""
    return DEVICE


@pytest.fixture(scope="session", autouse=True)
def _stand_in() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if DEVICE == "stand-in":
            from host_cuda import as_the_card

            as_the_card(patch)
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests recorded with ``record_property``; prints would be lost in parallel workers."""
    passed = terminalreporter.getreports("passed")
    for report in (r for r in passed if r.user_properties):
        found = ", ".join(f"{name} {value}" for name, value in report.user_properties)
        terminalreporter.write_line(f"{report.nodeid}: {found}")


@pytest.fixture(autouse=True)
def _messages() -> Iterator[None]:
    """The package's messages go where they went before a test, which the command line changes for its process."""
    log = logging.getLogger("phasefield")
    before = log.handlers[:], log.propagate, log.level
    yield
    log.handlers[:], log.propagate = before[0], before[1]
    log.setLevel(before[2])
    log.disabled = False  # Hydra disables loggers that it does not know
