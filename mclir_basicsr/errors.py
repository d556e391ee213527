"""The one exception of this package that is meant for its user."""


class MclirError(ValueError):
    """Input that cannot be used; the message says what is wrong, what was seen and what to do.

    The command line prints it as one message and exits with status 2.
    """
