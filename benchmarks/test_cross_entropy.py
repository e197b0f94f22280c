"""Cross-entropy: value and gradient, value only, options, other dtypes, the width of the rows, small batches."""

from .suites import each_case, each_library


@each_case("cross_entropy", "options", "images", "forward", "call")
@each_library
def test_cross_entropy(run, case, library):
    run(case, library)


@each_case("width")
@each_library
def test_row_width(run, case, library):
    run(case, library)


@each_case("dtypes")
@each_library
def test_dtypes(run, case, library):
    run(case, library)
