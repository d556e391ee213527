"""Random numbers of the training steps."""

from basicsr.models.sr_model import SRModel

from mclir_basicsr.data.random_streams import begin_step


class SeededModel(SRModel):
    """SRModel each of whose steps has random numbers of its own (dropout, drop path), by seed, rank and iteration."""

    @property
    def seed(self) -> int:
        """Of the run; it travels in the training state."""
        return self.opt.get('manual_seed') or 0

    def update_learning_rate(self, current_iter: int, warmup_iter: int = -1) -> None:
        """Begin a step, which BasicSR's loop does with this call."""
        begin_step(self.seed, self.opt['rank'], current_iter)
        super().update_learning_rate(current_iter, warmup_iter)
