"""The examples in docstrings give what they show, in the package as it is installed."""

import doctest
from importlib import import_module
from pkgutil import walk_packages

import pytest

import mclir_basicsr

MODULES = sorted(
    module.name for module in walk_packages(mclir_basicsr.__path__, 'mclir_basicsr.') if '__main__' not in module.name
)


@pytest.mark.parametrize('name', MODULES)
def test_examples(name):
    failures, _ = doctest.testmod(import_module(name))
    assert failures == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = sum(len(found.examples) for name in MODULES for found in finder.find(import_module(name)))
    assert examples > 50
