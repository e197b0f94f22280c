"""The same bits, for every loss: any number of threads, every instruction set with fused multiply-add, any layout, any
place for the results, run after run.

test_threads.py, test_isa.py and test_layouts.py look at single losses in depth; this goes over all of them, with one
set of arguments for each. What C gives on arm64 is compared by tools/equal_bits.py.
"""

import hashlib
import json

import arrays
import catalogue
import numpy as np
import pytest
import row_losses
from checks import assert_same_bits, bits

import fastloss as fl

# More than PARALLEL_BLOCKS blocks of elements, the last one not full; rows of several widths, wide ones among them.
SIZE = 5 * 16384 + 77
ROWS = [(9000, 10), (1500, 65), (700, 300)]
THREADS = range(1, 17)


def arguments(name, shape=None):
    """(arguments, options) of a loss, of irregular numbers in float32."""
    if name in catalogue.BY_NAME:
        row = catalogue.BY_NAME[name]
        setting = row.settings[-1]
        return row.irregular(setting, shape or (SIZE,), np.float32), setting
    rows, classes = shape or ROWS[0]
    rng = np.random.default_rng([7, classes])
    input = rng.normal(0, 3, (rows, classes)).astype(np.float32)
    return {"input": input, "target": rng.integers(0, classes, rows)}, {"weight": rng.random(classes)}


def results(name, given, setting, **more):
    """Everything that a loss gives: reduced and not, gradient and Hessian."""
    function = getattr(fl, name)
    found = [function(**given, **setting, **more), function(**given, **setting, **more, reduction="none")]
    if name != "zero_one_loss":
        found += [*function.value_and_grad(**given, **setting, **more),
                  *function.grad_and_hess(**given, **setting, **more)]
    return tuple(found)


LOSSES = [*catalogue.BY_NAME, *(row.name for row in row_losses.ROWS)]
every_loss = pytest.mark.parametrize("name", LOSSES)
every_derivative = pytest.mark.parametrize("name", [name for name in LOSSES if name != "zero_one_loss"])


@every_loss
def test_1_to_16_threads_and_run_after_run(name):
    for shape in ROWS if name not in catalogue.BY_NAME else [None]:
        given, setting = arguments(name, shape)
        expected = results(name, given, setting, n_threads=1)
        for count in (*THREADS, 1, 16):
            assert_same_bits(results(name, given, setting, n_threads=count), expected, f"{count} threads")


@every_loss
def test_strided_copies_and_contiguous_ones(name):
    """All arguments at once, and in all layouts; chunks end elsewhere than rows do."""
    shape = (61, 17) if name not in catalogue.BY_NAME else (1037,)
    given, setting = arguments(name, shape)
    expected = results(name, given, setting)
    dressed = {key: dict(arrays.variants(array)) for key, array in given.items()}
    for layout in set.intersection(*map(set, dressed.values())):
        own = {key: found[layout] for key, found in dressed.items()}
        assert_same_bits(results(name, own, setting), expected, layout)


@every_derivative
def test_in_place_and_separate(name):
    """More than one block, so that a block that writes too early would be seen by the next."""
    given, setting = arguments(name)
    function = getattr(fl, name)
    value, grad = function.value_and_grad(**given, **setting)
    _, hess = function.grad_and_hess(**given, **setting)
    out, second = np.empty_like(grad), np.empty_like(grad)
    assert_same_bits(function.value_and_grad(**given, **setting, out=out), (value, grad), "given output")
    assert_same_bits(function.grad_and_hess(**given, **setting, out=(out, second)), (grad, hess), "given pair")
    before = given["input"]
    given["input"] = here = before.copy()
    assert_same_bits(function.value_and_grad(**given, **setting, out=here), (value, grad), "in place")
    given["input"] = here = before.copy()
    assert_same_bits(function.grad_and_hess(**given, **setting, out=(here, second)), (grad, hess), "with a Hessian")


def digests():
    """{what: hash} for every loss; of other sizes than above, in every dtype."""
    found = {}
    for name in LOSSES:
        for shape in ((2053,),) if name in catalogue.BY_NAME else ((70, 10), (40, 65), (20, 150), (3, 1000)):
            given, setting = arguments(name, shape)
            for dtype in (np.float16, np.float32, np.float64):
                own = {key: array.astype(dtype) if array.dtype.kind == "f" else array for key, array in given.items()}
                if name == "binary_cross_entropy":
                    own = {key: np.clip(array, 0, 1) for key, array in own.items()}
                text = repr(bits(results(name, own, setting)))
                found[f"{name} {shape} {np.dtype(dtype).name}"] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return found


def test_avx2_and_avx512(isas, run_python):
    if not {"avx2", "avx512"} <= set(isas):
        pytest.skip("this machine has not got both")
    code = "import json, test_reproducible; print(json.dumps(test_reproducible.digests()))"
    first, second = (json.loads(run_python(code, env={"FASTLOSS_ISA": isa})) for isa in ("avx2", "avx512"))
    assert len(first) >= 3 * len(LOSSES)
    assert [what for what in first if first[what] != second[what]] == []
