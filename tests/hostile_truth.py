"""What a good call must give: exact numbers, and how far a result may be from them.

An element may be `bound` ULP from the exact number (4, or what the docstring says), on the scale of its largest term.
Beyond that only what docs/semantics.md allows: results below the smallest normal number may be 0 before they are
weighted, and what overflows the working precision is infinite before it is weighted.
"""

from dataclasses import dataclass, replace

import catalogue
import catalogue_formulas as formulas
import numpy as np
from reference import FORMATS, INF, MP, NAN, ONE, ZERO, exact, exact_array

# Stands for infinity in the formulas, whose limits it gives; results beyond FAR are infinite.
HUGE, FAR = MP.ldexp(ONE, 5000), MP.ldexp(ONE, 2400)

OF_LOGARITHMS = ("msle_loss", "gaussian_nll_loss", "kl_div")
OF_DIFFERENCES = ("log_cosh_loss", "pinball_loss", "expectile_loss", "pseudo_huber_loss", "epsilon_insensitive_loss",
                  "squared_epsilon_insensitive_loss", "l1_penalty", "l2_penalty")


@dataclass
class Element:
    """An exact result before it is weighted. `ways` are all that it may be, the scale that of its largest term."""

    ways: tuple
    scale: object = ZERO
    vanishes: bool = False  # 0 is right, too
    overflows: bool = False  # so is what is not finite


def of(value, scale=None, vanishes=False, also=()):
    ways = tuple(_finite(way) for way in (value, *also))
    scale = max((abs(size) for size in (ways[0], scale or ZERO) if not MP.isnan(size)), default=ZERO)
    return Element(ways, scale, vanishes)


def _finite(value):
    if MP.isnan(value):
        return NAN
    return MP.sign(value) * INF if abs(value) > FAR else value


# --- comparison ------------------------------------------------------------------------------------------------------


def allowed(element, factor, bound, dtype, working):
    """(acceptable exact numbers, error allowed, whether anything infinite will do)."""
    precision, smallest, _, _ = FORMATS[dtype]
    _, _, tiny, overflow = FORMATS[working]
    ways = [ZERO if factor == 0 else way * factor for way in element.ways]
    size = ZERO if factor == 0 else element.scale * abs(factor)
    slack = MP.ldexp(abs(factor), tiny)
    unbounded = element.overflows or element.scale * (1 + MP.ldexp(ONE, -20)) >= MP.ldexp(ONE, overflow)
    if MP.isinf(size) or size == 0:
        return ways, slack + MP.ldexp(ONE, smallest), unbounded
    unit = MP.ldexp(ONE, max(int(MP.mag(size)) - precision, smallest))
    return ways, bound * unit + slack, unbounded


def is_right(got, element, factor, bound, dtype, working):
    if element is None:
        return True
    got = float(got)
    ways, error, unbounded = allowed(element, factor or ZERO, bound, dtype, working)
    undefined = unbounded or any(MP.isnan(way) or MP.isinf(way) for way in element.ways)
    if factor is None:  # of weight 0: never read
        return got == 0
    if factor == 0:  # an upstream gradient of 0 times what may be infinite or NaN
        return got == 0 or (undefined and np.isnan(got))
    if element.vanishes and got == 0:
        return True
    if not np.isfinite(got) and unbounded:
        return True
    top = MP.ldexp(ONE, FORMATS[dtype][3])
    for way in ways:
        if MP.isnan(way):
            if np.isnan(got):
                return True
        elif np.isinf(got):
            if abs(way) + error >= top * (1 - MP.ldexp(ONE, -FORMATS[dtype][0] - 1)) and MP.sign(way) == np.sign(got):
                return True
        elif not np.isnan(got) and not MP.isinf(way) and abs(exact(got) - way) <= error:
            return True
    return False


def check_elements(what, got, elements, factors, bound, dtype, working, shape):
    got = np.asarray(got)
    assert got.shape == shape, f"{what}: shape {got.shape}, expected {shape}"
    assert got.dtype == dtype, f"{what}: dtype {got.dtype}, expected {dtype}"
    for at, (g, element, factor) in enumerate(zip(got.ravel(), elements, factors)):
        assert is_right(g, element, factor, bound, dtype.name, working), (
            f"{what}: element {at} is {g!r}, exact {[float(w * (factor or 0)) for w in element.ways]}, scale "
            f"{float(element.scale)}, factor {factor}")


def check_total(what, got, elements, factors, bound, working):
    """A reduced value: a Python float, whose error is that of its terms."""
    assert type(got) is float, f"{what}: a {type(got).__name__}"
    counted = [(element, factor) for element, factor in zip(elements, factors) if factor]
    if any(element is None for element, _ in counted):
        return
    # Two infinities, or a term with more than one right result: any of the sums.
    totals = [sum((element.ways[min(k, len(element.ways) - 1)] * factor for element, factor in counted), ZERO)
              for k in range(max((len(element.ways) for element, _ in counted), default=1))]
    several = sum(len(element.ways) > 1 for element, _ in counted) > 1
    if several and not np.isfinite(got):
        return
    limit = MP.ldexp(ONE, FORMATS[working][3] - 1)
    overflows = any(element.scale >= limit or abs(element.scale * factor) > MP.mpf(1e300)
                    or allowed(element, factor, bound, working, working)[2] for element, factor in counted)
    if overflows and not np.isfinite(got):
        return
    sizes = [element.scale for element, _ in counted]
    if any(MP.isinf(size) for size in sizes) and not any(MP.isnan(t) or MP.isinf(t) for t in totals):
        return
    size = sum((element.scale * abs(factor) for element, factor in counted), ZERO)
    slack = sum((abs(factor) for _, factor in counted), ZERO)
    vanished = sum((abs(element.scale * factor) for element, factor in counted if element.vanishes), ZERO)
    precision, _, tiny, _ = FORMATS[working]
    error = bound * MP.ldexp(size, 1 - precision) + MP.ldexp(slack, tiny) + MP.mpf(5e-324) + vanished
    for total in totals:
        if MP.isnan(total) and np.isnan(got):
            return
        if MP.isinf(total) and got == float(total):
            return
        if np.isfinite(got) and not MP.isnan(total) and not MP.isinf(total) and abs(exact(got) - total) <= error:
            return
    raise AssertionError(f"{what}: {got!r}, exact {[float(t) for t in totals]} within {float(error)}")


# --- elementwise losses ----------------------------------------------------------------------------------------------


def working_dtype(call):
    """What an elementwise loss is computed in."""
    domain = call.domains.get("target")
    small = any(domain is small for small in (catalogue.SIGNS, catalogue.BITS, catalogue.UNIT))
    input, target = call.plain["input"].dtype, call.plain.get("target", np.zeros((), np.int8)).dtype
    if input.kind in "biu" or np.float64 in (input, target):
        return "float64"
    # As it is given: one number for all is a number, of any dtype.
    if np.ndim(call.arguments.get("var", 0)) and call.plain["var"].dtype == np.float64:
        return "float64"
    return "float64" if target.kind in "iu" and target.itemsize >= 4 and not small else "float32"


def elements_of(call, row, working):
    """{quantity: [Element]} of every element: value, gradient and Hessian with respect to call.wrt."""
    shape = call.plain["input"].shape
    names = [name for name in ("input", "target", "var") if name in call.plain]
    columns = {name: np.broadcast_to(call.plain[name], shape).astype(np.float64).ravel() for name in names}
    options = {name: np.broadcast_to(value, shape).ravel() if isinstance(value, np.ndarray) else value
               for name, value in call.setting.items()}
    result = {"value": [], "gradient": [], "Hessian": []}
    for at in range(int(np.prod(shape, dtype=int))):
        values = {name: float(column[at]) for name, column in columns.items()}
        setting = {name: float(value[at]) if isinstance(value, np.ndarray) else value
                   for name, value in options.items()}
        for quantity, element in zip(result, _one(row, values, setting, call.wrt, working)):
            result[quantity].append(element)
    return result


def _one(row, values, setting, wrt, working):
    """Value, gradient and Hessian of one element; None where nothing is promised."""
    options = catalogue.exact_options(row, setting, np.dtype(working))
    if any(np.isnan(value) for value in values.values()):
        # A Hessian may be a constant, and nothing says more of it.
        return of(NAN), of(NAN), None
    infinite = sum(np.isinf(value) for value in values.values())
    exacts = {name: MP.sign(exact(value)) * HUGE if np.isinf(value) else exact(value) for name, value in values.items()}
    terms = row.formula(*exacts.values(), **options)
    tiny = MP.ldexp(ONE, FORMATS[working][2])
    rare = terms.rare is not None and terms.rare < tiny
    if row.name == "sigmoid_focal_loss":  # (1 - p_t)^gamma may vanish, too
        p, q, y = formulas.sigmoid(exacts["input"]), formulas.sigmoid(-exacts["input"]), exacts["target"]
        rare = rare or (p * (1 - y) + q * y) ** options.get("gamma", 2) < tiny
    undefined = infinite > 1 or (infinite and 0 in values.values())
    if undefined and "target" not in row.wrt and row.name not in OF_DIFFERENCES:
        return None, None, None  # inf times 0 and the like: no exception, and that is all
    also = (NAN,) if undefined else ()  # inf against inf, and inf times 0, are NaN or the limit
    if infinite and row.name in OF_LOGARITHMS:  # HUGE is huge enough for all but these
        also = (*also, INF, -INF)
    derivative = terms.by.get(wrt)
    found = [of(terms.value, terms.scale, rare, also)]
    for number, scale in ((derivative.slope, derivative.slope_scale),
                          (derivative.curvature, derivative.curvature_scale)) if derivative else ():
        # The second derivative at infinity is what the formula gives there.
        ways = (*also, NAN) if number is derivative.curvature and infinite and row.name in OF_LOGARITHMS else also
        found.append(None if number is None else of(number, scale, rare, ways))
    if undefined or not derivative:
        return found[0], found[1] if derivative else None, None
    return found


def factors_of(call, row):
    """(of the values, of the derivatives), one for each element, None where that has weight 0."""
    shape = call.plain["input"].shape

    def column(name):
        given = call.plain.get(name, 1)
        return list(exact_array(np.broadcast_to(np.asarray(given, np.float64), shape)).ravel())

    weight, sample_weight, upstream = column("weight"), column("sample_weight"), column("grad_output")
    product = [w * s for w, s in zip(weight, sample_weight)]
    reduction = call.plain["reduction"]
    if reduction == "batchmean":
        divisor = exact(shape[0] if shape else 1)
    elif reduction != "mean":
        divisor = ONE
    elif "normalizer" in call.plain:
        divisor = exact(float(call.plain["normalizer"]))
    else:
        divisor = sum(product if row.weight == "counts" else sample_weight, ZERO)
    if divisor == 0:
        return None, [None] * len(product)
    return ([p / (divisor if reduction != "none" else 1) if p else None for p in product],
            [p * u / divisor if p else None for p, u in zip(product, upstream)])


def without_differences_beyond(call, elements, working):
    """A difference of input and target that overflows is infinite before anything divides it, or weighs it less."""
    with np.errstate(over="ignore", invalid="ignore"):
        gap = np.abs(np.longdouble(call.plain["input"]) - np.longdouble(call.plain["target"])).ravel()
    for at in np.flatnonzero((gap > np.finfo(working).max) & np.isfinite(gap)):
        for of_quantity in elements.values():
            of_quantity[at] = of_quantity[at] and replace(of_quantity[at], overflows=True)


def check_elementwise(call, row, result):
    """Value, gradient and Hessian, whichever the method gives."""
    working = working_dtype(call)
    elements = elements_of(call, row, working)
    if "target" in call.plain and call.name in ("gaussian_nll_loss", "huber_loss", "smooth_l1_loss", *OF_DIFFERENCES):
        without_differences_beyond(call, elements, working)
    value_factors, factors = factors_of(call, row)
    dtype = call.result_dtype
    shape = call.plain["input"].shape
    bound = call.bound
    quantities = {"__call__": ["value"], "value_and_grad": ["value", "gradient"], "grad": ["gradient"],
                  "grad_and_hess": ["gradient", "Hessian"]}[call.method]
    results = result if len(quantities) == 2 else (result,)
    for quantity, got in zip(quantities, results):
        if quantity != "value":
            check_elements(quantity, got, elements[quantity], factors, bound, dtype, working, shape)
        elif call.plain["reduction"] == "none":
            check_elements(quantity, got, elements[quantity], value_factors, bound, dtype, working, shape)
        elif value_factors is None:
            assert type(got) is float and np.isnan(got), f"{got!r} though nothing counts"
        else:
            check_total(quantity, got, elements[quantity], value_factors, bound, working)
