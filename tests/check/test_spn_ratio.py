"""The ratio measured before a run is the one that the run begins with."""

import pytest
import torch
from basicsr.archs import build_network
from basicsr.data import build_dataset

from mclir_basicsr.check import spn_ratio
from mclir_basicsr.check.preflight import check
from mclir_basicsr.check.spn_ratio import ratio_per_weight
from mclir_basicsr.check.trial_training import train
from mclir_basicsr.errors import MclirError
from mclir_basicsr.models.history_model import HistoryModel
from mclir_basicsr.options import parse_file

SPN = {'type': 'SPNLoss', 'weights': 'oxford', 'loss_weight': 1e-3}


@pytest.fixture
def opt(option_file, write_pairs, tmp_path):
    """Of a run from a network, on one pair, so that each batch is the same."""
    write_pairs(1)
    net = tmp_path / 'net.pth'

    def make(**train):
        opt = parse_file(option_file(train={'spn_opt': dict(SPN)} | train))
        torch.manual_seed(0)
        torch.save({'params': build_network(dict(opt['network_g'])).state_dict()}, net)
        opt['path']['pretrain_network_g'] = str(net)
        return opt

    return make


def test_it_is_the_ratio_of_the_first_step(opt, options, tmp_path):
    train = {'history': {'interval': [100, 200], 'start': 0.1}}
    asked, before = opt(**train), torch.get_rng_state()
    per_weight = ratio_per_weight(asked)
    assert torch.equal(torch.get_rng_state(), before)
    assert not list(tmp_path.glob('experiments*'))

    run = opt(**train)
    model = HistoryModel(options(train={'spn_opt': dict(SPN)} | train, path=options()['path'] | run['path']))
    block = run['datasets']['train'] | {'phase': 'train', 'scale': 2}
    model.feed_data(torch.utils.data.default_collate([build_dataset(block)[0]]))
    model.update_learning_rate(1)
    model.optimize_parameters(1)
    assert model.get_current_log()['spn_ratio'] == pytest.approx(1e-3 * per_weight, rel=1e-3)


def test_nothing_moves_while_it_is_measured(opt, monkeypatch):
    """With the learning rate of the run the network would be another one at the second batch."""
    seen = []

    def noting(model, batch):
        train(model, batch)
        seen.append([parameter.clone() for parameter in model.net_g.parameters()])

    monkeypatch.setattr(spn_ratio, 'train', noting)
    ratio_per_weight(opt())
    assert len(seen) > 1
    assert all(map(torch.equal, seen[0], seen[-1]))


def test_balance_and_every_are_left_out_of_the_measurement(opt):
    other = {'spn_opt': {key: SPN[key] for key in ('type', 'weights')} | {'balance': 0.5, 'every': 3}}
    assert ratio_per_weight(opt(**other)) == pytest.approx(ratio_per_weight(opt()), rel=1e-4)


def test_a_loss_without_gradient_tells_nothing(opt):
    with pytest.raises(MclirError, match=r'spn_ratio is inf: the negatives .* or the loss is 0'):
        ratio_per_weight(opt(pixel_opt={'type': 'L1Loss', 'loss_weight': 0.0}))


def test_data_that_cannot_be_read_is_named(opt):
    spoilt = opt()
    spoilt['datasets']['train']['dataroot_gt'] = 'nowhere'
    with pytest.raises(MclirError, match='nowhere'):
        ratio_per_weight(spoilt)


def test_check_says_when_a_pair_of_losses_cannot_act(opt, tmp_path):
    """PSNRLoss with the published weight, as options/nafnet_spn_gopro.yml once had it."""
    weak = opt(pixel_opt={'type': 'PSNRLoss', 'loss_weight': 100.0})
    notes = check(weak, tmp_path)
    assert any('the SPN term hardly acts' in note for note in notes), notes
    assert not any('spn_ratio' in note for note in check(opt(), tmp_path))


def test_check_tries_a_term_that_acts_at_every_nth_step(opt, tmp_path):
    spn = SPN | {'loss_weight': 1e-6, 'every': 4}
    assert any('the SPN term hardly acts' in note for note in check(opt(spn_opt=spn), tmp_path))
