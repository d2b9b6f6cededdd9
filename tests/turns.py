"""Which tests run with every suite, and which in turns: a choice by measured time.

``seconds.json`` holds what each test costs in seconds of processor time (its own and its processes', kernels compiled before;
those under `SHORT` are left out). A *family* is a test with all its parameters. Within `BUDGET` run first the cheapest of every
family, then the others, the cheaper before the dearer; what is left is marked ``slow`` and runs in turns (``--share``), as do
tests that carry the mark themselves and those of `COMPILING`. A test that isn't in the file counts as short.

Measured anew by ``pytest --record-seconds``, with ``PHASEFIELD_CACHE`` set to a folder that holds the kernels of a run before;
only what ran is replaced.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = Path(__file__).parent / "seconds.json"

#: Seconds of processor time of all tests of the file that run with every suite.
BUDGET = 600.0

#: Shorter ones are not in the file.
SHORT = 0.5

#: The cheapest of a family runs with every suite up to here.
DEAR = 12.0


#: What kernels of their own make dear, which a run with kernels at hand does not show: members of families and pages of which the
#: others, or one of each kind, run with every suite.
COMPILING = [
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
        r"verification/test_coupled_mobility\.py::test_(mass|transforms|manuf|a_matrix_that|resuming|decay_rates.*expressions)",
        r"verification/test_(kinetic|electric)\.py::test_transforms",
        r"verification/test_transform_counts\.py::test_transforms\[(?!noise)",
        r"verification/test_elastic_fields\.py::test_stress_and_strain_of_a_laminate\[3",
        r"verification/test_control\.py::test_what_oscillates.*etd1",
        r"test_console\.py::test_results_survive_a_disk_that_is_full\[(0|1000000000)\]",
    )
]


def in_turns(seconds: dict[str, float], budget: float = BUDGET) -> frozenset[str]:
    """The tests that do not fit. Names are as pytest's, ``file::test[parameters]``."""
    cheapest: dict[str, str] = {}
    ascending = sorted(seconds, key=lambda name: (seconds[name], name))
    for name in ascending:
        cheapest.setdefault(name.partition("[")[0], name)
    firsts = [name for name in cheapest.values() if seconds[name] <= DEAR]
    chosen = set(firsts)
    order = firsts + [name for name in ascending if name not in chosen]
    spent, left = 0.0, set()
    for name in order:
        spent += seconds[name]
        if spent > budget:
            left.add(name)
    return frozenset(left)


def compiling(name: str) -> bool:
    return any(pattern.search(name) for pattern in COMPILING)


def measured() -> dict[str, float]:
    return dict(json.loads(SECONDS.read_text())) if SECONDS.exists() else {}


class Recorder:
    """Measures tests and writes `SECONDS` as they end; pytest-xdist's workers hand theirs on with their reports."""

    def __init__(self, writes: bool) -> None:
        self.writes = writes
        self.started: dict[str, float] = {}
        self.seconds = measured()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.started[nodeid] = _processor_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report = yield
        if report.when == "teardown":
            report.processor_seconds = round(_processor_seconds() - self.started.pop(item.nodeid), 1)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.writes and report.when == "teardown":
            name = report.nodeid.removeprefix("tests/")
            before = self.seconds.pop(name, None)
            if report.processor_seconds >= SHORT:
                self.seconds[name] = report.processor_seconds
            if self.seconds.get(name) != before:
                SECONDS.write_text(json.dumps(dict(sorted(self.seconds.items())), indent=0, ensure_ascii=False) + "\n")


def _processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    return sum(os.times()[:4])
