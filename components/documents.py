"""Documents that cross rooms: frozen objects with typed fields, written as JSON."""

import json
import math
from typing import Annotated, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    JsonValue,
    ValidationError,
    WithJsonSchema,
)

from tfx_tflite.components.errors import DocumentError, TfxTfliteError

_Document = TypeVar("_Document", bound="Document")

# NaN if it is not known, which is null in JSON.
Figure = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]}),
]


def json_value(content: str | bytes) -> JsonValue:
    """Returns what a text of JSON stands for.

    Raises:
        ValueError: It is no JSON, or nested more deeply than a document ever is.
    """
    try:
        value: JsonValue = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


class Part(BaseModel):
    """A part of a document. Keys that a later version of this package added are passed over."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, populate_by_name=True, serialize_by_alias=True
    )


class Document(Part):
    """A whole file, read and written in one piece."""

    # What messages call it, and what they are raised as.
    kind: ClassVar[str]
    error: ClassVar[type[TfxTfliteError]] = DocumentError

    @classmethod
    def parse(cls: type[_Document], content: str | bytes, where: str) -> _Document:
        """Returns the document in a file.

        Args:
            content: The file.
            where: Its name, for messages.

        Raises:
            TfxTfliteError: It is not such a document.
        """
        try:
            return cls.model_validate(json_value(content))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            problem = f"{f'{key}: ' if key else ''}{first['msg']}"
            raise cls.error(f"{where} is not {cls.kind}: {problem}") from error
        except ValueError as error:
            raise cls.error(f"{where} is not {cls.kind}: {error}") from error

    def to_json(self) -> str:
        """Returns the file; figures that are not finite numbers are null."""
        return json.dumps(self.to_keys(), indent=1, allow_nan=False)

    def to_keys(self) -> dict[str, JsonValue]:
        """Returns the same as keys and values of JSON."""
        keys: dict[str, JsonValue] = json.loads(self.model_dump_json())
        return keys

    @classmethod
    def json_schema(cls) -> str:
        """Returns the JSON Schema (draft 2020-12) of such files."""
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        return json.dumps({**schema, **cls.model_json_schema()}, indent=1) + "\n"
