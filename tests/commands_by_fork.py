"""Commands of ``mclir`` without the seconds in which torch and BasicSR are imported.

A server imports them once, as a command does, and forks for each command: a process of its own, with its own folder,
environment and output. ``mclir`` and ``python -m mclir_basicsr`` themselves are started by tests of what happens before
or during the imports, and of signals.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


class Server:
    """A process that has imported all; start it once a session, and close it."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._trained = {}  # by folder: when, in whole seconds, a training there ended

    def run(self, arguments, cwd, environment):
        """Run ``mclir`` with arguments in cwd, with variables added to the environment; as subprocess.run does."""
        training = arguments[:1] == ['train']
        while training and self._trained.get(cwd) == int(time.time()):
            time.sleep(0.01)  # BasicSR names a log by the second: this one would replace that of the run before
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, name) for name in ('stdout', 'stderr')]
            asked = {
                'arguments': arguments,
                'cwd': str(cwd),
                'environment': environment,
                'files': list(map(str, files)),
            }
            print(json.dumps(asked), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
            assert answer, 'the server of commands has ended'
            if training:
                self._trained[cwd] = int(time.time())
            output = [file.read_text() for file in files]
        return subprocess.CompletedProcess(['mclir', *arguments], int(answer), *output)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def _child(asked):
    for number, file in enumerate(asked['files'], 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(asked['cwd'])
    os.environ.update(asked['environment'])
    sys.argv = ['mclir', *asked['arguments']]
    sys.path[0] = ''  # as of -m, in place of the folder of this file
    status = 0
    try:
        runpy.run_module('mclir_basicsr', run_name='__main__')
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    # What Python does at the end, but for taking apart all modules one by one, which for those of torch takes long.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _serve():
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _child(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == '__main__':
    import mclir_basicsr

    mclir_basicsr.register()  # imports torch, torchvision and all of BasicSR
    for module in pkgutil.walk_packages(mclir_basicsr.__path__, 'mclir_basicsr.'):
        if not module.name.endswith('__main__'):
            importlib.import_module(module.name)
    import basicsr.train  # noqa: F401

    gc.freeze()  # a child that looks for garbage in all of this would copy it
    _serve()
