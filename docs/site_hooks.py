"""What the site makes otherwise than a reader of the files sees it (hooks of MkDocs)."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
_ROLE = re.compile(r':(?:class|func|meth|mod|attr):<code>~?(?:[\w.]+\.)?(\w+)</code>')


def on_files(files: Any, config: Any) -> Any:
    """Put the option files beside the pages."""
    for file in sorted((ROOT / 'options').glob('*.yml')):
        files.append(File.generated(config, f'options/{file.name}', abs_src_path=str(file)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Link to them there."""
    return markdown.replace('](../options/', '](options/')


def on_page_content(html: str, **_: Any) -> str:
    """Show names that docstrings mark with a role as code alone."""
    return _ROLE.sub(r'<code>\1</code>', html)
