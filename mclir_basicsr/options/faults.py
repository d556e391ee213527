"""What is wrong with values of an option file, in words."""

from collections.abc import Iterator
from math import isfinite
from typing import Any

from pydantic import BaseModel, ValidationError

from mclir_basicsr.errors import did_you_mean
from mclir_basicsr.options.structs import OwnOptions, struct_of
from mclir_basicsr.options.values import TAGS


def explain(error: ValidationError) -> Iterator[str]:
    """A line for each fault that pydantic found, with the path of its key."""
    for fault in error.errors():
        path, message = (
            '.'.join(str(key) for key in fault['loc'] if key not in TAGS),
            fault['msg'].removeprefix('Value error, '),
        )
        if fault['type'] == 'extra_forbidden':
            valid = _struct_at(fault['loc'][:-1]).model_fields
            question = did_you_mean(str(fault['loc'][-1]), valid, most=1, cutoff=0.5)
            yield f'{path}: unknown key; ' + (question or f'valid keys are {", ".join(valid)}.')
        elif fault['type'] in ('value_error', 'missing'):
            yield f'{path}: {message}'
        else:
            yield f'{path}: {message}, but it is {shown(fault["input"])}'


def is_number_in_text(value: Any) -> bool:
    """Whether YAML 1.1 read a number as text: 1e-3 (for !!float 1e-3), or one in quotes."""
    try:
        return isinstance(value, str) and isfinite(float(value))
    except ValueError:
        return False


def shown(value: Any) -> str:
    """A value that is not what it should be, for a message; a number in text says how it is written."""
    if not is_number_in_text(value):
        return repr(value)
    number, written = float(value), value
    if 'e' in value.lower():  # a whole number is best written out, since some keys take no other
        written = f'{number:.0f}' if number.is_integer() and abs(number) < 1e9 else f'!!float {value}'
    return f'{value!r}, text to YAML: write {written} without quotes'


def _struct_at(path: tuple[Any, ...]) -> type[BaseModel]:
    struct: type[BaseModel] = OwnOptions
    for key in path:
        struct = struct_of(struct, key) or struct
    return struct
