"""What the doctor says: findings, and the way out of an error."""

import re
import sys
from dataclasses import dataclass

# What an import error says, and the way out of it.
_WAYS_OUT = (
    (
        r'functional_tensor',
        'torchvision 0.17 removed this module, which basicsr 1.4.2 imports; the plugin, once loaded, brings it back.',
    ),
    (
        r'lib(GL|gthread|glib|SM|Xext|Xrender)\b',
        'This OpenCV needs a desktop. Take the one that does not:\n'
        '    pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless',
    ),
    (
        r'numpy\.core|_ARRAY_API|compiled using NumPy 1',
        'It was built for another NumPy: pip install -U numpy torch torchvision opencv-python-headless',
    ),
    (
        r'torchvision::nms|undefined symbol',
        'torch and torchvision do not fit each other. In one go: pip install -U --force-reinstall torch torchvision',
    ),
    (
        r"No module named 'pkg_resources'",
        'setuptools 82 removed this module, which TensorBoard imports: pip install "setuptools>=77,<82"',
    ),
    (r"No module named '(mclir_basicsr)\b", 'pip install mclir-basicsr (in its sources: pip install .)'),
    (r"No module named '(basicsr)\b", 'Install BasicSR: see basicsr above.'),
    (r"No module named '(cv2)\b", 'pip install opencv-python-headless'),
    (r"No module named '(ruamel)\b", 'pip install ruamel.yaml'),
    (r"No module named '(\w+)", r'pip install \1'),
)


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: What was looked at.
        seen: What was seen.
        advice: What to do about it; empty where all is well.
        fatal: Training stops on it.
    """

    what: str
    seen: str
    advice: str = ''
    fatal: bool = False

    @property
    def mark(self) -> str:
        """``ok``, ``hint`` or ``FAULT``."""
        return 'FAULT' if self.fatal else 'hint' if self.advice else 'ok'


def report(findings: list[Finding]) -> str:
    """The findings as aligned plain text: mark, what, seen, and the advice below it."""
    width = max((len(finding.what) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f'{finding.mark:<5}  {finding.what:<{width}}  {finding.seen}')
        lines += [' ' * (width + 9) + line for line in finding.advice.splitlines()]
    marks = [finding.mark for finding in findings]
    return '\n'.join([*lines, '', f'Faults: {marks.count("FAULT")}, hints: {marks.count("hint")}.'])


def text_of(error: BaseException) -> str:
    """Kind and message of an error, in one line."""
    return ' '.join(f'{type(error).__name__}: {error}'.split())


def way_out(error: str) -> str:
    """What to do about an error that says this."""
    for pattern, advice in _WAYS_OUT:
        match = re.search(pattern, error)
        if match:
            return match.expand(advice)
    return f'See where it comes from: {sys.executable} -c "import mclir_basicsr; mclir_basicsr.register()"'
