"""Classes of protocol buffer messages that are made at run time, of the few fields that are read.

TensorFlow's generated classes come with all of TensorFlow, which takes seconds to load. A message
class that knows only some of the fields reads the same bytes and passes over the others.
"""

from collections.abc import Iterator, Mapping

from google.protobuf import descriptor_pb2, message_factory

_PACKAGE = "tfx_tflite"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "float": _Field.TYPE_FLOAT,
}

# Fields by message: number, and type; `*` marks what is repeated. A map is repeated entries.
Fields = Mapping[str, Mapping[str, tuple[int, str]]]


def message_classes(name: str, messages: Fields):  # type: ignore[no-untyped-def]  # Made here.
    """Returns the classes of some messages by their names.

    Args:
        name: What the messages are of, which sets them apart from others of the same names.
        messages: Their fields.
    """
    package = f"{_PACKAGE}.{name}"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}/{name}.proto", package=package, syntax="proto3"
    )
    for message, fields in messages.items():
        file.message_type.add(name=message).field.extend(_fields(package, fields))
    found = message_factory.GetMessages([file])
    return {full.removeprefix(f"{package}."): made for full, made in found.items()}


def _fields(
    package: str, fields: Mapping[str, tuple[int, str]]
) -> Iterator[descriptor_pb2.FieldDescriptorProto]:
    for name, (number, kind) in fields.items():
        scalar = kind.removesuffix("*")
        field = _Field(name=name, number=number)
        field.label = _Field.LABEL_REPEATED if kind.endswith("*") else _Field.LABEL_OPTIONAL
        if scalar in _SCALARS:
            field.type = _SCALARS[scalar]
        else:
            field.type, field.type_name = _Field.TYPE_MESSAGE, f".{package}.{scalar}"
        yield field
