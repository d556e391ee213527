"""``mclir doctor``: what is installed, what is wrong with it, and the way out of each fault.

It has to help where nothing else runs, so this package needs the standard library only; each check imports what it
looks at, and a check that fails is a finding of its own.
"""

from collections.abc import Callable, Iterator

from mclir_basicsr.commands.doctor.copies import basicsr
from mclir_basicsr.commands.doctor.findings import Finding, report, text_of, way_out
from mclir_basicsr.commands.doctor.loading import plugin, start_up
from mclir_basicsr.commands.doctor.machine import gpu
from mclir_basicsr.commands.doctor.packages import imagenet_weights, libraries, oxford_weights, python, tensorboard

__all__ = ['CHECKS', 'Finding', 'examine', 'report']

CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    python,
    libraries,
    tensorboard,
    gpu,
    basicsr,
    start_up,
    plugin,
    imagenet_weights,
    oxford_weights,
)


def examine() -> list[Finding]:
    """Make every check; takes some seconds, for BasicSR is imported in a process of its own."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings.extend(check())
        except Exception as error:  # whatever it is, the other checks go on
            what = check.__name__.replace('_', ' ')
            findings.append(Finding(what, f'could not be examined: {text_of(error)}', way_out(text_of(error))))
    return findings
