"""The kinds of values that the structs of an option file are made of."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError


def _number(value: Any) -> Any:
    if isinstance(value, bool):  # text is taken where it is a number: YAML 1.1 reads 1e-3 as text
        raise PydanticCustomError('number', 'Input should be a valid number')
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, (bool, str)):
        raise PydanticCustomError('whole', 'Input should be a valid integer')
    return value


Number = Annotated[float, BeforeValidator(_number)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[Whole, Field(gt=0)]
TAGS = ('number', 'list', 'word')  # the discriminators', in the paths of faults
ShareOrShares = Annotated[
    Annotated[Share, Tag(TAGS[0])] | Annotated[list[Share], Tag(TAGS[1])],
    Discriminator(lambda value: TAGS[isinstance(value, list)]),
]


class Keys(BaseModel):
    """A block whose keys are all known."""

    model_config = ConfigDict(extra='forbid', frozen=True, allow_inf_nan=False)
