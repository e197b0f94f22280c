"""Measure the worst error of every loss, and write the tables of docs/accuracy.md.

    python tools/accuracy.py                       all losses, some minutes
    python tools/accuracy.py huber_loss kl_div     some of them, to the terminal only
    python tools/accuracy.py --count 100           fewer points, to try it out

The points, the exact formulas and the options are those of tests/catalogue.py, which tests/test_catalogue_accuracy.py
holds to the bound, and for the row-wise losses those of tests/row_losses.py and tests/test_row_losses.py; here there
are more of them. Every instruction set of this machine computes in a process of its own;
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
import row_losses  # noqa: E402

import fastloss as fl  # noqa: E402
from fastloss._native import engine  # noqa: E402

SEED = 1  # not that of the tests


def computed(module, *arguments):
    """{instruction set: what `module.store` computed in a process restricted to it}, all at once."""
    isas = [name for name, runs in engine.compiled_isas().items() if runs][::-1]
    with tempfile.TemporaryDirectory() as folder:
        processes = {}
        for isa in isas:
            name = module.__name__
            code = f"import {name}; {name}.store({os.path.join(folder, isa)!r}, *{arguments!r})"
            environment = {**os.environ, "FASTLOSS_ISA": isa,
                           "PYTHONPATH": os.pathsep.join(sys.path[:1] + [os.environ.get("PYTHONPATH", "")])}
            processes[isa] = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=folder)
        for isa, process in processes.items():
            if process.wait():
                sys.exit(f"the computation with FASTLOSS_ISA={isa} failed")
        return {isa: module.load(os.path.join(folder, isa)) for isa in isas}


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


def rows_per_kind(count):
    """Rows cost more than points: a row of 600 classes has 600 gradients."""
    return max(1, count // 100)


def row_lines(row):
    """{name of the line: numbers of the settings}: those of one bound share a line of the table."""
    lines = {}
    for number, setting in enumerate(row.settings):
        lines.setdefault(row.bounds(setting), []).append(number)
    if len(lines) == 1:
        return {row.name: next(iter(lines.values()))}
    return {f"{row.name}({', '.join(f'{key}={value}' for key, value in row.settings[numbers[0]].items())})": numbers
            for numbers in lines.values()}


def measured_rows(row, numbers, dtype, count, results):
    """As `measured`, for some settings of a row-wise loss."""
    found = {}
    for number in numbers:
        setting = row.settings[number]
        for name, input, target in row.rows(dtype, setting, rows_per_kind(count)):
            truth = row_losses.Truth(row, input, target, setting)
            done = {}
            for isa, all_results in results.items():
                given = all_results[row.name, number, np.dtype(dtype).name, name]
                bits = tuple(part.tobytes() for part in given)
                if bits not in done:
                    done[bits] = truth.errors(given)
                for quantity, errors in zip(checks.QUANTITIES, done[bits]):
                    at = tuple(int(i) for i in np.unravel_index(np.argmax(errors), errors.shape))
                    error = checks.Worst(float(errors[at]), f"{setting} {name} at {at}", errors.size)
                    found[quantity, isa] = worst(found.get((quantity, isa), checks.Worst()), error)
    return found


def cell(found, quantity, isa):
    """The figure, rounded up so that no table promises more than was measured."""
    error = found.get((quantity, isa))
    if error is None:
        return "-"
    if not np.isfinite(error.ulp):
        return "inf"
    return f"{np.ceil(error.ulp * 100) / 100:.2f}" if error.ulp else "0"


def table(rows, isas, unit="points"):
    """Markdown: a line for each loss and dtype, value / gradient / Hessian for each instruction set."""
    yield f"| loss | dtype | {unit} | " + " | ".join(isas) + " |"
    yield "| --- | --- | ---: | " + " | ".join("---" for _ in isas) + " |"
    for name, dtype, found in rows:
        points = max(found["value", isa].count for isa in isas)
        cells = (" / ".join(cell(found, quantity, isa) for quantity in checks.QUANTITIES) for isa in isas)
        yield f"| `{name}` | {dtype} | {points:,} | {' | '.join(cells)} |"


def notes(table):
    for row in table:
        if row.cancels:
            yield f"* `{row.name}`: {row.cancels}."


def report(points, rows, isas, count):
    return "\n".join([
        "# Accuracy", "",
        f"Written by `python tools/accuracy.py --count {count}` on {datetime.date.today()}: fastloss {fl.__version__}, "
        f"NumPy {np.__version__}, mpmath {mpmath.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}.", "",
        "The largest errors found of value / gradient / second derivative, in units in the last place (ULP) of the "
        "exact result, which is computed from the exact inputs in 70 decimal digits. The promise is 4 "
        "except where the docstring of a loss states another (`sigmoid_focal_loss`: 8 for the Hessian and for soft "
        "targets; `softmax_focal_loss`: 4 + 2.5 gamma, for the Hessian 8 + 2.5 gamma). "
        "`tests/test_catalogue_accuracy.py` and `tests/test_row_losses.py` hold it.", "",
        "## Elementwise losses", "",
        "Derivatives include those with respect to the target and the "
        "variance, where there are any. Points are ordinary arguments, tails, both sides of every kink, nearly equal "
        "arguments, tiny and huge ones, and the ends of the domain, for several sets of options. The figures do not "
        "depend on the machine: avx2 and avx512 give the same bits, the baseline has no fused multiply-add.", "",
        *table(points, isas), "",
        "A result below the smallest normal number may be 0, and so may one that is a multiple of a probability below "
        "it. Where the terms of a result cancel inside the domain, its error is measured in units of the largest of "
        "them:", "", *notes(catalogue.ROWS), "",
        "## Row-wise losses", "",
        "Rows of 2 to 600 classes: ordinary ones, confident ones (the likely class leads by up to 40), ties, logits "
        "across the whole range of exp, and, for the margin loss, scores within an ULP of the margin.", "",
        *table(rows, isas, "rows"), "",
        "Measured in units of the larger term, because the two terms cancel:", "", *notes(row_losses.ROWS), ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("losses", nargs="*", help="names of losses; all if none is given")
    parser.add_argument("--count", type=int, default=1000, help="points of every family (default 1000)")
    options = parser.parse_args()
    known = {**catalogue.BY_NAME, **row_losses.BY_NAME}
    unknown = set(options.losses) - set(known)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    missing = [row.name for row in catalogue.ROWS if not row.exists()]
    if missing:
        print("not in this build:", ", ".join(missing), file=sys.stderr)
    wanted = set(options.losses) or set(known)
    points, beyond = elementwise(wanted, options.count)
    rows, more = row_wise(wanted, options.count)
    beyond += more
    isas = list(dict.fromkeys(isa for _, isa in (points or rows)[0][2]))
    if options.losses:
        print("\n\n".join("\n".join(table(lines, isas, unit))
                          for lines, unit in ((points, "points"), (rows, "rows")) if lines))
    else:
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(report(points, rows, isas, options.count), encoding="utf-8")
        print(f"{len(points) + len(rows)} lines written to {REPORT}")
    print("\n".join(beyond) or "all within the bound", file=sys.stderr)
    return 1 if beyond else 0


def progress(jobs):
    try:
        from tqdm import tqdm
    except ImportError:
        return jobs
    return tqdm(jobs)


def elementwise(wanted, count):
    """(lines of the table, what is beyond the bound)"""
    jobs = [(row, dtype) for row in catalogue.ROWS if row.exists() and row.name in wanted for dtype in checks.DTYPES]
    results = computed(checks, count, SEED) if jobs else {}
    lines, beyond = [], []
    for row, dtype in progress(jobs):
        found = measured(row, dtype, count, results)
        lines.append((row.name, np.dtype(dtype).name, found))
        beyond += [f"{row.name} {np.dtype(dtype).name} {isa} {quantity}: {error.ulp:.2f} ULP, {error.where}"
                   for (quantity, isa), error in found.items() if not error.ulp <= row.ulp]
    return lines, beyond


def row_wise(wanted, count):
    """The same for the losses over classes."""
    jobs = [(row, name, numbers, dtype) for row in row_losses.ROWS if row.name in wanted
            for name, numbers in row_lines(row).items() for dtype in checks.DTYPES]
    results = computed(row_losses, rows_per_kind(count)) if jobs else {}
    lines, beyond = [], []
    for row, name, numbers, dtype in progress(jobs):
        found = measured_rows(row, numbers, dtype, count, results)
        lines.append((name, np.dtype(dtype).name, found))
        bounds = dict(zip(checks.QUANTITIES, row.bounds(row.settings[numbers[0]])))
        beyond += [f"{name} {np.dtype(dtype).name} {isa} {quantity}: {error.ulp:.2f} ULP, {error.where}"
                   for (quantity, isa), error in found.items() if not error.ulp <= bounds[quantity]]
    return lines, beyond


if __name__ == "__main__":
    sys.exit(main())
