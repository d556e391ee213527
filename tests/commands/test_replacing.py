"""What stands where a command writes is not replaced, unless the user asks for it or the same command wrote it."""

import pytest

from mclir_basicsr.commands import demo
from mclir_basicsr.commands.cli import main
from mclir_basicsr.errors import MclirError

LOG = (
    '2026-01-02 03:04:05,678 INFO: Start training from epoch: 0, iter: 0\n'
    '2026-01-02 03:04:05,678 INFO: [some_..][epoch:  0, iter:      10, lr:(1.000e-04,)] '
    '[eta: 0:00:01, time (data): 0.518 (0.009)] l_pix: 1.0000e-02 \n'
)


def test_enable_overwrites_no_file_unless_forced(option_file, tmp_path, capsys):
    source = option_file(model_type='SRModel', train={'spn_opt': None, 'history': None})
    source.write_text(source.read_text().replace('  spn_opt: null\n', '').replace('  history: null\n', ''))
    target = tmp_path / 'new.yml'
    target.write_text('mine')
    assert main(['enable', str(source), '-o', str(target)]) == 2
    assert f'-o: {target} exists already. Give another name, or --force' in capsys.readouterr().err
    assert target.read_text() == 'mine'
    assert main(['enable', str(source), '-o', str(target), '--force']) == 0
    assert 'HistoryModel' in target.read_text()


def test_compare_replaces_its_own_report_and_no_other_page(tmp_path, capsys):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'train_some_20260102_030405.log').write_text(LOG)
    out = tmp_path / 'comparison'
    command = ['compare', str(tmp_path / 'a'), '-o', str(out)]
    assert main(command) == main(command) == 0
    (out / 'report.html').write_text('mine')
    assert main(command) == 2
    assert f'-o: {out / "report.html"}, {out / "report.png"} exists already' in capsys.readouterr().err
    assert (out / 'report.html').read_text() == 'mine'
    assert main([*command, '--force']) == 0


def test_demo_writes_over_a_former_demo_and_over_nothing_else(tmp_path, monkeypatch):
    def begin(*_):
        raise RuntimeError('it begins')

    monkeypatch.setattr('mclir_basicsr.commands.demo.photographs.write_pairs', begin)
    (tmp_path / 'notes.txt').touch()  # the demo has no file of that name
    with pytest.raises(RuntimeError, match='it begins'):
        demo.demo(tmp_path)
    (tmp_path / 'report.html').write_text('mine')
    with pytest.raises(MclirError, match=r'--out: .*report\.html exists already'):
        demo.demo(tmp_path)
    with pytest.raises(RuntimeError, match='it begins'):
        demo.demo(tmp_path, force=True)
    demo._write_options(tmp_path, 'baseline', 10, lr=1)
    with pytest.raises(RuntimeError, match='it begins'):
        demo.demo(tmp_path)
