"""Which basicsr the plugin joins."""

import re
import sys
from pathlib import Path
from typing import Any

# What pip can install here: the setup.py of basicsr reads locals() after exec, which Python 3.13 (PEP 667) keeps apart.
RELEASE = 'basicsr==1.4.2' if sys.version_info < (3, 13) else 'basicsr-volta==1.4.4'

# What we serve has these files, and a registry whose functions take a suffix: basicsr 1.4.2 to 1.4.4.
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


def version_of(home: Path) -> str:
    """The version of a basicsr, read from its files whatever package brought it; nothing is imported.

    Args:
        home: Folder of the package.
    """
    file = home / 'version.py'
    text = file.read_text(encoding='utf-8', errors='replace') if file.is_file() else ''
    match = re.search(r"""__version__ = ['"](.+)['"]""", text)
    return match[1] if match else 'unknown version'
