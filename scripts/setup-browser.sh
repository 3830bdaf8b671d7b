#!/usr/bin/env bash
# Installs Debian's Chromium, which the tests of the report drive, where no Chromium is found.
set -euo pipefail

for name in ${CHROMIUM:+"$CHROMIUM"} chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done
# the page asks for system fonts; a bare machine has none
"$(dirname "$0")/install-packages.sh" Chromium \
    "install a Chromium by hand (Debian and Ubuntu: chromium; Fedora: chromium), or set CHROMIUM to the path of one" \
    chromium fonts-dejavu-core
