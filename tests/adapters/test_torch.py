"""PyTorch: twins of its criteria inside its autograd."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import fastloss as fl

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
adapter = fl.adapters.torch

N, C = 6, 5


def tensors(kind, dtype=torch.float64):
    """(input, target, ...) of one kind, input off all kinks."""
    generator = torch.Generator().manual_seed(3)
    real = torch.randn(N, C, generator=generator, dtype=torch.float64)
    unit = torch.rand(N, C, generator=generator, dtype=torch.float64) * 0.9 + 0.05
    labels = torch.tensor([0, 1, 4, 2, 1, 3])
    signs = torch.where(unit > 0.5, 1.0, -1.0)
    arguments = {
        "labels": (real, labels), "log labels": (real.log_softmax(1), labels), "soft": (real, unit.softmax(1)),
        "image": (torch.randn(2, C, 3, generator=generator, dtype=torch.float64), labels.view(2, 3)),
        "one row": (real[0], labels[2]), "logits": (real, unit), "probabilities": (unit, unit.flip(0)),
        "real": (real * 2, real.flip(0)), "counts": (real, (unit * 5).round()),
        "log probabilities": (real.log_softmax(1), unit.softmax(1)),
        "two logs": (real.log_softmax(1), unit.log_softmax(1)), "signs": (real, signs),
        "variances": (real, real.flip(0), unit), "row variances": (real, real.flip(0), unit[:, :1]),
        "variance without axis": (real, real.flip(0), unit[:, 0]),
    }[kind]
    return [a if a.dtype == torch.int64 else a.to(dtype) for a in arguments]


CLASS_WEIGHT = torch.tensor([0.5, 1.0, 2.0, 0.25, 3.0], dtype=torch.float64)

# (class, options, kind of arguments)
CRITERIA = [
    ("CrossEntropyLoss", {}, "labels"), ("CrossEntropyLoss", {}, "image"), ("CrossEntropyLoss", {}, "one row"),
    ("CrossEntropyLoss", {"weight": CLASS_WEIGHT, "ignore_index": 1, "label_smoothing": 0.1}, "labels"),
    ("CrossEntropyLoss", {"weight": CLASS_WEIGHT, "label_smoothing": 0.1}, "soft"),
    ("NLLLoss", {}, "log labels"), ("NLLLoss", {"weight": CLASS_WEIGHT, "ignore_index": 1}, "log labels"),
    ("MultiMarginLoss", {}, "labels"), ("MultiMarginLoss", {"p": 2, "margin": 0.5, "weight": CLASS_WEIGHT}, "labels"),
    ("BCELoss", {}, "probabilities"), ("BCELoss", {"weight": CLASS_WEIGHT}, "probabilities"),
    ("BCEWithLogitsLoss", {}, "logits"),
    ("BCEWithLogitsLoss", {"weight": CLASS_WEIGHT, "pos_weight": CLASS_WEIGHT.flip(0)}, "logits"),
    ("MSELoss", {}, "real"), ("L1Loss", {}, "real"), ("SmoothL1Loss", {"beta": 0.7}, "real"),
    ("HuberLoss", {"delta": 1.3}, "real"), ("PoissonNLLLoss", {"full": True}, "counts"),
    ("PoissonNLLLoss", {"log_input": False}, "probabilities"),
    ("GaussianNLLLoss", {"full": True}, "variances"), ("GaussianNLLLoss", {}, "row variances"),
    ("GaussianNLLLoss", {}, "variance without axis"),
    ("KLDivLoss", {}, "log probabilities"), ("KLDivLoss", {"log_target": True}, "two logs"),
    ("HingeEmbeddingLoss", {"margin": 0.8}, "signs"), ("SoftMarginLoss", {}, "signs"),
]
ids = [f"{name}({', '.join(options)}) {kind}" for name, options, kind in CRITERIA]
each_criterion = pytest.mark.parametrize(("name", "options", "kind"), CRITERIA, ids=ids)

# Arguments besides the input by which fastloss differentiates.
DIFFERENTIABLE = {"BCELoss": 1, "BCEWithLogitsLoss": 1, "MSELoss": 1, "L1Loss": 1, "SmoothL1Loss": 1, "HuberLoss": 1,
                  "GaussianNLLLoss": 2, "KLDivLoss": 1, "PoissonNLLLoss": 0}


def differentiated(name, arguments):
    """Fresh leaves; those with a gradient require it."""
    count = 1 + DIFFERENTIABLE.get(name, 0)
    return [a.clone().requires_grad_(k < count) for k, a in enumerate(arguments)]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@each_criterion
def test_value_and_gradients_are_those_of_torch(name, options, kind, reduction):
    values, gradients = [], []
    for nn in (torch.nn, adapter.nn):
        arguments = differentiated(name, tensors(kind))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "mean" of KLDivLoss: PyTorch announces another meaning
            value = getattr(nn, name)(reduction=reduction, **options)(*arguments)
        value.backward(torch.arange(1.0, value.numel() + 1, dtype=value.dtype).view(value.shape))
        values.append(value)
        gradients.append([a.grad for a in arguments if a.requires_grad])
    assert values[1].dtype == torch.float64
    torch.testing.assert_close(*values, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@each_criterion
def test_gradcheck(name, options, kind, reduction):
    criterion = getattr(adapter.nn, name)(reduction=reduction, **options)
    assert torch.autograd.gradcheck(lambda *a: 3 * criterion(*a), differentiated(name, tensors(kind)))


def test_every_criterion_of_both_has_a_twin():
    """Classes that fastloss and torch.nn both have, and the functions of both names."""
    shared = {name for name in fl.__all__ if name.endswith("Loss") and hasattr(torch.nn, name)}
    assert {name for name in vars(adapter.nn) if name.endswith("Loss")} == shared == {name for name, *_ in CRITERIA}
    functions = {getattr(fl, name).function.__name__ for name in shared}
    assert functions <= set(vars(adapter.functional))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_dtypes(dtype):
    if dtype == torch.bfloat16:
        pytest.importorskip("ml_dtypes", reason="bfloat16 needs ml_dtypes")
    logits, labels = tensors("labels", dtype)
    logits.requires_grad_()
    loss = adapter.nn.CrossEntropyLoss()(logits, labels)
    loss.backward()
    exact = logits.detach().double().requires_grad_()
    expected = torch.nn.CrossEntropyLoss()(exact, labels)
    expected.backward()
    assert loss.dtype == logits.grad.dtype == dtype
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(loss.double(), expected, rtol=eps, atol=0)
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=2 * eps, atol=1e-8)


def test_nothing_is_copied(monkeypatch):
    """The loss sees the tensors' own memory, and the gradient is the array that it wrote."""
    seen = []
    original = fl.mse_loss.value_and_grad

    def spy(input, target, **options):
        value, grad = original(input, target, **options)
        seen.extend([input.ctypes.data, target.ctypes.data, grad.ctypes.data])
        return value, grad

    monkeypatch.setattr(fl.mse_loss, "value_and_grad", spy)
    for dtype in (torch.float32, torch.float16):
        seen.clear()
        leaf, target = torch.randn(4, 3).to(dtype).T.requires_grad_(), torch.randn(3, 4).to(dtype)
        (grad,) = torch.autograd.grad(adapter.nn.MSELoss()(leaf, target), leaf)
        assert seen == [leaf.data_ptr(), target.data_ptr(), grad.data_ptr()]


def test_gradients_accumulate():
    """The way back may be gone twice; what the first left in .grad is not what is kept for the second."""
    x, y = tensors("real")
    x.requires_grad_()
    loss = adapter.nn.MSELoss(reduction="sum")(x, y)
    for k in range(1, 4):
        loss.backward(retain_graph=True)
        torch.testing.assert_close(x.grad, 2 * k * (x - y).detach())


def test_no_graph_without_need():
    x, y = tensors("real")
    assert not adapter.nn.MSELoss()(x, y).requires_grad
    x.requires_grad_()
    with torch.no_grad():
        assert not adapter.nn.MSELoss()(x, y).requires_grad


def test_a_training_loop_changes_one_import():
    """The same network, optimiser and data: the same losses."""
    histories = []
    for nn in (torch.nn, adapter.nn):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).double()
        optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
        criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        x = torch.randn(60, 4, dtype=torch.float64)
        labels = x[:, :3].argmax(1)
        history = []
        for _ in range(30):
            optimiser.zero_grad()
            loss = criterion(model(x), labels)
            loss.backward()
            optimiser.step()
            history.append(loss.item())
        histories.append(history)
    assert histories[1][-1] < histories[1][0] / 2
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-8)


def test_everything_else_is_torchs_own():
    assert adapter.nn.Linear is torch.nn.Linear
    assert adapter.nn.CTCLoss is torch.nn.CTCLoss
    assert adapter.functional.relu is torch.nn.functional.relu
    assert adapter.nn.functional is adapter.functional
    with pytest.raises(AttributeError, match="NoSuchLoss"):
        adapter.nn.NoSuchLoss  # noqa: B018


def test_modules_are_modules():
    """State, repr, copies and pickles are those of PyTorch's class."""
    criterion = adapter.nn.CrossEntropyLoss(weight=CLASS_WEIGHT)
    assert isinstance(criterion, torch.nn.CrossEntropyLoss)
    assert list(criterion.state_dict()) == ["weight"]
    assert repr(criterion) == "CrossEntropyLoss()"
    arguments = tensors("labels")
    for twin in (copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
        assert twin(*arguments) == criterion(*arguments)


def test_other_losses_and_sums():
    x, y = tensors("logits")
    x.requires_grad_()
    for loss, options in ((fl.sigmoid_focal_loss, {"gamma": 1.5}), (fl.LogCoshLoss(), {}),
                          (fl.combine([(fl.mse_loss, 0.5), (fl.l2_penalty, 0.1)]), {}),
                          (fl.sigmoid_focal_loss, {"sample_weight": torch.arange(5.0)})):
        assert torch.autograd.gradcheck(lambda x: adapter.apply(loss, x, y, **options), [x])
    rows, labels = tensors("labels")
    rows.requires_grad_()
    for reduction in ("mean", "none"):
        assert torch.autograd.gradcheck(
            lambda x: adapter.apply(fl.softmax_focal_loss, x, labels, reduction=reduction), [rows])
    configured = fl.CrossEntropyLoss(reduction="none", axis=-1)
    assert torch.autograd.gradcheck(lambda x: adapter.apply(configured, x, labels.view(2, 3)),
                                    [rows.detach().view(2, 3, 5).requires_grad_()])


def test_errors():
    x, labels = tensors("labels")
    meta = torch.empty(N, C, device="meta")
    with pytest.raises(TypeError, match=r"input is on the device meta; .* pass input\.cpu\(\)"):
        adapter.nn.CrossEntropyLoss()(meta, labels)
    with pytest.raises(TypeError, match="target is on the device meta"):
        adapter.nn.MSELoss()(x, meta)
    with pytest.raises(TypeError, match="weight is on the device meta"):
        adapter.functional.cross_entropy(x, labels, weight=meta[0])
    with pytest.raises(TypeError, match="input has the layout"):
        adapter.nn.MSELoss()(x.to_sparse(), x)
    with pytest.raises(TypeError, match=r"target requires grad, but cross_entropy has no .*target\.detach\(\)"):
        adapter.nn.CrossEntropyLoss()(x, x.softmax(1).requires_grad_())
    with pytest.raises(TypeError, match="weight requires grad"):
        adapter.functional.cross_entropy(x, labels, CLASS_WEIGHT.clone().requires_grad_())
    with pytest.raises(TypeError, match="use reduction"):
        adapter.functional.mse_loss(x, x, size_average=False)
    with pytest.raises(IndexError, match="out of range"):
        adapter.nn.CrossEntropyLoss()(x, labels + 9)
    with pytest.raises(TypeError, match="loss must be a loss of fastloss"):
        adapter.apply(torch.nn.functional.mse_loss, x, x)
    x.requires_grad_()
    with pytest.raises(RuntimeError, match="cannot be differentiated a second time"):
        torch.autograd.grad(adapter.nn.MSELoss()(x, x.detach() + 1), x, create_graph=True)


def test_bfloat16_without_ml_dtypes(run_python):
    code = ("import sys; sys.modules['ml_dtypes'] = None\n"
            "import torch, fastloss as fl\n"
            "x = torch.zeros(3, dtype=torch.bfloat16)\n"
            "try: fl.adapters.torch.nn.MSELoss()(x, x)\n"
            "except ImportError as error: print(error)")
    assert "pip install ml_dtypes" in run_python(code)


@pytest.mark.parametrize("option", [{"wrt": "target"}, {"grad_output": 5.0}, {"out": np.zeros(1)}], ids=str)
def test_apply_takes_only_options_of_the_loss(option):
    """These are fastloss's own, for gradients that autograd would take for its."""
    with pytest.raises(TypeError, match=f"mse_loss has no option '{next(iter(option))}'"):
        adapter.apply(fl.mse_loss, torch.tensor([3.0], requires_grad=True), torch.zeros(1), **option)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(dtype):
    """Losses are float32 there, gradients of the leaves' dtype; as PyTorch's."""
    (logits, labels), results = tensors("labels", dtype), []
    for nn in (torch.nn, adapter.nn):
        leaf = logits.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = nn.CrossEntropyLoss(CLASS_WEIGHT.to(dtype) if nn is adapter.nn else CLASS_WEIGHT.float())(
                leaf, labels)
        loss.backward()
        results.append((loss, leaf.grad))
    assert results[1][0].dtype == torch.float32
    torch.testing.assert_close(*results)


def test_star_import():
    for module in ("nn", "functional"):
        names = {}
        exec(f"from fastloss.adapters.torch.{module} import *", names)
        assert {name for name in vars(getattr(torch.nn, module, torch.nn)) if name[0] != "_"} <= set(names)
        ours = getattr(adapter, module)
        assert set(names) - {"__builtins__"} <= set(dir(ours))
        for name in ("MSELoss", "Linear") if module == "nn" else ("mse_loss", "relu"):
            assert names[name] is getattr(ours, name)
    assert adapter.nn.Linear is torch.nn.Linear
