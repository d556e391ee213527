"""Repairs: declared, made once, all or none."""

import json
import sys

import pytest
from basicsr.models.base_model import BaseModel
from basicsr.utils import dist_util, options
from basicsr.utils.registry import MODEL_REGISTRY
from conftest import run

from mclir_basicsr import compat
from mclir_basicsr.compat.repair import Repair, is_wrapped, wrap
from mclir_basicsr.errors import MclirError
from mclir_basicsr.served import RELEASE


def test_every_repair_says_why_and_repeating_them_changes_nothing():
    before = options.parse_options, BaseModel.model_to_device, type(MODEL_REGISTRY).get, dist_util._init_dist_pytorch
    compat.before_import()
    compat.after_import()
    assert before == (
        options.parse_options,
        BaseModel.model_to_device,
        type(MODEL_REGISTRY).get,
        dist_util._init_dist_pytorch,
    )
    assert {'launch_option', 'resume', 'registry_message'} <= compat.active().keys()
    assert all(len(reason) > 30 for reason in compat.active().values())


def test_a_wrapper_takes_whatever_arguments_the_function_takes():
    """A project or a later BasicSR may add some."""

    def original(opt, scale=1, *rest, strict=True):
        return opt, scale, rest, strict

    wrapped = wrap(original, lambda original, *args, **kwargs: original(*args, **kwargs))
    assert wrapped('opt', 2, 'more', strict=False) == ('opt', 2, ('more',), False)
    assert wrapped(opt='opt', scale=3) == ('opt', 3, (), True)
    assert wrapped.__name__ == 'original'


def test_a_decorator_of_another_is_no_repair():
    def another(original, *args):
        return original(*args)

    assert not is_wrapped(wrap(len, another), test_a_decorator_of_another_is_no_repair)
    assert is_wrapped(wrap(wrap(len, another), lambda *_: 0), another)


@pytest.mark.parametrize(
    ('owner', 'attribute'),
    [('basicsr.gone', 'x'), ('basicsr.train', 'load_resume_stat'), ('basicsr.train:Gone', 'x')],
)
def test_a_basicsr_that_lacks_what_is_to_be_wrapped_is_named(owner, attribute):
    with pytest.raises(MclirError, match=rf'no {owner.replace(":", ".")}\.{attribute}, .*install {RELEASE}'):
        Repair(owner, attribute, wrap).look_up()


# Each possible failure of register(), one after the other, in a process in which nothing is registered yet.
FAILURES = """
import json, sys
from mclir_basicsr import compat
supplied = compat.before_import()  # for `import basicsr`
import basicsr, basicsr.train, basicsr.data.paired_image_dataset
from basicsr.models.base_model import BaseModel
from basicsr.utils import registry
supplied()
import mclir_basicsr.models, mclir_basicsr.compat.repair  # all that register() imports
from mclir_basicsr import plugin
from mclir_basicsr.compat import missing_modules, repair
from mclir_basicsr.stand_in import stand_in

def ids(mapping):
    return {key: id(value) for key, value in mapping.items()}

def things():
    yield 'functional_tensor', 'torchvision.transforms.functional_tensor' in sys.modules
    yield 'active', compat.active()
    for name in ('ARCH', 'DATASET', 'LOSS', 'MODEL', 'METRIC'):
        yield name, ids(getattr(registry, name + '_REGISTRY')._obj_map)
    for module in [m for n, m in sys.modules.items() if n.split('.')[0] == 'basicsr']:
        for key, value in vars(module).items():
            yield module.__name__ + '.' + key, id(value)
            if isinstance(value, type) and value.__module__.startswith('basicsr'):
                yield module.__name__ + '.' + key + '.*', ids(vars(value))

def failing_at(number, function):
    calls = iter(range(10**6))
    def failing(*args, **kwargs):
        if next(calls) == number:
            raise OSError('injected')
        return function(*args, **kwargs)
    return failing

def main():
    compat.before_import()()
    originals = [dict(vars(m)) for m in list(sys.modules.values()) if m]  # no id is used again
    steps = [
        (plugin, '_look_up'), (repair.Repair, 'look_up'), (repair.Repair, 'make'), (repair, 'put'), (repair, 'wrap'),
        (registry.Registry, 'register'),
    ]
    before, said = dict(things()), {}
    for owner, name in steps:
        for number in range(1000):
            with stand_in(owner, name, failing_at(number, getattr(owner, name))):
                inside = dict(things())
                try:
                    plugin.register()
                except OSError:
                    pass
                else:
                    break  # there are not that many calls of it
                after = dict(things())
                # the failing function itself stands in BasicSR's class while it is tried
                said.setdefault(name, []).append([key for key in before if after[key] != inside[key]])
        assert 'HistoryModel' in registry.MODEL_REGISTRY
        now = dict(things())
        assert now != before
        undo_all()
        assert dict(things()) == before, [key for key, value in things() if value != before[key]]
    print(json.dumps(said))

def undo_all():
    for undo in reversed(kept):
        undo()
    kept.clear()

# register() keeps its undo to itself once all went well; the tests go back by it.
from contextlib import ExitStack
kept = []
class Keeping(ExitStack):
    def pop_all(self):
        kept.append(ExitStack.pop_all(self).close)
plugin.ExitStack = Keeping
main()
"""


def test_basicsr_and_its_registries_are_unchanged_after_each_failure(tmp_path):
    result = run(sys.executable, '-c', FAILURES, cwd=tmp_path, MCLIR_AUTOLOAD='0')
    assert result.returncode == 0, result.stderr[-3000:]
    changed = json.loads(result.stdout.splitlines()[-1])
    assert [len(changed[name]) for name in ('_look_up', 'register')] == [1, 18]
    assert all(len(changed[name]) >= 5 for name in ('look_up', 'make', 'put', 'wrap'))
    assert [keys for runs in changed.values() for keys in runs if keys] == []


BROKEN_BASICSR = """
import sys
from mclir_basicsr import compat, plugin
try:
    plugin.register()
except ImportError as error:
    print(error, compat.active(), 'torchvision.transforms.functional_tensor' in sys.modules)
"""


def test_a_basicsr_that_cannot_be_imported_leaves_nothing_behind(tmp_path):
    (tmp_path / 'basicsr').mkdir()
    (tmp_path / 'basicsr' / '__init__.py').write_text('raise ImportError("broken")')
    result = run(sys.executable, '-c', BROKEN_BASICSR, cwd=tmp_path, MCLIR_AUTOLOAD='0', PYTHONPATH=str(tmp_path))
    assert result.stdout == 'broken {} False\n', result.stderr[-3000:]
