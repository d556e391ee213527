"""What this package raises for its user, and how it names what may have been meant."""

from collections.abc import Iterable
from difflib import get_close_matches


class MclirError(ValueError):
    """Input that cannot be used; the message says what is wrong, what was seen and what to do.

    The command line prints it as one message and exits with status 2.

    >>> issubclass(MclirError, ValueError)
    True
    """


class FaultsError(MclirError):
    """Several faults at once.

    Attributes:
        lines: One for each.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__('\n  '.join(lines))
        self.lines = lines


class UnknownNameError(KeyError):
    """A name that is in no registry; a KeyError, as BasicSR raises, whose message prints as written."""

    def __str__(self) -> str:
        return str(self.args[0])


def did_you_mean(name: str, valid: Iterable[str], *, most: int = 3, cutoff: float = 0.4) -> str:
    """A question that names what is spelt alike, whatever the case of its letters; empty where nothing is.

    Args:
        name: What was given.
        valid: What could have been given.
        most: How many names the question has at most.
        cutoff: How alike they must be, in [0, 1], as difflib measures it.

    >>> did_you_mean('esdr', ['EDSR', 'RCAN'])
    'did you mean EDSR?'
    """
    by_lower_case = {key.lower(): key for key in valid}
    near = get_close_matches(name.lower(), by_lower_case, n=most, cutoff=cutoff)
    return f'did you mean {" or ".join(by_lower_case[key] for key in near)}?' if near else ''
