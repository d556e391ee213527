"""What the check of a data set found, kept so that it need not be done again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mclir_basicsr.files.whole_file import whole_file


@dataclass(frozen=True, slots=True)
class Record:
    """A finding without faults, kept in a file so that the same images need not be examined again.

    Attributes:
        file: Where; it may be deleted.
        valid_for: A text that differs where other images, or the same in another way, are to be checked.
    """

    file: Path
    valid_for: str

    def keep(self, sizes_by_scale: Mapping[int, np.ndarray], notes: Sequence[str]) -> None:
        """Write the lq sizes and the notes."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {f'x{scale}': pixels for scale, pixels in sizes_by_scale.items()}
        with whole_file(self.file) as stream:
            np.savez(stream, valid_for=np.array(self.valid_for), notes=np.array(notes, np.str_), **arrays)

    def recall(self, scales: Collection[int]) -> tuple[dict[int, np.ndarray], list[str]] | None:
        """The sizes of these scales and the notes that were kept; None where they were not, or are for other images."""
        try:
            with np.load(self.file) as kept:
                if str(kept['valid_for']) == self.valid_for:
                    return {scale: kept[f'x{scale}'] for scale in scales}, [str(note) for note in kept['notes']]
        except Exception:  # not there, or damaged, for which NumPy and zipfile have a dozen kinds of error
            pass
        return None
