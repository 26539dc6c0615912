#!/usr/bin/env bash
# A job for Slurm that trains on several machines: `sbatch recipes/slurm.sh train --source …`.
#
# Each machine starts torchrun, which starts a process for each GPU, or without GPUs as many as
# PROCESSES says. If a process or a machine is lost, torchrun starts all again, and if the time of the
# job runs out Slurm does: training continues from the last checkpoint, which a signal two minutes
# before the end saves.
#
#SBATCH --job-name=seq2seq
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --output=%x-%j.log
set -euo pipefail

if [[ -z ${SLURM_JOB_NODELIST:-} ]]; then
    echo "slurm.sh: submit it: sbatch recipes/slurm.sh train --source train.en …" >&2
    exit 2
fi
gpus=$({ nvidia-smi --list-gpus 2>/dev/null || true; } | wc -l)
processes=${PROCESSES:-$((gpus > 0 ? gpus : 1))}
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export OMP_NUM_THREADS=$((SLURM_CPUS_PER_TASK / processes > 0 ? SLURM_CPUS_PER_TASK / processes : 1))
exec srun torchrun \
    --nnodes "$SLURM_JOB_NUM_NODES" \
    --nproc-per-node "$processes" \
    --rdzv-backend c10d \
    --rdzv-endpoint "$head:${PORT:-29500}" \
    --rdzv-id "$SLURM_JOB_ID" \
    --max-restarts 100 \
    -m seq2seq_cli "$@"
