"""Options that are nearly numbers or text, texts about what cannot be shown, and divisors without a reciprocal."""

import array

import numpy as np
import pytest

import fastloss as fl

HUGE = 10**5000  # more digits than Python turns into text
BUFFERS = [bytearray(b"0.5"), memoryview(b"1"), array.array("B", b"7")]


@pytest.mark.parametrize("value", BUFFERS, ids=["bytearray", "memoryview", "array"])
@pytest.mark.parametrize("name", ["label_smoothing", "normalizer"])
def test_a_buffer_of_text_is_no_number(name, value):
    with pytest.raises(TypeError, match=f"^{name} must be a number"):
        fl.cross_entropy([[1.0, 2.0]], [0], **{name: value})


class NotHashable(str):
    __hash__ = None


class NotShown:
    def __repr__(self):
        raise RuntimeError("no")


def test_letters_make_a_reduction():
    for text in (NotHashable("sum"), np.str_("sum")):
        assert fl.mse_loss([1.0], [3.0], reduction=text) == 4


CALLS = {
    "reduction of other letters": (lambda: fl.mse_loss([1.0], [1.0], reduction=NotHashable("x")), ValueError, "^reduc"),
    "reduction without text": (lambda: fl.mse_loss([1.0], [1.0], reduction=NotShown()), ValueError, "^reduction"),
    "n_threads": (lambda: fl.mse_loss([1.0], [1.0], n_threads=-HUGE), ValueError, "^n_threads"),
    "set_num_threads": (lambda: fl.set_num_threads(-HUGE), ValueError, "^n_threads"),
    "axis": (lambda: fl.cross_entropy([[1.0, 2.0]], [0], axis=HUGE), ValueError, "^axis"),
    "ignore_index": (lambda: fl.cross_entropy([[1.0, 2.0]], [5], ignore_index=HUGE), IndexError, "^target"),
    "num_classes below 1": (lambda: fl.one_hot([0], -HUGE), ValueError, "^num_classes"),
    "num_classes": (lambda: fl.one_hot([0], HUGE), ValueError, "^num_classes"),
    "normalizer": (lambda: fl.mse_loss([1.0], [1.0], normalizer=-HUGE), ValueError, "^normalizer"),
    "mode": (lambda: fl.show_config(mode=np.zeros(2)), ValueError, "^mode"),
}


@pytest.mark.parametrize("name", CALLS)
def test_texts_name_the_argument(name):
    call, error, text = CALLS[name]
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("options", [{"sample_weight": [1e-320]}, {"normalizer": 1e-310}], ids=str)
@pytest.mark.parametrize("loss", [fl.cross_entropy, fl.mse_loss], ids=["cross_entropy", "mse_loss"])
def test_a_denominator_without_a_reciprocal(loss, options):
    input, target = ([[1.0, 2.0]], [0]) if loss is fl.cross_entropy else ([1.0], [0.0])
    with pytest.raises(ValueError, match="the denominator of reduction='mean' is .* give larger ones"):
        loss.value_and_grad(input, target, **options)
    assert np.isfinite(loss(input, target, reduction="sum", sample_weight=options.get("sample_weight")))


@pytest.mark.parametrize("loss", [fl.cross_entropy, fl.mse_loss], ids=["cross_entropy", "mse_loss"])
def test_weights_that_add_up_to_infinity(loss):
    input, target = ([[1.0, 2.0]] * 2, [0, 1]) if loss is fl.cross_entropy else ([1.0, 2.0], [0.0, 0.0])
    with pytest.raises(ValueError, match="the weights add up to more than the largest"):
        loss.value_and_grad(input, target, sample_weight=[1e308, 1e308])
    assert np.isnan(loss(input, target, sample_weight=[np.inf, 1.0]))  # that is what an infinite weight means


class Masked:
    def __array__(self, dtype=None, copy=None):
        return np.ma.array([1.0, 2.0], mask=[False, True])


@pytest.mark.parametrize("input", [[np.ma.array(1.0), 2.0], [1.0, np.ma.masked], Masked()],
                         ids=["list", "masked", "object"])
def test_a_mask_inside(input):
    with pytest.raises(TypeError, match="^input (is|has) a masked array"):
        fl.mse_loss(input, [1.0, 2.0])


def test_memory_of_a_gpu():
    class OnGpu:
        __cuda_array_interface__ = None

    with pytest.raises(TypeError, match="^input is not in the CPU's memory"):
        fl.mse_loss(OnGpu(), [1.0])


def test_a_variance_that_float32_cannot_hold():
    """Beside float32 input: as exact as if all were float64."""
    input, target, var = np.float32([1.0, 2.0]), np.float32([0.5, 2.0]), np.array([1e300, 1e-50])
    found = fl.gaussian_nll_loss(input, target, var, reduction="none")
    expected = fl.gaussian_nll_loss(input.astype(float), target.astype(float), var, reduction="none")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.astype(np.float32))
