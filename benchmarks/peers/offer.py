class NotOffered(Exception):
    """The library does not do the work of this case; the text says why."""


def formula(formulas, case):
    """The entry of a library's table for a case: by loss and variant."""
    key = f"{case.loss} {case.variant}".strip()
    if key not in formulas:
        raise NotOffered(f"not written here for {case.variant}" if case.loss in formulas else "has no such loss")
    return formulas[key]
