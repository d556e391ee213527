"""wandb as it is today, which BasicSR starts by a function that was taken out of it."""

import sys
from types import ModuleType

from basicsr.utils.logger import init_wandb_logger


def test_a_run_starts_with_a_wandb_that_makes_numbers_elsewhere(monkeypatch):
    names = ('wandb', 'wandb.util', 'wandb.sdk', 'wandb.sdk.lib', 'wandb.sdk.lib.runid')
    modules = {name: ModuleType(name) for name in names}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, own = name.rpartition('.')
        if parent:
            setattr(modules[parent], own, module)
    modules['wandb.sdk.lib.runid'].generate_id = lambda: 'abc123'
    asked = {}
    modules['wandb'].init = lambda **options: asked.update(options)
    init_wandb_logger({'name': 'tiny', 'logger': {'wandb': {'project': 'p'}}})
    assert (asked['id'], asked['project'], asked['sync_tensorboard']) == ('abc123', 'p', True)
