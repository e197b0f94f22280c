"""The peers, in the order of the report: name -> (module that must be installed, module of this package)."""

PEERS = {
    "PyTorch": ("torch", "with_torch"),
    "torch.compile": ("torch", "with_torch_compile"),
    "JAX": ("jax", "with_jax"),
    "scikit-learn": ("sklearn", "with_sklearn"),
    "numba": ("numba", "with_numba"),
    "SciPy": ("scipy", "with_scipy"),
    "NumPy": ("numpy", "with_numpy"),
}
