"""Keys that nothing reads: those that were meant to be another are faults, the rest is noted."""

import pytest

from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import parse_file, read_options
from mclir_basicsr.options.known import unread_keys


@pytest.fixture
def judged(option_file):
    """Faults and notes of the tiny run's option file after a change to it."""

    def of(block, key, value='x', ours=True, **blocks):
        opt = parse_file(option_file(**blocks))
        place = opt
        for name in filter(None, block.split('.')):
            place = place.setdefault(name, {})
        place[key] = value
        return unread_keys(opt, ours=ours)

    return of


def test_the_tiny_run_and_what_basicsrs_parser_adds_to_it_have_no_unread_key(option_file):
    opt = parse_file(option_file())
    opt |= {'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1, 'auto_resume': False, 'root_path': '/'}
    opt['path'] |= dict.fromkeys(('experiments_root', 'models', 'training_states', 'log', 'visualization'), '/x')
    opt['datasets']['train'] |= {'phase': 'train', 'scale': 2, 'position': None}
    opt['logger']['wandb'] = {'project': None, 'resume_id': None}
    assert unread_keys(opt, ours=True) == unread_keys(opt, ours=False) == ([], [])


@pytest.mark.parametrize('ours', [True, False])
@pytest.mark.parametrize(
    ('block', 'key', 'meant'),
    [
        ('path', 'pretrain_network_G', 'pretrain_network_g'),
        ('path', 'pretrain_network', 'pretrain_network_g'),
        ('path', 'pretrain_model_g', 'pretrain_network_g'),
        ('path', 'pretrained', 'pretrain_network_g'),
        ('path', 'strict_load', 'strict_load_g'),
        ('path', 'resume', 'resume_state'),
        ('path', 'param_key', 'param_key_g'),
        ('datasets.train', 'use_flip', 'use_hflip'),
        ('datasets.train', 'gtsize', 'gt_size'),
        ('datasets.val', 'meta_info', 'meta_info_file'),
        ('logger', 'save_checkpoint_freqs', 'save_checkpoint_freq'),
        ('logger.wandb', 'projekt', 'project'),
    ],
)
def test_a_key_that_would_act_if_spelt_right_is_a_fault(judged, block, key, meant, ours):
    faults, notes = judged(block, key, ours=ours)
    assert faults == [f'{block}.{key}: unknown key; did you mean {meant}?']
    assert notes == []


@pytest.mark.parametrize(
    ('block', 'key', 'said'),
    [
        ('', 'seed', 'seed: unknown key; did you mean manual_seed?'),
        ('', 'find_unused_parameter', 'find_unused_parameter: unknown key; did you mean find_unused_parameters?'),
        ('train', 'ema_deacy', 'train.ema_deacy: unknown key; did you mean ema_decay?'),
        ('val', 'save_imgs', 'val.save_imgs: unknown key; did you mean save_img?'),
        ('', 'grad_clip_norm', 'grad_clip_norm: unknown key; it has its place in train.'),
        ('train', 'tile', 'train.tile: unknown key; it has its place in val.'),
        ('datasets.val', 'pbar', 'datasets.val.pbar: unknown key; it has its place in val.'),
        ('train', 'manual_seed', None),  # it stands at the top, too, where it is read
    ],
)
def test_misspelt_and_misplaced_keys_of_a_history_model(judged, block, key, said):
    faults, notes = judged(block, key)
    assert faults == ([said] if said else [])
    assert (len(notes) == 1) == (said is None)


@pytest.mark.parametrize(
    ('block', 'key'), [('', 'gt_usm'), ('datasets.train', 'use_shuffle'), ('train', 'fix_flow'), ('logger', 'level')]
)
def test_another_key_without_effect_is_a_note(judged, block, key):
    faults, (note,) = judged(block, key)
    assert faults == []
    assert note == f'{block}.{key} is read by neither BasicSR nor mclir_basicsr: it has no effect.'.lstrip('.')


@pytest.mark.parametrize(
    ('key', 'said'),
    [
        ('ssim_opt', 'a loss beside pixel_opt and perceptual_opt is an entry of train.losses, "- {type: XLoss, ...}".'),
        ('mse_opt', 'a loss beside pixel_opt and perceptual_opt is an entry of train.losses, "- {type: XLoss, ...}".'),
        ('pixle_opt', 'did you mean pixel_opt?'),
        ('percep_opt', 'did you mean perceptual_opt?'),
        ('fft_los_opt', 'did you mean fft_loss_opt?'),
    ],
)
def test_a_loss_of_a_fork_is_refused_and_one_that_is_off_noted(judged, key, said):
    assert judged('train', key, {'type': 'XLoss'}) == ([f'train.{key}: unknown key; {said}'], [])
    if 'train.losses' in said:
        assert judged('train', 'l1_opt', None)[0] == []


def test_a_key_of_path_of_which_basicsr_makes_a_folder(judged):
    assert judged('path', 'root', '/data') == (
        [],
        [
            'path.root is read by neither BasicSR nor mclir_basicsr: it has no effect. BasicSR makes an empty '
            'folder of that name.'
        ],
    )
    assert 'path.root: unknown key; BasicSR would make a folder of it' in judged('path', 'root', None)[0][0]


def test_keys_of_a_discriminator_are_refused_where_the_base_has_none(judged, option_file):
    gan = {'gan_opt': {'type': 'GANLoss'}, 'optim_d': {'type': 'Adam'}, 'ldl_opt': None, 'net_d_iters': 1}
    faults, notes = judged('path', 'pretrain_network_d', 'd.pth', train=gan, network_d={'type': 'UNet'})
    assert faults == [
        'network_d, path.pretrain_network_d, train.gan_opt, train.net_d_iters, train.optim_d: SRModel (base_model) '
        'trains without a discriminator. Take these keys out, or set base_model to the class that they are for: '
        'SRGANModel, ESRGANModel, RealESRGANModel, VideoGANModel, ...'
    ]
    assert notes == []
    of_another = judged('path', 'pretrain_network_d', 'd.pth', ours=False, train=gan, network_d={'type': 'UNet'})
    assert of_another == ([], [])
    with pytest.raises(MclirError, match=r'train\.gan_opt: SRModel .* trains without a discriminator'):
        read_options(parse_file(option_file(train={'gan_opt': {'type': 'GANLoss'}})))


def test_of_a_data_set_of_an_unknown_class_a_near_misspelling_is_asked_about(judged):
    of_the_user = {'datasets': {'train': {'name': 'train', 'type': 'MyDataset', 'my_key': 1, 'dataroot_flow': 'x'}}}
    assert judged('datasets.train', 'use_hfilp', **of_the_user) == (
        [],
        ['datasets.train.use_hfilp: did you mean use_hflip?'],
    )


def test_a_key_of_another_data_set_class_is_no_misspelling(judged):
    single = {'datasets': {'val': {'name': 'val', 'type': 'SingleImageDataset', 'dataroot_lq': 'x'}}}
    assert judged('datasets.val', 'dataroot_gt', **single) == (
        [],
        ['datasets.val.dataroot_gt is read by neither BasicSR nor mclir_basicsr: it has no effect.'],
    )
