"""What a file turns out to be when it is decoded whole."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from mclir_basicsr.prepare import decoding
from mclir_basicsr.prepare.images import examine, mismatches, sizes
from mclir_basicsr.prepare.stored import image_fault


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
    assert examine(str(file)) == (48, 64, '', '', 1)
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
    assert examined(photo[..., 0]) == (48, 64, '', 'grey', 1)
    assert examined(opaque) == (48, 64, '', 'alpha', 1)
    assert examined(clear).fault.startswith('is in part transparent')
    assert examined(photo.astype(np.uint16) * 257).fault.startswith('has 16 bits a channel')
    assert examined(photo[..., 0].astype(np.uint16)).fault.startswith('has 16 bits a channel')


def test_a_turned_jpeg_has_the_size_that_training_reads(photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo).save(tmp_path / 'x.jpg', exif=exif)
    assert cv2.imread(str(tmp_path / 'x.jpg')).shape == (64, 48, 3)
    assert examine(str(tmp_path / 'x.jpg')) == (64, 48, '', '', 6)


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


def test_an_image_above_179_megapixels_is_taken(tmp_path):
    """Pillow refuses it as a decompression bomb; OpenCV, and so training, reads it."""
    side = 13_400
    file = tmp_path / 'x.png'
    with file.open('wb') as stream:  # flat and of one bit a pixel: 22 KB
        Image.new('1', (side, side)).save(stream, 'png')
    assert examine(str(file)) == (side, side, '', 'grey', 1)


def test_more_pixels_than_opencv_reads_are_named_as_such(tmp_path):
    header = struct.pack('>IIBBBBB', 40_000, 40_000, 1, 0, 0, 0, 0)
    chunks = ((b'IHDR', header), (b'IDAT', zlib.compress(bytes(100))), (b'IEND', b''))
    body = (
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data)) for kind, data in chunks
    )
    (tmp_path / 'x.png').write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(body))
    fault = examine(str(tmp_path / 'x.png')).fault
    assert fault == 'has 40000x40000 pixels, but OpenCV reads 2^30 at most: cut it up'


def test_large_images_are_decoded_one_at_a_time(monkeypatch):
    monkeypatch.setattr(decoding, '_LARGE', 100)
    with decoding.memory_for(101), ThreadPoolExecutor() as pool:
        assert not pool.submit(decoding._ONE_AT_A_TIME.acquire, blocking=False).result()
        with decoding.memory_for(100):  # small ones need not wait
            pass


@pytest.mark.parametrize('ending', ['png', 'jpg', 'bmp', 'webp', 'tif'])
def test_no_damage_is_a_traceback(ending, photo, tmp_path):
    content = cv2.imencode(f'.{ending}', photo[:12, :16])[1].tobytes()
    random = np.random.default_rng(0)
    for place in random.integers(0, min(len(content), 200), 150):
        damaged = bytearray(content)
        damaged[place] = random.integers(0, 256)
        (tmp_path / 'x').write_bytes(damaged)
        found = examine(str(tmp_path / 'x'))
        assert found.fault or found.height > 0
        image_fault(bytes(damaged), 'x', (12, 16, 3))
