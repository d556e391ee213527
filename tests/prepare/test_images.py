"""What a file turns out to be when it is decoded whole."""

import cv2
import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from mclir_basicsr.prepare.images import Record, examine, mismatches, sizes


@pytest.fixture
def photo():
    random = np.random.default_rng(0)
    return cv2.resize(random.integers(0, 256, (6, 8, 3), dtype=np.uint8), (64, 48), interpolation=cv2.INTER_CUBIC)


def truncate(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize('ending', ['png', 'jpg', 'bmp', 'webp', 'tif'])
def test_a_whole_image_is_fine_and_a_truncated_one_is_not(ending, photo, tmp_path):
    file = tmp_path / f'photo.{ending}'
    cv2.imwrite(str(file), photo)
    assert examine(str(file)) == (48, 64, '', '')
    for share in (0.9, 0.5, 0.1):
        truncate(file, share)
        assert examine(str(file)).fault.startswith('cannot be decoded')


def test_a_jpeg_that_lost_its_last_bytes(photo, tmp_path):
    """OpenCV before 5 fills the rest with grey and says nothing."""
    file = tmp_path / 'photo.jpg'
    cv2.imwrite(str(file), photo)
    file.write_bytes(file.read_bytes()[:-20])
    assert examine(str(file)).fault.startswith('cannot be decoded')


@pytest.mark.parametrize(
    ('content', 'fault'),
    [(b'', 'cannot be decoded'), (b'\0' * 200, 'cannot be decoded'), (None, 'cannot be read: No such file')],
)
def test_no_image_at_all(content, fault, tmp_path):
    file = tmp_path / 'x.png'
    if content is not None:
        file.write_bytes(content)
    assert examine(str(file)).fault.startswith(fault)


def test_what_training_would_lose_is_a_fault_and_what_it_passes_over_a_note(photo, tmp_path):
    def examined(image):
        cv2.imwrite(str(tmp_path / 'x.png'), image)
        return examine(str(tmp_path / 'x.png'))

    opaque = np.dstack([photo, np.full((48, 64), 255, np.uint8)])
    clear = opaque.copy()
    clear[3, 4, 3] = 254
    assert examined(photo[..., 0]) == (48, 64, '', 'grey')
    assert examined(opaque) == (48, 64, '', 'alpha')
    assert examined(clear).fault.startswith('is in part transparent')
    assert examined(photo.astype(np.uint16) * 257).fault.startswith('has 16 bits a channel')
    assert examined(photo[..., 0].astype(np.uint16)).fault.startswith('has 16 bits a channel')


def test_a_turned_jpeg_has_the_size_that_training_reads(photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo).save(tmp_path / 'x.jpg', exif=exif)
    assert cv2.imread(str(tmp_path / 'x.jpg')).shape == (64, 48, 3)
    assert examine(str(tmp_path / 'x.jpg')) == (64, 48, '', '')


@pytest.mark.parametrize('jobs', [1, 3])
def test_sizes_keep_the_order_of_the_files(jobs, tmp_path):
    paths = [f'{i}.png' for i in range(20)]
    for i, path in enumerate(paths):
        cv2.imwrite(str(tmp_path / path), np.zeros((i + 1, 2 * i + 1, 3), np.uint8))
    (tmp_path / '7.png').write_bytes(b'x')
    with tqdm(total=20, disable=True) as bar:
        found = sizes(tmp_path, paths, jobs, bar)
    expected = [[i + 1, 2 * i + 1] for i in range(20)]
    expected[7] = [0, 0]
    assert found.pixels.tolist() == expected
    assert found.faults == ['7.png cannot be decoded: it is empty, truncated, damaged or no image']


@pytest.mark.parametrize(
    ('gt', 'lq', 'scale', 'options', 'wrong'),
    [
        ((8, 12), (4, 6), 2, {}, False),
        ((8, 13), (4, 6), 2, {}, True),
        ((8, 13), (4, 6), 2, {'remainder': True}, False),
        ((8, 14), (4, 6), 2, {'remainder': True}, True),
        ((7, 12), (4, 6), 2, {'remainder': True}, True),
        ((480, 640), (460, 620), 1, {}, True),
        ((480, 640), (460, 620), 1, {'border': True}, False),  # SOTS indoor
        ((460, 620), (480, 640), 1, {'border': True}, True),
        ((12, 8), (4, 6), 2, {}, True),
        ((0, 0), (4, 6), 2, {}, False),  # unknown: has its own fault
    ],
)
def test_sizes_that_do_not_fit(gt, lq, scale, options, wrong):
    fine = (scale * 5, scale * 3), (5, 3)
    result = mismatches(np.array([fine[0], gt]), np.array([fine[1], lq]), scale, **options)
    assert result.tolist() == ([1] if wrong else [])


def test_a_record_is_valid_for_its_images_only(tmp_path):
    record = Record(tmp_path / 'out' / 'x.npz', 'these')
    assert record.recall() is None
    record.keep({2: np.array([[3, 4]]), 4: np.array([[1, 2]])}, ['a note'])
    found, notes = record.recall()
    assert {scale: pixels.tolist() for scale, pixels in found.items()} == {2: [[3, 4]], 4: [[1, 2]]}
    assert notes == ['a note']
    assert Record(record.file, 'others').recall() is None
    truncate(record.file, 0.6)
    assert record.recall() is None
