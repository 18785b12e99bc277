#!/usr/bin/env bash
#SBATCH --job-name=radbench
#SBATCH --array=1-8
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#
# One run by a SLURM job array, a GPU an element, into one folder that all nodes see:
#
#   sbatch --array=1-8 examples/cluster/slurm.sh 8 --model hf:ID --tasks 'radbench/*' --data /data --out /shared/run
#
# The first argument is the number of shards, the others go to `radbench run`. The element that ends last scores. One that
# died is submitted again by its number, with the same arguments: `sbatch --array=3 examples/cluster/slurm.sh 8 ...`. (The
# number of shards is an argument because SLURM_ARRAY_TASK_COUNT would then be 1.)
set -euo pipefail
shards=$1
shift
exec radbench run "$@" --shard "$SLURM_ARRAY_TASK_ID/$shards"
