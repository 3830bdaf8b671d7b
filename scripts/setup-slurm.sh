#!/usr/bin/env bash
# Installs Debian's Slurm and MUNGE, of which tests/slurm.rs starts its own, where they are missing.
set -euo pipefail

# where daemons lie; not everybody's PATH says so
PATH=$PATH:/usr/sbin:/sbin
missing=()
for name in munged slurmctld slurmd sbatch squeue scancel sinfo scontrol; do
    command -v "$name" >/dev/null || missing+=("$name")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
"$(dirname "$0")/install-packages.sh" "${missing[*]}" \
    "install Slurm and MUNGE by hand (Debian and Ubuntu: slurmctld slurmd slurm-client munge)" \
    slurmctld slurmd slurm-client munge
