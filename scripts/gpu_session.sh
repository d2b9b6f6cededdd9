#!/usr/bin/env bash
# Everything that needs a GPU, in one go: the tests, the verification on the device, the benchmark and a record of them.
#
#     scripts/gpu_session.sh [--quick]
#
# Uses the python of $PYTHON or of the path, and no network. The exit status is 0 only if every part passed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
exec "${PYTHON:-python}" scripts/gpu_session.py "$@"
