from typing import Any

def isa() -> str: ...
def __getattr__(name: str) -> Any: ...  # the rest is private
