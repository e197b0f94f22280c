#!/usr/bin/env bash
# The test suite on every supported Python, with the oldest and with the newest NumPy and Cython:
#
#     bash tools/versions.sh [PYTHON...]          default: python3.11 python3.12 python3.13
#
# For each Python it builds and tests two wheels in fresh virtual environments:
#
#     oldest   the oldest setuptools and Cython of pyproject.toml; the oldest NumPy 2 with a wheel for that Python to
#              build with; the oldest NumPy to run with: 1.26.4 up to Python 3.12, 2.1.0 on 3.13
#     newest   the newest that pip finds
#
# Warnings are errors, as pyproject.toml says. What else the tests use is the newest that the NumPy allows.
# The logs go to the folder FASTLOSS_LOGS (a new one if it is not set); the last lines say what passed.
set -uo pipefail
exec </dev/null

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
logs=${FASTLOSS_LOGS:-$(mktemp -d)}
mkdir -p "$logs"
[[ $# -gt 0 ]] || set -- python3.11 python3.12 python3.13
unset PYTHONPATH PYTHONHOME PYTEST_ADDOPTS FASTLOSS_BUILD FASTLOSS_WERROR FASTLOSS_ISA
export MPLBACKEND=Agg PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# run_suite PYTHON VERSION oldest|newest FOLDER: builds, installs, tests; the last line of its output is pytest's.
run_suite() (
    set -e
    case $3-$2 in
        oldest-3.11* | oldest-3.12*) build=(setuptools==77.0.3 cython==3.1.0 numpy==2.0.0) run=numpy==1.26.4 ;;
        oldest-*) build=(setuptools==77.0.3 cython==3.1.0 numpy==2.1.0) run=numpy==2.1.0 ;;
        newest-*) build=(setuptools cython numpy) run=numpy ;;
    esac
    mkdir -p "$4/copy"
    cd "$4/copy"
    tar -C "$root" --exclude=./.git --exclude=./build --exclude='*.egg-info' --exclude='*.so' -cf - . | tar -xf -
    "$1" -m venv "$4/build"
    "$4/build/bin/pip" install --quiet --upgrade "${build[@]}" wheel # a new environment may have an old setuptools
    "$4/build/bin/pip" wheel --quiet --no-build-isolation --no-deps --wheel-dir "$4/dist" .
    "$1" -m venv "$4/run"
    "$4/run/bin/pip" install --quiet "$run" "$(echo "$4"/dist/*.whl)[test]"
    echo "== built with" && "$4/build/bin/pip" freeze
    echo "== runs with" && "$4/run/bin/pip" freeze
    "$4/run/bin/pytest" -q -p no:cacheprovider
)

failed=0
summary=()
for python in "$@"; do
    version=$("$python" -c 'import platform; print(platform.python_version())') || exit 2
    for age in oldest newest; do
        log="$logs/$version-$age.log"
        echo "== Python $version, $age: $log"
        run_suite "$python" "$version" "$age" "$work/$version-$age" >"$log" 2>&1
        failed=$((failed | $?)) # in `run_suite || failed=1`, bash would ignore its `set -e`
        rm -rf "${work:?}/$version-$age"
        numpy=$(sed -n '/^== runs with/,$ s/^numpy==//p' "$log")
        cython=$(sed -n 's/^cython==//Ip' "$log")
        summary+=("Python $version, NumPy $numpy, built with Cython $cython: $(tail -n 1 "$log")")
    done
done
printf '%s\n' "${summary[@]}"
exit "$failed"
