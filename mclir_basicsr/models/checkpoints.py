"""Networks and training states: read safely, written whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from torch import nn

from mclir_basicsr import checkpoint
from mclir_basicsr.errors import MclirError
from mclir_basicsr.history import ModelHistory


class CheckpointModel(SRModel):
    """SRModel whose files are BasicSR's, each whole or not there, with the history and the loss scale in the state."""

    history: ModelHistory | None
    scaler: Any

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = 'params'
    ) -> None:
        """Load a network as BasicSR does, with one clear message where that fails."""
        content = checkpoint.load(Path(load_path), 'path.pretrain_network_g')
        keys = set(content) if isinstance(content, Mapping) else set()
        if param_key == 'params_ema' and not {'params_ema', 'params'} & keys:
            # SRModel asks so for the EMA network; a file of another form has one set of weights for both
            param_key = self.opt['path'].get('param_key_g', 'params')
        if param_key is not None and not {param_key, 'params'} & keys:
            found = ', '.join(list(map(str, keys))[:4]) or type(content).__name__
            raise MclirError(
                f'path.pretrain_network_g: {load_path} has no entry {param_key!r}, but {found}. Set path.param_key_g '
                'to the right one, or to ~ where the file is the state dict itself.'
            )
        try:
            super().load_network(net, load_path, strict, param_key)
        except RuntimeError as error:
            raise MclirError(f'path.pretrain_network_g: {load_path} does not fit network_g: {error}') from error

    @master_only
    def save_network(
        self, net: nn.Module | list[nn.Module], net_label: str, current_iter: int, param_key: str | list[str] = 'params'
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
        """Save what BasicSR saves for resuming, the history and the loss scale."""
        if current_iter == -1:
            return
        state = {
            'epoch': epoch,
            'iter': current_iter,
            'optimizers': [optimizer.state_dict() for optimizer in self.optimizers],
            'schedulers': [scheduler.state_dict() for scheduler in self.schedulers],
            'scaler': self.scaler.state_dict(),
        }
        if self.history is not None:
            state['history'] = self.history.state_dict()
        checkpoint.save(state, Path(self.opt['path']['training_states']) / f'{current_iter}.state')

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Go on from a ``.state``; one without a history (plain BasicSR's) starts a fresh one from the network.

        Raises:
            MclirError: The state is of another network or of other ``train`` settings.
        """
        try:
            super().resume_training(resume_state)
            if resume_state.get('scaler'):
                self.scaler.load_state_dict(resume_state['scaler'])
            if self.history is None:
                return
            if 'history' in resume_state:
                self.history.load_state_dict(resume_state['history'])
                return
        except (AssertionError, KeyError, RuntimeError, ValueError) as error:
            raise MclirError(
                f'The state to resume does not fit this option file (network_g, optim_g, history): {error}\n'
                'Resume with the option file of that run, or start anew from its network (path.pretrain_network_g).'
            ) from error
        get_root_logger().warning(
            f'The resumed state of iteration {resume_state["iter"]} holds no history: '
            'a fresh one starts from the network as it is.'
        )
