#!/usr/bin/env bash
# train.sh PROGRAM ARGUMENTS: a job for sbatch that saves and queues itself again, for those who write their own scripts
# (`trireme submit` does the same and more: docs/launching.md).
#   sbatch cluster/slurm/train.sh ./image_classification --run-dir runs/a
#   sbatch --export=ALL,STARTER=srun --partition=preemptible cluster/slurm/train.sh ./image_classification --run-dir runs/a
# STARTER=mpirun (default) or srun (with PMIx); TRIREME names the command if it is not on the PATH. PROGRAM wants a
# --run-dir, in which its next start goes on. Before the time is over, or when another job takes the nodes, Slurm sends
# USR1 to this script (on preemption where the site has preempt_send_user_signal); the ranks save and end with code 10.
#SBATCH --job-name=train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=1
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@90
set -euo pipefail

"${TRIREME:-trireme}" launch -n "$SLURM_NTASKS" --threads "${SLURM_CPUS_PER_TASK:-1}" --starter "${STARTER:-mpirun}" \
  --grace 60 --log-dir "logs/$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}" -- "$@" &
launcher=$!
# The launcher asks the ranks to save.
trap 'kill -TERM "$launcher"' USR1 TERM
status=0
while kill -0 "$launcher" 2>/dev/null; do
  # A signal ends the wait, not the job.
  status=0
  wait "$launcher" || status=$?
done
if [[ $status -eq 10 ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
