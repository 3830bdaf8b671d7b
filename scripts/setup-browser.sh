#!/usr/bin/env bash
# Installs Debian's Chromium, which the tests of the report drive, where no Chromium is found.
set -euo pipefail

for name in ${CHROMIUM:+"$CHROMIUM"} chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then
                exit 0
    fi
done

advice="install a Chromium by hand (Debian and Ubuntu: chromium; Fedora: chromium), or set CHROMIUM to the path of one"
if ! command -v apt-get >/dev/null; then
    echo "no Chromium here, and no apt-get to install it with: $advice" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    # nobody wants to be asked for a password by a test
    if ! sudo -n true 2>/dev/null; then
        echo "no Chromium here, and no right to install it: $advice" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update --quiet
# the page asks for system fonts; a bare machine has none
"${as_root[@]}" apt-get install --yes --quiet --no-install-recommends chromium fonts-dejavu-core
