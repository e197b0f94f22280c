"""Hostile calls of the losses over classes, the transforms and the rest of the public functions; and what they give."""

import operator

import hostile
import hostile_calls as common
import numpy as np
import reference
import row_losses
from hostile import Call, numbers
from reference import MP, NAN, ONE, ZERO, exact

import fastloss as fl

ROWWISE = {row.name: row for row in row_losses.ROWS}
CRITERIA = {"cross_entropy": "CrossEntropyLoss", "nll_loss": "NLLLoss", "softmax_focal_loss": "SoftmaxFocalLoss",
            "multi_margin_loss": "MultiMarginLoss"}
ROW_SHAPES = [(3, 4), (1, 1), (2, 3), (4,), (1,), (0, 3), (5, 17), (2, 3, 2), (0, 2, 3), (2, 5, 0), (2, 66),
              (1, 1, 1, 2, 1)]


def without(shape, axis):
    return shape[:axis] + shape[axis + 1:]


# --- losses over classes ---------------------------------------------------------------------------------------------


def losses(c, name):
    """A call of a loss over classes."""
    row = ROWWISE[name]
    shape, mood = c.pick(ROW_SHAPES), c.pick(hostile.MOODS)
    axis = c.pick([None, *range(-len(shape), len(shape))])
    class_axis = (1 if len(shape) > 1 else 0) if axis is None else axis % len(shape)
    rows, classes = without(shape, class_axis), shape[class_axis]
    if not classes and np.prod(rows):
        shape, axis, class_axis, rows, classes = (3, 4), None, 1, (3,), 4
    dtype = c.pick(hostile.DTYPES) if c.chance(60) else np.dtype(np.float32)
    plain = {"input": numbers(c, shape, dtype, mood)}
    call = Call(name, getattr(fl, name), c.pick(hostile.METHODS), {}, {})
    call.rows, call.classes, call.class_axis = rows, classes, class_axis
    if axis is not None:
        call.options["axis"] = axis
    take_target(c, call, plain, shape)
    call.plain.update(plain)
    call.arguments = {key: hostile.dress(c, array) for key, array in plain.items()}
    setting = dict(c.pick(row.settings))
    if name == "cross_entropy" and c.chance(20):
        setting["label_smoothing"] = c.pick([1.0, 0, 1, np.float32(0.5), 1e-300])
    call.options.update(setting)
    call.setting, call.domains, call.wrt = setting, {}, "input"
    call.parameters = list({key for settings in row.settings for key in settings})
    call.bad_options = {"cross_entropy": [{"label_smoothing": bad} for bad in (-0.1, 1.1, np.nan)],
                        "softmax_focal_loss": [{"gamma": bad} for bad in (-1.0, np.inf, np.nan)],
                        "multi_margin_loss": [{"p": 3}, {"p": 1.5}, {"margin": np.nan}, {"margin": np.inf}]}.get(name)
    call.allowed = {"sample_weight", "weight"}
    call.weight_shapes = {"sample_weight": rows, "weight": (classes,)}
    common.take_common(c, call, rows)
    if c.chance(30):
        common.take_weights(c, call, "weight", (classes,), broadcast=False)
    call.result_dtype = common.result_dtype(dtype)
    if call.derivatives and c.chance(40):
        common.take_out(c, call, shape, call.result_dtype, call.method == "grad_and_hess")
    common.add_faults(c, call, [*common.COMMON_FAULTS, fault_label, fault_label, fault_axis, fault_ignore_index,
                                fault_float_labels])
    common.as_criterion(c, call, CRITERIA[name])
    return call


def take_target(c, call, plain, shape):
    """Labels of any dtype that can hold them, some of them ignored; or probabilities."""
    if call.name == "cross_entropy" and c.chance(30):
        dtype = c.pick(hostile.FLOATS)
        plain["target"] = np.where(c.rng.random(shape) < 0.2, 0, c.rng.random(shape) * c.pick([1, 1, 3])).astype(dtype)
        return
    labels = c.rng.integers(0, max(call.classes, 1), call.rows)
    dtype = c.pick([d for d in (np.dtype(np.int64), *hostile.INTEGERS, np.dtype(bool))
                    if d.kind in "iu" or call.classes >= 2])
    labels = np.minimum(labels, 1 if dtype.kind == "b" else min(np.iinfo(dtype).max, 2**62)).astype(dtype)
    if call.name != "multi_margin_loss" and c.chance(40):
        ignored = c.pick([-100, 0, call.classes - 1, 255, -1, 2**63 - 1, 2**70, np.int8(-1), True])
        call.options["ignore_index"] = ignored
        call.plain["ignore_index"] = ignored = operator.index(ignored)
        holds = 0 <= ignored <= 1 if dtype.kind == "b" else np.iinfo(dtype).min <= ignored <= np.iinfo(dtype).max
        if holds:
            mask = c.rng.random(call.rows) < 0.4
            labels = np.where(mask, np.asarray(ignored, dtype), labels)
    plain["target"] = np.asarray(labels)


def fault_label(c, call):
    """One label that is no class."""
    target = call.plain["target"]
    if target.dtype.kind == "f" or target.dtype in hostile.HALVES or not target.size:
        return
    dtype = np.dtype(c.pick(["i8", "i1", "u8", "i4", "u2"]))
    info = np.iinfo(dtype)
    bad = c.pick([b for b in (call.classes, -1, info.max, info.min, 120, 2**32) if info.min <= b <= info.max
                  and not 0 <= b < call.classes and b != call.plain.get("ignore_index", -100)])
    labels = np.zeros(call.rows, dtype)
    at = int(c.rng.integers(labels.size))
    labels.reshape(-1)[at] = bad
    call.arguments["target"] = labels
    position = f"[{', '.join(map(str, np.unravel_index(at, labels.shape)))}]" if labels.shape else ""
    call.add_fault(IndexError, f"target{position} = {bad} is out of range for {call.classes} classes")


def fault_float_labels(c, call):
    """Class numbers as floats, of a loss that has labels alone, or of another shape than probabilities have."""
    if call.rows != call.plain["input"].shape and np.prod(call.rows):
        call.arguments["target"] = np.zeros(call.rows)
        call.add_fault(ValueError, "target", "float64", str(call.rows))


def fault_axis(c, call):
    ndim = call.plain["input" if "input" in call.plain else next(iter(call.plain))].ndim
    if c.chance(50):
        call.options["axis"] = bad = c.pick([ndim + 1, -ndim - 1, 2**70])
        call.add_fault(ValueError, "axis", str(bad))
    else:
        call.options["axis"] = bad = c.pick(hostile.NOT_AN_INTEGER)
        call.add_fault(TypeError, "axis", repr(bad))


def fault_ignore_index(c, call):
    if call.name == "multi_margin_loss":
        return
    if call.plain["target"].dtype.kind not in "biu":
        call.options["ignore_index"] = 0
        call.add_fault(ValueError, "ignore_index", "sample_weight")
    else:
        call.options["ignore_index"] = c.pick([1.5, "0", None, [0]])
        call.add_fault(TypeError, "ignore_index")


def oracle_of(call, **changed):
    """A function of the reduction that gives the `reference.Result` of the call, with some options `changed`."""
    plain = dict(call.plain)
    input = plain.pop("input").astype(np.float64)
    target = plain.pop("target")
    target = target.astype(np.float64) if target.dtype in hostile.FLOATS else target
    options = {key: np.asarray(value, np.float64) for key, value in plain.items()
               if key in ("weight", "sample_weight", "grad_output", "normalizer")}
    options.update(changed)
    if call.name != "multi_margin_loss":
        options["ignore_index"] = plain.get("ignore_index", -100)
    setting = {key: int(value) if key == "p" else float(value) for key, value in call.setting.items()}
    oracle, table, undefined = ROWWISE[call.name].oracle, input, None
    if "weight" in options and target.dtype.kind in "biu" and not setting.get("label_smoothing"):
        unread = weight_of(target, options, call)[..., None] == 0  # rows of class weight 0, whatever they have
        table = np.moveaxis(np.where(unread, 0, np.moveaxis(input, call.class_axis, -1)), -1, call.class_axis)
    if call.name in ("softmax_focal_loss", "multi_margin_loss"):
        undefined = undefined_elements(call, input, target, options, setting)

    def result(reduction):
        found = oracle(table, target, axis=call.class_axis, reduction=reduction, **options, **setting)
        return found if undefined is None else with_nan(call, found, undefined, reduction)

    return result


def weight_of(target, options, call):
    """The class weight of each label; 1 for what is no class, and is ignored."""
    weight = np.append(options.get("weight", np.ones(call.classes)), 1)
    labels = target.astype(np.float64)  # of any integer dtype: beyond int64, too
    is_class = (labels >= 0) & (labels < call.classes)
    return weight[np.where(is_class, labels, call.classes).astype(int)]


def undefined_elements(call, input, target, options, setting):
    """Where the gradient is NaN: all of a row without a softmax; with multi_margin_loss the classes whose distance to
    the label's is NaN, and the label. (Of rows that count.)"""
    x = np.moveaxis(input, call.class_axis, -1).reshape(int(np.prod(call.rows, dtype=int)), call.classes)
    labels = target.ravel()
    sample_weight = np.broadcast_to(options.get("sample_weight", 1), call.rows).ravel()
    found = np.zeros(x.shape, bool)
    for n in np.flatnonzero(sample_weight * weight_of(labels, options, call)):
        label = int(labels[n])
        if call.name == "softmax_focal_loss":
            if label != options["ignore_index"]:
                found[n] = np.isnan(x[n]).any() or (x[n] == np.inf).any() or (x[n] == -np.inf).all()
        else:
            with np.errstate(invalid="ignore", over="ignore"):
                excess = setting["margin"] - x[n, label] + x[n]
            found[n] = np.isnan(excess)
            found[n, label] = np.isnan(np.delete(excess, label)).any()
    return found


def with_nan(call, found, undefined, reduction):
    rows = undefined.any(axis=1)
    if reduction == "none":
        found.value.reshape(-1)[rows] = NAN
    elif rows.any():
        found.value = NAN
    mask = np.moveaxis(undefined.reshape(*call.rows, call.classes), -1, call.class_axis)
    found.grad[mask] = NAN
    found.hess[mask] = None
    return found


def check_losses(call, result):
    oracle = oracle_of(call)
    exact_result = oracle(call.plain["reduction"])
    bounds = dict(zip(("value", "gradient", "Hessian"), ROWWISE[call.name].bounds(call.setting)))
    dtype = call.plain["input"].dtype
    working = "float64" if dtype.kind in "biu" or dtype == np.float64 else "float32"
    quantities = {"__call__": ["value"], "value_and_grad": ["value", "gradient"], "grad": ["gradient"],
                  "grad_and_hess": ["gradient", "Hessian"]}[call.method]
    results = result if len(quantities) == 2 else (result,)
    for quantity, got in zip(quantities, results):
        if quantity == "value" and call.plain["reduction"] != "none":
            check_row_total(call, got, exact_result.value, oracle, bounds["value"], working)
            continue
        wanted = {"value": exact_result.value, "gradient": exact_result.grad, "Hessian": exact_result.hess}[quantity]
        wanted = np.asarray(wanted, object)
        scale = exact_result.scale if quantity != "value" else [None] * np.size(wanted)
        shape = call.rows if quantity == "value" else call.plain["input"].shape
        slack = slack_of(call, quantity, working)
        if quantity != "value" and not np.all(call.plain.get("grad_output", 1)):
            got, wanted = without_excused(call, got, wanted, quantity, working)
        may_overflow = quantity == "value" or call.name == "multi_margin_loss"
        check_array(f"{call.name} {quantity}", got, wanted, np.ravel(np.asarray(scale, object)), bounds[quantity],
                    call.result_dtype, working, shape, slack,
                    far_apart(call, working, quantity) if may_overflow else None, vanishing_factor(call, working))


def without_excused(call, got, wanted, quantity, working):
    """Both with 0 for NaN where an upstream gradient of 0 multiplies something infinite or NaN: 0 or NaN is right."""
    upstream = np.broadcast_to(call.plain["grad_output"], call.rows)[..., None]
    zero = np.moveaxis(np.broadcast_to(upstream == 0, (*call.rows, call.classes)), -1, call.class_axis)
    plain = oracle_of(call, grad_output=np.float64(1))(call.plain["reduction"])
    top = MP.ldexp(ONE, reference.FORMATS[working][3] - 2)
    sizes = plain.grad if quantity == "gradient" else plain.hess
    infinite = np.array([size is not None and (MP.isnan(size) or abs(size) >= top) for size in sizes.ravel()], bool)
    excused = zero & infinite.reshape(sizes.shape)
    undefined = np.array([number is not None and MP.isnan(number) for number in wanted.ravel()], bool)
    return (np.where(excused & np.isnan(np.asarray(got, np.float64)), np.zeros((), got.dtype), got),
            np.where(excused & undefined.reshape(wanted.shape), ZERO, wanted))


def slack_of(call, quantity, working):
    """What a probability, loss or derivative that counts as 0 can amount to once it is weighted."""
    largest = 1.0
    for key in ("weight", "sample_weight", *(["grad_output"] if quantity != "value" else [])):
        if key in call.plain and np.size(call.plain[key]):
            largest *= max(1.0, float(np.abs(call.plain[key].astype(np.float64)).max()))
    if quantity != "value" and call.plain["reduction"] == "mean":
        weights = [np.asarray(call.plain[key], np.float64) for key in ("weight", "sample_weight") if key in call.plain]
        smallest = [float(a[a > 0].min()) for a in weights if (a > 0).any()]
        largest /= min(1.0, float(call.plain.get("normalizer", np.prod(smallest))))
    gamma = call.setting.get("gamma", 0)
    if quantity != "value":  # the label's -log p, with which its probability is multiplied
        gamma *= -np.log(float(np.finfo(working).tiny))
    if quantity == "value":  # what multiplies the distance of a class to the maximum
        x = call.plain["input"].astype(np.float64)
        finite = np.where(np.isfinite(x), x, 0)
        largest = exact(largest) * max(ONE, exact(finite.max(initial=0)) - exact(finite.min(initial=0)))
    return exact(largest) * 4 * exact(1 + 2 * gamma)


def far_apart(call, working, quantity="value"):
    """Rows of finite logits (for a derivative, their classes) whose difference overflows, or does once a class weight
    has multiplied it, or probabilities that add up to more than 1: their loss may be infinite, though smoothing or the
    sample weight made it less. For multi_margin_loss the sum of the differences, or of their squares, before it is
    divided by the number of classes."""
    x = np.moveaxis(call.plain["input"].astype(np.float64), call.class_axis, -1)
    x = x.reshape(int(np.prod(call.rows, dtype=int)), call.classes)
    finite = np.where(np.isfinite(x), x, 0)
    weights = np.asarray(call.plain.get("weight", 1.0), np.float64)
    largest = float(np.finfo(working).max) / 2.01 / max(1.0, weights.max(initial=0))
    target = np.asarray(call.plain["target"])
    if target.shape == call.plain["input"].shape and target.dtype.kind == "f":
        largest /= max(1.0, float(target.astype(np.float64).sum(call.class_axis).max(initial=0)))
    if call.name == "multi_margin_loss":
        largest /= 2 * call.classes
        largest = largest**0.5 if quantity == "value" and call.setting["p"] == 2 else largest
    rows = finite.max(axis=1, initial=0) / 2 - finite.min(axis=1, initial=0) / 2 >= largest
    if quantity == "value":
        return rows
    rows = np.broadcast_to(rows.reshape(*call.rows, 1), (*call.rows, call.classes))
    return np.moveaxis(rows, -1, call.class_axis).ravel()


def vanishing_factor(call, working):
    """Whether what multiplies a derivative may be 0 in the working type: then 0 times infinity counts 0."""
    numbers = [np.asarray(call.plain.get(key, 1.0), np.float64) for key in ("weight", "sample_weight", "grad_output")]
    smallest = np.prod([abs(part[part != 0]).min(initial=1.0) for part in numbers]) / max(1, call.classes)
    divisor = np.prod(call.rows, dtype=float) * np.prod([max(1, part.max(initial=1.0)) for part in numbers[:2]])
    return smallest / max(1, divisor) < np.finfo(working).tiny


def check_array(what, got, wanted, scale, bound, dtype, working, shape, slack, far=None, factor_vanishes=False):
    """Every element within `bound` ULP on its scale, but for what vanishes below the smallest normal number."""
    got = np.asarray(got)
    assert got.shape == shape == wanted.shape, f"{what}: shape {got.shape}, expected {shape}"
    assert got.dtype == dtype, f"{what}: dtype {got.dtype}, expected {dtype}"
    tiny = MP.ldexp(slack, reference.FORMATS[working][2])
    top = MP.ldexp(ONE, reference.FORMATS[working][3] - 2)
    for at, (g, w, s) in enumerate(zip(got.ravel(), wanted.ravel(), scale)):
        if w is None:  # the Hessian at NaN: nothing is promised
            continue
        error = reference.ulp_error(float(g), w, dtype.name, s if s is None or not MP.isnan(s) else None)
        if error <= bound or (np.isfinite(float(g)) and not MP.isnan(w) and abs(exact(float(g)) - w) <= tiny):
            continue
        if not np.isfinite(float(g)) and far is not None and far[at]:
            continue
        if factor_vanishes and float(g) == 0 and not MP.isnan(w) and MP.isinf(w):
            continue
        # Products with what has overflowed: infinite, or NaN where two infinities meet.
        if not np.isfinite(float(g)) and s is not None and not MP.isnan(s) and s >= top:
            continue
        raise AssertionError(f"{what}: element {at} is {g!r}, exact {float(w)!r}, {error:.2f} ULP")


def check_row_total(call, got, wanted, oracle, bound, working):
    assert type(got) is float, f"a {type(got).__name__}"
    terms = np.asarray(oracle("none").value, object).ravel()
    size = sum((abs(term) for term in terms if not MP.isnan(term) and not MP.isinf(term)), ZERO)
    total = sum(terms, ZERO)
    infinite = size > MP.ldexp(ONE, reference.FORMATS[working][3] - 1) or far_apart(call, working).any()
    infinite = infinite or abs(wanted) >= MP.ldexp(ONE, 1024)  # a float has no such number
    if infinite and not np.isfinite(got):
        return
    if MP.isnan(total) or MP.isinf(total) or MP.isnan(wanted):
        assert reference.ulp_error(got, wanted, working) <= bound, f"{got!r}, exact {float(wanted)!r}"
        return
    factor = abs(wanted / total) if total else ONE
    count = exact(max(len(terms), 1) * slack_of(call, "value", working))
    error = factor * (bound * MP.ldexp(size, 1 - reference.FORMATS[working][0])
                      + MP.ldexp(count, reference.FORMATS[working][2])) + MP.mpf(5e-324)
    assert np.isfinite(got) and abs(exact(got) - wanted) <= error, f"{got!r}, exact {float(wanted)!r}"
