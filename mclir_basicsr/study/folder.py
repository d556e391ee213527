"""A study's folder: what it is a study of, and the option files of its runs."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.study import environment
from mclir_basicsr.study.compared import differing, digest, named_files
from mclir_basicsr.study.definition import Arm, Definition, as_yaml, run_name
from mclir_basicsr.study.results import is_finished
from mclir_basicsr.study.runs import Job, import_flags


class Folder:
    """Where a study's option files, logs, experiments and results are.

    Args:
        root: The folder, which :meth:`prepare` makes.
        definition: The study.
        time_ratio: Of every arm with ``as_long_as``, in place of measuring it; None to measure.

    Attributes:
        root: The folder.
        files: Digests of the weights, data and code that the arms name, as they name them.
        time_ratios: By arm with ``as_long_as``; measured once and then kept.

    Raises:
        MclirError: The folder holds another study, or something else; or weights or data are not what they were.
    """

    def __init__(self, root: Path, definition: Definition, time_ratio: float | None = None) -> None:
        self.root, self.definition = root, definition
        self.time_ratios: dict[str, float] = {}
        names = [
            *named_files(self._options_of_arms().values()),
            *(name for name in definition.imports if Path(name).is_file()),
        ]
        self.files = {name: digest(Path(name).expanduser()) for name in names}
        if self._file.is_file():
            self._refuse_other(json.loads(self._file.read_text(encoding='utf-8')))
        elif root.is_dir() and any(root.iterdir()):
            raise MclirError(f'{root} is not empty and holds no study: give another folder (-o).')
        if time_ratio is not None and (not self._stretched() or set(self.time_ratios.values()) - {time_ratio}):
            kept_ratios = ', '.join(f'{name} {ratio:g}' for name, ratio in self.time_ratios.items())
            raise MclirError(
                f'--time-ratio {time_ratio:g} cannot act: '
                + (f'{root} has {kept_ratios} already.' if kept_ratios else 'no arm is to take as long as another.')
            )
        if time_ratio is not None:
            self.time_ratios = dict.fromkeys([arm.name for arm in self._stretched()], time_ratio)

    @property
    def _file(self) -> Path:
        return self.root / 'study.json'

    def _stretched(self) -> list[Arm]:
        return [arm for arm in self.definition.arms if arm.as_long_as is not None]

    def unmeasured(self) -> list[str]:
        """Arms of which it is not known how much longer they train; :meth:`prepare` measures it."""
        return [arm.name for arm in self._stretched() if arm.name not in self.time_ratios]

    def _refuse_other(self, kept: dict[str, Any]) -> None:
        """Take over what a study in the folder has measured, where it is this one."""
        described = _described(self.definition)
        if differing := [key for key in described if kept[key] != described[key]]:
            raise MclirError(
                f'{self.root} holds another study: its {" and ".join(differing)} differ from these. '
                'Give another folder (-o), or the same option file and arms.'
            )
        before = kept.get('files', self.files)  # not noted by earlier versions
        if changed := [name for name in before | self.files if before.get(name) != self.files.get(name)]:
            raise MclirError(
                f'{", ".join(changed)}: not what it was when the study in {self.root} began, so that its runs would '
                'not be comparable. Bring the former content back, or give another folder (-o).'
            )
        self.time_ratios = kept['time_ratios']

    def prepare(self) -> None:
        """Measure what is to be measured before the first run, and note what the folder is of."""
        arms = {arm.name: arm for arm in self.definition.arms}
        for name in self.unmeasured():
            self.time_ratios[name] = self._measure(arms[str(arms[name].as_long_as)], arms[name])
        self.root.mkdir(parents=True, exist_ok=True)
        with whole_file(self._file) as stream:
            stream.write(json.dumps(self.described(), indent=1).encode())

    def untried(self) -> dict[str, dict[str, Any]]:
        """Options of the arms of which no run has begun."""
        experiments = self.root / 'experiments'
        options = self._options_of_arms().items()
        return {arm: opt for arm, opt in options if not (experiments / run_name(arm, 0)).is_dir()}

    def options(self, arm: Arm, seed: int) -> dict[str, Any]:
        """The options of a run."""
        return self.definition.run_options(arm, seed, self.time_ratios)

    def unfinished(self, seeds: Sequence[int], *, tried: bool) -> list[Job]:
        """The runs that are still to be done, seed by seed; their option files are written.

        Args:
            seeds: All that are wanted.
            tried: Whether a batch of each arm was tried on this machine, where the runs will be.
        """
        jobs = []
        (self.root / 'options').mkdir(exist_ok=True)
        for seed in seeds:
            for arm in self.definition.arms:
                opt, name = self.options(arm, seed), run_name(arm.name, seed)
                file, total = self.root / 'options' / f'{name}.yml', int(opt['train']['total_iter'])
                with whole_file(file) as stream:
                    stream.write(as_yaml(opt).encode())
                if not is_finished(self.root / 'experiments' / name, total, self.datasets()):
                    jobs.append(Job(name, file, total, self.definition.imports, tried=tried or seed > 0))
        return jobs

    def total_iters(self) -> dict[str, int]:
        """Iterations of each run, by arm."""
        return {arm.name: int(self.options(arm, 0)['train']['total_iter']) for arm in self.definition.arms}

    def described(self) -> dict[str, Any]:
        """What tells this study from another."""
        return _described(self.definition) | {'files': self.files, 'time_ratios': self.time_ratios}

    def compared(self, seeds: int) -> dict[str, Any]:
        """What the study compares: what tells it from another, and with what its runs were made."""
        options = {arm.name: self.options(arm, 0) for arm in self.definition.arms}
        for opt in options.values():
            del opt['name'], opt['manual_seed']
        names = [run_name(arm, seed) for arm in options for seed in range(seeds)]
        made_with = environment.together(self.root / 'logs' / f'{name}.environment.json' for name in names)
        return self.described() | {
            'seeds': seeds,
            'differing': json.loads(json.dumps(differing(options), default=str)),
            'made_with': made_with,
        }

    def _options_of_arms(self) -> dict[str, dict[str, Any]]:
        """Of a run of each, without regard to how long it trains."""
        ratios = dict.fromkeys([arm.name for arm in self.definition.arms], 1.0)
        return {arm.name: self.definition.run_options(arm, 0, ratios) for arm in self.definition.arms}

    def datasets(self) -> list[str]:
        """Names of the data sets that are validated on."""
        blocks: Mapping[str, Any] = self.definition.options['datasets']
        return [block['name'] for phase, block in blocks.items() if phase.startswith('val')]

    def _measure(self, slow: Arm, fast: Arm) -> float:
        """The ratio of their steps, measured in a process of its own."""
        with TemporaryDirectory() as folder:
            files = []
            for arm in (slow, fast):
                opt = self._options_of_arms()[arm.name]
                files.append(Path(folder) / f'{arm.name}.yml')
                files[-1].write_text(as_yaml(opt), encoding='utf-8')
            flags = import_flags(self.definition.imports)
            command = [sys.executable, '-m', 'mclir_basicsr.study.timing', *map(str, files), *flags]
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = '\n'.join(done.stderr.strip().splitlines()[-5:])
            raise MclirError(f'The time of a step of {slow.name} and {fast.name} could not be measured:\n{last}')
        return float(done.stdout.split()[-1])


def _described(definition: Definition) -> dict[str, Any]:
    described = {'option file': definition.options, 'arms': [asdict(arm) for arm in definition.arms]}
    return json.loads(json.dumps(described, default=str))
