"""What fields may hold, and what every section of a configuration is."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from kakusan.config.names import lookup


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):  # which Python would take for 0 or 1
        raise PydanticCustomError("bool", "not a number")
    return value


Integer = Annotated[int, BeforeValidator(_refuse_bool)]
Count = Annotated[Integer, Field(ge=1)]
CountOrZero = Annotated[Integer, Field(ge=0)]
Side = Annotated[Integer, Field(ge=1, le=4096)]
Number = Annotated[float, BeforeValidator(_refuse_bool)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
ShareBelowOne = Annotated[Number, Field(ge=0, lt=1)]
Beta = Annotated[Number, Field(gt=0, lt=1)]


class Section(BaseModel):
    """A frozen part of the configuration in which every field is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def choice(default: str) -> BeforeValidator:
    """Reads a bare string as a kind, and gives a mapping without one the ``default`` kind."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        return {"kind": default, **value} if isinstance(value, dict) else value

    return BeforeValidator(read)


def named(kind: str) -> AfterValidator:
    """Accepts the names in one of the tables of :mod:`kakusan.config.names`."""

    def check(name: str) -> str:
        lookup(kind, name)
        return name

    return AfterValidator(check)
