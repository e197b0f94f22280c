"""The configured classes: the same results as the functions, readable, picklable, equal by their options."""

import copy
import inspect
import pickle

import losses
import numpy as np
import pytest
from checks import assert_same_bits

import fastloss as fl

every_loss = pytest.mark.parametrize("loss", losses.LOSSES, ids=lambda loss: loss.name)


def configured(loss, weighted=False):
    parameters = dict(loss.parameters)
    if weighted:
        parameters["weight"] = np.array([0.5, 1, 2, 1, 3], np.float32)
    return loss.criterion_class()(**parameters), parameters


def arguments(loss):
    return loss.sample(np.random.default_rng(0), np.float32, (20, 5))


def is_loss_function(thing):
    return hasattr(thing, "value_and_grad") and not isinstance(thing, type)


@every_loss
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_all_four_ways_to_call(loss, weighted):
    criterion, parameters = configured(loss, weighted)
    input, target = arguments(loss)
    function = loss.function()
    assert_same_bits(criterion(input, target), function(input, target, **parameters))
    for method in ("value_and_grad", "grad", "grad_and_hess"):
        got = getattr(criterion, method)(input, target)
        assert_same_bits(got, getattr(function, method)(input, target, **parameters), method)


@every_loss
def test_default_options(loss):
    input, target = arguments(loss)
    assert_same_bits(loss.criterion_class()().value_and_grad(input, target),
                     loss.function().value_and_grad(input, target))


@every_loss
def test_keywords_of_a_call(loss):
    """sample_weight and the like belong to the batch, not to the configuration."""
    criterion, parameters = configured(loss)
    input, target = arguments(loss)
    per_call = {"sample_weight": np.linspace(0, 2, 20), "n_threads": 1}
    assert_same_bits(criterion(input, target, **per_call), loss.function()(input, target, **parameters, **per_call))
    out = np.empty_like(input)
    value, grad = criterion.value_and_grad(input, target, out=out, grad_output=2.0, **per_call)
    assert grad is out
    expected = loss.function().value_and_grad(input, target, grad_output=2.0, **parameters, **per_call)
    assert_same_bits((value, grad), expected)
    # and the next call is not affected by them
    assert_same_bits(criterion(input, target), loss.function()(input, target, **parameters))


@every_loss
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
def test_reduction(loss, reduction):
    input, target = arguments(loss)
    criterion = loss.criterion_class()(reduction=reduction)
    assert_same_bits(criterion(input, target), loss.function()(input, target, reduction=reduction))


@every_loss
def test_repr_names_the_class_and_its_options(loss):
    criterion, parameters = configured(loss)
    text = repr(criterion)
    assert text.startswith(f"{loss.criterion}(")
    assert text.endswith(")")
    for name, value in parameters.items():
        assert f"{name}={value!r}" in text
    assert repr(loss.criterion_class()()).startswith(f"{loss.criterion}(")


@every_loss
def test_repr_with_a_weight_is_one_readable_line(loss):
    criterion = loss.criterion_class()(weight=np.array([0.5, 2.0]))
    assert "weight=" in repr(criterion)
    assert "0.5" in repr(criterion)
    many = repr(loss.criterion_class()(weight=np.ones(50_000)))
    assert len(many) < 1000


@every_loss
def test_repr_can_be_evaluated(loss):
    criterion, _ = configured(loss)
    assert eval(repr(criterion), {loss.criterion: loss.criterion_class()}) == criterion


@every_loss
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_pickle_and_copy(loss, weighted):
    criterion, _ = configured(loss, weighted)
    input, target = arguments(loss)
    copies = [pickle.loads(pickle.dumps(criterion, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for other in (*copies, copy.copy(criterion), copy.deepcopy(criterion)):
        assert type(other) is type(criterion)
        assert other == criterion
        assert repr(other) == repr(criterion)
        assert_same_bits(other.value_and_grad(input, target), criterion.value_and_grad(input, target))


@every_loss
def test_the_function_pickles_too(loss):
    """For joblib and multiprocessing: by name, to the same object."""
    assert pickle.loads(pickle.dumps(loss.function())) is loss.function()
    assert loss.name in repr(loss.function())


@every_loss
def test_equality_by_options(loss):
    cls = loss.criterion_class()
    assert cls() == cls()
    assert cls() == cls(reduction="mean")
    assert cls() != cls(reduction="sum")
    assert cls(ignore_index=3) == cls(ignore_index=3)
    assert cls(ignore_index=3) != cls(ignore_index=4)
    assert cls() != "anything else"
    assert cls() != None  # noqa: E711  (the operator is what is tested)


@every_loss
def test_equality_with_weights(loss):
    """Arrays compare by their elements, to one bool, also when the shapes differ."""
    cls = loss.criterion_class()
    assert cls(weight=np.array([1.0, 2])) == cls(weight=np.array([1.0, 2]))
    for other in (np.array([1.0, 3]), np.array([1.0, 2, 3]), None):
        assert (cls(weight=np.array([1.0, 2])) == cls(weight=other)) is False
        assert (cls(weight=np.array([1.0, 2])) != cls(weight=other)) is True


def test_classes_of_different_losses_differ():
    assert fl.CrossEntropyLoss() != fl.NLLLoss()


@every_loss
def test_equal_criteria_have_equal_hashes_if_any(loss):
    first, second = configured(loss)[0], configured(loss)[0]
    try:
        assert hash(first) == hash(second)
    except TypeError as error:
        assert "unhashable" in str(error)


@every_loss
@pytest.mark.parametrize(("options", "error"), [({"reduction": "avg"}, ValueError),
                                                ({"weight": [1.0, -1.0]}, ValueError),
                                                ({"ignore_index": "0"}, (TypeError, ValueError))], ids=str)
def test_bad_options_fail_like_the_function(loss, options, error):
    """At the latest when the criterion is used."""
    with pytest.raises(error, match=next(iter(options))):
        loss.criterion_class()(**options)(np.zeros((2, 2)), [0, 1])


@every_loss
def test_unknown_option(loss):
    with pytest.raises(TypeError, match="size_average"):
        loss.criterion_class()(size_average=True)


@every_loss
def test_weight_may_be_given_by_position(loss):
    """As in PyTorch; no other option may."""
    cls, weight = loss.criterion_class(), np.ones(5)
    assert cls(weight) == cls(weight=weight)
    with pytest.raises(TypeError):
        cls(weight, "sum")
    with pytest.raises(TypeError):
        cls(weight, weight=weight)


@every_loss
def test_signatures_are_visible(loss):
    """To editors and to help(): the names, and the defaults where they matter."""
    parameters = inspect.signature(loss.function()).parameters
    assert list(parameters)[:2] == ["input", "target"]
    expected = {"weight", "ignore_index", "reduction", "sample_weight", "axis", "normalizer", "n_threads"}
    assert expected <= set(parameters)
    for name in expected:
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["reduction"].default == "mean"
    assert parameters["ignore_index"].default == -100


@every_loss
def test_input_and_target_may_be_named(loss):
    input, target = arguments(loss)
    assert_same_bits(loss.function()(input=input, target=target), loss.function()(input, target))
    assert_same_bits(loss.function().grad(target=target, input=input), loss.function().grad(input, target))
