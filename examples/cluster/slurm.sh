#!/bin/bash
# A study on several machines of a Slurm cluster:  sbatch slurm.sh
# Every line that a site must look at is marked with <--.
#SBATCH --job-name=sfumato
#SBATCH --nodes=4                  # <--
#SBATCH --ntasks-per-node=1        # one Ray node per machine
#SBATCH --gpus-per-node=8          # <--
#SBATCH --cpus-per-task=32         # <-- all that a machine has
#SBATCH --time=24:00:00            # <-- killed at its end, the same job goes on where this one stopped
#SBATCH --requeue
set -euo pipefail

source "$HOME/sfumato/bin/activate"        # <-- the same environment on all machines: pip install '.[ray]' from the sources
export SFUMATO_DATA="$HOME/data"           # <-- compute nodes often have no internet: fetch data beforehand
study=mnist.toml                           # <--
results="$HOME/studies/mnist"              # <-- on a file system that all machines see, outside $TMPDIR

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address="$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}'):6379"

# On every machine: start Ray, wait for all of them, run the command on the first, stop Ray.
# The number of CPUs and GPUs is said, as Ray would count those of the whole machine.
srun --nodes="$SLURM_NNODES" --ntasks="$SLURM_NNODES" \
    ray symmetric-run --address "$address" --min-nodes "$SLURM_NNODES" \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$SLURM_GPUS_ON_NODE" --disable-usage-stats \
    -- sfumato study run "$study" --out "$results" --executor ray --ray-address "$address" \
    --gpus-per-worker 1
