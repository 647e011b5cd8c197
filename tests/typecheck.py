"""How the test run checks annotations: as pyright reads them, so that an int is a float too."""

from collections.abc import Callable, Iterator
from typing import Any, Self, get_args, runtime_checkable

from beartype import BeartypeConf, beartype

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` with its annotations enforced.

    jaxtyping hands over the methods of a class one by one, where beartype does not know what Self
    is: that annotation is left to pyright. Protocols are made checkable.
    """
    hints = getattr(function, "__annotations__", {})
    for part in _parts(hints.values()):
        if isinstance(part, type) and getattr(part, "_is_protocol", False):
            runtime_checkable(part)
    if any(hint is Self for hint in hints.values()):
        function.__annotations__ = {n: hint for n, hint in hints.items() if hint is not Self}
    return _check(function)


def _parts(hints: Any) -> Iterator[Any]:
    for hint in hints:
        yield hint
        yield from _parts(get_args(hint))
