#!/usr/bin/env bash
# Compiles the C kernels for every platform that has a wheel, with the clang and the headers of zig (pip install ziglang).
# Nothing is linked or run: this tells early that a kernel does not compile elsewhere.
#
#   bash tools/cross.sh                          all targets
#   bash tools/cross.sh aarch64-macos            some of them
#
# PYTHON names the interpreter that has ziglang. It has no OpenMP: parallel.c is compiled as for one thread.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

targets=("$@")
[[ $# != 0 ]] || targets=(x86_64-linux-gnu x86_64-linux-musl aarch64-linux-gnu aarch64-linux-musl
                          x86_64-macos aarch64-macos x86_64-windows-gnu aarch64-windows-gnu)
# setup.py's flags, with every warning an error.
flags=(-std=c11 -Wall -Wextra -Werror -O3 -g0 -fno-math-errno -fno-trapping-math -ffp-contract=off)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

status=0
for target in "${targets[@]}"; do
    failed=()
    for source in fastloss/_native/kernels/{dispatch,parallel}.c fastloss/_native/kernels/targets/*.c; do
        "${PYTHON:-python3}" -m ziglang cc -target "$target" "${flags[@]}" -c "$source" -o "$work/object.o" 2>"$work/log" ||
            { failed+=("$(basename "$source")"); cat "$work/log" >&2; }
    done
    echo "$target: ${failed[*]:-compiles}"
    [[ ${#failed[@]} == 0 ]] || status=1
done
exit $status
