#!/usr/bin/env bash
# Everything that needs a GPU, in one go: agreement with the CPU, graphs against plain launches, grids that fill the card, effective
# properties, the tests, the benchmark, the verification on the device, and a record of them with the device's name, driver and clocks.
#
#     scripts/gpu_session.sh [--out FOLDER] [--quick]
#
# Where a call may last ten minutes only, in two that write the same record:
#
#     scripts/gpu_session.sh --out FOLDER --minutes 9 --parts agreement graphs large homogenize benchmark
#     scripts/gpu_session.sh --out FOLDER --minutes 9 --parts tests verification
#
# Uses the python of $PYTHON or of the path, and no network. The exit status is 0 only if every part passed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
exec "${PYTHON:-python}" scripts/gpu_session.py "$@"
