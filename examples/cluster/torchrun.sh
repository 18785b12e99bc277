#!/usr/bin/env bash
# A process a GPU on this machine, started by torchrun: for models that fit on one GPU.
#
#   examples/cluster/torchrun.sh 4 --model hf:ID --tasks 'radbench/*' --data /data --out runs/x
#
# The first argument is the number of processes, the others go to `radbench run`. Run it again to go on.
set -euo pipefail
processes=$1
shift
exec torchrun --standalone --no-python --nproc-per-node "$processes" "$(dirname "$0")/rank.sh" "$@"
