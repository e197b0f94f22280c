"""Where the accuracy of a loss is measured: ordinary arguments, tails, both sides of kinks, tiny, huge, the ends.

A sampler takes (rng, dtype, setting, count) and returns {argument: float64 array}; `count` is the size of each of its
families, so the whole is some five times as long.  Rounding to the dtype is the caller's business.
"""

import numpy as np


def powers(rng, count, low, high):
    """Positive numbers of every size from 2^low to 2^high."""
    return 2.0 ** rng.uniform(low, high, count)


def signed(rng, values):
    return values * rng.choice([-1.0, 1.0], values.size)


def exponents(dtype):
    """Of the smallest and the largest normal number, with a little room."""
    info = np.finfo(dtype)
    return info.minexp + 1, info.maxexp - 2


def ends(dtype):
    info = np.finfo(dtype)
    return np.array([0.0, float(info.tiny), float(info.eps), 1.0, float(info.max) / 4])


def both_sides(kinks, dtype):
    """Next to a number, one and two steps of the dtype away, and a little further."""
    kinks = np.asarray(kinks, dtype)
    steps = [kinks]
    for direction in (-np.inf, np.inf):
        near = np.nextafter(kinks, dtype(direction))
        steps += [near, np.nextafter(near, dtype(direction))]
    steps += [kinks * dtype(1 - 1e-3), kinks * dtype(1 + 1e-3)]
    return np.concatenate(steps).astype(np.float64)


def pairs(*parts):
    """{input, target} from a list of (input, target), each of them an array or a number."""
    columns = [np.broadcast_arrays(*map(np.atleast_1d, part)) for part in parts]
    return {"input": np.concatenate([x for x, _ in columns]), "target": np.concatenate([y for _, y in columns])}


def crossed(x, y):
    """Every x with every y."""
    x, y = np.meshgrid(x, y)
    return x.ravel(), y.ravel()


def difference(*kinks):
    """For losses of d = input - target; kinks are parameters' names or numbers."""

    def sample(rng, dtype, setting, count):
        low, high = exponents(dtype)
        where = [abs(float(setting.get(kink, 1) if isinstance(kink, str) else kink)) for kink in kinks]
        near = both_sides(where, dtype) if where else np.zeros(1)
        near = np.concatenate([near, -near, both_sides([0.0], dtype)])
        middle = rng.normal(0, 3, count)
        close = rng.integers(1, 60, count) * np.finfo(dtype).eps
        return pairs((rng.normal(0, 3, count), rng.normal(0, 3, count)),
                     (middle * (1 + close), middle),  # only the last bits differ
                     (signed(rng, powers(rng, count, low, high)), 0.0),
                     (signed(rng, powers(rng, 2 * count, -24, 6)), 0.0),
                     (0.0, signed(rng, powers(rng, count // 2, low, high))),
                     (near, 0.0), (near, -0.0), (ends(dtype), 0.0), (0.0, ends(dtype)),
                     (-ends(dtype)[-2:], ends(dtype)[-2:]))

    return sample


def logits(rng, dtype, count):
    """From one end of exp to the other, and far beyond it."""
    span = 110 if dtype == np.float32 else 760
    low, high = exponents(dtype)
    special = np.array([15.0, 17, 40, 80, 88, 103.9, 709, 745, 16.6355, 36.7])
    return np.concatenate([rng.normal(0, 3, count), rng.uniform(-20, 20, count), rng.uniform(-span, span, count),
                           signed(rng, powers(rng, count, low, high)), signed(rng, powers(rng, count, -20, 5)),
                           special, -special, ends(dtype), -ends(dtype)])


def margins(*kinks):
    """Scores against targets of two kinds; kinks as for `difference`."""

    def sample(rng, dtype, setting, count):
        where = [float(setting.get(kink, 1) if isinstance(kink, str) else kink) for kink in kinks]
        near = both_sides(where, dtype) if where else np.zeros(0)
        x = np.concatenate([logits(rng, dtype, count), near, -near])
        return {"input": x, "target": rng.choice([0.0, 1.0] if setting.get("labels") == "01" else [-1.0, 1.0], x.size)}

    return sample


def labels(rng, dtype, setting, count):
    """Whole numbers, equal and not; and numbers on both sides of a tolerance."""
    x = rng.integers(-3, 4, 4 * count).astype(np.float64)
    near = both_sides([0.5], dtype)
    return pairs((x, rng.permutation(x)), (rng.normal(0, 1, count), rng.normal(0, 1, count)), (near, 0.0), (0.0, near),
                 (0.0, -0.0), (ends(dtype), ends(dtype)), (ends(dtype), 0.0))


def soft_logits(rng, dtype, setting, count):
    """Logits against both classes, and against probabilities."""
    x = logits(rng, dtype, count)
    soft = logits(rng, dtype, count // 4)
    low, _ = exponents(dtype)
    rare = powers(rng, count, low, 0)
    return pairs((x, rng.choice([0.0, 1.0], x.size)), (soft, rng.random(soft.size)), (rng.normal(0, 6, count), rare),
                 (rng.normal(0, 6, count), 1 - rng.choice([1, 2, 9], count) * float(np.finfo(dtype).epsneg)))


def hard_logits(rng, dtype, setting, count):
    x = logits(rng, dtype, count)
    return {"input": x, "target": rng.choice([0.0, 1.0], x.size)}


def probabilities(rng, dtype, setting, count):
    """Uniform, tiny, and as near to 1 as the dtype has numbers; where the logs are clamped; soft targets."""
    low, _ = exponents(dtype)
    near_one = 1 - rng.integers(1, 200, count) * float(np.finfo(dtype).epsneg)
    x = np.concatenate([rng.random(2 * count), powers(rng, count, low, 0), powers(rng, count, -30, 0), near_one,
                        [0.0, 1.0, 0.5, np.exp(-99.9) if dtype == np.float64 else 1e-38]])
    soft = rng.random(count)
    return pairs((x, rng.choice([0.0, 1.0], x.size)), (rng.random(count), soft),
                 (powers(rng, count, -40, -1), soft), (near_one, soft))


def log_rates(rng, dtype, setting, count):
    """Poisson with log_input, and the other losses with a log link: exp of everything that is finite."""
    low, high = (-100, 88) if dtype == np.float32 else (-740, 708)
    x = np.concatenate([rng.normal(0, 2, count), rng.uniform(low, high, count), signed(rng, powers(rng, count, -30, 3)),
                        [0.0, low, high]])
    bottom, top = exponents(dtype)
    y = np.where(rng.random(x.size) < 0.5, rng.integers(1, 30, x.size), powers(rng, x.size, -20, 20))
    parts = [(x, y), (rng.normal(0, 20, count), powers(rng, count, bottom / 2, top / 2)),
             (np.log(y[:count]) * (1 + 1e-3 * rng.normal(size=count)), y[:count])]  # near the minimum
    power = setting.get("power", 1 if "full" in setting or not setting else None)
    if power is not None and power < 2:
        parts.append((x, 0.0))
    if power == 0:
        parts.append((rng.normal(0, 2, count), rng.normal(0, 5, count)))
    return pairs(*parts)


def positive_targets(rng, dtype, setting, count):
    """`log_rates` for losses whose target is positive, among them y exp(-x) where exp(-x) alone overflows."""
    result = log_rates(rng, dtype, {"power": 2}, count)
    span = 95 if dtype == np.float32 else 720
    far = rng.uniform(-span, span, count)
    return {name: np.concatenate([result[name], more])
            for name, more in (("input", far), ("target", np.exp(far * 0.9) * rng.uniform(0.5, 2, count)))}


def tweedie(rng, dtype, setting, count):
    power = setting["power"]
    result = positive_targets(rng, dtype, setting, count) if power >= 2 else log_rates(rng, dtype, setting, count)
    keep = np.abs(result["input"]) < (80 if dtype == np.float32 else 650) / max(1, abs(2 - power), abs(1 - power))
    return {name: values[keep] for name, values in result.items()}


def rates(rng, dtype, setting, count):
    if setting.get("log_input", True):
        return log_rates(rng, dtype, {"full": True}, count)
    low, high = exponents(dtype)
    x = np.concatenate([rng.gamma(2, 2, count), powers(rng, count, -30, 30), powers(rng, count, low / 2, high / 2),
                        both_sides([1.0], dtype), [1.0]])
    return pairs((x, rng.integers(0, 30, x.size)), (rng.gamma(2, 2, count), powers(rng, count, -20, 20)))


def gaussian(rng, dtype, setting, count):
    parts = difference()(rng, dtype, setting, count)
    size = parts["input"].size
    d = parts["input"] - parts["target"]
    keep = (np.abs(d) < 1e15) & ((np.abs(d) > 1e-15) | (d == 0))
    var = np.where(rng.random(size) < 0.5, rng.gamma(2, 1, size), powers(rng, size, -30, 30))
    var[rng.random(size) < 0.1] = 0  # below the clamp
    return {"input": parts["input"][keep], "target": parts["target"][keep], "var": var[keep]}


def above_minus_one(rng, dtype, setting, count):
    low, high = exponents(dtype)
    near = -1 + rng.integers(1, 300, count) * float(np.finfo(dtype).epsneg)
    y = np.concatenate([rng.gamma(2, 2, 2 * count), rng.uniform(-0.99, 1, count), powers(rng, count, -20, 20)])
    x = rng.permutation(y)
    return pairs((x, y), (near, y[:count]), (y[:count], near), (powers(rng, count, low, high), y[:count]),
                 (y[:count] * (1 + 1e-4 * rng.normal(size=count)), y[:count]),  # nearly the same
                 (signed(rng, powers(rng, count, low, -1)), 0.0))


def log_probabilities(rng, dtype, setting, count):
    """Input log-probabilities; target probabilities, or their logs."""
    x = -np.concatenate([rng.gamma(2, 2, 2 * count), powers(rng, count, -20, 9), powers(rng, count, -60, -20)])
    p = np.concatenate([rng.random(2 * count), powers(rng, count, -100, 0), powers(rng, count, -20, 5)])
    if setting.get("log_target"):
        y = np.concatenate([-rng.gamma(2, 2, 2 * count), -powers(rng, count, -20, 6.3), x[:count] * (1 + 1e-3)])
        return {"input": x, "target": y}
    close = -np.log(p[:count])
    return pairs((x, rng.permutation(p)), (x, 0.0), (-close * (1 + 1e-3 * rng.normal(size=count)), p[:count]))
