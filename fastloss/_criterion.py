"""What all configured losses are: a loss function together with its options, to be used often."""

import inspect

import numpy as np


class _OptionSignature:
    """The signature that ``help`` and editors show for a class: its function's options. Made when it is asked for."""

    def __get__(self, criterion, cls):
        if criterion is not None or cls.function is None:  # an instance is called with input and target
            raise AttributeError("__signature__")
        options = inspect.signature(cls.function).parameters
        by_position = [options[name].replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in cls.positional]
        keywords = [p for p in options.values() if p.kind is p.KEYWORD_ONLY and p.name not in cls.positional]
        return inspect.Signature(by_position + keywords)


class Criterion:
    """A loss with its options set once: ``CrossEntropyLoss(label_smoothing=0.1)(logits, labels)``.

    Calling it gives the value; ``value_and_grad``, ``grad`` and ``grad_and_hess`` give the derivatives. Further
    options of the function, ``sample_weight`` say, may be given with each call, and override the configured ones.
    Criteria compare by their options and can be pickled.

    Parameters
    ----------
    *args, **options
        Options of the function, which its docstring explains. Those that come before the ``*`` of the class's signature
        may be given by position, as PyTorch's classes allow.

    Raises
    ------
    TypeError
        An option that the function does not have. (What an option must be, the function checks when it is called.)
    """

    function = None
    positional = ()  # options that may be given by position
    __signature__ = _OptionSignature()

    def __init__(self, *args, **options):
        if len(args) > len(self.positional):
            raise TypeError(f"{type(self).__name__} takes {len(self.positional)} positional options, got {len(args)}")
        for name, value in zip(self.positional, args):
            if name in options:
                raise TypeError(f"{type(self).__name__} got {name!r} twice")
            options[name] = value
        defaults = self.defaults()
        for name in options:
            if name not in defaults:
                raise TypeError(f"{type(self).__name__} has no option {name!r}; it has " + ", ".join(defaults))
        self.options = options

    @classmethod
    def defaults(cls):
        """All options with their default values."""
        parameters = inspect.signature(cls.function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def __call__(self, *args, **options):
        return self.function(*args, **{**self.options, **options})

    def value_and_grad(self, *args, **options):
        """Value and gradient, in one pass."""
        return self.function.value_and_grad(*args, **{**self.options, **options})

    def grad(self, *args, **options):
        """The gradient alone."""
        return self.function.grad(*args, **{**self.options, **options})

    def grad_and_hess(self, *args, **options):
        """Gradient and diagonal of the Hessian, in one pass."""
        return self.function.grad_and_hess(*args, **{**self.options, **options})

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.options.items())})"

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        defaults = self.defaults()
        mine, theirs = {**defaults, **self.options}, {**defaults, **other.options}
        return all(_same_option(mine[name], theirs[name]) for name in defaults)

    __hash__ = None  # options may be arrays


def _same_option(a, b):
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)
