"""What Windows lacks is taken away here; nothing of it was tried on Windows itself."""

import signal
import subprocess
import sys

from mclir_basicsr.study.machine import _Child

WITHOUT = """
import os, pkgutil, importlib, signal, sys
import basicsr, torch, torchvision, spandrel, torchmetrics.image  # they know the system that they were built for
import basicsr.models, basicsr.train
for module, names in {
    signal: ('SIGUSR1', 'SIGHUP', 'SIGCHLD', 'SIGKILL', 'pthread_sigmask'),
    os: ('fork', 'sched_getaffinity', 'register_at_fork'),
}.items():
    for name in names:
        delattr(module, name)
sys.modules['fcntl'] = sys.modules['resource'] = None
import mclir_basicsr
for found in pkgutil.walk_packages(mclir_basicsr.__path__, 'mclir_basicsr.'):
    if not found.name.endswith('__main__'):
        importlib.import_module(found.name)
"""
STOP = """
from mclir_basicsr.run import stop, workers
from torch.utils.data import DataLoader
stop.listen()
with stop.shielded():
    pass
signal.raise_signal(signal.SIGTERM)
print(stop.noted(), stop.agreed())
stop.finish()
loader = DataLoader([1, 2], num_workers=0)
workers.care_for(loader)
print([int(batch) for batch in loader])
"""


def without(more: str) -> list[str]:
    done = subprocess.run([sys.executable, '-c', WITHOUT + more], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split('\n')[:-1]


def test_every_module_loads_without_signals_fork_and_locks_of_files_and_a_run_stops_at_the_signals_that_there_are():
    loaded = 'print(len([name for name in sys.modules if name.startswith("mclir_basicsr.")]) > 100)'
    assert without(loaded + STOP) == ['True', 'True SIGTERM', '[1, 2]']


def test_a_run_of_a_study_is_asked_to_stop_by_ctrl_break_on_windows(monkeypatch):
    monkeypatch.setattr(signal, 'CTRL_BREAK_EVENT', signal.SIGUSR1, raising=False)
    with _Child([sys.executable, '-c', 'import time; time.sleep(60)']) as child:
        child.interrupt()
    assert child.returncode == -signal.SIGUSR1
