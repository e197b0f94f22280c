"""Hostile input: every public function, by every method, with anything that can be passed to it.

A call either gives what the oracle gives, or raises the documented exception, with a text that names the argument, what
was wrong with it and what would be right. Arguments never change, and `out` is untouched after an error.

FASTLOSS_HOSTILE_CALLS=100000 makes that many calls, of other arguments every time; the default is a few thousand, the
same ones every time.
"""

import os

import hostile_calls
import hostile_others
import hostile_rows
import hostile_truth
import pytest
from hostile import Chooser

import fastloss as fl

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

TARGETS = (len(hostile_calls.ELEMENTWISE) + len(hostile_rows.ROWWISE) + len(hostile_others.ALONG_AXIS)
           + len(hostile_others.ONE_BY_ONE) + 2)
CALLS = int(os.environ.get("FASTLOSS_HOSTILE_CALLS", 0))


@st.composite
def calls(draw, make, *arguments):
    return make(Chooser(draw, st), *arguments)


def generated(share=1):
    """Settings of hypothesis: this test's share of all calls."""
    count = max(1, int((CALLS or 3000) / TARGETS * share))
    phases = [phase for phase in hypothesis.Phase if phase != hypothesis.Phase.explain]
    return hypothesis.settings(max_examples=count, deadline=None, database=None, derandomize=not CALLS, phases=phases,
                               print_blob=True, suppress_health_check=list(hypothesis.HealthCheck))


def run(call, check, *arguments):
    """Make the call, and compare what comes back."""
    result = call.make()
    if not call.faults:
        check_outputs(call, result)
        check(call, *arguments, result)


def check_outputs(call, result):
    """`out` is what comes back."""
    views = [view for view, _ in call.outputs]
    results = result if isinstance(result, tuple) else (result,)
    for view, got in zip(views, results[-len(views):] if views else ()):
        assert got is view, "out is not what is returned"


@pytest.mark.parametrize("name", hostile_calls.ELEMENTWISE)
@generated()
@hypothesis.given(data=st.data())
def test_elementwise(name, data):
    row = hostile_calls.ELEMENTWISE[name]
    run(data.draw(calls(hostile_calls.elementwise, row)), hostile_truth.check_elementwise, row)


@pytest.mark.parametrize("name", hostile_rows.ROWWISE)
@generated()
@hypothesis.given(data=st.data())
def test_losses_over_classes(name, data):
    run(data.draw(calls(hostile_rows.losses, name)), hostile_rows.check_losses)


@pytest.mark.parametrize("name", [*hostile_others.ALONG_AXIS, *hostile_others.ONE_BY_ONE])
@generated()
@hypothesis.given(data=st.data())
def test_transforms(name, data):
    run(data.draw(calls(hostile_others.transforms, name)), hostile_others.check_transforms)


@generated()
@hypothesis.given(data=st.data())
def test_one_hot(data):
    run(data.draw(calls(hostile_others.one_hot)), hostile_others.check_one_hot)


@generated()
@hypothesis.given(data=st.data())
def test_combine(data):
    run(data.draw(calls(hostile_others.combined)), hostile_others.check_combined)


@generated(share=0.3)
@hypothesis.given(data=st.data())
def test_thread_settings(data):
    before = fl.get_num_threads()
    try:
        call = data.draw(calls(hostile_others.thread_settings))
        call.make()
        if call.faults:
            assert fl.get_num_threads() == before
    finally:
        fl.set_num_threads(None)


@pytest.mark.parametrize("mode", ["", "json", 1, b"dicts", ["dicts"]], ids=repr)
def test_show_config(mode):
    with pytest.raises(ValueError, match="mode must be"):
        fl.show_config(mode=mode)


def test_every_public_name_is_called():
    """A function that is added and not called here is a hole in the promise."""
    called = {*hostile_calls.ELEMENTWISE, *hostile_rows.ROWWISE, *hostile_others.ALONG_AXIS, *hostile_others.ONE_BY_ONE,
              "one_hot", "combine", "show_config", "set_num_threads", "num_threads", "get_num_threads"}
    classes = {row.criterion for row in hostile_calls.ELEMENTWISE.values()} | set(hostile_rows.CRITERIA.values())
    no_arguments = {"__version__", "isa"}
    assert set(fl.__all__) == called | (classes - {None}) | no_arguments
