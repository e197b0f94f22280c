"""JAX: losses under jit, grad and vmap."""

import numpy as np
import pytest

import fastloss as fl

jax = pytest.importorskip("jax", reason="JAX is not installed (the extra fastloss[adapters])")
jnp = jax.numpy
wrap = fl.adapters.jax.wrap

RNG = np.random.default_rng(4)
LOGITS = RNG.normal(size=(6, 4)).astype(np.float32)
LABELS = np.array([0, 3, 1, 2, 2, 1], dtype=np.int32)
TARGET = RNG.normal(size=(6, 4)).astype(np.float32)

CASES = [(fl.cross_entropy, {"label_smoothing": 0.1}, LABELS), (fl.softmax_focal_loss, {}, LABELS),
         (fl.mse_loss, {}, TARGET), (fl.sigmoid_focal_loss, {"gamma": 1.0}, (TARGET > 0).astype(np.float32)),
         (fl.HuberLoss(delta=0.5), {}, TARGET), (fl.combine([(fl.mse_loss, 0.5), (fl.l2_penalty, 0.1)]), {}, TARGET)]
each_case = pytest.mark.parametrize(("loss", "options", "target"), CASES, ids=lambda x: getattr(x, "__name__", None))


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@each_case
def test_value_and_gradient_are_fastlosss(loss, options, target, reduction, jit):
    options = {**options, "reduction": reduction}
    f = wrap(loss, **options)
    value, back = jax.vjp(lambda x: (jax.jit(f) if jit else f)(x, target), LOGITS)
    upstream = np.asarray(RNG.normal(size=value.shape), dtype=np.float32)
    expected, grad = loss.value_and_grad(LOGITS, target, grad_output=upstream, **options)
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(back(upstream)[0], grad, rtol=1e-5, atol=1e-7)


def test_reduction_of_a_configured_loss():
    loss = fl.CrossEntropyLoss(reduction="none")
    np.testing.assert_allclose(jax.jit(wrap(loss))(LOGITS, LABELS), loss(LOGITS, LABELS), rtol=1e-6)


def test_value_and_grad_under_jit():
    value, grad = jax.jit(jax.value_and_grad(wrap(fl.cross_entropy)))(LOGITS, LABELS)
    expected, expected_grad = fl.cross_entropy.value_and_grad(LOGITS, LABELS)
    np.testing.assert_allclose(value, expected, rtol=1e-7)
    np.testing.assert_array_equal(grad, expected_grad)


def test_against_jaxs_own_autograd():
    def by_jax(x):
        return -jax.nn.log_softmax(x)[jnp.arange(6), LABELS].mean()

    def model(weights, loss):
        return loss(jnp.tanh(LOGITS @ weights))

    ours = wrap(fl.cross_entropy)
    weights = RNG.normal(size=(4, 4)).astype(np.float32)
    expected = jax.grad(model)(weights, by_jax)
    np.testing.assert_allclose(jax.grad(model)(weights, lambda x: ours(x, LABELS)), expected, rtol=1e-4, atol=1e-6)


def test_gradient_of_the_target():
    grads = jax.grad(wrap(fl.mse_loss), argnums=(0, 1))(LOGITS, TARGET)
    np.testing.assert_allclose(grads[1], -grads[0], rtol=1e-6)
    only = jax.grad(wrap(fl.mse_loss), argnums=1)(LOGITS, TARGET)
    np.testing.assert_array_equal(only, grads[1])
    with pytest.raises(TypeError, match="target is differentiated, but cross_entropy has no gradient"):
        jax.grad(wrap(fl.cross_entropy), argnums=1)(LOGITS, jax.nn.softmax(TARGET))
    with pytest.raises(TypeError, match="sample_weight is differentiated"):
        jax.grad(lambda w: wrap(fl.mse_loss)(LOGITS, TARGET, sample_weight=w))(np.ones((6, 4), np.float32))


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
def test_vmap(jit):
    batch = RNG.normal(size=(3, 6, 4)).astype(np.float32)
    f = jax.vmap(jax.value_and_grad(wrap(fl.cross_entropy, reduction="sum")), in_axes=(0, None))
    values, grads = (jax.jit(f) if jit else f)(batch, LABELS)
    for k in range(3):
        expected, grad = fl.cross_entropy.value_and_grad(batch[k], LABELS, reduction="sum")
        np.testing.assert_allclose(values[k], expected, rtol=1e-6)
        np.testing.assert_allclose(grads[k], grad, rtol=1e-6)


def test_arrays_may_be_traced():
    weight = np.linspace(0, 2, 6, dtype=np.float32)

    @jax.jit
    def f(x, w):
        return wrap(fl.cross_entropy)(x, LABELS, sample_weight=w * 2)

    np.testing.assert_allclose(f(LOGITS, weight), fl.cross_entropy(LOGITS, LABELS, sample_weight=weight), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype):
    pytest.importorskip("ml_dtypes")
    logits = jnp.asarray(LOGITS, dtype)
    value, grad = jax.jit(jax.value_and_grad(wrap(fl.cross_entropy)))(logits, LABELS)
    assert value.dtype == grad.dtype == logits.dtype
    np.testing.assert_allclose(float(value), fl.cross_entropy(LOGITS, LABELS), rtol=0.02)


def test_large_arrays_do_not_hang():
    """Callbacks that wait for JAX's own threads have done so."""
    logits, labels = np.zeros((4000, 500), np.float32), np.zeros(4000, np.int32)
    value, grad = jax.jit(jax.value_and_grad(wrap(fl.cross_entropy)))(jnp.asarray(logits) + 0, jnp.asarray(labels))
    np.testing.assert_allclose(value, np.log(500), rtol=1e-6)
    assert grad.shape == logits.shape


def test_errors():
    with pytest.raises(TypeError, match="loss must be a loss of fastloss"):
        wrap(jnp.mean)
    with pytest.raises(TypeError, match="mse_loss has no option 'gamma'"):
        wrap(fl.mse_loss, gamma=1)
    with pytest.raises(TypeError, match="has no option 'gamma'"):
        wrap(fl.mse_loss)(LOGITS, TARGET, gamma=1)
    with pytest.raises(Exception, match="target has shape"):
        jax.block_until_ready(wrap(fl.mse_loss)(LOGITS, TARGET[:3]))


@pytest.mark.parametrize("in_a_sum", [False, True])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("classes", [3, 5])
def test_class_axis_of_a_configured_loss(classes, axis, in_a_sum):
    """Also where the shapes of values along another axis would be the same."""
    x = RNG.normal(size=(classes, 2, 3) if axis == 0 else (2, 3, classes)).astype(np.float32)
    labels = np.array([[0, 1, 2], [2, 1, 0]])
    loss = fl.CrossEntropyLoss(axis=axis, reduction="none")
    loss = fl.combine([(loss, 2.0)]) if in_a_sum else loss
    value, back = jax.vjp(lambda x: wrap(loss)(x, labels), x)
    upstream = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected, grad = loss.value_and_grad(x, labels, grad_output=upstream)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(back(upstream)[0], grad, rtol=1e-5, atol=1e-7)
