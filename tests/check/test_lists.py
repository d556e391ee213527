"""Lists of images that are not there: a BasicSR that pip installed brings none of its own."""

import pytest

from mclir_basicsr.check.lists import lists_are_there
from mclir_basicsr.check.pairs import check_data_set
from mclir_basicsr.errors import FaultsError

OF_BASICSR = 'basicsr/data/meta_info/meta_info_DIV2K800sub_GT.txt'


def fault_of(**block):
    with pytest.raises(FaultsError) as error:
        lists_are_there({'train': block})
    assert len(error.value.lines) == 1
    return error.value.lines[0]


def test_a_list_of_basicsr_is_to_be_fetched():
    said = fault_of(type='PairedImageDataset', meta_info_file=OF_BASICSR)
    assert said.startswith(f'datasets.train.meta_info_file: there is no {OF_BASICSR}. A BasicSR that pip installed')
    assert 'https://github.com/XPixelGroup/BasicSR/tree/master/basicsr/data/meta_info' in said
    assert 'or take meta_info_file out: then every image of the folder is used.' in said


def test_a_data_set_that_needs_its_list_cannot_do_without():
    assert 'take' not in fault_of(type='REDSDataset', meta_info_file='basicsr/data/meta_info/meta_info_REDS_GT.txt')
    assert fault_of(type='RealESRGANDataset', meta_info='own.txt').endswith('there is no own.txt. Mend it.')


def test_a_list_that_is_there_none_and_one_that_is_not_read(tmp_path):
    (tmp_path / 'list.txt').write_text('a.png\n')
    assert lists_are_there({'train': {'type': 'REDSDataset', 'meta_info_file': str(tmp_path / 'list.txt')}}) == []
    assert lists_are_there({'val': {'type': 'PairedImageDataset', 'meta_info_file': None}}) == []
    database = {'type': 'PairedImageDataset', 'io_backend': {'type': 'lmdb'}, 'meta_info_file': OF_BASICSR}
    assert lists_are_there({'train': database}) == []
    assert fault_of(**database | {'type': 'REDSDataset'})


def test_parts_of_a_mixed_data_set():
    parts = {'rain': {'type': 'PairedImageDataset', 'meta_info_file': 'rain.txt'}, 'haze': {}}
    assert fault_of(type='MixedDataset', parts=parts).startswith(
        'datasets.train.parts.rain.meta_info_file: there is no'
    )


def test_check_names_it_once(tmp_path, write_pairs):
    gt, lq = write_pairs()
    block = {'type': 'PairedImageDataset', 'dataroot_gt': str(gt), 'dataroot_lq': str(lq), 'meta_info_file': OF_BASICSR}
    with pytest.raises(FaultsError) as error:
        check_data_set({'scale': 2, 'val': {}, 'datasets': {'val': block | {'io_backend': {'type': 'disk'}}}}, 'val')
    assert len(error.value.lines) == 1
