"""Names of files that are no UTF-8 ended a run with signal 11 at its first validation."""

import os

import cv2
import numpy as np
import pytest
import yaml
from basicsr.utils import img_util, imwrite

from mclir_basicsr.files import image_file

STRANGE = os.fsdecode(b'caf\xe9.png')


@pytest.mark.parametrize('name', [STRANGE, 'café.png'])
def test_images_of_any_name_are_written(tmp_path, name):
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    for i, write in enumerate((image_file.write, imwrite, img_util.imwrite)):
        file = tmp_path / str(i) / name
        write(image, str(file))
        assert np.array_equal(cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR), image)


def test_a_format_that_opencv_does_not_write_is_an_error(tmp_path):
    with pytest.raises((OSError, cv2.error)):
        image_file.write(np.zeros((2, 2, 3), np.uint8), f'{tmp_path}/{STRANGE[:-4]}.text')


@pytest.mark.parametrize('model_type', ['HistoryModel', 'SRModel'])
def test_a_run_whose_images_have_such_names_saves_them(mclir, option_file, write_pairs, tmp_path, model_type):
    for folder in write_pairs():
        (folder / '000.png').rename(folder / STRANGE)
    file = option_file(model_type=model_type)
    opt = yaml.safe_load(file.read_text())
    opt['val'] |= {'val_freq': 1, 'save_img': True, 'pbar': True}
    opt['train']['total_iter'] = 1
    if model_type == 'SRModel':
        del opt['train']['spn_opt'], opt['train']['history']
    file.write_text(yaml.safe_dump(opt))
    result = mclir('train', '-opt', file)
    assert result.returncode == 0, result.stderr[-3000:]
    assert list((tmp_path / 'experiments' / 'tiny' / 'visualization').rglob(f'{STRANGE[:-4]}_1.png'))
