#!/usr/bin/env bash
# Runs an unpacked image under Slurm with Charliecloud, which needs no engine and no rights on the nodes:
#
#     scripts/container_slurm.sh FOLDER
#
# FOLDER is the image (docs/containers.md says how it is unpacked). Prints what it found as a table; the exit status is 0 only if
# everything held.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
image=$(cd "$1" && pwd)
export USER=${USER:-$(id -un)} # ch-run wants it
work=$(mktemp -d)
job=
trap '[ -z "$job" ] || scancel "$job" 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/data"

failed=0
report() { # WHAT FOUND CONDITION ...
    local what=$1 found=$2
    shift 2
    if "$@"; then echo "| $what | $found |"; else echo "| **FAILED** $what | $found |"; tail -20 "$work/log" >&2; failed=1; fi
}
inside=(ch-run --bind="$work/data:/data" --cd=/data --unset-env='OMP_NUM_THREADS' --set-env=PHASEFIELD_CACHE=/data/.cache/phasefield
    --set-env=MPLCONFIGDIR=/data/.cache/matplotlib "$image" -- /opt/phasefield/bin/phasefield)
task() { local cpus=$1; shift; got=0; srun --quiet --ntasks=1 --cpus-per-task="$cpus" "${inside[@]}" "$@" > "$work/log" 2>&1 || got=$?; }
small=(model=spinodal 'grid.shape=[64,64]' output.picture=false)

echo "| what | found |"
echo "| --- | --- |"
echo "| versions | $(srun --version), Charliecloud $(ch-run --version 2>&1) |"
for cpus in 1 2; do
    task "$cpus" run "${small[@]}" time.end=200 output.dir="threads$cpus"
    report "a run with --cpus-per-task=$cpus" "$(grep -o "[0-9]* threads\?" "$work/log" | head -1), exit code $got" grep -q "[^0-9]$cpus thread" "$work/log"
done
task 1 homogenize threads1 material=ni_ni3al
report "homogenize" "exit code $got" test "$got" = 0
task 1 run "${small[@]}" time.end=-1
report "an error" "exit code $got" test "$got" = 2

# Slurm tells the step, not the shell: the run writes a checkpoint and ends with its own code.
job=$(sbatch --parsable --ntasks=1 --cpus-per-task=1 --output="$work/log" --wrap="srun $(printf '%q ' "${inside[@]}" run "${small[@]}" \
    time.adaptive=false time.dt=0.1 time.end=1e6 output.dir=stopped output.resume=auto)")
for _ in $(seq 600); do [ ! -s "$work/data/stopped/history.nc" ] || break; sleep 0.2; done
sleep 2
scancel --signal=USR1 "$job"
while squeue -h -j "$job" 2>/dev/null | grep -q .; do sleep 0.5; done
report "USR1 from scancel" "$(scontrol show job "$job" | grep -o 'ExitCode=[0-9]*'), checkpoint" test -s "$work/data/stopped/checkpoint.npz"
task 2 resume stopped time.end=500
report "resumed" "exit code $got" grep -q "finished at time" "$work/log"
exit "$failed"
