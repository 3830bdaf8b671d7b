#!/bin/sh
# Compiles the project's own crates, and not what they depend on, as for a processor without vector instructions:
# cargo starts it by RUSTC_WORKSPACE_WRAPPER, with the compiler's path first.
rustc=$1
shift
exec "$rustc" "$@" --cfg portable
