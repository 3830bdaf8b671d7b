#!/usr/bin/env bash
# Puts libtorch 2.11.0 under .libtorch/libtorch, from the wheel that pip installs into a venv of its
# own. A host without an NVIDIA GPU gets a folder of symlinks to the few libraries that CPU tensors
# need; a host with one gets the whole wheel and the CUDA libraries. Runs again at no cost: a stamp
# says what is there. A LIBTORCH of the user's is checked and then left alone.
# SEEDBED_LIBTORCH=cpu|cuda chooses the kind on a host that is not the one to run on.
set -euo pipefail
cd "$(dirname "$0")/.."

version=2.11.0
home=.libtorch
libtorch=$home/libtorch

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# 2.11.0+cu130 -> 2.11.0; empty where the folder does not say.
version_in() {
    if [[ -f $1/build-version ]]; then
        sed 's/+.*//' "$1/build-version"
    elif [[ -f $1/version.py ]]; then
        sed -n "s/^__version__ = '\([^+']*\).*/\1/p" "$1/version.py"
    fi
}

require_compilers() {
    command -v cargo >/dev/null ||
        fail "no cargo (Rust 1.89 or newer); install it from https://rustup.rs, then run 'make setup' again"
    command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
        fail "no C++ compiler ('${CXX:-c++}'); install one ('sudo apt-get install g++' on Debian and Ubuntu), then run 'make setup' again"
}

check_users_libtorch() {
    [[ $LIBTORCH == /* ]] || fail "LIBTORCH=$LIBTORCH is a relative path; give it from / on, or unset it"
    [[ -e $LIBTORCH/lib/libtorch_cpu.so && -d $LIBTORCH/include ]] ||
        fail "LIBTORCH=$LIBTORCH has no lib/libtorch_cpu.so or no include/; correct it, or unset it to have libtorch downloaded"
    [[ -z ${LIBTORCH_BYPASS_VERSION_CHECK:-} ]] || return 0
    local found
    found=$(version_in "$LIBTORCH")
    [[ $found == "$version" ]] ||
        fail "LIBTORCH=$LIBTORCH is version ${found:-unknown (no build-version, no version.py)}, seedbed is built for $version;" \
            "unset LIBTORCH to have $version downloaded, or set LIBTORCH_BYPASS_VERSION_CHECK=1 to try this one"
    echo "setup: using LIBTORCH=$LIBTORCH ($version)"
}

kind_of_host() {
    if [[ -n ${SEEDBED_LIBTORCH:-} ]]; then
        [[ $SEEDBED_LIBTORCH == cpu || $SEEDBED_LIBTORCH == cuda ]] ||
            fail "SEEDBED_LIBTORCH=$SEEDBED_LIBTORCH; it can be cpu or cuda"
        echo "$SEEDBED_LIBTORCH"
    elif [[ -e /dev/nvidia0 ]] || nvidia-smi >/dev/null 2>&1; then
        echo cuda
    else
        echo cpu
    fi
}

require_python() {
    command -v python3 >/dev/null ||
        fail "no python3 (it only unpacks the wheel); install it ('sudo apt-get install python3-venv'), then run 'make setup' again"
    python3 -c 'import ensurepip, venv' 2>/dev/null ||
        fail "python3 cannot make virtual environments; install python3-venv ('sudo apt-get install python3-venv'), then run 'make setup' again"
    python3 -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' ||
        fail "$(python3 --version) has no wheel of torch $version (3.10 to 3.14 have);" \
            "put another python3 first on PATH, or unpack libtorch $version yourself and set LIBTORCH"
    [[ $(uname -s) == Linux ]] ||
        fail "only Linux is supported by this script; unpack libtorch $version yourself and set LIBTORCH"
}

# pip shows its progress on a terminal only.
install() {
    local quiet=--quiet
    [[ -t 1 ]] && quiet=
    "$home/venv/bin/python" -m pip install $quiet --disable-pip-version-check --no-cache-dir "$@" ||
        fail "pip could not install $* (its message is above)" \
            "check the network to pypi.org and the free disk space, then run 'make setup' again;" \
            "behind a proxy set HTTPS_PROXY, with a mirror PIP_INDEX_URL; with a libtorch $version of your own set LIBTORCH"
}

link_cpu() {
    local packages=$1 wheel=$1/torch/lib
    mkdir "$libtorch/lib"
    ln -sr "$wheel/libtorch_cpu.so" "$wheel/libc10.so" "$wheel/libgomp.so.1" "$libtorch/lib/"
    # libtorch_cpu.so needs these two even where there is no GPU.
    ln -sr "$packages/nvidia/cu13/lib/libcudart.so.13" "$packages/nvidia/cu13/lib/libcupti.so.13" "$libtorch/lib/"
    # The wheel's libtorch.so would pull in libtorch_cuda.so.
    ln -s libtorch_cpu.so "$libtorch/lib/libtorch.so"
}

main() {
    require_compilers
    if [[ -n ${LIBTORCH:-} ]]; then
        check_users_libtorch
        return
    fi
    local kind stamp
    kind=$(kind_of_host)
    stamp="torch $version $kind"
    if [[ -f $home/stamp && $(<"$home/stamp") == "$stamp" && -e $libtorch/lib/libtorch_cpu.so ]]; then
        return
    fi
    require_python

    if [[ $kind == cuda ]]; then
        echo "setup: NVIDIA GPU: downloading the wheel torch==$version (530.6 MB) and its CUDA libraries (about 2 GB) from PyPI; 4.6 GB on disk, under $home/"
    else
        echo "setup: CPU only: downloading the wheel torch==$version (530.6 MB) and two CUDA libraries it needs (13 MB) from PyPI; 1.3 GB on disk, under $home/"
    fi
    rm -rf "$libtorch" "$home/stamp"
    mkdir -p "$libtorch"
    python3 -m venv --clear "$home/venv" ||
        fail "python3 -m venv failed (its message is above); install python3-venv ('sudo apt-get install python3-venv'), then run 'make setup' again"
    if [[ $kind == cuda ]]; then
        install "torch==$version"
    else
        install --no-deps "torch==$version" 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cupti==13.0.*'
    fi

    local packages
    packages=$("$home/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
    ln -sr "$packages/torch/include" "$libtorch/include"
    echo "$version" >"$libtorch/build-version"
    if [[ $kind == cuda ]]; then
        ln -sr "$packages/torch/lib" "$libtorch/lib"
    else
        link_cpu "$packages"
    fi
    local missing
    missing=$(ldd "$libtorch/lib/libtorch_cpu.so" | sed -n 's/^[[:space:]]*\(.*\) => not found.*/\1/p')
    [[ -z $missing ]] || fail "libtorch_cpu.so misses" "$missing" "install the package of your system that holds it, then run 'make setup' again"
    echo "$stamp" >"$home/stamp"
    echo "setup: libtorch $version ($kind) is ready in $libtorch"
}

main
