#!/usr/bin/env bash
# All checks of the sources that need no build. The tools: pip install ".[lint]", or the versions that pyproject.toml
# names under `lint`; each tool's settings are in pyproject.toml, clang-format's in .clang-format.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# C whose layout is a rule's. The other kernels are laid out by hand: tables of operations, pairs of lines that belong
# together. Format a file with `clang-format -i` before it is added here.
kernels=fastloss/_native/kernels
formatted=("$kernels"/{dispatch.c,dispatch.h,focal_rows.h,formulas.h,formulas_binary.h,formulas_margin.h,kernels.h}
           "$kernels"/{parallel.h,rows.h} "$kernels"/targets/*.c)

failed=()
check() {
    printf '== %s\n' "$1"
    "$@" || failed+=("$1")
}

check ruff check --output-format concise .
check cython-lint fastloss/_native
check clang-format --dry-run --Werror "${formatted[@]}"
check codespell
check check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

[[ ${#failed[@]} == 0 ]] || { echo "failed: ${failed[*]}" >&2; exit 1; }
echo "all passed"
