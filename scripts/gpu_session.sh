#!/usr/bin/env bash
# Everything that needs a GPU, from a bare checkout: the tests on the device, graphs against plain launches, grids that fill the card,
# effective properties, the benchmark, the verification, and a record of them with the device's name, driver and clocks.
#
#     scripts/gpu_session.sh [--wheels FOLDER] [--out FOLDER] [--minutes N] [--parts NAME ...] [--quick]
#
# Where a call may last ten minutes only, in two or three that write the same record:
#
#     scripts/gpu_session.sh --out FOLDER --minutes 9 --parts tests graphs large homogenize
#     scripts/gpu_session.sh --out FOLDER --minutes 9 --parts benchmark pairs verification
#     scripts/gpu_session.sh --out FOLDER --minutes 9 --parts agreement profile
#
# Uses the python of $PYTHON or of the path, and no network: what the package needs and that python lacks is taken from the wheels in
# FOLDER (`gpu_session.py --collect FOLDER` gathers them elsewhere). The exit status is 0 only if every part passed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
exec "${PYTHON:-python}" scripts/gpu_session.py "$@"
