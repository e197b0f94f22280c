"""The pictures of docs/benchmarks.md."""

import statistics

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from . import cases
from .peers.names import PEERS

#: One colour per library in all pictures (Okabe and Ito's, which the colour-blind can tell apart).
COLOURS = {
    "fastloss": "#D55E00", "PyTorch": "#0072B2", "torch.compile": "#56B4E9", "JAX": "#009E73",
    "scikit-learn": "#E69F00", "numba": "#CC79A7", "SciPy": "#7F7F7F", "NumPy": "#222222",
}
MARKERS = dict(zip(COLOURS, "osDv^P<X"))
STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
         "grid.color": "#DDDDDD", "legend.frameon": False, "savefig.dpi": 150, "savefig.bbox": "tight"}


def draw(results, folder):
    with plt.rc_context(STYLE):
        for name, picture in (("limit", limit_bars), ("width", width_lines), ("threads", thread_lines)):
            figure = picture(results)
            if figure is not None:
                figure.savefig(folder / f"benchmarks_{name}.png")
                plt.close(figure)


def medians(result):
    return {name: statistics.median(samples) for name, samples in result.samples.items()}


def plain(value, _position=None):
    return f"{value:g}" if value < 1000 else f"{value:,.0f}"


def limit_bars(results):
    """Two panels: cross-entropy over np.copyto, elementwise losses over np.add."""
    groups = [(group, [result for result in results if result.group == group and "limit" in result.samples])
              for group in ("cross_entropy", "elementwise")]
    groups = [(group, chosen) for group, chosen in groups if chosen]
    if not groups:
        return None
    names = [name for name in COLOURS if any(name in result.samples for _, chosen in groups for result in chosen)]
    heights = [len(chosen) for _, chosen in groups]
    figure, axes = plt.subplots(len(groups), 1, figsize=(9, 1.5 + 0.17 * len(names) * sum(heights)), sharex=True,
                                height_ratios=heights, squeeze=False, layout="constrained")
    for axis, (group, chosen) in zip(axes[:, 0], groups):
        bar_panel(axis, chosen, names)
        axis.set_title(cases.GROUPS[group], loc="left", fontsize=11)
    largest = max(max(medians(result).values()) / medians(result)["limit"] for _, chosen in groups for result in chosen)
    axes[0, 0].set_xlim(0.7, largest * 1.5)
    axes[-1, 0].set_xlabel("time over the memory limit (log scale; the dashed line is the limit: np.copyto, np.add)")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=len(names) if len(names) < 6 else 4)
    return figure


def bar_panel(axis, results, names):
    height = 0.84 / len(names)
    for index, name in enumerate(names):
        rows = [(row, medians(result)) for row, result in enumerate(results) if name in result.samples]
        places = [row - 0.42 + (index + 0.5) * height for row, _ in rows]
        ratios = [middle[name] / middle["limit"] for _, middle in rows]
        axis.barh(places, ratios, height * 0.92, color=COLOURS[name], label=name)
        for place, ratio in zip(places, ratios):
            axis.text(ratio * 1.04, place, plain(float(f"{ratio:.2g}")), va="center", fontsize=7,
                      fontweight="bold" if name == "fastloss" else "normal")
    axis.set_xscale("log")
    axis.axvline(1, color="black", linestyle="--", linewidth=0.8)
    axis.xaxis.set_major_formatter(FuncFormatter(plain))
    axis.xaxis.set_tick_params(labelbottom=True)
    axis.grid(axis="x")
    axis.set_yticks(range(len(results)), [label(result) for result in results])
    axis.set_ylim(len(results) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)


def label(result):
    """The size for cross-entropy, else the loss."""
    loss, size = result.case.split()[:2]
    return size.replace("x", " x ") if loss == "cross_entropy" else loss.replace("_with_", "\nwith_")


def width_lines(results):
    chosen = [result for result in results if result.group == "width" and result.samples]
    if not chosen:
        return None
    sizes = [tuple(map(int, result.case.split()[1].split("x"))) for result in chosen]
    figure, axis = plt.subplots(figsize=(9, 5.5), layout="constrained")
    for name in ("limit", *COLOURS):
        points = [(width, medians(result)[name] / (rows * width) * 1e9)
                  for (rows, width), result in zip(sizes, chosen) if name in result.samples]
        if not points:
            continue
        style = ({"color": "black", "linestyle": "--", "linewidth": 1, "label": "limit: np.copyto"} if name == "limit"
                 else {"color": COLOURS[name], "marker": MARKERS[name], "markersize": 5, "label": name,
                       "linewidth": 2.5 if name == "fastloss" else 1.2})
        axis.plot(*zip(*points), **style)
    axis.set(xscale="log", yscale="log", xlabel="classes in a row", ylabel="nanoseconds per logit",
             title="Cross-entropy, value and gradient, float32, one thread: about 4,194,304 logits")
    widths = [width for _, width in sizes]
    axis.xaxis.set_major_locator(FixedLocator(widths))
    axis.xaxis.set_minor_locator(NullLocator())
    for formatted in (axis.xaxis, axis.yaxis):
        formatted.set_major_formatter(FuncFormatter(plain))
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(which="major")
    figure.legend(loc="outside right upper")
    return figure


def thread_lines(results):
    """Each library's speed-up over its own single thread; the title of a panel gives the case."""
    chosen = [result for result in results if result.group == "threads" and result.samples]
    if not chosen:
        return None
    figure, axes = plt.subplots(1, len(chosen), figsize=(3.1 * len(chosen) + 0.5, 3.8), sharey=True, squeeze=False,
                                layout="constrained")
    for axis, result in zip(axes[0], chosen):
        middle = medians(result)
        counts = thread_panel(axis, middle)
        axis.plot(counts, counts, color="black", linestyle="--", linewidth=0.8, label="ideal")
        axis.set_title(result.case.replace(" ", "\n").replace("_with_", "\nwith_"), fontsize=9)
        axis.set_xlabel("threads")
        axis.set_xticks(counts)
        axis.grid(axis="y")
    axes[0, 0].set_ylim(bottom=0)  # once all is drawn: it fixes the upper end, too
    axes[0, 0].set_ylabel("speed-up over one thread")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=4)
    return figure


def thread_panel(axis, middle):
    counts = sorted({int(series.split(", ")[1].split()[0]) for series in middle})
    for name in COLOURS:
        times = {int(series.split(", ")[1].split()[0]): seconds for series, seconds in middle.items()
                 if series.startswith(f"{name}, ")}
        if 1 in times:
            places = np.array(sorted(times))
            axis.plot(places, [times[1] / times[count] for count in places], marker=MARKERS[name],
                      color=COLOURS[name], label=name, linewidth=2.5 if name == "fastloss" else 1.2)
    return counts


assert set(COLOURS) == {"fastloss", *PEERS}
