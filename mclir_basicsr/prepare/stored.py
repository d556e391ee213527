"""Reading one written image back."""

import io

from mclir_basicsr.data.meta_info import Shape
from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.decoding import COLOUR, decoded, ends_well, memory_for
from mclir_basicsr.prepare.header import image_shape


def image_fault(content: bytes, name: str, shape: Shape | None) -> str | None:
    """What is wrong with an encoded image, if anything.

    Args:
        content: The encoded image.
        name: What to call it.
        shape: Height, width and channels that it was written with; None where that is not known.
    """
    try:
        seen = image_shape(io.BytesIO(content), name)
    except MclirError:
        return f'{name}: cannot be decoded'
    if shape not in (None, seen):  # and its pixels may be too many to decode
        return f'{name}: ({_text(seen)}), but was written as ({_text(shape)})'
    with memory_for(seen[0] * seen[1]):
        return None if decoded(content, COLOUR) is not None and ends_well(content) else f'{name}: cannot be decoded'


def _text(shape: Shape) -> str:
    return ','.join(map(str, shape))
