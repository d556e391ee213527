"""What the start-up hook adds to a Python start that never imports basicsr: `python benchmarks/startup_time.py`.

Run it in an environment where the package is installed. Both sides are starts of the same interpreter, in turn: with
the hook's modules as `-X importtime` counts them, and the whole start with and without MCLIR_AUTOLOAD=0.
"""

import os
import re
import statistics
import subprocess
import sys
import time

STARTS = 30


def import_microseconds() -> int:
    """Sum over our modules of the time that importing each itself took."""
    command = [sys.executable, '-X', 'importtime', '-c', 'pass']
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return sum(int(own) for own in re.findall(r'import time: +(\d+) \| +\d+ \| +mclir_basicsr', lines))


def start_milliseconds(*flags: str, **environment: str) -> float:
    """Wall time of one start."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *flags, '-c', 'pass'], env=os.environ | environment, check=True)
    return 1e3 * (time.perf_counter() - began)


def main() -> None:
    """Print both figures."""
    start_milliseconds()
    hook = statistics.median(import_microseconds() for _ in range(STARTS))
    on, off = zip(*((start_milliseconds(), start_milliseconds(MCLIR_AUTOLOAD='0')) for _ in range(STARTS)), strict=True)
    print(f'importing the hook: {hook:.0f} us (median of {STARTS})')
    print(f'whole start: {statistics.median(on):.2f} ms, ratio to MCLIR_AUTOLOAD=0 '
          f'{statistics.median(a / b for a, b in zip(on, off, strict=True)):.3f}')  # fmt: skip


if __name__ == '__main__':
    main()
