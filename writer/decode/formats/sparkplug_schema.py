"""Sparkplug B's protobuf messages, as in the Eclipse Tahu project's sparkplug_b.proto, and its data types."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "org.eclipse.tahu.protobuf"

# A line is a message; `*` is repeated, `?` is one of the alternatives for a value, names of messages are capitalised.
_SCHEMA = {
    "Payload": "1 timestamp uint64, 2 metrics *Metric, 3 seq uint64, 4 uuid string, 5 body bytes",
    "Metric": "1 name string, 2 alias uint64, 3 timestamp uint64, 4 datatype uint32, 5 is_historical bool,"
    " 6 is_transient bool, 7 is_null bool, 9 properties PropertySet, 10 int_value ?uint32,"
    " 11 long_value ?uint64, 12 float_value ?float, 13 double_value ?double, 14 boolean_value ?bool,"
    " 15 string_value ?string, 16 bytes_value ?bytes, 17 dataset_value ?DataSet, 18 template_value ?Template",
    "PropertySet": "1 keys *string, 2 values *PropertyValue",
    "PropertySetList": "1 propertyset *PropertySet",
    "PropertyValue": "1 type uint32, 2 is_null bool, 3 int_value ?uint32, 4 long_value ?uint64, 5 float_value ?float,"
    " 6 double_value ?double, 7 boolean_value ?bool, 8 string_value ?string, 9 propertyset_value ?PropertySet,"
    " 10 propertysets_value ?PropertySetList",
    "DataSet": "1 num_of_columns uint64, 2 columns *string, 3 types *uint32, 4 rows *Row",
    "Row": "1 elements *DataSetValue",
    "DataSetValue": "1 int_value ?uint32, 2 long_value ?uint64, 3 float_value ?float, 4 double_value ?double,"
    " 5 boolean_value ?bool, 6 string_value ?string",
    "Template": "1 version string, 2 metrics *Metric, 3 parameters *Parameter, 4 template_ref string,"
    " 5 is_definition bool",
    "Parameter": "1 name string, 2 type uint32, 3 int_value ?uint32, 4 long_value ?uint64, 5 float_value ?float,"
    " 6 double_value ?double, 7 boolean_value ?bool, 8 string_value ?string",
}

DATATYPES = (
    *("Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double"),
    *("Boolean", "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet"),
    *("PropertySetList", "Int8Array", "Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array"),
    *("UInt32Array", "UInt64Array", "FloatArray", "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray"),
)  # by number

Field = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    """As of edition 2023: unlike the original's proto2, it refuses strings that are not UTF-8."""
    file = descriptor_pb2.FileDescriptorProto(
        name="sparkplug_b.proto", package=PACKAGE, syntax="editions", edition=descriptor_pb2.EDITION_2023
    )
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field in fields.split(","):
            _add_field(message, *field.split())
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, number: str, name: str, kind: str) -> None:
    field = message.field.add(name=name, number=int(number), label=Field.LABEL_OPTIONAL)
    if kind.startswith("*"):
        field.label = Field.LABEL_REPEATED
    if kind.startswith("?"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="value")
        field.oneof_index = 0
    kind = kind.lstrip("*?")
    if kind[0].isupper():
        field.type, field.type_name = Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = Field.Type.Value(f"TYPE_{kind.upper()}")


def _payload_class() -> Any:
    pool = descriptor_pool.DescriptorPool()  # of our own: another library of the process may have the same names
    pool.Add(_file())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.Payload"))


Payload: Any = _payload_class()
