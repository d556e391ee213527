"""The libraries that training needs, and the weights of the VGG."""

import hashlib
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import mclir_basicsr
from mclir_basicsr.commands.doctor.findings import Finding, text_of, way_out

PACKAGE = Path(mclir_basicsr.__file__).parent
_INSTALL_TENSORBOARD = (
    'pip install tensorboard (it stands in for tb-nightly, which basicsr asks for and many mirrors lack), or set\n'
    'logger.use_tb_logger: false in the option file.'
)


def python() -> Iterator[Finding]:
    """The Python and the package that run here."""
    yield Finding('Python', f'{sys.version.split()[0]}, {sys.executable}')
    yield Finding('mclir_basicsr', f'{mclir_basicsr.__version__}, {PACKAGE}')


def libraries() -> Iterator[Finding]:
    """Whether what training imports can be imported."""
    for name in ('numpy', 'torch', 'torchvision', 'cv2', 'pydantic', 'ruamel.yaml'):
        try:
            seen = str(import_module(name).__version__)
        except Exception as error:  # OSError, RuntimeError: a broken library raises what it likes
            yield Finding(name, text_of(error), way_out(text_of(error)), fatal=True)
        else:
            yield Finding(name, seen)


def tensorboard() -> Iterator[Finding]:
    """Whether BasicSR can log to TensorBoard, and whether that can show it."""
    import_module('torch')
    try:
        import_module('torch.utils.tensorboard')  # as BasicSR does for logger.use_tb_logger: true
    except Exception as error:
        yield Finding('tensorboard', text_of(error), _INSTALL_TENSORBOARD)
        return
    try:
        with warnings.catch_warnings():  # it warns of pkg_resources where that is still there
            warnings.simplefilter('ignore')
            import_module('tensorboard.default')  # as the command does
    except Exception as error:
        yield Finding('tensorboard', f'runs are logged, but it cannot start: {text_of(error)}', way_out(text_of(error)))
    else:
        yield Finding('tensorboard', 'installed')


def imagenet_weights() -> Iterator[Finding]:
    """Whether the weights of the VGG are there and whole."""
    imagenet_file = import_module('mclir_basicsr.losses.features').imagenet_file
    get_model_weights = import_module('torchvision.models').get_model_weights
    for vgg_type in ('vgg16', 'vgg19'):
        file = imagenet_file(vgg_type)
        by_hand = (
            f'Without a network, fetch {get_model_weights(vgg_type)["IMAGENET1K_V1"].url} elsewhere and\n'
            f'put it at {file}, or set spn_opt.weights to where you keep it, or to oxford\n'
            '(vgg16 up to relu3_3, ships with this package).'
        )
        if not file.is_file():
            advice = f'The first run that uses them downloads them.\n{by_hand}'
            yield Finding(vgg_type, 'no ImageNet weights yet', advice)
        elif not _is_whole(file):
            advice = f'Delete it; the next run downloads it again.\n{by_hand}'
            yield Finding(vgg_type, f'damaged ImageNet weights: {file}', advice, fatal=True)
        else:
            yield Finding(vgg_type, f'ImageNet weights: {file}')


def oxford_weights() -> Iterator[Finding]:
    """Whether the weights that ship with the package are there and whole."""
    try:
        file = import_module('mclir_basicsr.losses.oxford').load_oxford()[0]
    except ValueError as error:  # MclirError; it says what to do
        yield Finding('oxford', 'damaged weights', str(error))
    else:
        yield Finding('oxford', f'vgg16 up to relu3_3, shipped weights: {file}')


def _is_whole(file: Path) -> bool:
    """Whether a file has the hash that torchvision puts into its name."""
    digest = hashlib.sha256()
    with file.open('rb') as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest().startswith(file.stem.rsplit('-', 1)[-1])
