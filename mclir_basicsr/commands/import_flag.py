"""The flag ``--import`` of the commands that build networks, losses or data sets."""

import argparse
from collections.abc import Sequence


def add_to(command: argparse.ArgumentParser) -> None:
    """Add the flag to the parser of a command; what it gives is ``imports``."""
    command.add_argument(
        '--import',
        dest='imports',
        action='append',
        default=[],
        metavar='FILE|MODULE',
        help='import your own code first, which registers a network, loss, data set or metric (may be given again)',
    )


def follow(names: Sequence[str]) -> list[str]:
    """Import what the flag names; returns what that registered, a sentence each."""
    if not names:
        return []
    from mclir_basicsr.imports import import_all

    return import_all(names)
