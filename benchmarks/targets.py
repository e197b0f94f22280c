"""The targets of the project beside what was measured."""

import statistics
from dataclasses import dataclass

MB = 1e6


@dataclass(frozen=True)
class Target:
    """A bound for the ratio of two series, each given as (group, case, series). Without `below`: for bytes, in MB."""

    text: str
    above: tuple
    below: tuple | None
    at_most: float | None = None
    at_least: float | None = None
    unit: str = "x"

    def measured(self, medians):
        """The ratio, or None if one of the two was not measured."""
        if self.above not in medians or (self.below and self.below not in medians):
            return None
        return medians[self.above] / (medians[self.below] if self.below else MB)

    def met(self, measured):
        return measured <= self.at_most if self.at_least is None else measured >= self.at_least

    @property
    def bound(self):
        return f"≤ {self.at_most:g} {self.unit}" if self.at_least is None else f"≥ {self.at_least:g} {self.unit}"


def medians_of(results):
    return {(result.group, result.case, series): statistics.median(samples)
            for result in results for series, samples in result.samples.items()}


def against_peers():
    bounds = (
        ("cross_entropy", "cross_entropy 65536x10", 10, 25, 3),
        ("cross_entropy", "cross_entropy 4096x1000", 2.0, 12, 2),
        ("cross_entropy", "cross_entropy 512x32000", 1.7, 10, 4),
        ("cross_entropy", "cross_entropy 256x128256", 1.6, 10, 4),
        ("elementwise", "binary_cross_entropy_with_logits 10,000,000", 2.2, 12, 6),
    )
    for group, case, limit, torch, jax in bounds:
        ours = (group, case, "fastloss")
        yield Target(f"{case}: time over the memory limit", ours, (group, case, "limit"), at_most=limit)
        yield Target(f"{case}: times faster than PyTorch", (group, case, "PyTorch"), ours, at_least=torch)
        yield Target(f"{case}: times faster than JAX", (group, case, "JAX"), ours, at_least=jax)
    for loss in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        case = f"{loss} 10,000,000"
        yield Target(f"{case}: time over the memory limit", ("elementwise", case, "fastloss"),
                     ("elementwise", case, "limit"), at_most=1.15)


def against_itself():
    for size in ("4096x1000", "512x32000", "256x128256"):
        case = f"cross_entropy {size} value only"
        yield Target(f"{case}: times faster than with the gradient", ("forward", case, "fastloss with gradient"),
                     ("forward", case, "fastloss"), at_least=1.3)
    call = "cross_entropy 8x10"
    yield Target(f"{call}: call cost over np.add(x, x, out=g)", ("call", call, "fastloss"), ("call", call, "limit"),
                 at_most=6)
    for size in ("cross_entropy 65536x10", "cross_entropy 4096x1000", "cross_entropy 512x32000",
                 "binary_cross_entropy_with_logits 10,000,000"):
        case = f"{size} float64"
        yield Target(f"{case}: time over float32", ("dtypes", case, "fastloss"), ("dtypes", case, "fastloss float32"),
                     at_most=2.2)
    for size in ("4096x1000", "512x32000"):
        case = f"cross_entropy {size} float16"
        yield Target(f"{case}: time over float32", ("dtypes", case, "fastloss"), ("dtypes", case, "fastloss float32"),
                     at_most=1)
    for case in ("cross_entropy 65536x10", "cross_entropy 4096x1000", "cross_entropy 512x32000",
                 "binary_cross_entropy_with_logits 10,000,000"):
        yield Target(f"{case}: AVX2 over AVX-512", ("isa", case, "fastloss avx2"), ("isa", case, "fastloss avx512"),
                     at_most=1.6)
        yield Target(f"{case}: NumPy over the baseline", ("isa", case, "NumPy"), ("isa", case, "fastloss baseline"),
                     at_least=1)


def threads_and_memory():
    case = "cross_entropy 4096x1000"
    yield Target(f"{case}: speed-up of two threads", ("threads", case, "fastloss, 1 thread"),
                 ("threads", case, "fastloss, 2 threads"), at_least=1.8)
    for condition, bound in (("after 30 ms of idleness", 1), ("with one core busy", 1.3)):
        name = f"{case} {condition}"
        yield Target(f"{name}: two threads over one", ("conditions", name, "2 threads"),
                     ("conditions", name, "1 thread"), at_most=bound)
    name = f"{case} 8 calls at once"
    yield Target(f"{name}: pool over one after the other", ("conditions", name, "pool of 8 workers"),
                 ("conditions", name, "one after the other"), at_most=1)
    for case in ("cross_entropy 4096x1000", "cross_entropy 4096x2000 strided",
                 "binary_cross_entropy_with_logits 10,000,000", "cross_entropy 4096x1000 float16",
                 "cross_entropy 4096x2000 float16 strided", "binary_cross_entropy_with_logits 10,000,000 float16"):
        yield Target(f"{case}: extra memory", ("memory", case, "fastloss"), None, at_most=1, unit="MB")


def all_targets():
    return [*against_peers(), *against_itself(), *threads_and_memory()]
