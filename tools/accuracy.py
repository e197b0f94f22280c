"""Measure the worst error of every elementwise loss, and write the table of docs/accuracy.md.

    python tools/accuracy.py                       all losses, some minutes
    python tools/accuracy.py huber_loss kl_div     some of them, to the terminal only
    python tools/accuracy.py --count 100           fewer points, to try it out

The points, the exact formulas and the options are those of tests/catalogue.py, which tests/test_catalogue_accuracy.py
holds to the bound; here there are more of them. Every instruction set of this machine computes in a process of its own;
this one has the exact numbers, in 70 decimal digits.
"""

import argparse
import datetime
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
REPORT = ROOT / "docs" / "accuracy.md"
sys.path.insert(0, str(ROOT / "tests"))

import catalogue  # noqa: E402
import catalogue_checks as checks  # noqa: E402
import mpmath  # noqa: E402
import numpy as np  # noqa: E402

import fastloss as fl  # noqa: E402
from fastloss._native import engine  # noqa: E402

SEED = 1  # not that of the tests


def computed(count):
    """{instruction set: results of checks.compute}, each from a process restricted to it, all at once."""
    isas = [name for name, runs in engine.compiled_isas().items() if runs][::-1]
    with tempfile.TemporaryDirectory() as folder:
        processes = {}
        for isa in isas:
            code = f"import catalogue_checks; catalogue_checks.store({os.path.join(folder, isa)!r}, {count}, {SEED})"
            environment = {**os.environ, "FASTLOSS_ISA": isa,
                           "PYTHONPATH": os.pathsep.join(sys.path[:1] + [os.environ.get("PYTHONPATH", "")])}
            processes[isa] = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=folder)
        for isa, process in processes.items():
            if process.wait():
                sys.exit(f"the computation with FASTLOSS_ISA={isa} failed")
        return {isa: checks.load(os.path.join(folder, isa)) for isa in isas}


def worst(first, second):
    return checks.Worst(*max(first, second)[:2], first.count + second.count)


def measured(row, dtype, count, results):
    """{(quantity, instruction set): Worst}, over all options and arguments."""
    found = {}
    for number, _ in checks.settings(row):
        key = row.name, number, np.dtype(dtype).name
        done = {}  # avx2 and avx512 give the same bits: measured once
        for isa, all_results in results.items():
            given = all_results[key]
            bits = repr(given) if isinstance(given, str) else tuple(a.tobytes() for a in given.values())
            if bits not in done:
                done[bits] = checks.measure(row, number, dtype, count, given, SEED)
            for (quantity, wrt), error in done[bits].items():
                place = quantity, isa
                where = f"{row.settings[number]}{f' wrt={wrt}' if wrt not in ('', 'input') else ''} {error.where}"
                found[place] = worst(found.get(place, checks.Worst()), error._replace(where=where))
    checks.truth.cache_clear()
    return found


def cell(found, quantity, isa):
    """The figure, rounded up so that no table promises more than was measured."""
    error = found.get((quantity, isa))
    if error is None:
        return "-"
    if not np.isfinite(error.ulp):
        return "inf"
    return f"{np.ceil(error.ulp * 100) / 100:.2f}" if error.ulp else "0"


def table(rows, isas):
    """Markdown: a line for each loss and dtype, value / gradient / Hessian for each instruction set."""
    yield "| loss | dtype | points | " + " | ".join(isas) + " |"
    yield "| --- | --- | ---: | " + " | ".join("---" for _ in isas) + " |"
    for name, dtype, found in rows:
        points = max(found["value", isa].count for isa in isas)
        cells = (" / ".join(cell(found, quantity, isa) for quantity in checks.QUANTITIES) for isa in isas)
        yield f"| `{name}` | {dtype} | {points:,} | {' | '.join(cells)} |"


def notes():
    for row in catalogue.ROWS:
        if row.cancels:
            yield f"* `{row.name}`: {row.cancels}."


def report(rows, isas, count):
    return "\n".join([
        "# Accuracy", "",
        f"Written by `python tools/accuracy.py --count {count}` on {datetime.date.today()}: fastloss {fl.__version__}, "
        f"NumPy {np.__version__}, mpmath {mpmath.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}.", "",
        "The largest errors found of value / gradient / second derivative, in units in the last place (ULP) of the "
        "exact result, which is computed from the exact inputs in 70 decimal digits. The promise is 4; "
        "`tests/test_catalogue_accuracy.py` holds it. Derivatives include those with respect to the target and the "
        "variance, where there are any. Points are ordinary arguments, tails, both sides of every kink, nearly equal "
        "arguments, tiny and huge ones, and the ends of the domain, for several sets of options. The figures do not "
        "depend on the machine: avx2 and avx512 give the same bits, the baseline has no fused multiply-add.", "",
        *table(rows, isas), "",
        "A result below the smallest normal number may be 0, and so may one that is a multiple of a probability below "
        "it. Where the terms of a result cancel inside the domain, its error is measured in units of the largest of "
        "them:", "", *notes(), ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("losses", nargs="*", help="names of losses; all if none is given")
    parser.add_argument("--count", type=int, default=1000, help="points of every family (default 1000)")
    options = parser.parse_args()
    unknown = set(options.losses) - set(catalogue.BY_NAME)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(catalogue.BY_NAME)}")
    missing = [row.name for row in catalogue.ROWS if not row.exists()]
    if missing:
        print("not in this build:", ", ".join(missing), file=sys.stderr)
    results = computed(options.count)
    wanted = set(options.losses) or set(catalogue.BY_NAME)
    jobs = [(row, dtype) for row in catalogue.ROWS if row.exists() and row.name in wanted for dtype in checks.DTYPES]
    try:
        from tqdm import tqdm
    except ImportError:
        tqdm = list
    rows, beyond = [], []
    for row, dtype in tqdm(jobs):
        found = measured(row, dtype, options.count, results)
        rows.append((row.name, np.dtype(dtype).name, found))
        beyond += [f"{row.name} {np.dtype(dtype).name} {isa} {quantity}: {error.ulp:.2f} ULP, {error.where}"
                   for (quantity, isa), error in found.items() if not error.ulp <= row.ulp]
    if options.losses:
        print("\n".join(table(rows, list(results))))
    else:
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(report(rows, list(results), options.count), encoding="utf-8")
        print(f"{len(rows)} lines written to {REPORT}")
    print("\n".join(beyond) or "all within the bound", file=sys.stderr)
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())
