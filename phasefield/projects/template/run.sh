#!/usr/bin/env bash
# Runs an experiment of this project, or goes on with it where it was stopped:
#
#   ./run.sh                          the first one, into runs/first
#   ./run.sh second time.end=100      config/experiment/second.yaml with a key changed, into runs/second
set -euo pipefail
cd "$(dirname "$0")"
name=first
if [ "$#" -gt 0 ] && [[ "$1" != *=* ]]; then
    name=$1
    shift
fi
exec phasefield run --config-dir config experiment="$name" output.dir="runs/$name" output.resume=auto "$@"
