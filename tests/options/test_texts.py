"""Numbers and truth values that YAML reads as text, in every block."""

import pytest

from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import parse_file, read_options
from mclir_basicsr.options.texts import text_faults


@pytest.fixture
def faults(option_file):
    """Faults of the tiny run's option file with a value at a dotted path."""

    def of(path, value, **blocks):
        opt = parse_file(option_file(**blocks))
        *places, key = path.split('.')
        block = opt
        for name in places:
            block = block.setdefault(name, {})
        block[key] = value
        return text_faults(opt)

    return of


@pytest.mark.parametrize(
    ('path', 'value', 'written'),
    [
        ('network_g.res_scale', '1e-1', '!!float 1e-1'),
        ('network_g.num_feat', '8', '8'),
        ('val.metrics.psnr.crop_border', '2e0', '2'),
        ('val.val_freq', '5e3', '5000'),
        ('datasets.train.dataset_enlarge_ratio', '1e2', '100'),
        ('datasets.val.mean', ['0.5', 0.5, 0.5], '0.5'),
        ('logger.print_freq', '1e2', '100'),
        ('train.optim_g.lr', '1e-4', '!!float 1e-4'),
        ('train.pixel_opt.loss_weight', '1e-2', '!!float 1e-2'),
        ('train.fft_opt.loss_weight', '5e-2', '!!float 5e-2'),
        ('scale', '2', '2'),
    ],
)
def test_a_number_in_text_is_named_wherever_it_stands(faults, path, value, written):
    (line,) = faults(path, value)
    assert line.startswith(f'{path}.0 must' if isinstance(value, list) else f'{path} must be a number, but it is')
    assert line.endswith(f'text to YAML: write {written} without quotes.')


@pytest.mark.parametrize(
    ('path', 'value'),
    [
        ('path.strict_load_g', 'false'),
        ('datasets.train.use_hflip', 'False'),
        ('datasets.train.pin_memory', 'off'),
        ('val.save_img', 'true'),
        ('val.pbar', 'no'),
        ('val.metrics.psnr.test_y_channel', 'false'),
        ('logger.use_tb_logger', 'false'),
        ('find_unused_parameters', 'false'),
        ('train.optim_g.amsgrad', 'false'),
        ('train.perceptual_opt', {'type': 'PerceptualLoss', 'use_input_norm': 'no'}),
        ('network_g', {'type': 'SwinIR', 'ape': 'no'}),
    ],
)
def test_a_truth_value_in_text_is_not_taken_as_true(faults, path, value):
    (line,) = faults(path, value)
    assert line.startswith(path)
    assert ' must be true or false, but it is ' in line


@pytest.mark.parametrize(
    ('path', 'value'),
    [
        ('name', '007'),
        ('val.suffix', '2'),
        ('logger.wandb', {'project': '5', 'resume_id': '1e5'}),
        ('datasets.train.dataroot_gt', '2024'),
        ('path.pretrain_network_g', '5'),
        ('network_g', {'type': 'SwinIR', 'upsampler': '1', 'resi_connection': '1conv'}),  # the constructor takes text
        ('val.metrics.psnr.input_order', '1'),
        ('train.spn_opt.loss_weight', '1e-3'),  # ours, which the structs take
    ],
)
def test_text_stays_text(faults, path, value):
    assert faults(path, value) == []


def test_a_data_set_of_an_unknown_class_may_take_text(faults):
    of_the_user = {'datasets': {'train': {'name': 'train', 'type': 'MyDataset', 'fold': '3'}}}
    (line,) = faults('datasets.train.rate', '1e-3', **of_the_user)
    assert line.startswith('datasets.train.rate must be a number')


def test_a_history_model_refuses_them_under_basicsrs_own_script(options):
    """Which does not ask mclir check."""
    opt = options(network_g=options()['network_g'] | {'res_scale': '1e-1'})
    opt['val']['metrics']['psnr']['test_y_channel'] = 'false'
    with pytest.raises(MclirError) as error:
        read_options(opt)
    assert [line.split()[0] for line in str(error.value).split('\n  ')[1:]] == [
        'network_g.res_scale',
        'val.metrics.psnr.test_y_channel',
    ]
