"""One repair: a function of BasicSR, and a wrapper of it in every place where it is known by name; or a builtin."""

import functools
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

from mclir_basicsr.errors import MclirError
from mclir_basicsr.served import RELEASE
from mclir_basicsr.stand_in import put

_Wrapper = Callable[..., Any]


def always(_: Callable[..., Any]) -> bool:
    """For a repair that extends BasicSR, whatever its version."""
    return True


@dataclass(frozen=True)
class Repair:
    """What is wrapped, and how.

    Attributes:
        owner: Module, or ``module:Class``, that has the attribute.
        attribute: Name of the function in it.
        wrapper: Called as ``wrapper(original, *args, **kwargs)``. Its name is the repair's, the first line of its
            docstring the reason.
        needed: Whether the function as it stands calls for the repair.
    """

    owner: str
    attribute: str
    wrapper: _Wrapper
    needed: Callable[[Callable[..., Any]], bool] = always

    def look_up(self) -> bool:
        """Whether the repair is to be made: it is needed and not there yet.

        Raises:
            MclirError: The owner or the attribute does not exist.
        """
        try:
            function = getattr(resolve_name(self.owner), self.attribute)
        except (ImportError, AttributeError) as error:
            raise MclirError(
                f'This basicsr has no {self.owner.replace(":", ".")}.{self.attribute}, which HistoryModel needs. '
                f'Use BasicSR itself (pip install {RELEASE}).'
            ) from error
        return not is_wrapped(function, self.wrapper) and self.needed(function)

    def make(self) -> Callable[[], None]:
        """Wrap the function.

        Returns:
            A function that puts back what was there.
        """
        owner = resolve_name(self.owner)
        original = getattr(owner, self.attribute)
        wrapped = wrap(original, self.wrapper)
        places = [owner] if isinstance(owner, type) else _holders(self.attribute, original)
        with ExitStack() as made:
            for place in places:
                made.callback(put(place, self.attribute, wrapped))
            return made.pop_all().close


@dataclass(frozen=True)
class Shadow:
    """A builtin that a module of BasicSR calls, in another form, which stands in that module alone.

    Attributes:
        owner: The module.
        attribute: Name of the builtin.
        wrapper: Called in its place, as ``wrapper(*args, **kwargs)``. As of :class:`Repair`, it names the repair and
            has the reason.
    """

    owner: str
    attribute: str
    wrapper: _Wrapper

    def look_up(self) -> bool:
        """Whether the shadow is to be set: it is not there yet."""
        return vars(resolve_name(self.owner)).get(self.attribute) is not self.wrapper

    def make(self) -> Callable[[], None]:
        """Set the shadow.

        Returns:
            A function that puts back what was there.
        """
        names = vars(resolve_name(self.owner))
        before = {self.attribute: names[self.attribute]} if self.attribute in names else {}
        names[self.attribute] = self.wrapper

        def put_back() -> None:
            del names[self.attribute]
            names.update(before)

        return put_back


def wrap(original: Callable[..., Any], wrapper: _Wrapper) -> Callable[..., Any]:
    """The function that calls ``wrapper(original, *args, **kwargs)`` and looks like the original."""

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    wrapped.wrapper = wrapper  # type: ignore[attr-defined]
    return wrapped


def is_wrapped(function: Any, wrapper: _Wrapper) -> bool:
    """Whether this wrapper is among those around a function."""
    while function is not None:
        if getattr(function, 'wrapper', None) is wrapper:
            return True
        function = getattr(function, '__wrapped__', None)
    return False


def _holders(attribute: str, original: Any) -> list[ModuleType]:
    """The modules of basicsr that hold an object under its name: ``from x import y`` makes many."""
    modules = [module for name, module in list(sys.modules.items()) if name.split('.')[0] == 'basicsr']
    return [module for module in modules if vars(module).get(attribute) is original]
