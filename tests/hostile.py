"""Hostile arguments, drawn by hypothesis: numbers of every size, arrays of every dress, and things that are no arrays.

A value that NumPy can read is "dressed": the same numbers in some memory layout, byte order, subclass, list or scalar.
`Call` collects what a call is made of, makes it, and looks afterwards that nothing changed that should not.
"""

import collections
import fractions
import re

import arrays
import numpy as np
from checks import bits

try:
    import ml_dtypes

    HALVES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
except ImportError:
    HALVES = [np.dtype(np.float16)]

FLOATS = [np.dtype(np.float32), np.dtype(np.float64), *HALVES]
INTEGERS = [np.dtype(kind) for kind in ("i8", "i4", "u1", "i1", "u8", "i2", "u2", "u4", "longlong", "ulonglong")]
DTYPES = [*FLOATS, *INTEGERS, np.dtype(bool)]
# (The last has two dimensions less than the oldest NumPy's most, for wrong shapes that are made from it.)
SHAPES = [(3,), (2, 3), (), (1,), (0,), (17,), (2, 1, 3), (0, 4), (3, 0), (9, 4), (1,) * 30]


class Chooser:
    """Decisions of hypothesis (the simplest option first, for shrinking), and what a generator it has seeded gives."""

    def __init__(self, draw, st):
        self._draw, self._st = draw, st
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def pick(self, options):
        options = list(options)
        return options[self._draw(self._st.integers(0, len(options) - 1))]

    def chance(self, percent):
        return self.rng.integers(100) < percent


# --- numbers ---------------------------------------------------------------------------------------------------------

MOODS = ["ordinary", "equal", "wide", "special", "extreme"]


def numbers(c, shape, dtype, mood):
    """Real numbers of a floating dtype, in it; of an integer dtype, all that it holds."""
    rng, dtype = c.rng, np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        low, high = (info.min, info.max) if mood == "extreme" else (max(-9, info.min), 10)
        return np.asarray(rng.integers(low, high, shape, dtype=dtype, endpoint=True))
    size = int(np.prod(shape, dtype=int))
    values = rng.normal(0, 3, size)
    if mood == "equal":
        values[:] = rng.choice([0.0, -0.0, 1.0, -0.3])
    elif mood == "wide":
        values = rng.choice([-1.0, 1.0], size) * 2.0 ** rng.uniform(-20, 10, size)
    elif mood == "special":
        values = np.where(rng.random(size) < 0.4, rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], size), values)
    elif mood == "extreme":
        values = extremes(rng, size, dtype)
    with np.errstate(all="ignore"):
        return values.astype(dtype).reshape(shape)


def extremes(rng, size, dtype):
    """Of every size that the dtype has: its ends and their neighbours, subnormal numbers, powers from end to end.

    As float64; what is no number of the dtype is rounded to one by the caller.
    """
    bottom, top = {"float16": (-24, 15), "bfloat16": (-133, 127), "float32": (-149, 127)}.get(dtype.name, (-1074, 1023))
    with np.errstate(all="ignore"):
        powers = np.ldexp(rng.uniform(1, 2, size), rng.integers(bottom, top, size))
        ends = rng.choice([0.0, 2.0**bottom, 3 * 2.0**bottom, 1.0, 1 + 2.0**-23, 2.0**top, 1.99 * 2.0**top], size)
    return rng.choice([-1.0, 1.0], size) * np.where(rng.random(size) < 0.3, ends, powers)


# --- dress -----------------------------------------------------------------------------------------------------------


class Subclass(np.ndarray):
    """An array that changes what a careless library does with it."""

    def __getitem__(self, index):
        raise AssertionError("a subclass was indexed")

    def __array_ufunc__(self, *args, **kwargs):
        raise AssertionError("a ufunc was called on a subclass")


class Wrapped:
    """No array, but something that NumPy makes one of, as a pandas column or a tensor is."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)


def dress(c, array):
    """The same numbers as something else that NumPy reads the same: of the same dtype, but for byte order."""
    array = np.asarray(array)
    kind = c.pick(["plain", "layout", "layout", "subclass", "wrapped", "list", "memmap"])
    if kind == "layout":
        return c.pick([variant for _, variant in arrays.variants(array)])
    if kind == "subclass":
        return array.copy().view(Subclass)
    if kind == "wrapped":
        return Wrapped(array)
    if kind == "memmap" and array.size and array.dtype.isbuiltin == 1:
        return array.copy().view(np.memmap)
    if kind == "list" and np.asarray(array.tolist()).dtype == array.dtype and np.shape(array.tolist()) == array.shape:
        return array.tolist() if c.chance(50) or not array.ndim else tuple(array.tolist())
    if not array.ndim and c.chance(50):
        return array[()]  # a NumPy scalar
    return array.copy()


# --- what is no array of real numbers --------------------------------------------------------------------------------

STRANGE = ["c8", "c16", "O", "U3", "S3", "M8[s]", "m8[s]", "V4", "i4,f8"]
if np.dtype(np.longdouble) != np.float64:
    STRANGE += ["longdouble", "clongdouble"]


def no_numbers(c, shape):
    """(argument, a word that its error must have): things that no argument of numbers may be."""
    kind = c.pick(["dtype", "masked", "object", "text", "none", "set"])
    if kind == "masked":
        return np.ma.masked_array(np.ones(shape), mask=np.zeros(shape, bool)), "masked"
    if kind == "object":
        return np.full(shape, fractions.Fraction(1, 3), object), "object"
    if kind == "text":
        return "abc", "dtype"
    if kind == "none":
        return np.array(None), "object"
    if kind == "set":
        return {1.0, 2.0}, "object"
    dtype = np.dtype(c.pick(STRANGE))
    return np.zeros(shape, dtype), str(dtype)


RAGGED = [[1.0, 2.0], [3.0]]

# Neither a number nor something that becomes one.
NOT_A_NUMBER = ["1.5", b"1", 1j, None, [1.0, 2.0], {}, np.datetime64("2020-01-01"), np.complex64(1), object(), int,
                np.ones(2), np.ones((1, 1)), np.array("a")]
NOT_AN_INTEGER = [1.0, "1", None, [1], np.float64(2), np.ones(1), 1j, float("nan")]

# Every error says what would be right, in one of these ways.
ADVICE = re.compile(r"\bmust\b|\bneeds?\b|\bneed\b|but (the result|input) has|out of range|does not broadcast"
                    r"|only the input itself|read-only|has no meaning|cannot be read|overlaps itself|no classes on axis"
                    r"|masked array|has no option|has no derivatives|got an unexpected keyword|larger than any"
                    r"|use float64 input|missing")

# --- a call ----------------------------------------------------------------------------------------------------------

METHODS = ["value_and_grad", "grad_and_hess", "grad", "__call__"]
Fault = collections.namedtuple("Fault", "errors words")  # the exceptions it may raise, and what their text must have


class Call:
    """One call of `function` by one of its four methods.

    `arguments` are the positional ones by name, as given; `options` likewise. `faults` says what is wrong with them.
    `plain` has the numbers themselves, for the oracle, by the same names.
    """

    def __init__(self, name, function, method, arguments, options):
        self.name, self.function, self.method = name, function, method
        self.arguments, self.options, self.plain, self.faults = arguments, options, {}, []
        self.outputs = []  # (view, its memory): where results are to go
        self.configured = set()  # options that `function`, a configured class, has already

    @property
    def derivatives(self):
        return self.method != "__call__"

    def __repr__(self):
        def show(value):
            if not isinstance(value, np.ndarray):
                return repr(value)
            return f"{value.view(np.ndarray)!r}<{type(value).__name__}, {value.dtype.str}, strides {value.strides}>"

        parts = [f"{name}={show(value)}" for name, value in {**self.arguments, **self.options}.items()]
        return f"{self.name}.{self.method}({', '.join(parts)}) with {self.faults or 'nothing wrong'}"

    def add_fault(self, errors, *words):
        self.faults.append(Fault(errors if isinstance(errors, tuple) else (errors,), words))

    def make(self):
        """The result; or None where an error is due, and came. Everything that must not change is compared."""
        read = [value for value in (*self.arguments.values(), *self.options.values())
                if not any(value is view for view, _ in self.outputs) and value is not self.options.get("out")]
        before = [snapshot(value) for value in read]
        memories = [(memory, memory.copy()) for _, memory in self.outputs]
        options = {name: value for name, value in self.options.items() if name not in self.configured}
        try:
            result = getattr(self.function, self.method)(*self.arguments.values(), **options)
        except Exception as error:
            for memory, old in memories:
                assert np.array_equal(memory, old), f"out was written to before {error!r}"
            self._check_error(error)
            return None
        finally:
            for value, old in zip(read, before):
                assert snapshot(value) == old, "an argument was changed"
        assert not self.faults, f"no error, but {result!r}"
        for (view, _), (memory, old) in zip(self.outputs, memories):
            outside = arrays.surroundings(view, memory)
            assert np.array_equal(memory[outside], old[outside]), "something beside out was written to"
        return result

    def _check_error(self, error):
        text = str(error)
        fitting = [fault for fault in self.faults
                   if type(error) in fault.errors and all(word in text for word in fault.words)]
        if not fitting:
            raise AssertionError(f"{type(error).__name__}: {text}") from error
        assert ADVICE.search(text), f"does not say what would be right: {text}"


def snapshot(value):
    """What is compared to see that an argument was not changed."""
    if isinstance(value, np.ma.MaskedArray):
        return snapshot(value.data), value.mask.tobytes()
    if isinstance(value, np.ndarray):
        flat = value.view(np.ndarray)
        content = repr(flat.tolist()) if flat.dtype.hasobject else bits(flat) if flat.dtype.names is None else None
        return content, flat.shape, flat.strides, flat.dtype, flat.flags.writeable
    if isinstance(value, Wrapped):
        return snapshot(value.array)
    return repr(value)
