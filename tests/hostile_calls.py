"""Calls of every public function, drawn by hypothesis: good ones in hostile dress, and ones with one or two faults."""

import dataclasses

import arrays
import catalogue
import catalogue_formulas as formulas
import hostile
import hostile_truth
import numpy as np
from catalogue import ABOVE_MINUS_ONE, BITS, INNER, MASSES, NEGATIVE, POSITIVE, RATES, REAL, SIGNS, UNIT, Row
from hostile import Call, numbers

import fastloss as fl

REDUCTIONS = ["mean", "none", "sum", "batchmean"]

# Powers of ten of the largest weights, in single and in double precision: their products are numbers, too.
LARGEST = (15, 30)


def _penalty(name, formula):
    return Row(name, None, (), lambda x: formula(x, formulas.ZERO), None, lambda _: {"input": REAL})


def _msle(x, y):
    """`formulas.msle`, whose quotient needs more than 70 digits where one argument is huge or next to -1."""
    if 0.5 < (1 + x) / (1 + y) < 2:
        return formulas.msle(x, y)
    a, b = formulas.MP.log1p(x), formulas.MP.log1p(y)
    return formulas.of_input((a - b) ** 2, 2 * (a - b) / (1 + x), 2 * (1 - a + b) / (1 + x) ** 2,
                             curvature_scale=2 * max(1, abs(a), abs(b)) / (1 + x) ** 2)


# The penalties are losses without a target.
PENALTIES = [_penalty("l1_penalty", formulas.l1), _penalty("l2_penalty", formulas.mse)]
ELEMENTWISE = {row.name: row for row in (*catalogue.ROWS, *PENALTIES)}
ELEMENTWISE["msle_loss"] = dataclasses.replace(ELEMENTWISE["msle_loss"], formula=_msle)


# --- what all calls have ---------------------------------------------------------------------------------------------


def in_domain(c, domain, shape, dtype, mood):
    """Numbers of a domain of catalogue.py, at its ends too, as an array."""
    return np.asarray(_in_domain(c, domain, shape, np.dtype(dtype), mood), dtype)


def _in_domain(c, domain, shape, dtype, mood):
    fractions = domain is UNIT or domain is INNER
    if domain is SIGNS or domain is BITS or (fractions and dtype.kind in "biu"):
        allowed = [-1, 1] if domain is SIGNS else [0, 1]
        return c.rng.choice([a for a in allowed if a >= 0 or dtype.kind in "if" or dtype in hostile.HALVES],
                            shape).astype(dtype)
    if fractions:
        values = c.rng.random(shape)
        near = c.rng.choice([0.0, 1.0, 2.0**-149, 2.0**-20, 1 - 2.0**-24], shape)
        return np.where(c.rng.random(shape) < 0.3, near, values).astype(dtype)
    values = numbers(c, shape, dtype, mood)
    positive = domain is POSITIVE or domain is RATES
    if domain is REAL:
        return values
    if dtype.kind in "biu":
        if dtype.kind == "i":
            values = np.abs(np.maximum(values, -np.iinfo(dtype).max))
        if positive:
            values = np.maximum(values, np.ones((), dtype))
        return -values if domain is NEGATIVE and dtype.kind == "i" else values
    with np.errstate(all="ignore"):
        values = np.abs(values)
        if domain is MASSES:
            values = np.where(np.isnan(values), np.ones((), dtype), values)
        if positive:
            values = np.where(values == 0, np.ones((), dtype), values)
        if domain is NEGATIVE:
            values = -values
        if domain is ABOVE_MINUS_ONE:
            values = np.where(values < 0.9, -values, values)
        return values.astype(dtype)


def take_weights(c, call, name, shape, broadcast=True):
    """Not negative, of any dtype and shape that fits."""
    if broadcast:
        shape = c.pick([shape, shape[1:], (), (1,) * len(shape)])
    dtype = c.pick([np.float64, *hostile.DTYPES])
    if np.dtype(dtype).kind in "biu":
        weight = c.rng.integers(0, 2 if np.dtype(dtype).kind == "b" else 4, shape).astype(dtype)
    else:
        largest = 4 if np.dtype(dtype).itemsize == 2 else LARGEST[call.plain["input"].dtype == np.float64]
        weight = c.rng.choice([0.0, -0.0, 1.0, 0.3, 10.0**-largest, 10.0**largest], shape).astype(dtype)
    call.plain[name] = np.asarray(weight)
    call.options[name] = hostile.dress(c, call.plain[name])


def take_common(c, call, value_shape):
    """reduction, sample_weight, normalizer, n_threads, grad_output."""
    if c.chance(70):
        call.options["reduction"] = call.plain["reduction"] = c.pick(REDUCTIONS)
    reduction = call.plain.get("reduction", "sum" if "penalty" in call.name else "mean")
    call.plain["reduction"] = reduction
    if c.chance(30):
        take_weights(c, call, "sample_weight", value_shape)
    if reduction == "mean" and c.chance(20):
        call.options["normalizer"] = call.plain["normalizer"] = c.pick([3.7, 1, 2**70, np.float32(0.5)])
    if c.chance(20):
        call.options["n_threads"] = c.pick([1, 2, 7, None, np.int8(3), True, 2**62])
    if call.derivatives and c.chance(30):
        shape = c.pick([(), value_shape, (1,) * len(value_shape)]) if reduction == "none" else ()
        upstream = c.rng.choice([1.0, -3.0, 0.0, 0.3, 1e-30], shape)
        call.plain["grad_output"] = upstream
        call.options["grad_output"] = hostile.dress(c, upstream) if reduction == "none" else float(upstream)


def take_out(c, call, shape, dtype, pair, in_place="input"):
    """`out`, in any layout and byte order; the first may be an argument itself."""
    call.outputs = []
    for _ in range(2 if pair else 1):  # NumPy makes scalars of some 0-dimensional views
        call.outputs.append(c.pick([(view, memory) for _, view, memory in arrays.out_variants(shape, dtype)
                                    if isinstance(view, np.ndarray)]))
    views = [view for view, _ in call.outputs]
    plain = call.plain.get(in_place)
    if plain is not None and plain.dtype == dtype and c.chance(40):
        views[0][...] = plain
        call.arguments[in_place] = views[0]
    call.options["out"] = tuple(views) if pair else views[0]


def result_dtype(dtype):
    dtype = np.dtype(dtype)
    return dtype if dtype in hostile.FLOATS else np.dtype(np.float64)


# --- faults ----------------------------------------------------------------------------------------------------------


def fault_no_numbers(c, call):
    names = [name for name in (*call.arguments, "sample_weight", "weight")
             if name in call.arguments or name in call.allowed]
    name = c.pick(names)
    value, word = hostile.no_numbers(c, np.shape(call.plain["input" if "input" in call.plain else names[0]]))
    (call.arguments if name in call.arguments else call.options)[name] = value
    call.add_fault(TypeError, name, word)


def fault_ragged(c, call):
    name = c.pick(list(call.arguments))
    call.arguments[name] = hostile.RAGGED
    call.add_fault(ValueError, name, "cannot be read")


def fault_shape(c, call):
    """A shape that does not fit: input and target are never broadcast against each other."""
    if "target" not in call.arguments:
        return
    shape = np.shape(call.plain["target"])
    other = c.pick([(*shape, 1), (*shape, 2), (1, *shape, 3), (5, 6, 7), (0, 0)])
    call.arguments["target"] = np.ones(other, call.plain["target"].dtype)
    call.add_fault(ValueError, "target", str(other))


def fault_weights(c, call):
    name = c.pick([name for name in ("sample_weight", "weight") if name in call.allowed])
    shape = call.weight_shapes[name]
    if c.chance(40):
        other = c.pick([(*shape, 2), (2, *shape, 9), (0, 5)])
        call.options[name] = np.ones(other)
        call.add_fault(ValueError, name, str(other))
    elif int(np.prod(shape, dtype=int)):
        weight = np.ones(shape, c.pick([np.float64, np.float32, np.float16]))
        bad = c.pick([-1.0, np.nan, -np.inf, -2.0**-20])
        weight.reshape(-1)[c.rng.integers(weight.size)] = bad
        call.options[name] = weight
        call.add_fault(ValueError, name, "nan" if np.isnan(bad) else "-")


def fault_reduction(c, call):
    bad = c.pick(["avg", "MEAN", "", None, 1, b"mean", ["mean"], np.array("mean"), "mean\0"])
    call.options["reduction"] = bad
    call.options.pop("normalizer", None)
    call.add_fault(ValueError, "reduction", repr(bad), "batchmean")


def fault_normalizer(c, call):
    if c.chance(30):
        call.options.update(normalizer=2.0, reduction=c.pick(["sum", "none", "batchmean"]))
        call.options.pop("grad_output", None)
        call.add_fault(ValueError, "normalizer", "mean")
        return
    call.options["reduction"] = "mean"
    call.options.pop("grad_output", None)
    if c.chance(50):
        call.options["normalizer"] = bad = c.pick([0, -1.0, np.nan, np.inf, -0.0])
        call.add_fault(ValueError, "normalizer", repr(bad))
    else:
        call.options["normalizer"] = c.pick([b for b in hostile.NOT_A_NUMBER if b is not None])
        call.add_fault(TypeError, "normalizer")


def fault_threads(c, call):
    if c.chance(50):
        call.options["n_threads"] = bad = c.pick([0, -1, -2**70, False, np.int64(-3)])
        call.add_fault(ValueError, "n_threads", str(int(bad)))
    else:
        call.options["n_threads"] = bad = c.pick([b for b in hostile.NOT_AN_INTEGER if b is not None])
        call.add_fault(TypeError, "n_threads", repr(bad))


def fault_grad_output(c, call):
    if not call.derivatives:
        return
    if c.chance(50):
        call.options.update(reduction="none", grad_output=np.ones((*call.weight_shapes["sample_weight"], 2, 9)))
        call.options.pop("normalizer", None)
        call.add_fault(ValueError, "grad_output", "(")
    else:
        call.options["reduction"] = c.pick(["sum", "mean"])
        call.options.pop("normalizer", None)
        call.options["grad_output"] = c.pick([np.ones(3), "a", 1j, [1.0], {}])
        call.add_fault(ValueError, "grad_output")


def fault_wrt(c, call):
    if call.derivatives:
        call.options["wrt"] = c.pick(["weight", "", None, 1, ["input"], b"input", np.ones(2), "Input"])
        call.add_fault(ValueError, "wrt", "input")


def fault_unknown(c, call):
    name = c.pick(["size_average", "from_logits", "dim", "Reduction"])
    call.options[name] = 1
    call.add_fault(TypeError, name)


def fault_missing(c, call):
    if "target" in call.arguments:
        for name in list(call.arguments)[1:]:
            del call.arguments[name]
        call.add_fault(TypeError, "target", "missing")


def fault_domain(c, call):
    """One element outside of its domain; the first one is named."""
    names = [name for name, domain in call.domains.items() if domain.bad or domain.nan == "refused"]
    if not names or not call.plain["input"].size:
        return
    name = c.pick(names)
    if name not in call.arguments or (name == "input" and call.outputs):
        return
    bad = c.pick([*call.domains[name].bad, *([np.nan] if call.domains[name].nan == "refused" else [])])
    values = np.array(call.plain[name], np.float64)
    at = int(c.rng.integers(values.size))
    values.reshape(-1)[at] = bad
    call.options.pop("sample_weight", None)
    call.arguments[name] = values
    position = f"[{', '.join(map(str, np.unravel_index(at, values.shape)))}]" if values.shape else ""
    if name == "var" and not values.shape:  # one number, as an option is
        call.add_fault(ValueError, name, str(bad))
    else:
        call.add_fault(ValueError, f"{name}{position} = {bad}")


def fault_parameter(c, call):
    """An option of the loss that is out of range, or no number."""
    if call.bad_options and c.chance(50):
        bad = c.pick(call.bad_options)
        call.options.update(bad)
        call.add_fault(ValueError, *bad)
        return
    names = [name for name in call.parameters if name != "reduction"]
    if names:
        name = c.pick(names)
        call.options[name] = c.pick(["1.5", 1j, {}, int, np.array("a"), np.datetime64("2020-01-01"), b"1"])
        # An option that takes one of a few words has no wrong type, only wrong values.
        call.add_fault((TypeError, ValueError) if name == "labels" else TypeError, name)


def fault_out(c, call):
    """An array that results cannot be written to, or not without ruining another argument."""
    if not call.derivatives or call.outputs:
        return
    pair = call.method == "grad_and_hess"
    shape, dtype = call.plain["input"].shape, result_dtype(call.plain["input"].dtype)
    given = call.arguments.get("input")
    if type(given) is np.ndarray and result_dtype(given.dtype) != dtype:  # another fault has put one in its place
        return
    good = np.empty(shape, dtype)
    kind = c.pick(["shape", "dtype", "list", "read-only", "masked", "pair", "itself", "argument"])
    bad, words = good, ()
    if kind == "shape":
        bad = np.empty((*shape, 2), dtype)
        words = (str(bad.shape),)
    elif kind == "dtype":
        bad = np.empty(shape, c.pick([d for d in (np.int64, np.float32, np.float64, np.complex64, "O") if d != dtype]))
        words = (str(bad.dtype),)
    elif kind == "list":
        bad = c.pick([[0.0], "out", 3, {}])
        words = ("array",)
    elif kind == "read-only":
        bad = arrays.read_only(good)
        words = ("read-only",)
    elif kind == "masked":
        bad = np.ma.masked_array(good)
        words = ("array",)
    elif kind == "itself":
        if good.size < 2:
            return
        bad = np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, (0,) * len(shape))
        words = ("overlaps itself",)
    elif kind == "argument":
        target = call.plain.get("target")
        if target is None or target.shape != shape or target.dtype != dtype or not good.size:
            return
        bad = call.arguments["target"] = target.copy()
        words = ("overlaps",)
    if kind == "pair":
        call.options["out"] = good if pair else (good, good)
        call.add_fault(ValueError, "out", "pair" if pair else "array")
    else:
        call.options["out"] = ((good, bad) if c.chance(50) else (bad, good)) if pair else bad
        call.add_fault(ValueError, "out", *words)


COMMON_FAULTS = [fault_no_numbers, fault_ragged, fault_shape, fault_weights, fault_reduction, fault_normalizer,
                 fault_threads, fault_grad_output, fault_wrt, fault_unknown, fault_missing, fault_domain,
                 fault_parameter, fault_out]


def add_faults(c, call, faults):
    for _ in range(c.pick([0, 0, 0, 1, 1, 2])):
        c.pick(faults)(c, call)


# --- elementwise losses ----------------------------------------------------------------------------------------------


def elementwise(c, row):
    """A call of an elementwise loss."""
    setting = dict(c.pick(row.settings))
    domains = row.arguments(setting)
    method = c.pick(hostile.METHODS)
    shape, mood = c.pick(hostile.SHAPES), c.pick(hostile.MOODS)
    plain = {}
    for name, domain in domains.items():
        dtype = c.pick(hostile.DTYPES) if c.chance(60) else np.dtype(np.float32)
        own = c.pick([(), shape, (1,) * len(shape), shape[:-1]]) if name == "var" else shape
        plain[name] = in_domain(c, domain, own, dtype, mood)
        if row.name == "sigmoid_focal_loss" and domain is UNIT and dtype.kind not in "biu":
            # A known fault: the power of a subnormal target is that of the smallest normal number.
            plain[name] = np.where(plain[name] < 2.0**-120, np.zeros((), dtype), plain[name])
    call = Call(row.name, getattr(fl, row.name), method, {}, {})
    call.plain.update(plain)
    call.arguments = {name: hostile.dress(c, array) for name, array in plain.items()}
    if "var" in plain and shape and plain["var"].shape == shape[:-1]:  # a variance for each row
        call.plain["var"] = plain["var"].reshape(*shape[:-1], 1)
    call.options.update(setting)
    call.setting, call.domains, call.wrt = setting, domains, "input"
    call.parameters = [name for settings in row.settings for name in settings]
    call.bad_options = [] if "log_input" in setting else row.bad
    call.allowed = {"sample_weight", *(["weight"] if row.weight else [])}
    call.weight_shapes = {"sample_weight": shape, "weight": shape}
    take_common(c, call, shape)
    if row.weight and c.chance(30):
        take_weights(c, call, "weight", shape)
    for name, (low, high) in (row.arrays or {}).items():
        if c.chance(30):
            own = c.pick([shape, shape[1:], ()])
            setting[name] = c.rng.uniform(low, high, own).astype(c.pick([np.float64, np.float32, np.float16]))
            call.options[name] = hostile.dress(c, setting[name])
    if call.derivatives and c.chance(30):
        call.options["wrt"] = call.wrt = c.pick(row.wrt or ["input"])
    if "var" in plain and not plain["var"].ndim and hostile_truth.working_dtype(call) == "float32":
        with np.errstate(over="ignore"):
            single = np.float32(plain["var"])
        if np.isfinite(plain["var"]) and plain["var"] != 0 and (single == 0 or np.isinf(single)):
            call.add_fault(ValueError, "var", "out of float32's range")
    call.result_dtype = result_dtype(plain["input"].dtype)
    gamma = setting.get("gamma", 2)
    # Where the promise is nearly used up, the factor of a mean or a weight, rounded once, goes beyond it.
    bounds = {"pseudo_huber_loss": 5, "gaussian_nll_loss": 5, "sigmoid_focal_loss": 8 + gamma / 40}
    call.bound = bounds.get(row.name, row.ulp)
    if not row.derivatives and call.derivatives:
        call.add_fault(TypeError, "no derivatives")
    elif call.derivatives and c.chance(40):
        take_out(c, call, shape, call.result_dtype, method == "grad_and_hess")
    add_faults(c, call, COMMON_FAULTS)
    as_criterion(c, call, row.criterion)
    return call


def as_criterion(c, call, criterion):
    """A third of the calls by the configured class, which has most of the options already."""
    if criterion and c.chance(33):
        known = getattr(fl, criterion).defaults()
        call.configured = {name for name in call.options if name in known and c.chance(80)}
        call.function = getattr(fl, criterion)(**{name: call.options[name] for name in call.configured})
