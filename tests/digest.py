"""Hashes of many results, to compare threads, processes and instruction sets bit for bit."""

import hashlib

import losses
import numpy as np
from checks import bits
from families import DTYPES, families, wide

SHAPES = [(1, 2), (5, 2), (17, 3), (40, 10), (33, 17), (9, 63), (9, 64), (40, 65), (21, 129), (18, 145),
          (17, 256), (7, 300), (3, 1000), (4, 5, 6), (11,)]


def digest(results):
    return hashlib.sha256(repr(bits(results)).encode()).hexdigest()[:16]


def compute(**common):
    """{what: hash} for all losses, dtypes and options; `common` goes to every call (n_threads, say)."""
    import fastloss as fl

    result = {}
    for loss in losses.LOSSES:
        for dtype in (*DTYPES, np.float16):
            for shape in SHAPES:
                for case in losses.cases(loss, dtype, shape):
                    calls = [method(case.input, case.target, **case.options, **common)
                             for method in (loss.function().value_and_grad, loss.function().grad_and_hess)]
                    result[f"{case.name} {np.dtype(dtype).name} {shape}"] = digest(tuple(map(tuple, calls)))
    for dtype in DTYPES:
        for name, input, target in (*families(dtype), ("wide", *wide(dtype))):
            calls = (fl.cross_entropy.value_and_grad(input, target, reduction="none", **common),
                     fl.softmax(input, **common), fl.log_softmax(input, **common), fl.logsumexp(input, **common))
            result[f"{name} {np.dtype(dtype).name}"] = digest(calls)
    return result
