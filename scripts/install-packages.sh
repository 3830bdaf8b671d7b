#!/usr/bin/env bash
# Installs Debian packages as root, or as whom sudo lets without a password.
# Usage: install-packages.sh "what is missing" "what to do by hand" PACKAGE…
set -euo pipefail

missing=$1 advice=$2
shift 2
if ! command -v apt-get >/dev/null; then
    echo "no $missing here, and no apt-get to install with: $advice" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    # nobody wants to be asked for a password by a test
    if ! sudo -n true 2>/dev/null; then
        echo "no $missing here, and no right to install: $advice" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi
"${as_root[@]}" apt-get update --quiet
# in run level 1 Debian's packages start no service
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install --yes --quiet --no-install-recommends "$@"
