"""Another value in the place of an attribute, and the former one back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_INHERITED = object()


def put(owner: Any, attribute: str, value: Any) -> Callable[[], None]:
    """Set an attribute that exists.

    Args:
        owner: A module, class or object.
        attribute: Its name.
        value: What takes its place.

    Returns:
        A function that puts back what was there, also where that was inherited or a static method.

    Raises:
        AttributeError: The owner has no such attribute, which a value under that name could not stand in for.
    """
    getattr(owner, attribute)
    before = vars(owner).get(attribute, _INHERITED)  # not the value, which for a static method is another object
    setattr(owner, attribute, value)

    def put_back() -> None:
        if before is _INHERITED:
            delattr(owner, attribute)
        else:
            setattr(owner, attribute, before)

    return put_back


@contextmanager
def stand_in(owner: Any, attribute: str, value: Any) -> Iterator[None]:
    """:func:`put` for the time of a ``with`` block, however that ends.

    >>> import math
    >>> with stand_in(math, 'pi', 3):
    ...     math.pi
    3
    >>> math.pi > 3
    True
    """
    put_back = put(owner, attribute, value)
    try:
        yield
    finally:
        put_back()
