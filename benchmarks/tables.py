"""docs/benchmarks.md, written from the results."""

import statistics

from . import cases
from .peers.names import PEERS
from .targets import MB, all_targets, medians_of

README_MARKS = "<!-- benchmark table -->", "<!-- end of benchmark table -->"
README_CASES = (
    ("cross_entropy", "cross_entropy 65536x10"), ("cross_entropy", "cross_entropy 4096x1000"),
    ("cross_entropy", "cross_entropy 256x128256"), ("elementwise", "binary_cross_entropy_with_logits 10,000,000"),
    ("elementwise", "mse_loss 10,000,000"), ("call", "cross_entropy 8x10"),
)
README_LIBRARIES = ("PyTorch", "JAX", "scikit-learn", "NumPy")

HEAD = """# Benchmarks

Written by `{command}`; no figure is typed by hand.

{machine}

How it was measured: every case in a process of its own, pinned to one core, with one thread (except where threads are
the subject). All libraries get the same arrays and do the same work, value and gradient with respect to the input
unless the title says otherwise; each result is compared with that of fastloss before anything is timed. The libraries
take turns within a case ({rounds}), each figure is the median, and `±` is half the distance of the quartiles,
relative to it. *Limit* is moving the same memory with NumPy. torch.compile takes long to compile: it is in the groups
that have a column for it. In parentheses: the time over that of fastloss, so above 1 is slower than fastloss.
"""

NOTES = {
    "forward": "`fastloss with gradient` is `value_and_grad`, measured in the same rounds.",
    "dtypes":
        '`fastloss float32` is the same call in float32. float16 with `reduction="sum"`, because the gradient'
        " of the mean is below the smallest float16; PyTorch and JAX keep the sum in float16, where it may "
        "overflow, so that only their gradients are compared.",
    "booster": "scikit-learn's `gradient_hessian`; the other peers compute p - y and p (1 - p).",
    "call": "The limit is the cost of calling NumPy at all.",
    "isa": "One core; each instruction set in a process of its own, selected by `FASTLOSS_ISA`.",
    "width": "Nanoseconds per logit.",
    "conditions":
        "Idle: each call follows a sleep. Busy: another process counts on one core all the time. At once: "
        "eight calls with the default number of threads, alone or from a `ThreadPoolExecutor`.",
    "memory":
        "The growth of the resident memory at its peak. What PyTorch and JAX return is part of theirs: they "
        "have no `out`. A figure of some 0.1 MB is the kernel's page counting.",
    "import":
        "A new interpreter that imports the library, less one that imports nothing. All but NumPy include "
        "NumPy's.",
}


def report(results, machine, command):
    medians = medians_of(results)
    rounds = sorted({len(samples) for result in results for samples in result.samples.values()})
    described = f"{rounds[0]} to {rounds[-1]} rounds" if len(rounds) > 1 else f"{rounds[0] if rounds else 0} rounds"
    lines = "\n".join(["| | |", "| --- | --- |"] + [f"| {key} | {value} |" for key, value in machine.items()])
    parts = [HEAD.format(command=command, machine=lines, rounds=described), targets_section(medians), pictures(results)]
    for group, title in (cases.GROUPS | {"import": "Import time"}).items():
        chosen = [result for result in results if result.group == group]
        if chosen:
            parts.append(group_section(group, title, chosen))
    parts.append(missing_section(results))
    return "\n".join(parts).rstrip() + "\n"


def pictures(results):
    groups = {result.group for result in results}
    shown = (("limit", "Time over the memory limit", {"cross_entropy", "elementwise"}),
             ("width", "Time against the width of the rows", {"width"}), ("threads", "Speed-up", {"threads"}))
    return "\n".join(f"![{text}](benchmarks_{name}.png)\n" for name, text, needs in shown if needs & groups)


def targets_section(medians):
    rows = []
    for target in all_targets():
        measured = target.measured(medians)
        if measured is not None:
            rows.append((target.text, target.bound, f"{measured:.2f} {target.unit}",
                         "yes" if target.met(measured) else "**no**"))
    if not rows:
        return ""
    met = sum(row[-1] == "yes" for row in rows)
    return f"## Targets\n\n{met} of {len(rows)} met.\n\n" + table(("", "target", "measured", "met"), rows)


def group_section(group, title, results):
    names = column_names(results)
    rows = []
    for result in results:
        middle = {name: statistics.median(samples) for name, samples in result.samples.items()}
        rows.append([f"`{result.case}`"] + [cell(result, middle, name) for name in names])
    text = f"## {title}\n\n"
    if group in NOTES:
        text += NOTES[group] + "\n\n"
    limits = sorted({cases.limit(case, cases.Data(None, None, None))[0]
                     for case in cases.all_cases() if case.group == group}) if "limit" in names else []
    if limits:
        text += "Limit: " + ", ".join(f"`{limit}`" for limit in limits) + ".\n\n"
    return text + table(["", *names], rows)


def column_names(results):
    """The series of these results: the limit, fastloss and its variants, then the peers in their order."""
    names = list(dict.fromkeys(name for result in results for name in result.samples))
    order = ["limit", "fastloss", *PEERS]
    known = [name for name in order if name in names]
    others = [name for name in names if name not in order]
    split = sum(name in ("limit", "fastloss") for name in known)
    return known[:split] + others + known[split:]


def cell(result, middle, name):
    if name not in middle:
        return "–"
    if result.group == "memory":
        return f"{middle[name] / MB:.2f} MB"
    figure = per_logit(result, middle[name]) if result.group == "width" else duration(middle[name])
    text = f"{figure} ±{spread(result.samples[name]):.0%}"
    if name != "fastloss" and "fastloss" in middle:
        text += f" ({middle[name] / middle['fastloss']:.2g})"
    return text


def per_logit(result, seconds):
    rows, width = map(int, result.case.split()[1].split("x"))
    return f"{seconds / (rows * width) * 1e9:.2f}"


def spread(samples):
    if len(samples) < 2:
        return 0
    quarter, middle, three_quarters = statistics.quantiles(samples, n=4, method="inclusive")
    return (three_quarters - quarter) / 2 / middle


def duration(seconds):
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(head, rows, align="---:"):
    lines = [head, ["---"] + [align] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def missing_section(results):
    """What was not measured: the same reason is given once, with all its cases."""
    reasons = {}
    for result in results:
        for library, reason in result.skipped.items():
            reasons.setdefault((library, reason), []).append(result.case)
        for error in result.errors:
            reasons.setdefault(("error", error), []).append(result.case)
    rows = []
    for (library, reason), names in sorted(reasons.items()):
        names = dict.fromkeys(names)
        where = "all cases" if reason == "not installed" else ", ".join(f"`{name}`" for name in names)
        rows.append((library, reason.replace("|", "/"), where))
    return "## Not measured\n\n" + (table(("", "reason", "cases"), rows, "---") if rows else "Nothing was left out.\n")


def readme_table(results):
    medians = medians_of(results)
    rows = []
    for group, case in README_CASES:
        ours = medians.get((group, case, "fastloss"))
        if ours is None:
            continue
        row = [f"`{case}`", duration(ours)]
        for name in ("limit", *README_LIBRARIES):
            other = medians.get((group, case, name))
            row.append("–" if other is None else f"{other / ours:.2g}")
        rows.append(row)
    return table(("", "fastloss", "memory limit", *README_LIBRARIES), rows)


README_CAPTION = """Time of fastloss, and the others' time as a multiple of it (memory limit: moving the same memory
with NumPy). Measured {date} on {CPU} with {fastloss instruction set}: one thread, float32, value and
gradient.
"""
README_PICTURE = "\n![Nanoseconds per logit against the number of classes](docs/benchmarks_width.png)\n"


def update_readme(path, results, machine):
    """Replace what stands between the marks, if they are there."""
    text = path.read_text()
    begin, end = README_MARKS
    if begin in text and end in text:
        before, rest = text.split(begin, 1)
        after = rest.split(end, 1)[1]
        caption = README_CAPTION.format(**machine)
        picture = README_PICTURE if any(result.group == "width" for result in results) else ""
        path.write_text(f"{before}{begin}\n\n{caption}\n{readme_table(results)}{picture}\n{end}{after}")
