"""The report: one PNG, one page."""

import io
import math
import re
import sys
from base64 import b64decode
from html.parser import HTMLParser

import pytest
from conftest import run as execute
from experiment_log import END, head, noise, training, validation, write_image, write_log
from PIL import Image

from mclir_basicsr.errors import MclirError
from mclir_basicsr.report import Picture, Run, compare, table, write_report


class Page(HTMLParser):
    """Checks that tags are closed in order; collects tags, links and text."""

    def __init__(self, file):
        super().__init__()
        self.open, self.tags, self.links, self.text = [], [], [], ''
        self.feed(file.read_text(encoding='utf-8'))
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ('src', 'href', 'style', 'srcset')]
        if tag not in ('meta', 'img', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def run(label, psnr, **training):
    return Run(label, label, training, {'Set5': {'psnr': [(10, psnr)]}})


@pytest.fixture
def experiments(tmp_path):
    """Folders of two finished runs."""
    folders = []
    for seed, name in enumerate(('plain', 'spn')):
        log = (
            head(10, 10),
            training(10, l_pix=0.5),
            validation('Set5', psnr=26 + seed),
            END,
            validation('Set5', psnr=26 + seed),
        )
        folders.append(write_log(tmp_path / name, *log))
        write_image(folders[-1], 'a', 11, noise(seed))
    return folders


def test_page_needs_no_other_file_and_png_holds_all(tmp_path):
    picture = Picture('a', {'plain': noise(1), 'SPN': noise(2)}, noise(3, 20, 24), noise(4))
    html = write_report(
        [run('plain', 26.0), run('SPN', 26.5)], tmp_path / 'new' / 'out', [picture], ['Same budget.'], title='Demo'
    )
    assert html == tmp_path / 'new' / 'out' / 'report.html'
    assert sorted(file.name for file in html.parent.iterdir()) == ['report.html', 'report.png']
    page = Page(html)
    assert {'table', 'ul', 'img'} <= set(page.tags)
    assert not {'script', 'link', 'iframe'} & set(page.tags)
    assert 'Same budget.' in page.text and '+0.5000' in page.text and 'Demo' in page.text
    (source,) = page.links
    embedded = Image.open(io.BytesIO(b64decode(source.removeprefix('data:image/png;base64,'))))
    whole = Image.open(html.with_name('report.png'))
    assert embedded.width == whole.width
    assert embedded.height < whole.height  # the table is text on the page


def test_everything_is_escaped(tmp_path):
    name = '<script>alert("&")</script>'
    page = Page(
        write_report([Run(name, name, validation={name: {name: [(1, 2.0)]}})], tmp_path, notes=[name], title=name)
    )
    assert 'script' not in page.tags
    assert page.text.count(name) == 7  # title twice, data set, last, best, run, note


def test_values_that_are_not_finite_are_noted(tmp_path):
    runs = [run('plain', math.nan, l_pix=[(1, math.inf)], l_spn=[(1, 1.0)]), run('spn', 26.0, l_pix=[(1, 0.5)])]
    text = Page(write_report(runs, tmp_path)).text
    assert 'plain: logged values of l_pix are not finite' in text
    assert 'spn: logged' not in text


def test_a_report_without_curves_and_pictures(tmp_path):
    page = Page(write_report([Run('plain', 'plain', training={'l_style': [(1, 0.5)]})], tmp_path))
    assert 'img' not in page.tags
    assert 'No validation figures' in page.text
    assert (tmp_path / 'report.png').exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('mine')
    with pytest.raises(MclirError, match=r'Cannot write the report to .*file.* Give another folder'):
        write_report([run('plain', 26.0)], tmp_path / 'file')


def test_a_failed_write_leaves_the_former_report(tmp_path, monkeypatch):
    write_report([run('plain', 26.0)], tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(MclirError, match='No space left'):
        write_report([run('plain', 27.0)], tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_compare_folders(experiments, tmp_path):
    text = compare(experiments, tmp_path / 'out')
    assert re.search(r'spn +10 +27.0000 +\+1.0000 +27.0000 @ 10', text)
    assert text.endswith(f'Curves and pictures: {tmp_path / "out" / "report.html"}')
    assert Image.open(tmp_path / 'out' / 'report.png').height > 600  # with the picture


def test_compare_tells_folders_of_one_name_apart(experiments, tmp_path):
    other = tmp_path / 'elsewhere' / 'plain'
    other.parent.mkdir()
    experiments[1].rename(other)
    text = compare([experiments[0], other], tmp_path / 'out')
    assert f'\n{experiments[0]} ' in text and f'\n{other} ' in text


def test_compare_refuses_a_folder_given_twice(experiments, tmp_path):
    with pytest.raises(MclirError, match=r'plain: given twice'):
        compare([experiments[0], experiments[0] / '..' / 'plain'], tmp_path)


def test_compare_needs_neither_pyplot_nor_torch(experiments, tmp_path):
    code = (
        'import sys; from pathlib import Path; from mclir_basicsr.report import compare; '
        'compare([Path("plain"), Path("spn")], Path("out")); '
        'print({"matplotlib.pyplot", "torch", "basicsr"} & set(sys.modules))'
    )
    result = execute(sys.executable, '-c', code, cwd=tmp_path, MPLBACKEND='TkAgg')
    assert (result.stdout, result.returncode) == ('set()\n', 0), result.stderr


def test_the_table_is_that_of_the_terminal(experiments, tmp_path):
    assert compare(experiments, tmp_path).startswith(table([run('plain', 26.0), run('spn', 27.0)]))
