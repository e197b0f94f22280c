#!/usr/bin/env bash
# The test suite under a sanitizer of gcc, in a scratch copy and a fresh virtual environment:
#
#     bash tools/sanitize.sh asan|ubsan|tsan [pytest arguments]
#
# asan finds reads and writes out of bounds and use after free, and has ubsan's checks too; ubsan alone (overflow of
# signed integers, bad shifts, misaligned access) needs less than half the time. tsan finds data races between Python
# threads that call at once; it is a build without OpenMP, whose runtime is not instrumented and would be reported as
# one long race. A finding ends the process with a report, so the suite passes only if there was none.
#
# What a test needs to know: FASTLOSS_BUILD names the sanitizer while the tests run.
set -euo pipefail
exec </dev/null

kind=${1:?asan, ubsan or tsan}
shift
case $kind in
    asan) runtimes=(libasan.so libubsan.so) ;;
    ubsan) runtimes=(libubsan.so) ;;
    tsan) runtimes=(libtsan.so) ;;
    *) echo "$kind is not asan, ubsan or tsan" >&2; exit 2 ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH PYTHONHOME PYTEST_ADDOPTS FASTLOSS_WERROR FASTLOSS_ISA
export FASTLOSS_BUILD=$kind PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 CC=${CC:-gcc}

mkdir "$work/copy"
tar -C "$root" --exclude=./.git --exclude=./build --exclude='*.egg-info' --exclude='*.so' -cf - . | tar -C "$work/copy" -xf -
"${PYTHON:-python3}" -m venv "$work/venv"
cd "$work/copy"
"$work/venv/bin/pip" install --quiet ".[test]"

# Python itself is not instrumented: the runtimes must be there before it. The data of NumPy's arrays and what the C
# code allocates come from malloc, which they watch; Python's own small objects do not. PYTHONMALLOC=malloc would show
# those too, and make the tests in exact numbers take hours.
preload=()
for name in "${runtimes[@]}"; do preload+=("$("$CC" -print-file-name="$name")"); done
# CPython leaks at its exit, hence no leak detection. The tests ask for arrays that no machine has and expect a
# MemoryError. Forked children of processes with threads are what some tests are about.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:halt_on_error=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:die_after_fork=0:allocator_may_return_null=1:report_signal_unsafe=0

printf '== %s, %s\n' "$kind" "$("$CC" --version | head -n 1)"
IFS=:
LD_PRELOAD="${preload[*]}" "$work/venv/bin/pytest" -p no:cacheprovider --benchmark-disable "$@"
