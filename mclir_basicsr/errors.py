"""The one exception of this package that is meant for its user."""


class MclirError(ValueError):
    """Input that cannot be used; the message says what is wrong, what was seen and what to do.

    The command line prints it as one message and exits with status 2.
    """


class FaultsError(MclirError):
    """Several faults at once.

    Attributes:
        lines: One for each.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__('\n  '.join(lines))
        self.lines = lines
