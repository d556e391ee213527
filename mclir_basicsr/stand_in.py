"""An attribute that is another for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stand_in(owner: Any, **attributes: Any) -> Iterator[None]:
    """Give a module, class or object other attributes, and put its own back behind the block, whatever happens there.

    Args:
        owner: Whose attributes; it must have each of them itself.
        attributes: By name, what stands in.

    Raises:
        AttributeError: The owner lacks one of them; then nothing is changed.

    >>> import math
    >>> with stand_in(math, pi=3):
    ...     math.pi
    3
    >>> round(math.pi, 2)
    3.14
    """
    before = {name: getattr(owner, name) for name in attributes}
    try:
        for name, value in attributes.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)
