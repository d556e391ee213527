"""Names in BasicSR's registries, and what is said of one that is in none."""

import pytest
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY

from mclir_basicsr.compat import registries


def test_a_name_in_no_registry_brings_the_near_ones(capsys):
    for registry, name, near in (
        (MODEL_REGISTRY, 'HistroyModel', 'did you mean HistoryModel'),
        (LOSS_REGISTRY, 'SPNLos', 'did you mean SPNLoss'),
        (ARCH_REGISTRY, 'SwinIr', 'did you mean SwinIR'),
        (ARCH_REGISTRY, 'Q', 'it holds BasicVSR, '),
    ):
        with pytest.raises(KeyError) as error:
            registry.get(name)
        assert near in str(error.value)
        assert f"named '{name}'" in str(error.value)
        assert 'The plugin mclir_basicsr is loaded, version' in str(error.value)
    assert capsys.readouterr().out == ''


def test_names_that_are_registered_are_found_as_before():
    assert ARCH_REGISTRY.get('EDSR').__name__ == 'EDSR'
    # BasicSR registers some with the suffix _basicsr, to be found without it
    assert ARCH_REGISTRY.get('SRVGGNetCompact').__name__ == 'SRVGGNetCompact'
    assert registries._loaded().startswith('loaded')
