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

advice="install Slurm and MUNGE by hand (Debian and Ubuntu: slurmctld slurmd slurm-client munge)"
if ! command -v apt-get >/dev/null; then
    echo "no ${missing[*]} here, and no apt-get to install them with: $advice" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    # nobody wants to be asked for a password by a test
    if ! sudo -n true 2>/dev/null; then
        echo "no ${missing[*]} here, and no right to install them: $advice" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi
"${as_root[@]}" apt-get update --quiet
# in run level 1 Debian's packages start no service: the tests start daemons of their own
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install --yes --quiet --no-install-recommends slurmctld slurmd slurm-client munge
