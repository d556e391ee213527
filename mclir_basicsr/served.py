"""Which basicsr the plugin joins."""

from pathlib import Path
from typing import Any

# What we serve has these files, and a registry whose functions take a suffix: basicsr 1.4.2 and what is near it.
FILES = ('train.py', 'models/sr_model.py', 'data/paired_image_dataset.py', 'utils/options.py', 'utils/dist_util.py')


def is_served(path: Any) -> bool:
    """Whether a basicsr is one that the plugin can join, told by its files; nothing is imported.

    Args:
        path: Its ``__path__``: the folders of the package, the first of which counts; None for a module.
    """
    try:
        home = Path(path[0])
        takes_suffix = 'suffix=' in (home / 'utils' / 'registry.py').read_text(encoding='utf-8')
        return takes_suffix and all((home / name).is_file() for name in FILES)
    except Exception:  # a bare folder, a zip file, whatever a finder of another package gives
        return False
