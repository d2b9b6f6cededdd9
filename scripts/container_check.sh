#!/usr/bin/env bash
# Runs an image as clusters and services do: as a user without a home, on a file system that cannot be written but for one volume,
# without a network. Prints what it found as a table; the exit status is 0 only if everything held.
#
#     scripts/container_check.sh docker phasefield [phasefield:test]      or podman, with options as in "podman --root DIR"
#
# With the image of the target `test` a part of the tests runs in it as well.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
read -ra engine <<< "$1"
image=$2 tests=${3:-}
work=$(mktemp -d)
data=$work/data
trap 'rm -rf "$work"' EXIT
mkdir "$data" && chmod 1777 "$data"

# run [OPTION ...] IMAGE [WORD ...]: podman would put writable folders of its own over /tmp and others.
options=(--read-only --network=none --user=12345:12345 --env=HOME=/nonexistent --volume="$data:/data")
case ${engine[0]##*/} in docker) ;; *) options+=(--read-only-tmpfs=false) ;; esac
run() { "${engine[@]}" run --rm "${options[@]}" "$@"; }

failed=0
held() { echo "| $1 | $2 |"; }
broken() { echo "| **FAILED** $1 | $2 |"; sed 's/^/    /' "$work/log" | tail -20 >&2; failed=1; }
# expect WHAT CODE WORD ...: a command must end with an exit code; its messages are in $work/log, and its time in $seconds.
expect() {
    local what=$1 code=$2 got=0 start=$EPOCHREALTIME
    shift 2
    run "$@" > "$work/log" 2>&1 || got=$?
    seconds=$(awk "BEGIN { printf \"%.1f s\", $EPOCHREALTIME - $start }")
    if [ "$got" = "$code" ]; then return 0; fi
    broken "$what" "exit code $got, not $code"
    return 1
}
said() { grep -q -- "$2" "$work/log" && held "$1" "${3:-$(grep -m 1 -o -- "$2" "$work/log")}" || broken "$1" "nothing is said of: $2"; }
quiet() { ! grep -qi -e warning -e "cannot be" -e matplotlib "$work/log" && held "$1" "$2" || broken "$1" "complaints"; }

echo "| what | found |"
echo "| --- | --- |"
held "engine" "$("${engine[@]}" --version | head -1)"
label() { "${engine[@]}" image inspect --format "{{ index .Config.Labels \"org.opencontainers.image.$1\" }}" "$image"; }
held "image" "$(label title) $(label version), revision $(label revision), $(label licenses)"
bytes=$("${engine[@]}" image inspect --format '{{ .Size }}' "$image")
held "size, uncompressed, with its base" "$((bytes / 1000000)) MB"
held "of it /opt/phasefield" "$(run --entrypoint=du "$image" -s --apparent-size --block-size=1MB /opt/phasefield | cut -f1) MB"
held "its largest parts, MB" "$(run --entrypoint=sh "$image" -c 'cd /opt/phasefield/lib/python3*/site-packages
    du -s --apparent-size --block-size=1MB -- * | sort -rn | head -12' | awk '{ printf "%s%s %s", (NR > 1 ? ", " : ""), $2, $1 }')"

# What it computes.
small=(model=spinodal 'grid.shape=[64,64]')
expect "the main job" 0 "$image" run output.dir=main && quiet "the main job, compiled for the first time" "$seconds"
expect "the main job" 0 "$image" run output.dir=again && quiet "in a second container: found compiled" "$seconds"
cmp -s "$data/main/checkpoint.npz" "$data/again/checkpoint.npz" && held "bits of both" "the same" || broken "bits of both" "differ"
expect "homogenize" 0 "$image" homogenize main material=ni_ni3al && said "homogenize" "stiffness" "$seconds"
expect "report" 0 "$image" report main && quiet "report" "$seconds"

# Where nothing is kept.
none=(--env=PHASEFIELD_CACHE= --env=MPLCONFIGDIR=)
expect "no cache named" 0 "${none[@]}" "$image" run "${small[@]}" time.end=5 output.dir=unnamed && said "no home, no cache named" "/phasefield-12345: there is no home folder"
expect "cache not writable" 0 --env=PHASEFIELD_CACHE=/opt/cache "$image" run "${small[@]}" time.end=5 output.dir=uncached &&
    said "a cache that cannot be written, told $(grep -c "cannot be used" "$work/log") time" "compiled for this process alone"
expect "an error" 2 "$image" run output.dir=/opt/run && said "results that cannot be written, exit code 2" "error: .*"

# Threads.
threads() {
    local what=$1 count=$2
    shift 2
    rm -rf "$data/threads"
    expect "$what" 0 "$@" "$image" run "${small[@]}" time.end=1 output.dir=threads && said "$what" "[^0-9]$count thread" "$count thread(s)"
}
threads "threads with --cpus=0.5" 1 --cpus=0.5
threads "threads with --cpuset-cpus=0" 1 --cpuset-cpus=0
threads "threads with OMP_NUM_THREADS=3" 3 --env=OMP_NUM_THREADS=3
threads "threads with SLURM_CPUS_PER_TASK=2" 2 --env=SLURM_CPUS_PER_TASK=2
threads "threads without a limit" "$(nproc)"

# Signals: the command is process 1, which the kernel tells nothing that it does not ask for.
stopped() {
    local what=$1 signal=$2 code=$3 dir=$data/$4 got
    shift 4
    "${engine[@]}" run --detach --name "phasefield-check-$$" "${options[@]}" "$image" run "${small[@]}" time.adaptive=false \
        time.dt=0.1 time.end=1e6 output.dir="${dir##*/}" "$@" > /dev/null
    for _ in $(seq 600); do [ ! -s "$dir/history.nc" ] || break; sleep 0.2; done
    sleep 2
    "${engine[@]}" kill --signal "$signal" "phasefield-check-$$" > /dev/null
    got=$("${engine[@]}" wait "phasefield-check-$$")
    "${engine[@]}" logs "phasefield-check-$$" > "$work/log" 2>&1
    "${engine[@]}" rm -f "phasefield-check-$$" > /dev/null
    if [ "$got" = "$code" ] && [ -s "$dir/checkpoint.npz" ]; then
        held "$what" "checkpoint, exit code $got"
    else
        broken "$what" "exit code $got, not $code, or no checkpoint"
    fi
}
stopped "process 1 gets TERM" TERM 143 stopped
expect "resume" 0 "$image" resume stopped time.end=500 && said "taken up in another container" "finished at time"
stopped "process 1 gets USR1, output.resume=auto" USR1 85 requeued output.resume=auto

if [ -n "$tests" ]; then
    # The files that two of the tests read lie beside the source, and not in the image.
    expect "tests" 0 --env=PHASEFIELD_CACHE=/data/tests "$tests" -q -n 0 --basetemp=/data/pytest -k "not definitions and not builder" \
        /opt/tests/tests/test_container.py /opt/tests/tests/backend/test_cpu.py /opt/tests/tests/test_store.py &&
        said "tests of limits, backend and files" "[0-9]* passed.*"
fi
exit "$failed"
