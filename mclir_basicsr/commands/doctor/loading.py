"""Whether a stock BasicSR finds the plugin: the start-up file, and a new Python that imports basicsr."""

import json
import os
import site
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mclir_basicsr.commands.doctor.findings import Finding, way_out
from mclir_basicsr.commands.doctor.packages import PACKAGE

START_UP = 'mclir_basicsr.start' if sys.version_info >= (3, 15) else 'mclir_basicsr.pth'  # PEP 829

# Runs in a process of its own, as a user's script does; START is how that script comes by BasicSR.
_PROBE = """
import json, sys, warnings
error, loaded = '', False
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    try:
        START
        from basicsr.utils.registry import MODEL_REGISTRY as known
        loaded = 'HistoryModel' in known and known.get('HistoryModel').__module__.startswith('mclir_basicsr.')
    except BaseException as fault:
        error = f'{type(fault).__name__}: {fault}'
compat = sys.modules.get('mclir_basicsr.compat')
said = [str(warning.message) for warning in caught if 'mclir_basicsr' in str(warning.message)]
print()
print(json.dumps({'loaded': loaded, 'said': [*said, error], 'repairs': list(compat.active()) if compat else []}))
"""


def start_up() -> Iterator[Finding]:
    """Whether Python finds the start-up file."""
    is_off = os.environ.get('MCLIR_AUTOLOAD') == '0'
    if is_off:
        advice = 'BasicSR does not load the plugin by itself: unset it, or train with `mclir train`.'
        yield Finding('start-up', 'switched off by MCLIR_AUTOLOAD=0', advice)
    folders = {sysconfig.get_path('purelib'), *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        folders.add(site.getusersitepackages())
    files = [Path(folder) / START_UP for folder in sorted(folders)]
    found = [str(file) for file in files if file.is_file()]
    if found:
        yield Finding('start-up', ', '.join(found))
    else:
        advice = (
            'Without it `python basicsr/train.py` does not know the plugin. Install that with this Python:\n'
            'pip install mclir-basicsr (in its sources: pip install .), not --target. Until then: `mclir train`.'
        )
        yield Finding('start-up', f'no {START_UP} in {" or ".join(sorted(folders))}', advice, fatal=not is_off)


def plugin() -> Iterator[Finding]:
    """Whether a new Python that imports basicsr has the plugin, and what was repaired."""
    seen = _probe('import basicsr')
    if seen['loaded']:
        yield Finding('plugin', 'loaded by `import basicsr`')
    else:
        cause = seen['said'] or 'nothing loads it, see start-up'
        seen = _probe(f'sys.path.append({str(PACKAGE.parent)!r}); import mclir_basicsr; mclir_basicsr.register()')
        if seen['loaded']:
            advice = 'It does load with `mclir train`, or mclir_basicsr.register() in your script.'
            is_fault = os.environ.get('MCLIR_AUTOLOAD') != '0'
            yield Finding('plugin', f'not loaded by `import basicsr`: {cause}', advice, fatal=is_fault)
        else:
            yield Finding('plugin', f'cannot be loaded: {seen["said"]}', way_out(seen['said']), fatal=True)
    yield Finding('repairs', ', '.join(seen['repairs']) or 'none')


def _probe(start: str) -> dict[str, Any]:
    """Run a statement in a new Python, in an empty folder.

    Returns:
        ``loaded``: whether our classes are registered after it; ``said``: warnings of ours and the error, if any;
        ``repairs``: names of those made.
    """
    env = dict(os.environ)
    if env.get('PYTHONPATH'):  # BasicSR's pages set it to ./
        env['PYTHONPATH'] = os.pathsep.join(str(Path(path).absolute()) for path in env['PYTHONPATH'].split(os.pathsep))
    command = [sys.executable, '-c', _PROBE.replace('START', start)]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, errors='replace', timeout=300
        )
    hook = [
        line for line in done.stderr.splitlines() if line.startswith('mclir_basicsr:')
    ]  # what our start-up file wrote
    try:
        seen = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):  # it crashed
        last = done.stderr.strip().splitlines()[-1:]
        seen = {'loaded': False, 'said': [f'Python ended with status {done.returncode}', *last], 'repairs': []}
    said: list[str] = []
    for text in [*hook, *seen['said']]:
        if not any(text in earlier for earlier in ['', *said]):  # an error that a warning has told already
            said.append(' '.join(text.split()))
    return seen | {'said': '; '.join(said)}
