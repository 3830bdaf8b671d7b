#!/usr/bin/env bash
# Makes the Python environment of methods/ under .methods/: scikit-learn, PyOD and PyTorch, in the versions that
# methods/requirements.txt pins. Runs again at no cost: a stamp says what is there.
set -euo pipefail
cd "$(dirname "$0")/.."

home=.methods
stamp=$(sha256sum methods/requirements.txt)
[[ -f $home/stamp && $(<"$home/stamp") == "$stamp" ]] && exit

python3 -c 'import ensurepip, venv' 2>/dev/null || {
    echo "methods: python3 cannot make virtual environments; install python3-venv ('sudo apt-get install python3-venv')" >&2
    exit 1
}
pip() { "$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir "$@"; }
echo "methods: installing scikit-learn, PyOD and PyTorch into $home/: 0.6 GB on disk with PyTorch for CPUs from" \
    "download.pytorch.org; where that does not answer, 5 GB with CUDA libraries from PyPI"
python3 -m venv --clear "$home"
torch=$(grep '^torch==' methods/requirements.txt)
pip --retries 0 --timeout 10 --index-url https://download.pytorch.org/whl/cpu "$torch" 2>/dev/null || pip "$torch"
pip --requirement methods/requirements.txt
echo "$stamp" >"$home/stamp"
