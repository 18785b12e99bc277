#!/usr/bin/env bash
# One of the processes that torchrun or accelerate starts: shard RANK + 1 of WORLD_SIZE, on the GPU of its LOCAL_RANK.
# The arguments go to `radbench run`.
set -euo pipefail
IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES:-}" # those of the job, where a scheduler chose them
export CUDA_VISIBLE_DEVICES=${gpus[$LOCAL_RANK]:-$LOCAL_RANK}
exec radbench run "$@" --shard "$((RANK + 1))/$WORLD_SIZE"
