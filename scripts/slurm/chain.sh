#!/bin/bash
# For clusters that do not requeue: a chain of jobs, each of which goes on where the one before stopped, up to COUNT of them.
#
#   scripts/slurm/chain.sh COUNT model=spinodal 'grid.shape=[512,512]' output.dir=runs/a
#
# A link that finds the run at its end says so and ends at once; one that fails holds the others back.
set -eu
count=${1:?how many jobs is missing}
shift
here=$(dirname "$0")
last=$(sbatch --parsable --no-requeue "$here/link.sbatch" "$@")
echo "$last"
for _ in $(seq 2 "$count"); do
    last=$(sbatch --parsable --no-requeue --dependency="afterok:$last" --kill-on-invalid-dep=yes "$here/link.sbatch" "$@")
    echo "$last"
done
