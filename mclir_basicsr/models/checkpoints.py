"""Networks and training states: read safely, written whole."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from torch import nn

from mclir_basicsr.copies import fitted
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files import checkpoint
from mclir_basicsr.files.weights import EMA_FIRST, EMA_TAKEN, check_fit, misfit, read_weights
from mclir_basicsr.history import ModelHistory
from mclir_basicsr.models import settings
from mclir_basicsr.models.balance import Balance
from mclir_basicsr.models.curriculum import Curriculum
from mclir_basicsr.models.expected import expected
from mclir_basicsr.models.guard import Guard
from mclir_basicsr.models.validation import ValidationModel
from mclir_basicsr.run import position, training_state

_PARTS = ('guard', 'guard_d', 'history', 'balance', 'curriculum')  # of a model, each with a state of its own
_MOST = 3  # faults of a state that a message names


class CheckpointModel(ValidationModel):
    """A model whose files are BasicSR's, each whole or not there, with the history and the loss scale in the state."""

    history: ModelHistory | None
    balance: Balance | None
    guard: Guard
    guard_d: Guard | None = None  # of the discriminator's steps
    scaler: Any
    _loaded: set[str]  # letters of the networks that were loaded from a file
    resumes_exactly = True  # run/resume.py: data and random numbers go on where they were

    @property
    def curriculum(self) -> Curriculum | None:
        """Of a contrast term; None where there is none."""
        return None

    @property
    def seed(self) -> int:
        """Of the run; it travels in the training state."""
        return self.opt.get('manual_seed') or 0

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = 'params'
    ) -> None:
        """Load a network as BasicSR does, from any file that :func:`~mclir_basicsr.files.weights.read_weights` reads.

        Without ``path.param_key_g``, a run that is not resumed begins with the weights that validation would measure:
        those of the EMA network where the file has them. Where the file lacks ``param_key``, the weights come from the
        entry of net_g (for the EMA network), from ``params``, or from the only entry that holds weights. The log says
        which were taken.

        Raises:
            MclirError: The file cannot be read, or its weights do not fit.
        """
        logger, net = get_root_logger(), self.get_bare_model(net)
        which, path = self._which(net), self.opt['path']
        self._loaded.add(which)
        asked_for, key = f'param_key_{which}', f'path.pretrain_network_{which}'
        goes_on = bool(path.get('resume_state')) or Path(load_path).parent == Path(path.get('models') or '/')
        is_free = which == 'g' and asked_for not in path and not goes_on and param_key in EMA_FIRST
        prefer = EMA_FIRST if is_free else (param_key, path.get(asked_for, 'params'), 'params')
        weights, entry = read_weights(Path(load_path), key, prefer)
        if is_free and (param_key, entry) == ('params', EMA_FIRST[0]):
            logger.info(f'path.param_key_g is not given: {EMA_TAKEN}')
        elif entry != param_key:
            asked, used = (name or 'a bare state dict' for name in (param_key, entry))
            logger.info(f'Loading: {asked} does not exist, use {used}.')
        logger.info(f'Loading {type(net).__name__} model from {load_path}, with param key: [{entry}].')
        if self.opt['path'].get('resume_state'):  # the run's own file
            weights = fitted(net, weights, load_path)
        if not strict:
            check_fit(net, weights, f'{key}: {load_path} (entry {entry or "~"})', strict=False)
        self._print_different_keys_loading(net, weights, strict)
        try:
            net.load_state_dict(weights, strict=strict)
        except RuntimeError as error:
            raise MclirError(
                f'{key}: {load_path} (entry {entry or "~"}) does not fit network_{which}: '
                f'{misfit(net, weights) or error}. Correct network_{which} or the path.'
            ) from error

    def load_what_is_left(self) -> None:
        """Load networks that the base makes and leaves as they are, as HiFaceGANModel does its discriminator."""
        path = self.opt['path']
        for key in (key for key in self.opt if key.startswith('network_') and path.get(f'pretrain_{key}')):
            which = key.removeprefix('network_')
            if which not in self._loaded and hasattr(self, f'net_{which}'):
                strict, entry = path.get(f'strict_load_{which}', True), path.get(f'param_key_{which}', 'params')
                self.load_network(getattr(self, f'net_{which}'), path[f'pretrain_{key}'], strict, entry)

    def _which(self, net: nn.Module) -> str:
        """The letter of a network in the option file: d of net_d, g of net_g and its EMA."""
        nets = {name[4:]: value for name, value in vars(self).items() if name.startswith('net_')}
        found = [name for name, value in nets.items() if self.get_bare_model(value) is net]
        return found[0].removesuffix('_ema') if found else 'g'

    @master_only
    def save_network(
        self,
        net: nn.Module | list[nn.Module],
        net_label: str,
        current_iter: int | str,
        param_key: str | list[str] = 'params',
    ) -> None:
        """Save network(s) in BasicSR's format; the file is either whole or not there."""
        nets, keys = (v if isinstance(v, list) else [v] for v in (net, param_key))
        content = {
            key: {name: value.cpu() for name, value in self.get_bare_model(one).state_dict().items()}
            for one, key in zip(nets, keys, strict=True)
        }
        label = 'latest' if current_iter == -1 else current_iter
        checkpoint.save(content, Path(self.opt['path']['models']) / f'{net_label}_{label}.pth')

    @master_only
    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """Save what BasicSR saves for resuming, and the history with all else that a step goes by."""
        if current_iter == -1:
            return
        state = {
            'epoch': epoch,
            'iter': current_iter,
            'seed': self.seed,
            'optimizers': [optimizer.state_dict() for optimizer in self.optimizers],
            'schedulers': [scheduler.state_dict() for scheduler in self.schedulers],
            'scaler': self.scaler.state_dict(),
            'frozen': [name for name, value in self._parameters_by_name() if not value.requires_grad],
        }
        for name in _PARTS:
            part = getattr(self, name)
            if part is not None:
                state[name] = part.state_dict()
        checkpoint.save(state, Path(self.opt['path']['training_states']) / f'{current_iter}.state')

    @classmethod
    def of(cls, opt: dict[str, Any]) -> type:
        """The class of the model of these options."""
        return cls

    @classmethod
    def check_state(cls, opt: dict[str, Any], state: Any) -> None:
        """Compare a state with the run that these options make, without making its model.

        Raises:
            MclirError: It is damaged or of another run; the message names the entries.
        """
        _refuse(training_state.faults(state, expected(cls.of(opt), opt)))

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Go on from a ``.state``; one without a history (plain BasicSR's) starts a fresh one from the network.

        Its epoch becomes that in which the training data go on. Optimizer and schedule go on with the settings of the
        state or, with ``path.resume_settings: file``, with those of the option file (models/settings.py).

        Raises:
            MclirError: The state is damaged, of another network or of other ``train`` settings, or its iteration lies
                within an optimizer step.
        """
        from_file = self.own.path.resume_settings == 'file'
        _refuse(training_state.faults(resume_state, self._expected(from_file)))
        iteration, every = resume_state['iter'], self.own.train.accumulate
        if iteration % every:
            raise MclirError(
                f'train.accumulate is {every}, but the state to resume is of iteration {iteration}, which lies within '
                f'an optimizer step: resume a state whose iteration is a multiple of {every}, or set accumulate to a '
                f'number that divides {iteration}.'
            )
        found = settings.differences(self.optimizers, self.schedulers, resume_state)
        self._load_state(resume_state, from_file)
        told = settings.report(found, iteration, from_file=from_file, lr=self.get_current_learning_rate())
        if told:
            (get_root_logger().info if from_file else get_root_logger().warning)(told)
        self._tell_what_is_missing(resume_state)
        self.opt['manual_seed'] = resume_state.get('seed', self.opt.get('manual_seed'))
        resume_state['epoch'] = position.resumed_epoch(self.opt, resume_state['epoch'])

    def _parameters_by_name(self) -> list[tuple[str, nn.Parameter]]:
        return list(self.get_bare_model(self.net_g).named_parameters())

    def _expected(self, from_file: bool) -> training_state.Expected:
        negatives = 0 if self.history is None else len(self.history.negatives)
        schedulers = None if from_file else self.schedulers
        return training_state.Expected(self.optimizers, schedulers, self.get_bare_model(self.net_g), negatives)

    def _load_state(self, state: dict[str, Any], from_file: bool) -> None:
        own = settings.hyper_parameters(self.optimizers)
        pairs = zip(self.optimizers, state['optimizers'], strict=True)
        state = state | {'optimizers': [settings.for_this_machine(*pair) for pair in pairs]}
        try:
            if from_file:
                super().resume_training(state | {'schedulers': [each.state_dict() for each in self.schedulers]})
                settings.take(self.optimizers, self.schedulers, own, state['iter'])
            else:
                super().resume_training(state)
            # BasicSR freezes parts of a network at iteration 1 (tsa_iter, fix_flow), and not again at a resume.
            for name, value in self._parameters_by_name() if 'frozen' in state else ():
                value.requires_grad_(name not in state['frozen'])
            if state.get('scaler'):
                self.scaler.load_state_dict(state['scaler'])
            for name in _PARTS:
                part = getattr(self, name)
                if part is not None and name in state:
                    part.load_state_dict(state[name])
        except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, MclirError):
                raise
            _refuse([str(error)], error)

    def _tell_what_is_missing(self, state: dict[str, Any]) -> None:
        what = f'The resumed state of iteration {state["iter"]}'
        if self.history is not None and 'history' not in state:
            get_root_logger().warning(f'{what} holds no history: a fresh one starts from the network as it is.')
        if 'seed' not in state:
            get_root_logger().info(f'{what} holds no seed: random numbers go on from manual_seed {self.seed}.')


def _refuse(faults: Iterable[str], cause: Exception | None = None) -> None:
    """Raise an error that names the first few faults, where there are any."""
    listed = list(faults)
    if listed:
        more = f' (and {len(listed) - _MOST} more)' if len(listed) > _MOST else ''
        raise MclirError(
            'The state to resume is damaged or does not fit this option file (network_g, optim_g, scheduler, '
            f'history): {"; ".join(listed[:_MOST])}{more}\n'
            'Resume another state, or this one with the option file of its run, or start anew from its network '
            '(path.pretrain_network_g).'
        ) from cause
