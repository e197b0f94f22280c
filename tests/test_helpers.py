"""The tests' own tools: an oracle or a canary that cannot fail would make every other test pass."""

import arrays
import numpy as np
import pytest
import reference
from checks import assert_same_bits, assert_ulp, bits
from reference import INF, MP, NAN, ulp_error

ONE = MP.mpf(1)


@pytest.mark.parametrize(("got", "exact", "dtype", "ulp"), [
    (1.0, ONE, "float32", 0),
    (1 + 2.0**-23, ONE, "float32", 1),
    (1 - 2.0**-24, ONE, "float32", 0.5),             # the unit is that of the exact number
    (1 + 2.0**-52, ONE, "float64", 1),
    (1.5, ONE, "float16", 512),
    (1 + 2.0**-7, ONE, "bfloat16", 1),
    (1 + 3e-8, ONE, "float32", pytest.approx(0.2517, rel=1e-3)),  # a wider result is not rounded
    (0.0, MP.mpf(2) ** -127, "float32", 0),          # below the smallest normal number: may be flushed
    (0.0, MP.mpf(2) ** -126, "float32", 2**23),      # the smallest normal number itself may not
    (2.0**-149, MP.mpf(2) ** -148, "float32", 1),    # nor may a subnormal result be wrong
    (0.0, MP.mpf(2) ** -20, "float16", 16),          # computed in float32, where it is no subnormal
    (1e-45, MP.mpf(0), "float32", pytest.approx(1, rel=0.3)),
    (np.inf, MP.mpf(2) ** 128, "float32", 0),
    (np.inf, MP.mpf(2) ** 127, "float32", np.inf),
    (-np.inf, MP.mpf(2) ** 128, "float32", np.inf),
    (np.inf, INF, "float64", 0),
    (1e308, INF, "float64", np.inf),
    (np.nan, NAN, "float32", 0),
    (np.nan, ONE, "float32", np.inf),
    (1.0, NAN, "float32", np.inf),
])
def test_ulp_error(got, exact, dtype, ulp):
    dtype = np.dtype(dtype) if dtype != "bfloat16" else np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    assert ulp_error(got, exact, dtype) == ulp


def test_ulp_error_on_the_scale_of_the_terms():
    assert ulp_error(2.0**-30, MP.mpf(0), np.float32, scale=ONE) == 2.0**-7


def test_assertions_can_fail():
    with pytest.raises(AssertionError, match=r"5.00 ULP at \(1,\)"):
        assert_ulp(np.array([1, 1 + 5 * 2.0**-23], np.float32), np.array([ONE, ONE]), np.float32, 4)
    with pytest.raises(AssertionError, match="shape"):
        assert_ulp(np.ones(2, np.float32), np.array([ONE]), np.float32, 4)
    with pytest.raises(AssertionError, match="inf ULP"):
        assert_ulp(np.nan, ONE, np.float64, 4)
    for got, expected in ((0.0, -0.0), (np.zeros(2), np.zeros((2, 1))), (np.zeros(2), np.zeros(2, np.float32)),
                          (1.0, np.float64(1.0)), ((1.0, np.ones(3)), (1.0, np.array([1, 1, 1 + 2.0**-52])))):
        with pytest.raises(AssertionError):
            assert_same_bits(got, expected)


def test_code_that_hangs_shows_where(run_python_unchecked):
    code = "def stuck():\n    while True:\n        pass\nprint('begun', flush=True)\nstuck()"
    done = run_python_unchecked(code, timeout=10)
    assert (done.returncode, done.stdout) == (1, "begun\n")
    assert "Timeout" in done.stderr and "in stuck" in done.stderr, done.stderr


def test_bits_do_not_depend_on_the_layout():
    array = np.arange(6.0).reshape(2, 3)
    assert bits(array) == bits(np.asfortranarray(array)) == bits(array.astype(">f8"))


def test_oracle_of_numbers_known_in_closed_form():
    zeros = np.zeros((1, 4))
    result = reference.cross_entropy(zeros, np.array([2]))
    assert abs(result.value - MP.log(4)) < MP.mpf(10) ** -65
    assert [float(g) for g in result.grad[0]] == [0.25, 0.25, -0.75, 0.25]
    assert [float(h) for h in result.hess[0]] == [0.1875] * 4
    # a gap of 700: 1 - p needs 304 digits if it is computed by subtracting
    result = reference.cross_entropy(np.array([[700.0, 0.0]]), np.array([0]))
    tiny = MP.exp(-700)
    assert abs(result.value / tiny - 1) < MP.mpf(10) ** -65
    assert abs(result.grad[0, 0] / -tiny - 1) < MP.mpf(10) ** -65


def test_oracle_reads_the_stored_numbers():
    assert reference.exact(np.float32(0.1)) != reference.exact(0.1)
    assert reference.exact(np.uint64(2**64 - 1)) == 2**64 - 1


@pytest.mark.parametrize("array", [np.arange(12.0).reshape(3, 4), np.arange(24, dtype=np.int16).reshape(2, 3, 4),
                                   np.arange(5, dtype=np.uint8), np.array(3.5), np.array([True, False]),
                                   np.empty((0, 3), np.float32)], ids=lambda a: f"{a.dtype}{a.shape}")
def test_variants_hold_the_same_numbers_in_another_layout(array):
    found = dict(arrays.variants(array))
    for name, variant in found.items():
        assert bits(variant) == bits(array), name
    assert not found["read-only"].flags.writeable
    if array.itemsize > 1 and array.size:
        assert not found["misaligned"].flags.aligned
        assert found["big-endian"].dtype.byteorder == ">"
    if array.ndim > 1 and array.size:
        assert not found["Fortran"].flags.c_contiguous
        assert not (found["transposed"].flags.c_contiguous or found["transposed"].flags.f_contiguous)
        assert found["reversed along 0"].strides[0] < 0 < found["strided along 0"].strides[0]


@pytest.mark.parametrize("shape", [(3, 4), (5,), (2, 3, 4)], ids=str)
def test_a_canary_shows_every_stray_byte(shape):
    for name, view, memory in arrays.out_variants(shape, np.float32):
        outside, before = arrays.surroundings(view, memory), memory.copy()
        assert outside.sum() == memory.size - view.nbytes, name
        view[...] = 1
        np.testing.assert_array_equal(memory[outside], before[outside])
        memory[:] += 1
        assert (memory[outside] != before[outside]).all()
