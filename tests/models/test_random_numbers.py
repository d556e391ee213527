"""Steps of a network with dropout: what they draw follows from seed, rank and iteration."""

import pytest
import torch
from basicsr.models import build_model
from recipe import example_input

DROPOUT = {
    'type': 'SwinIR', 'upscale': 2, 'in_chans': 3, 'img_size': 8, 'window_size': 4, 'img_range': 1.0, 'depths': [2],
    'embed_dim': 8, 'num_heads': [2], 'mlp_ratio': 2, 'upsampler': 'pixelshuffledirect', 'resi_connection': '1conv',
    'drop_rate': 0.2,
}  # fmt: skip


def losses(model, iterations):
    """l_pix of steps on one pair."""
    found = []
    for iteration in iterations:
        model.update_learning_rate(iteration)
        model.feed_data({'lq': example_input([1, 3, 8, 8], 1), 'gt': example_input([1, 3, 16, 16], 2)})
        model.optimize_parameters(iteration)
        found.append(model.get_current_log()['l_pix'])
    return found


def start(options, **blocks):
    torch.manual_seed(0)
    return build_model(options(network_g=DROPOUT, **blocks))


def resume(options, tmp_path, state=None, **blocks):
    path = options()['path'] | {'pretrain_network_g': str(tmp_path / 'models' / 'net_g_2.pth')}
    model = start(options, path=path, **blocks)
    state = state or torch.load(tmp_path / 'training_states' / '2.state', weights_only=True)
    model.resume_training(state)
    return model


def test_a_resumed_run_drops_what_an_uninterrupted_one_drops(options, tmp_path):
    straight = start(options)
    losses(straight, (1, 2))
    straight.save(0, 2)
    torch.rand(100)  # a validation that draws
    expected = losses(straight, (3, 4))
    # the seed of the state counts, not that of the option file
    assert losses(resume(options, tmp_path, manual_seed=7), (3, 4)) == expected


@pytest.mark.parametrize('other', [{'rank': 1}, {'manual_seed': 1}])
def test_ranks_and_seeds_differ(options, other):
    model, changed = start(options), start(options, **other)
    assert losses(model, [1]) == losses(start(options), [1])
    assert losses(changed, [1]) != losses(start(options), [1])


def test_a_state_of_an_earlier_version_goes_on_by_the_seed_of_the_option_file(options, tmp_path, caplog):
    model = start(options, manual_seed=7)
    losses(model, (1, 2))
    model.save(5, 2)
    state = torch.load(tmp_path / 'training_states' / '2.state', weights_only=True)
    assert state.pop('seed') == 7
    with caplog.at_level('INFO', 'basicsr'):
        resumed = resume(options, tmp_path, state, manual_seed=7)
    assert ('INFO', 'The resumed state of iteration 2 holds no seed: random numbers go on from manual_seed 7.') in [
        (record.levelname, record.message) for record in caplog.records
    ]
    assert not [record for record in caplog.records if record.levelname == 'WARNING']
    assert state['epoch'] == 5, 'the loop of its own has no loader of ours'
    assert losses(resumed, (3, 4)) == losses(model, (3, 4))
