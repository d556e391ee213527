"""A study's folder: what it is a study of, and the option files of its runs."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.study.definition import Arm, Definition, run_name
from mclir_basicsr.study.results import is_finished
from mclir_basicsr.study.runs import Job, import_flags

_STUDY = 'study.json'


class Folder:
    """Where a study's option files, logs, experiments and results are.

    Args:
        root: The folder; made where needed.
        definition: The study.
        time_ratio: Of every arm with ``as_long_as``, in place of measuring it; None to measure.

    Attributes:
        root: The folder.
        time_ratios: By arm with ``as_long_as``; measured once and then kept.

    Raises:
        MclirError: The folder holds another study, or something else.
    """

    def __init__(self, root: Path, definition: Definition, time_ratio: float | None = None) -> None:
        self.root, self.definition = root, definition
        self.time_ratios: dict[str, float] = {}
        described = _described(definition)
        file = root / _STUDY
        if file.is_file():
            kept = json.loads(file.read_text(encoding='utf-8'))
            self.time_ratios = kept['time_ratios']
            if differing := [key for key in described if kept[key] != described[key]]:
                raise MclirError(
                    f'{root} holds another study: its {" and ".join(differing)} differ from these. '
                    'Give another folder (-o), or the same option file and arms.'
                )
        elif root.is_dir() and any(root.iterdir()):
            raise MclirError(f'{root} is not empty and holds no study: give another folder (-o).')
        arms = {arm.name: arm for arm in definition.arms}
        stretched = [arm for arm in definition.arms if arm.as_long_as is not None]
        if time_ratio is not None and (not stretched or set(self.time_ratios.values()) - {time_ratio}):
            kept_ratios = ', '.join(f'{name} {ratio:g}' for name, ratio in self.time_ratios.items())
            raise MclirError(
                f'--time-ratio {time_ratio:g} cannot act: '
                + (f'{root} has {kept_ratios} already.' if kept_ratios else 'no arm is to take as long as another.')
            )
        for arm in stretched:
            if arm.name not in self.time_ratios:
                self.time_ratios[arm.name] = time_ratio or self._measure(arms[str(arm.as_long_as)], arm)
        root.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as stream:
            stream.write(json.dumps(self.described(), indent=1).encode())

    def options(self, arm: Arm, seed: int) -> dict[str, Any]:
        """The options of a run."""
        return self.definition.run_options(arm, seed, self.time_ratios)

    def unfinished(self, seeds: Sequence[int]) -> list[Job]:
        """The runs that are still to be done, seed by seed; their option files are written."""
        jobs = []
        (self.root / 'options').mkdir(exist_ok=True)
        for seed in seeds:
            for arm in self.definition.arms:
                opt, name = self.options(arm, seed), run_name(arm.name, seed)
                file, total = self.root / 'options' / f'{name}.yml', int(opt['train']['total_iter'])
                with whole_file(file) as stream:
                    stream.write(_yaml(opt).encode())
                if not is_finished(self.root / 'experiments' / name, total, self.datasets()):
                    jobs.append(Job(name, file, total, self.definition.imports, tried=seed > 0))
        return jobs

    def total_iters(self) -> dict[str, int]:
        """Iterations of each run, by arm."""
        return {arm.name: int(self.options(arm, 0)['train']['total_iter']) for arm in self.definition.arms}

    def described(self) -> dict[str, Any]:
        """What tells this study from another."""
        return _described(self.definition) | {'time_ratios': self.time_ratios}

    def datasets(self) -> list[str]:
        """Names of the data sets that are validated on."""
        blocks: Mapping[str, Any] = self.definition.options['datasets']
        return [block['name'] for phase, block in blocks.items() if phase.startswith('val')]

    def _measure(self, slow: Arm, fast: Arm) -> float:
        """The ratio of their steps, measured in a process of its own."""
        with TemporaryDirectory() as folder:
            files = []
            for arm in (slow, fast):
                opt = self.definition.run_options(arm, 0, dict.fromkeys((slow.name, fast.name), 1.0))
                files.append(Path(folder) / f'{arm.name}.yml')
                files[-1].write_text(_yaml(opt), encoding='utf-8')
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


def _yaml(opt: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(opt), sort_keys=False, allow_unicode=False)
