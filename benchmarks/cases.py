"""What is measured: a `Case` is one loss at one size, and becomes one row of the report."""

import functools
from dataclasses import dataclass, field, replace

import numpy as np

CROSS_ENTROPY_SHAPES = ((65536, 10), (65536, 100), (4096, 1000), (512, 32000), (256, 128256))
ELEMENTWISE = (
    "binary_cross_entropy_with_logits", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "sigmoid_focal_loss",
    "log_cosh_loss", "hinge_loss",
)
WIDTHS = (2, 4, 10, 32, 64, 100, 316, 1000, 3162, 10000, 32000, 128256)
IMAGES = ((2, 3, 512, 512), (8, 21, 256, 256), (4, 150, 128, 128), (4, 1000, 32, 32))
SMOOTHING = 0.1

#: group -> title in the report
GROUPS = {
    "cross_entropy": "Cross-entropy, value and gradient, float32",
    "options": "Cross-entropy with class weights and label smoothing, and of probabilities, float32",
    "images": "Cross-entropy of images (N x classes x height x width), value and gradient, float32",
    "forward": "Cross-entropy, value only, float32",
    "dtypes": "Other dtypes, value and gradient",
    "elementwise": "Elementwise losses, 10,000,000 elements, value and gradient, float32",
    "weighted": "Elementwise losses, 10,000,000 elements with a weight each, value and gradient, float32",
    "small": "Elementwise losses, 10,000 elements, value and gradient, float32",
    "tutorial": "The tutorials' binary cross-entropy, 3,000,000 rows, value and gradient, float32",
    "booster": "Gradient and Hessian as a booster calls them, 1,000,000 rows, float32",
    "call": "Call cost: small batches, value and gradient, float32",
    "isa": "Instruction sets, value and gradient, float32",
    "width": "Row width: cross-entropy of about 4,194,304 logits, value and gradient, float32",
    "threads": "Threads, value and gradient, float32",
    "conditions": "Threads under difficult conditions, fastloss, value and gradient, float32",
    "memory": "Peak extra memory of one call, value and gradient; fastloss with `out=`",
}


@dataclass(frozen=True)
class Case:
    group: str
    loss: str
    shape: tuple
    dtype: str = "float32"
    work: str = "value_and_grad"  # or "value", "grad_and_hess"
    #: of cross_entropy: "weights and smoothing", "probabilities", "images"; of elementwise losses: "weights"; of the
    #: memory: "strided"
    variant: str = ""
    condition: str = ""  # of "conditions": "idle", "busy", "pool"
    #: the same call of fastloss with other settings, timed in the same rounds: (name, the fields that differ)
    beside: tuple = ()

    @property
    def name(self):
        size = "x".join(map(str, self.shape)) if len(self.shape) > 1 else f"{self.shape[0]:,}"
        parts = [self.loss, size]
        if self.dtype != "float32":
            parts.append(self.dtype)
        if self.work == "value":
            parts.append("value only")
        parts += [part for part in (self.variant, self.condition) if part]
        return " ".join(parts)

    @property
    def reduction(self):
        if self.work == "grad_and_hess":
            return "sum"  # a booster wants each row's own derivatives
        # The gradient of a mean is below the smallest float16.
        return "sum" if self.dtype == "float16" else "mean"

    def neighbours(self):
        return [(name, replace(self, beside=(), **dict(fields))) for name, fields in self.beside]


@dataclass
class Data:
    """The arrays of a case. Made once; every library gets these very buffers."""

    input: np.ndarray
    target: np.ndarray
    grad: np.ndarray
    hess: np.ndarray | None = None
    options: dict = field(default_factory=dict)


def make_data(case):
    generator = np.random.default_rng(20240229)
    logits = generator.standard_normal(case.shape, dtype=np.float32)
    if case.variant == "strided":
        data = Data(logits.astype(case.dtype)[:, ::2], None, np.zeros((case.shape[0], case.shape[1] // 2), case.dtype))
    else:
        data = Data(logits.astype(case.dtype), None, np.zeros(case.shape, case.dtype))
    data.target = make_target(case, generator, data.input.shape)
    if case.work == "grad_and_hess":
        data.hess = np.zeros(case.shape, case.dtype)
    if case.variant == "weights and smoothing":
        weight = generator.uniform(0.5, 1.5, case.shape[1]).astype(case.dtype)
        data.options = {"weight": weight, "label_smoothing": SMOOTHING}
    if case.variant == "weights":
        data.options = {"weight": generator.uniform(0.5, 1.5, case.shape).astype(case.dtype)}
    return data


def make_target(case, generator, shape):
    if case.variant == "probabilities":
        rows = generator.random(shape, dtype=np.float32) + 0.01
        return (rows / rows.sum(axis=1, keepdims=True)).astype(case.dtype)
    if case.loss == "cross_entropy":
        return generator.integers(0, shape[1], (shape[0], *shape[2:]))
    if case.loss in ("binary_cross_entropy_with_logits", "sigmoid_focal_loss"):
        return generator.integers(0, 2, shape).astype(case.dtype)
    if case.loss == "hinge_loss":
        return (2 * generator.integers(0, 2, shape) - 1).astype(case.dtype)
    return generator.standard_normal(shape, dtype=np.float32).astype(case.dtype)


def limit(case, data):
    """What no implementation can beat by much: moving as much memory as the loss must. Text and call."""
    x, y, g = data.input, data.target, data.grad
    if case.group == "call":
        return "np.add(x, x, out=g)", functools.partial(np.add, x, x, out=g)
    if case.loss == "cross_entropy":
        return "np.copyto(g, x)", functools.partial(np.copyto, g, x)
    if case.work == "grad_and_hess":
        return "np.add(x, y, out=g) twice", lambda: (np.add(x, y, out=g), np.add(x, y, out=data.hess))
    if case.variant == "weights":
        return "np.add(x, y, out=g); w.max()", lambda: (np.add(x, y, out=g), data.options["weight"].max())
    return "np.add(x, y, out=g)", functools.partial(np.add, x, y, out=g)


def fastloss_call(case, data, **keywords):
    import fastloss as fl

    loss = getattr(fl, case.loss)
    keywords |= data.options
    if case.reduction != "mean":
        keywords["reduction"] = case.reduction
    if case.work == "value":
        return functools.partial(loss, data.input, data.target, **keywords)
    keywords["out"] = data.grad if data.hess is None else (data.grad, data.hess)
    return functools.partial(getattr(loss, case.work), data.input, data.target, **keywords)


def softmax_cases():
    for shape in CROSS_ENTROPY_SHAPES:
        yield Case("cross_entropy", "cross_entropy", shape)
    for shape in ((65536, 10), (4096, 1000), (512, 32000)):
        for variant in ("weights and smoothing", "probabilities"):
            yield Case("options", "cross_entropy", shape, variant=variant)
    for shape in IMAGES:
        yield Case("images", "cross_entropy", shape, variant="images")
    with_gradient = (("fastloss with gradient", (("work", "value_and_grad"),)),)
    for shape in CROSS_ENTROPY_SHAPES:
        yield Case("forward", "cross_entropy", shape, work="value", beside=with_gradient)


def dtype_cases():
    single = (("fastloss float32", (("dtype", "float32"),)),)
    for dtype in ("float64", "float16"):
        for shape in ((65536, 10), (4096, 1000), (512, 32000)):
            yield Case("dtypes", "cross_entropy", shape, dtype=dtype, beside=single)
    for loss in ("binary_cross_entropy_with_logits", "mse_loss"):
        yield Case("dtypes", loss, (10_000_000,), dtype="float64", beside=single)


def elementwise_cases():
    for loss in ELEMENTWISE:
        yield Case("elementwise", loss, (10_000_000,))
    for loss in ("binary_cross_entropy_with_logits", "mse_loss"):
        yield Case("weighted", loss, (10_000_000,), variant="weights")
    for loss in ELEMENTWISE:
        yield Case("small", loss, (10_000,))
    yield Case("tutorial", "binary_cross_entropy_with_logits", (3_000_000,))
    yield Case("booster", "binary_cross_entropy_with_logits", (1_000_000,), work="grad_and_hess")


def other_cases():
    for shape in ((8, 10), (128, 10)):
        yield Case("call", "cross_entropy", shape)
    ours = (("cross_entropy", (65536, 10)), ("cross_entropy", (4096, 1000)), ("cross_entropy", (512, 32000)),
            ("binary_cross_entropy_with_logits", (10_000_000,)))
    for loss, shape in ours:
        yield Case("isa", loss, shape)
    for width in WIDTHS:
        yield Case("width", "cross_entropy", (2**22 // width, width))
    for loss, shape in ours:
        yield Case("threads", loss, shape)
    for condition in ("after 30 ms of idleness", "with one core busy", "8 calls at once"):
        yield Case("conditions", "cross_entropy", (4096, 1000), condition=condition)
    for dtype in ("float32", "float16"):
        yield Case("memory", "cross_entropy", (4096, 1000), dtype=dtype)
        yield Case("memory", "cross_entropy", (4096, 2000), dtype=dtype, variant="strided")
        yield Case("memory", "binary_cross_entropy_with_logits", (10_000_000,), dtype=dtype)


def all_cases():
    return [*softmax_cases(), *dtype_cases(), *elementwise_cases(), *other_cases()]


def find(group, name):
    return next(case for case in all_cases() if (case.group, case.name) == (group, name))
