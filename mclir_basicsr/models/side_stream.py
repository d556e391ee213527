"""Work beside the rest of a step."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class SideStream:
    """A second queue of a GPU, whose work may run beside that of the current one; on a CPU all runs in turn.

    Tensors made there need no ``record_stream``: whatever is queued there next waits for all that the current stream
    was given before, hence for those who use them.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = torch.get_device_module(device)
        self._stream = self._device.Stream()

    @contextmanager
    def work(self) -> Iterator[None]:
        """Queue what the block does, to start when the work queued before it is done."""
        self._stream.wait_stream(self._device.current_stream())
        with self._device.stream(self._stream):
            yield

    def join(self) -> None:
        """Have the current stream wait for it."""
        self._device.current_stream().wait_stream(self._stream)
