"""The flag ``--import`` of the commands that build networks, losses or data sets."""

import argparse


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
