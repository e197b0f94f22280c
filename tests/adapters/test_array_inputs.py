"""Arrays of other libraries: read where NumPy reads them, refused by name where the memory is a GPU's."""

import numpy as np
import pytest

import fastloss as fl

X, Y = np.array([1.5, -2.0, 3.0]), np.array([1.0, 0.0, 1.0])
EXPECTED = fl.mse_loss.value_and_grad(X, Y)


class WithArray:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class OnlyDLPack:
    """An exporter that NumPy's asarray does not know."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OnGPU:
    """As a tensor of PyTorch or CuPy on a CUDA device behaves."""

    def __init__(self, device=2):
        self.device = device

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")

    def __dlpack__(self, **options):
        raise BufferError

    def __dlpack_device__(self):
        return self.device, 0


class WithoutDLPack:
    """A device array that knows no DLPack; CuPy's words."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")


def assert_reads(input, target=Y):
    value, grad = fl.mse_loss.value_and_grad(input, target)
    assert value == EXPECTED[0]
    np.testing.assert_array_equal(grad, EXPECTED[1])


@pytest.mark.parametrize("wrap", [WithArray, OnlyDLPack])
def test_protocols(wrap):
    assert_reads(wrap(X))
    assert_reads(X, wrap(Y))
    labels = np.array([0, 2])
    logits = np.array([[1.0, 2.0, 3.0], [0.0, 0.5, 1.0]])
    weight = np.array([1.0, 2.0, 3.0])
    expected = fl.cross_entropy(logits, labels, weight=weight, sample_weight=[1.0, 2.0])
    assert fl.cross_entropy(wrap(logits), wrap(labels), weight=wrap(weight), sample_weight=wrap(weight[:2])) == expected
    np.testing.assert_array_equal(fl.softmax(wrap(logits)), fl.softmax(logits))


@pytest.mark.parametrize("device", [3, 11])
def test_pinned_memory_is_the_cpus(device):
    """CUDA's and ROCm's page-locked host memory."""
    class Pinned(WithArray):
        def __dlpack_device__(self):
            return device, 0

    assert_reads(Pinned(X))


@pytest.mark.parametrize("name", ["input", "target", "weight", "sample_weight"])
@pytest.mark.parametrize("device", [2, 8, 10])
def test_gpu_arrays_are_refused_by_name(name, device):
    arguments = {"input": X, "target": Y, "weight": np.ones(3), "sample_weight": np.ones(3), name: OnGPU(device)}
    with pytest.raises(TypeError, match=rf"^{name} is not in the CPU's memory .*type is {device}\).*\.cpu\(\)"):
        fl.mse_loss(arguments.pop("input"), arguments.pop("target"), **arguments)
    with pytest.raises(TypeError, match="^target is not in the CPU's memory"):
        fl.cross_entropy(np.zeros((3, 2)), OnGPU(device))


def test_other_device_arrays_are_refused_by_name():
    with pytest.raises(TypeError, match="^input cannot be read as an array: Implicit conversion"):
        fl.mse_loss(WithoutDLPack(), Y)
    with pytest.raises(TypeError, match="^x cannot be read as an array"):
        fl.sigmoid(WithoutDLPack())


def test_pandas():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed (the extra fastloss[adapters])")
    frame = pandas.DataFrame({"x": X, "y": Y})
    assert_reads(frame["x"], frame["y"])
    assert_reads(frame["x"], frame["y"].astype("Int64"))
    assert_reads(frame["x"].astype("Float64"), frame["y"].astype(bool))
    assert fl.cross_entropy(frame, frame["y"].astype("Int8")) == fl.cross_entropy(frame.to_numpy(), Y.astype(int))
    assert np.isnan(fl.mse_loss(pandas.Series([1.5, None, 3.0], dtype="Float64"), Y))  # a missing value is NaN
    with pytest.raises(TypeError, match="^input has dtype"):
        fl.mse_loss(pandas.Series(["a", "b", "c"]), Y)


def test_polars():
    polars = pytest.importorskip("polars", reason="polars is not installed (the extra fastloss[adapters])")
    frame = polars.DataFrame({"x": X, "y": Y})
    assert_reads(frame["x"], frame["y"])
    assert_reads(frame["x"], frame["y"].cast(polars.Int8))
    assert_reads(frame["x"], frame["y"].cast(polars.Boolean))
    assert fl.cross_entropy(frame, frame["y"].cast(polars.UInt32)) == fl.cross_entropy(frame.to_numpy(), Y.astype(int))
    assert np.isnan(fl.mse_loss(polars.Series([1.5, None, 3.0]), Y))
    with pytest.raises(TypeError, match="^input has dtype"):
        fl.mse_loss(polars.Series(["a", "b", "c"]), Y)


def test_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
    assert_reads(torch.tensor(X), torch.tensor(Y))
    with pytest.raises(TypeError, match="^input cannot be read as an array: .*detach"):
        fl.mse_loss(torch.tensor(X, requires_grad=True), Y)
    with pytest.raises(TypeError, match="^target cannot be read as an array: .*meta"):
        fl.mse_loss(X, torch.empty(3, device="meta"))


def test_jax():
    jax = pytest.importorskip("jax", reason="JAX is not installed (the extra fastloss[adapters])")
    x, y = X.astype(np.float32), Y.astype(np.float32)
    got = fl.mse_loss.value_and_grad(jax.numpy.array(x), jax.numpy.array(y))
    expected = fl.mse_loss.value_and_grad(x, y)
    assert got[0] == expected[0]
    np.testing.assert_array_equal(got[1], expected[1])
    with pytest.raises(TypeError, match="^input cannot be read as an array"):
        jax.jit(lambda x: fl.mse_loss(x, Y))(X)
