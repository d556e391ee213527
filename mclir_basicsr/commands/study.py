"""``mclir study``: does it help, and is that chance?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from mclir_basicsr.commands.study_report import write_page
from mclir_basicsr.errors import MclirError
from mclir_basicsr.study import machine, results_files
from mclir_basicsr.study import slurm as slurm_places
from mclir_basicsr.study.definition import DEFAULT_ARMS, Arm, define
from mclir_basicsr.study.examining import examine
from mclir_basicsr.study.folder import Folder
from mclir_basicsr.study.looks import Looks
from mclir_basicsr.study.results import Results, collect
from mclir_basicsr.study.runs import run_all
from mclir_basicsr.study.statistics import LEVEL
from mclir_basicsr.study.verdict import settled


@dataclass(frozen=True)
class Until:
    """Going on seed by seed until the intervals are narrow enough.

    Attributes:
        width: Half of the width of an interval that settles a gain, > 0, in the unit of the metric.
        metric: Whose gains must be settled, on every data set.
        most: No more seeds than this.
    """

    width: float
    metric: str
    most: int


def study(
    option_file: Path,
    out: Path,
    *,
    seeds: int = 3,
    arms: Iterable[Arm] = DEFAULT_ARMS,
    until: Until | None = None,
    jobs: int | None = None,
    time_ratio: float | None = None,
    slurm: Sequence[str] | None = None,
    imports: Sequence[str] = (),
) -> str:
    """Train every arm with every seed, and compare them.

    Args:
        option_file: Of a HistoryModel, with ``val`` and metrics.
        out: Folder for everything; given again, the study goes on there.
        seeds: How many, from 0 on, >= 1; with ``until`` at first, >= 2.
        arms: The first is the baseline.
        until: Go on until settled; None for ``seeds`` alone.
        jobs: Runs at a time; None for one per GPU, or one, and for all of them as jobs of SLURM.
        time_ratio: Of every arm with ``as_long_as``, in place of measuring it.
        slurm: Each run becomes a job of SLURM with these parameters, see :func:`mclir_basicsr.study.slurm.places`;
            None to run here.
        imports: Files and modules of the user's own that every run imports first (``--import``).

    Returns:
        Means and verdicts, for the terminal.

    Raises:
        MclirError: The file cannot be studied, or a run failed.
        KeyboardInterrupt: After Ctrl+C, when every run here is saved; jobs of SLURM stay in the queue.
    """
    if seeds < 1 or (until is not None and not 2 <= seeds <= until.most):
        raise MclirError(f'--seeds is {seeds}; it must be at least 1, and with --until from 2 to --max-seeds.')
    if time_ratio is not None and not time_ratio > 0:
        raise MclirError(f'--time-ratio must be above 0, but is {time_ratio}.')
    if jobs is not None and jobs < 1:
        raise MclirError(f'--jobs must be at least 1, but is {jobs}.')
    if slurm is not None:
        slurm_places.check(slurm)
    folder = Folder(out, define(option_file, arms, imports), time_ratio)
    if slurm is not None and (unmeasured := folder.unmeasured()):
        raise MclirError(
            f'--slurm: how much longer {", ".join(unmeasured)} trains cannot be measured here, since the runs will be '
            'elsewhere. Give --time-ratio R, or --arm without it.'
        )
    examine(folder.untried(), out, imports, here=slurm is None)
    folder.prepare()
    looks = Looks(seeds, until.most) if until is not None else None
    for count in range(seeds, (until.most if until is not None else seeds) + 1):
        _train(folder, range(count), jobs, slurm)
        results = _look(folder, count, looks, until)
        if until is None or all(settled(gain, until.width) for gain in results.gains if gain.metric == until.metric):
            break
    compared = folder.compared(count)
    results_files.write(results, out, compared)
    page = write_page(folder, results, compared)
    longer = [f'{arm}: {ratio:g} times the iterations of the file.' for arm, ratio in folder.time_ratios.items()]
    return '\n'.join([*results.lines(), *longer, '', f'{out / "results.json"}, results.csv, results.tex', str(page)])


def _train(folder: Folder, seeds: Sequence[int], jobs: int | None, slurm: Sequence[str] | None) -> None:
    waiting = folder.unfinished(seeds, tried=slurm is None)
    if waiting:
        total = len(seeds) * sum(folder.total_iters().values())
        done = total - sum(job.total_iter for job in waiting)
        with tqdm(total=total, initial=done, desc='study', unit='iteration', dynamic_ncols=True) as bar:
            if slurm is None:
                places = machine.places(jobs)
            else:
                places = slurm_places.places(slurm, jobs, len(waiting), folder.root)
            run_all(waiting, folder.root, places, bar)


def _look(folder: Folder, count: int, looks: Looks | None, until: Until | None) -> Results:
    alpha = looks.alpha(count) if looks is not None else 1 - LEVEL
    return collect(folder.root, folder.total_iters(), range(count), alpha, until.width if until is not None else None)
