"""What README and docs point at is there, and what the reference shows has an example that runs."""

import doctest
import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
LINK = re.compile(r'\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)')
WITHOUT = {'LPIPSLoss', 'DISTSLoss'}  # whose networks are downloaded
REFERENCE = re.findall(r'^::: (\S+)$', (ROOT / 'docs' / 'api.md').read_text(encoding='utf-8'), re.MULTILINE)


def text_of(page):
    """Without code, in which brackets are no links."""
    text = re.sub(r'^```.*?^```', '', page.read_text(encoding='utf-8'), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r'`[^`\n]*`', '', text)


def anchors(page):
    titles = re.findall(r'^#+ (.+)$', page.read_text(encoding='utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', title).strip().lower().replace(' ', '-') for title in titles}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for path, anchor in LINK.findall(text_of(page)):
        target = page.parent / path if path else page
        assert target.exists(), f'{page.name}: {path}'
        assert not anchor or anchor in anchors(target), f'{page.name}: {path}#{anchor}'


def test_every_page_is_in_the_site():
    nav = (ROOT / 'mkdocs.yml').read_text(encoding='utf-8')
    assert [page.name for page in PAGES[1:] if page.name not in nav] == []


@pytest.mark.parametrize('name', [name for name in REFERENCE if name.split('.')[-1] not in WITHOUT])
def test_what_the_reference_shows_has_an_example(name):
    module, _, attribute = name.rpartition('.')
    found = doctest.DocTestFinder(exclude_empty=True).find(resolve_name(f'{module}:{attribute}'), attribute)
    assert any(each.examples for each in found)
