"""Hostile calls of the transforms, the information quantities, one_hot, combine and the thread settings."""

import functools

import catalogue
import hostile
import hostile_calls as common
import numpy as np
import reference
from hostile import Call, numbers
from hostile_rows import ROW_SHAPES, fault_axis, without
from hostile_truth import HUGE, of
from hostile_truth import is_right as element_is_right
from reference import INF, MP, NAN, ONE, ZERO, exact, exact_array

import fastloss as fl

ALONG_AXIS = ["softmax", "log_softmax", "logsumexp", "entropy", "cross_entropy_probs", "softmax_grad",
              "log_softmax_grad"]
ONE_BY_ONE = ["sigmoid", "log_sigmoid", "information"]


def probabilities(c, shape, dtype):
    return common.in_domain(c, catalogue.UNIT, shape, dtype, "ordinary")


def transforms(c, name):
    """A call of a transform, its gradient, or an information quantity."""
    shape, mood = c.pick(ROW_SHAPES if name in ALONG_AXIS else hostile.SHAPES), c.pick(hostile.MOODS)
    dtype = c.pick(hostile.DTYPES) if c.chance(60) else np.dtype(np.float32)
    call = Call(name, getattr(fl, name), "__call__", {}, {})
    call.axis = -1 % len(shape) if shape else 0
    if name in ("information", "entropy", "cross_entropy_probs"):
        names = ["p"] if name != "cross_entropy_probs" else ["q", "p"]
        call.plain = {key: probabilities(c, shape, dtype) for key in names}
    elif name.endswith("_grad"):
        call.plain = gradient_arguments(c, name, shape, dtype)
    else:
        call.plain = {"x": numbers(c, shape, dtype, mood)}
    call.arguments = {key: hostile.dress(c, array) for key, array in call.plain.items()}
    if name in ALONG_AXIS and c.chance(60):
        call.options["axis"] = c.pick(range(-len(shape), len(shape)))
        call.axis = call.options["axis"] % len(shape)
    call.keepdims = name == "logsumexp" and c.chance(50)
    if call.keepdims:
        call.options["keepdims"] = True
    if c.chance(20):
        call.options["n_threads"] = c.pick([1, 2, 7, None, np.int8(3), 2**62])
    first = next(iter(call.plain.values()))
    call.result_dtype = common.result_dtype(first.dtype)
    call.result_shape = shape
    if name in ("logsumexp", "entropy", "cross_entropy_probs"):
        rows = without(shape, call.axis)
        call.result_shape = (*shape[:call.axis], 1, *shape[call.axis + 1:]) if call.keepdims else rows
    has_out = name not in ("entropy", "cross_entropy_probs")
    if has_out and c.chance(40):
        places = list(call.plain) if call.result_shape == shape and name != "logsumexp" else [None]
        common.take_out(c, call, call.result_shape, call.result_dtype, False, c.pick(places))
    call.allowed = set()
    faults = [common.fault_no_numbers, common.fault_ragged, common.fault_threads, common.fault_unknown, fault_not_unit]
    common.add_faults(c, call, [*faults, fault_axis] if name in ALONG_AXIS else faults)
    return call


def gradient_arguments(c, name, shape, dtype):
    """What the transform gave, and an upstream gradient of everyday size."""
    dtype = dtype if dtype in hostile.FLOATS else np.dtype(np.float64)
    x = numbers(c, shape, np.float64, c.pick(["ordinary", "equal"]))
    y = (fl.softmax if name == "softmax_grad" else fl.log_softmax)(x).astype(dtype)
    return {"y": y, "dy": numbers(c, shape, c.pick([dtype, np.dtype(np.int8)]), c.pick(["ordinary", "equal"]))}


def fault_not_unit(c, call):
    """One number that is no probability."""
    if call.name not in ("information", "entropy", "cross_entropy_probs") or call.outputs:
        return
    name = c.pick(list(call.plain))
    values = np.array(call.plain[name], np.float64)
    if values.size:
        bad = c.pick([-1.0, 1.5, np.nan, np.inf, -2.0**-100])
        at = int(c.rng.integers(values.size))
        values.reshape(-1)[at] = bad
        call.arguments[name] = values
        position = f"[{', '.join(map(str, np.unravel_index(at, values.shape)))}]" if values.shape else ""
        call.add_fault(ValueError, f"{name}{position} = {bad}")


# --- what they give --------------------------------------------------------------------------------------------------


def check_transforms(call, result):
    if call.result_shape == () and "out" not in call.options:
        assert type(result) is float, f"a {type(result).__name__}"
    else:
        assert result.dtype == call.result_dtype, f"dtype {result.dtype}"
    got = np.asarray(result, np.float64)
    assert got.shape == call.result_shape, f"shape {got.shape}, expected {call.result_shape}"
    first = next(iter(call.plain.values()))
    working = "float64" if first.dtype.kind in "biu" or first.dtype == np.float64 else "float32"
    wanted = (row_truth if call.name in ALONG_AXIS else element_truth)(call)
    bound = 2 if call.name == "information" and first.dtype not in hostile.HALVES else 4
    for at, (g, element) in enumerate(zip(got.ravel(), wanted)):
        assert element_is_right(g, element, ONE, bound, call.result_dtype.name, working), (
            f"{call.name}: element {at} is {g!r}, exact {[float(way) for way in element.ways]}")


def element_truth(call):
    """Of sigmoid, log_sigmoid and information, one by one."""
    for x in next(iter(call.plain.values())).astype(np.float64).ravel():
        z = MP.sign(exact(x)) * HUGE if np.isinf(x) else exact(x)
        if call.name == "information":
            yield of(-MP.log(z) if z else INF)
        elif np.isnan(x):
            yield of(NAN)
        elif call.name == "sigmoid":
            yield of(1 / (1 + MP.exp(-z)) if z > -1e9 else ZERO)
        else:
            yield of(z - MP.log1p(MP.exp(z)) if z < 0 else -MP.log1p(MP.exp(-z)))


def row_truth(call):
    """Of what runs along an axis: in the order of the result's elements."""
    moved = [np.moveaxis(array.astype(np.float64), call.axis, -1) for array in call.plain.values()]
    classes = moved[0].shape[-1]
    rows = zip(*(array.reshape(-1, classes) if classes else np.zeros((array.size or int(
        np.prod(array.shape[:-1], dtype=int)), 0)) for array in moved))
    truth = ROW_TRUTHS[call.name]
    if call.name == "softmax_grad":  # the bracket is carried in twice the working precision
        truth = functools.partial(truth, MP.mpf(2) ** (-52 if call.result_dtype == np.float64 else -23))
    if call.name == "log_softmax":
        truth = functools.partial(truth, MP.mpf(2) ** (-1022 if call.result_dtype == np.float64 else -126))
    found = [truth(*(list(exact_array(part)) for part in row)) for row in rows]
    if call.name in ("logsumexp", "entropy", "cross_entropy_probs"):
        return [row[0] for row in found]
    table = np.empty(moved[0].shape, object)
    table.reshape(-1)[:] = [element for row in found for element in row]
    return np.moveaxis(table, -1, call.axis).ravel()


def logsumexp_row(x):
    if not x:
        return [of(-INF)]
    row = reference.softmax_row(x)
    if row.valid:
        return [of(row.top + MP.log1p(row.rest), max(abs(row.top), MP.log1p(row.rest)))]
    return [of(NAN if any(MP.isnan(v) for v in x) else max(x))]


def log_softmax_row(tiny, x):
    """An exponential below the smallest normal number counts as 0, so the sum of all may, too."""
    row = reference.softmax_row(x)
    return [of((v - row.top) - MP.log1p(row.rest), vanishes=v == row.top and row.rest <= len(x) * tiny) for v in x]


def cross_entropy_row(q, p):
    return [of(sum((-b * MP.log(a) if a else INF for a, b in zip(q, p) if b), ZERO))]


def softmax_grad_row(unit, y, dy):
    inner = sum((a * b for a, b in zip(y, dy)), ZERO)
    largest = max((abs(b) for b in dy), default=ZERO)
    return [of(a * (b - inner), abs(a) * len(y) * unit * largest) for a, b in zip(y, dy)]


def log_softmax_grad_row(y, dy):
    total = sum(dy, ZERO)
    found = []
    for a, b in zip(y, dy):
        terms = (b - total, MP.expm1(a) * total) if a > -0.6 else (b, MP.exp(a) * total)
        found.append(of(b - MP.exp(a) * total, max(abs(term) for term in terms)))
    return found


ROW_TRUTHS = {
    "softmax": lambda x: [of(p) for p in reference.softmax_row(x).p] if x else [],
    "log_softmax": lambda tiny, x: log_softmax_row(tiny, x) if x else [],
    "logsumexp": logsumexp_row,
    "entropy": lambda p: cross_entropy_row(p, p),
    "cross_entropy_probs": cross_entropy_row,
    "softmax_grad": softmax_grad_row,
    "log_softmax_grad": log_softmax_grad_row,
}


# --- one_hot, combine, thread settings -------------------------------------------------------------------------------


def one_hot(c):
    """Labels of any dtype; the axis of the classes anywhere."""
    shape, classes = c.pick(hostile.SHAPES), c.pick([3, 1, 2, 10, 300])
    label_dtype = c.pick([d for d in (*hostile.INTEGERS, np.dtype(bool)) if d.kind != "b" or classes > 1])
    top = 1 if label_dtype.kind == "b" else min(classes - 1, np.iinfo(label_dtype).max)
    call = Call("one_hot", fl.one_hot, "__call__", {}, {})
    call.plain = {"labels": c.rng.integers(0, top, shape, endpoint=True).astype(label_dtype), "num_classes": classes}
    call.arguments = {"labels": hostile.dress(c, call.plain["labels"]),
                      "num_classes": c.pick([classes, np.int16(classes), np.array(classes)])}
    ndim = len(shape) + 1
    call.axis = ndim - 1
    if ndim < 32 and c.chance(60):
        call.options["axis"] = c.pick(range(-ndim, ndim))
        call.axis = call.options["axis"] % ndim
    call.result_dtype = np.dtype(np.float64)
    if c.chance(50):
        call.options["dtype"] = call.result_dtype = c.pick(hostile.DTYPES)
    if ndim > 32:  # the oldest NumPy has no more dimensions
        call.arguments["labels"] = call.plain["labels"] = call.plain["labels"].reshape(-1)
        call.axis = 1
    add = [fault_one_hot_labels, fault_one_hot_classes, fault_one_hot_label]
    call.allowed = set()
    common.add_faults(c, call, [*add, fault_one_hot_axis])
    return call


def fault_one_hot_labels(c, call):
    shape = call.plain["labels"].shape
    value, word = hostile.no_numbers(c, shape)
    if call.plain["labels"].size and c.chance(50):  # an empty list is float64, and no error
        value, word = np.ones((*shape, 1)), "float64"
    call.arguments["labels"] = value
    call.add_fault(TypeError, "labels", word)


def fault_one_hot_classes(c, call):
    if c.chance(50):
        call.arguments["num_classes"] = c.pick([0, -1, -2**70])
        call.add_fault(ValueError, "num_classes", "positive")
    else:
        call.arguments["num_classes"] = c.pick(hostile.NOT_AN_INTEGER)
        call.add_fault(TypeError, "num_classes")


def fault_one_hot_axis(c, call):
    if c.chance(50):
        call.options["axis"] = c.pick([call.plain["labels"].ndim + 1, -call.plain["labels"].ndim - 2])
        call.add_fault(ValueError, "axis", str(call.options["axis"]))
    else:
        call.options["axis"] = c.pick(hostile.NOT_AN_INTEGER)
        call.add_fault(TypeError, "axis")


def fault_one_hot_label(c, call):
    labels = np.array(call.plain["labels"], np.int64)
    if labels.size:
        at, bad = int(c.rng.integers(labels.size)), c.pick([-1, call.plain["num_classes"], 2**62, -2**63])
        labels.reshape(-1)[at] = bad
        call.arguments["labels"] = labels
        position = f"[{', '.join(map(str, np.unravel_index(at, labels.shape)))}]" if labels.shape else ""
        call.add_fault(IndexError, f"labels{position} = {bad} is out of range")


def check_one_hot(call, result):
    labels = call.plain["labels"].astype(np.int64)
    expected = np.moveaxis(labels[..., None] == np.arange(call.plain["num_classes"]), -1, call.axis)
    assert result.dtype == call.result_dtype and result.shape == expected.shape
    assert np.array_equal(result.astype(np.float64), expected.astype(np.float64))


DIFFERENCES = [fl.mse_loss, fl.HuberLoss(delta=0.5), fl.log_cosh_loss, fl.PinballLoss()]
PENALTIES = [fl.l2_penalty, fl.l1_penalty]


def combined(c):
    """A sum of losses of a difference, and of penalties."""
    shape = c.pick(hostile.SHAPES)
    parts = [c.pick(DIFFERENCES), *(c.pick([*DIFFERENCES, *PENALTIES]) for _ in range(c.pick([0, 1, 2])))]
    terms = [(part, c.pick([1.0, 0.25, -2, 0, np.float32(3)])) for part in parts]
    call = Call("combine", fl.combine(terms), c.pick(hostile.METHODS), {}, {})
    call.terms = terms
    dtype = c.pick(hostile.FLOATS)
    call.plain = {name: numbers(c, shape, dtype, c.pick(["ordinary", "special", "wide"]))
                  for name in ("input", "target")}
    call.arguments = {name: hostile.dress(c, array) for name, array in call.plain.items()}
    call.plain["reduction"] = call.options["reduction"] = c.pick(["mean", "sum"])
    call.parameters, call.bad_options, call.domains = [], [], {}
    call.allowed, call.weight_shapes = {"sample_weight"}, {"sample_weight": shape}
    if c.chance(30):
        common.take_weights(c, call, "sample_weight", shape)
    if call.derivatives and c.chance(30):
        common.take_out(c, call, shape, dtype, call.method == "grad_and_hess")
    common.add_faults(c, call, [common.fault_no_numbers, common.fault_weights, common.fault_reduction,
                                common.fault_threads, common.fault_unknown, common.fault_shape, common.fault_wrt])
    return call


def check_combined(call, result):
    """The sum of what the terms give, each of which is tested on its own."""
    options = {name: call.plain[name] for name in ("reduction", "sample_weight") if name in call.plain}
    arguments = call.plain["input"], call.plain["target"]
    parts = [getattr(loss, call.method)(*(arguments[:1] if "penalty" in repr(loss) else arguments), **options)
             for loss, _ in call.terms]
    several = isinstance(result, tuple)
    for number, got in enumerate(result if several else (result,)):
        factors = [factor for _, factor in call.terms]
        own = [np.asarray(part[number] if several else part, np.float64) for part in parts]
        with np.errstate(all="ignore"):
            expected = sum(factor * part for factor, part in zip(factors, own))
            size = sum(abs(factor * part) for factor, part in zip(factors, own))
            eps = float(np.finfo(np.float32 if call.plain["input"].dtype != np.float64 else np.float64).eps)
            smallest = 2.0**-22 if call.plain["input"].dtype == np.float16 else 1e-37
            if not isinstance(got, float):  # of each term's own rounding to half precision
                eps = max(eps, {"float16": 2.0**-10, "bfloat16": 2.0**-7}.get(call.plain["input"].dtype.name, 0))
            close = np.abs(np.asarray(got, np.float64) - expected) <= 4 * eps * size + smallest
        got = np.asarray(got, np.float64)
        assert (close | ~np.isfinite(expected) | (size > 1e4)).all() and got.shape == expected.shape, (got, expected)


def thread_settings(c):
    """set_num_threads and num_threads, with anything."""
    function = c.pick([fl.set_num_threads, fl.num_threads])
    call = Call(function.__name__, function, "__call__", {}, {})
    bad = c.pick([0, -1, -2**70, False, *[b for b in hostile.NOT_AN_INTEGER if b is not None], 1, 3, 2**70, np.int8(2)])
    call.arguments["n"] = bad
    wrong_type = any(bad is b for b in hostile.NOT_AN_INTEGER)
    if wrong_type or bad < 1:
        call.add_fault(TypeError if wrong_type else ValueError, "n_threads")
    call.function = lambda n: function(n) if function is fl.set_num_threads else function(n).__enter__()
    return call
