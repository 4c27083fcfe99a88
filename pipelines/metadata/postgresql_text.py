"""Backslashes on their way to PostgreSQL and back.

ML Metadata 1.16 writes a text with a backslash as a broken SQL statement: libpq's escaped form of
such a text begins with ` E'`, which it does not expect, so that the run fails (an `eval_config` of
TFMA with JSON inside JSON has backslashes). They are stored as a character of Unicode's private use
area instead, which only a client other than this one sees.
"""

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_BACKSLASH, _STAND_IN = "\\", "\ue05c"


def encode(message: Message) -> None:
    """Replaces the backslashes in all texts of a request."""
    _replace(message, _BACKSLASH, _STAND_IN)


def decode(message: Message) -> None:
    """Puts the backslashes back into all texts of a response."""
    _replace(message, _STAND_IN, _BACKSLASH)


def _replace(message: Message, old: str, new: str) -> None:
    for field, value in message.ListFields():
        repeated = field.label == field.LABEL_REPEATED
        if field.type == field.TYPE_STRING:
            if not repeated:
                setattr(message, field.name, value.replace(old, new))
            else:
                value[:] = [text.replace(old, new) for text in value]
        elif field.type == field.TYPE_MESSAGE:
            for part in _parts(field, value) if repeated else [value]:
                _replace(part, old, new)


def _parts(
    field: FieldDescriptor, value: Iterable[Message] | Mapping[str, Message]
) -> Iterable[Message]:
    """Returns the messages in a repeated field; of a mapping those that are its values."""
    if not isinstance(value, Mapping):
        return value
    holds_messages = field.message_type.fields_by_name["value"].type == field.TYPE_MESSAGE
    return value.values() if holds_messages else ()
