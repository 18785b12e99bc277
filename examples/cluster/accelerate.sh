#!/usr/bin/env bash
# A process a GPU on this machine, started by `accelerate launch`: the same as torchrun.sh.
#
#   examples/cluster/accelerate.sh 4 --model hf:ID --tasks 'radbench/*' --data /data --out runs/x
#
# A model too big for one GPU needs no launcher: `radbench run --model hf:ID,device_map=auto ...` is one process on all GPUs.
set -euo pipefail
processes=$1
shift
exec accelerate launch --multi_gpu --num_processes "$processes" --num_machines 1 --mixed_precision no --dynamo_backend no \
    --no_python "$(dirname "$0")/rank.sh" "$@"
