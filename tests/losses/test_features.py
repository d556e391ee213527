"""The frozen VGG: layers, weights, and what happens without them."""

import urllib.error

import pytest
import torch
import torchvision
from basicsr.archs.vgg_arch import NAMES, insert_bn
from conftest import golden

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses import features, oxford
from mclir_basicsr.losses.features import VGG_TYPES, VGGFeatures, vgg_layers


@pytest.mark.parametrize('vgg_type', VGG_TYPES)
def test_layer_names_are_those_of_basicsr(vgg_type):
    names = NAMES[vgg_type.removesuffix('_bn')]
    assert list(vgg_layers(vgg_type)) == (insert_bn(names) if vgg_type.endswith('_bn') else names)


@pytest.mark.parametrize('vgg_type', ['vgg16', 'vgg11_bn'])
def test_features_are_those_of_torchvision(vgg_type, tmp_path):
    torch.manual_seed(0)
    net = torchvision.models.get_model(vgg_type, weights=None).eval()
    file = tmp_path / 'vgg.pth'
    torch.save(net.state_dict(), file)
    layers = list(vgg_layers(vgg_type))[:9]
    ours = VGGFeatures(layers, vgg_type, use_input_norm=False, weights=str(file))
    x = torch.rand(2, 3, 20, 20)
    found = ours(x)
    assert list(found) == layers
    with torch.no_grad():
        for name, layer in zip(layers, net.features, strict=False):
            x = layer(x.clone())
            torch.testing.assert_close(found[name], x.clone(), msg=name)


def test_it_ends_at_the_last_used_layer_and_stays_frozen():
    vgg = VGGFeatures(['relu2_1', 'conv1_1'], 'vgg16_bn', weights='random')
    assert list(dict(vgg.net.named_children()))[-1] == 'relu2_1'
    vgg.train()
    assert not any(module.training for module in vgg.modules())
    assert not any(p.requires_grad for p in vgg.parameters())


def test_input_ranges():
    image = torch.rand(1, 3, 16, 16)
    plain, norm, both = (
        VGGFeatures(['conv1_1'], use_input_norm=n, range_norm=r, weights='random')
        for n, r in ((False, False), (True, False), (True, True))
    )
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(norm(image)['conv1_1'], plain((image - mean) / std)['conv1_1'])
    torch.testing.assert_close(both(image * 2 - 1)['conv1_1'], norm(image)['conv1_1'], rtol=1e-4, atol=1e-5)


def test_random_weights_depend_on_the_seed_alone(caplog):
    state = torch.random.get_rng_state()
    with caplog.at_level('WARNING', 'basicsr'):
        features.logger.propagate = True
        a, b, c = (VGGFeatures(['conv1_1'], weights='random', seed=seed).net.conv1_1.weight for seed in (3, 3, 4))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert 'random weights (seed 3): good for trying things out' in caplog.text


def test_imagenet_weights_come_from_the_cache_of_torch_hub(tmp_path, monkeypatch):
    """The real loading code, on a file of seeded weights where torchvision's download would lie."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    entry = torchvision.models.VGG11_Weights.IMAGENET1K_V1
    # torchvision compares the file's hash with its name only after a download
    file = features.imagenet_file('vgg11')
    assert file.name == entry.url.rsplit('/', 1)[1]
    file.parent.mkdir(parents=True)
    torch.manual_seed(1)
    net = torchvision.models.vgg11(weights=None)
    torch.save(net.state_dict(), file)
    assert torch.equal(VGGFeatures(['relu1_1'], 'vgg11').net.conv1_1.weight, net.features[0].weight)


def test_no_weights_offline(tmp_path, monkeypatch):
    """The fault that every offline cluster meets: say the file, where to put it and the option."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))

    def offline(*args, **kwargs):
        raise urllib.error.URLError('no network')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', offline)
    with pytest.raises(ValueError, match='could not be downloaded') as error:
        VGGFeatures(['relu1_1'])
    for part in (
        str(tmp_path / 'checkpoints' / 'vgg16-397923af.pth'),
        'https://',
        'spn_opt.weights',
        'oxford',
        'random',
    ):
        assert part in str(error.value)


def test_files_that_do_not_serve(tmp_path):
    with pytest.raises(ValueError, match=r'there is no file .*nowhere\.pth'):
        VGGFeatures(['relu1_1'], weights=str(tmp_path / 'nowhere.pth'))
    damaged = tmp_path / 'damaged.pth'
    damaged.write_bytes(b'PK')
    with pytest.raises(ValueError, match=r'weights: .*damaged\.pth is truncated, damaged or no checkpoint'):
        VGGFeatures(['relu1_1'], weights=str(damaged))
    torch.save({'layer.weight': torch.zeros(1)}, damaged)
    with pytest.raises(ValueError, match=r'no torchvision vgg16 state dict: it lacks features\.0\.weight'):
        VGGFeatures(['relu1_1'], weights=str(damaged))
    torch.save({'features.0.weight': torch.zeros(1), 'features.0.bias': torch.zeros(64)}, damaged)
    with pytest.raises(ValueError, match=r'(?s)does not fit vgg16.*size mismatch'):
        VGGFeatures(['relu1_1'], weights=str(damaged))


def test_messages_name_the_argument_and_no_key_of_an_option_file(tmp_path, caplog):
    """A plain PyTorch loop has no spn_opt."""
    (tmp_path / 'damaged.pth').write_bytes(b'PK')
    for name in ('gone.pth', 'damaged.pth'):
        with pytest.raises(ValueError, match=rf'^weights: .*{name}') as error:
            VGGFeatures(['relu1_1'], weights=str(tmp_path / name))
        assert 'spn_opt' not in str(error.value)
    with caplog.at_level('WARNING', 'basicsr'):
        VGGFeatures(['relu1_1'], weights='random')
    assert 'weights imagenet' in caplog.text
    assert 'spn_opt' not in caplog.text


def test_oxford_features_are_those_of_the_weights_in_full_precision(monkeypatch):
    """Half precision costs 3e-4; golden numbers of three photographs, made with fp32 weights by torchvision's vgg16."""
    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', None)  # no download
    arrays, meta = golden('oxford_features')
    vgg = VGGFeatures(meta['steps'], weights='oxford')
    assert all(parameter.dtype == torch.float32 for parameter in vgg.parameters())
    found = vgg(torch.from_numpy(arrays['images']).permute(0, 3, 1, 2) / 255)  # (3, 3, 24, 24)
    for name, step in meta['steps'].items():
        assert 0.5 < found[name].mean() < 3  # they are scaled to 1 over whole photographs
        for ours, theirs in zip(found[name][..., ::step, ::step], torch.from_numpy(arrays[name]), strict=True):
            assert (ours - theirs).norm() < 1e-3 * theirs.norm(), name


@pytest.mark.parametrize(
    ('vgg_type', 'layer', 'said'),
    [
        ('vgg16', 'conv4_1', 'layer_weights asks for conv4_1'),
        ('vgg19', 'relu1_1', 'vgg_type is vgg19'),
        ('vgg16_bn', 'relu5_3', 'vgg_type is vgg16_bn'),
    ],
)
def test_what_the_oxford_weights_do_not_have(vgg_type, layer, said):
    with pytest.raises(MclirError, match=f'weights: oxford is vgg16 up to relu3_3, but {said}'):
        VGGFeatures(['relu1_1', layer], vgg_type, weights='oxford')


def test_oxford_weights_that_are_damaged_or_missing(tmp_path, monkeypatch):
    content = bytearray(oxford.FILE.read_bytes())
    content[-1] ^= 1
    file = tmp_path / 'vgg16_oxford.safetensors'
    monkeypatch.setattr(oxford, 'FILE', file)
    with pytest.raises(MclirError, match=r'cannot be read.*Install the package again'):
        VGGFeatures(['relu1_1'], weights='oxford')
    file.write_bytes(content)
    with pytest.raises(MclirError, match='is damaged, its SHA-256 is not the one'):
        VGGFeatures(['relu1_1'], weights='oxford')
