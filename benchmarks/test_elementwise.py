"""Elementwise losses at two sizes, the tutorials' binary cross-entropy, and the booster's gradient and Hessian."""

from .suites import each_case, each_library


@each_case("elementwise", "weighted", "small")
@each_library
def test_elementwise(run, case, library):
    run(case, library)


@each_case("tutorial", "booster")
@each_library
def test_applications(run, case, library):
    run(case, library)
