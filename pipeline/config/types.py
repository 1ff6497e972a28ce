"""The types that parameters are declared with: strict, so that a wrong value is refused and never converted."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar
from unicodedata import normalize

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, GetPydanticSchema, Tag, create_model
from pydantic_core import core_schema

# YAML 1.1 reads 1e-05 as a string, and that is how `dvc exp run -S train.learning_rate=0.00001` writes it.
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def read_exponent(value: Any) -> Any:
    """The number that a text such as 1e-05 is; anything else as it is."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value.strip()) else value


def write_name(name: Any) -> Any:
    """A name that YAML reads as a whole number, such as 2019, as text."""
    return str(name) if type(name) is int else name


def write_class(name: Any) -> Any:
    """The name of a class as the sources write it: text in Unicode's form NFC, whatever form a folder's has on disk."""
    written = write_name(name)
    return normalize("NFC", written) if isinstance(written, str) else written


def write_classes(mapping: Any) -> Any:
    """The same for the names in a map. Lists of two names that become one are one list."""
    if not isinstance(mapping, dict):
        return mapping
    found: dict[Any, Any] = {}
    for name, value in mapping.items():
        written = write_class(name)
        if written in found and not (isinstance(value, list) and isinstance(found[written], list)):
            raise ValueError(f"each class once ({written!r} is there twice, in two spellings)")
        found[written] = found[written] + value if written in found else value
    return found


Name = Annotated[str, BeforeValidator(write_name)]  # of a folder
ClassName = Annotated[str, BeforeValidator(write_class)]


class Section(BaseModel):
    """A section of params.yaml: no unknown keys, no silent conversion, no change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Base = TypeVar("Base", bound=Section)

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Pixels = Annotated[int, Field(ge=8, le=4096)]
Number = Annotated[float, BeforeValidator(read_exponent)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]
Share = Annotated[Number, Field(ge=0, le=1)]
# Images: one number for all classes, or class to its own. The tags are names that messages leave out.
Caps = Annotated[
    Annotated[Count, Tag("int")] | Annotated[dict[str, Count], BeforeValidator(write_classes), Tag("dict")],
    Discriminator(lambda value: "dict" if isinstance(value, dict) else "int"),
]
Merges = Annotated[dict[ClassName, list[ClassName]], BeforeValidator(write_classes)]  # new name to old names
_CostsOfOne = Annotated[
    Annotated[NotNegative, Tag("float")]
    | Annotated[dict[ClassName, NotNegative], BeforeValidator(write_classes), Tag("dict")],
    Discriminator(lambda value: "dict" if isinstance(value, dict) else "float"),
]
Costs = Annotated[dict[ClassName, _CostsOfOne], BeforeValidator(write_classes)]  # of errors, by true class
ExportFormat = Literal[
    "savedmodel", "onnx", "onnx_float16", "openvino", "litert", "litert_float16", "litert_int8_weights", "litert_int8"
]
Encoding = Literal["raw", "jpeg", "webp"]  # of pixels in TFRecords
CLASS_WORD = "CLASS"  # stands in evaluate.prompts for the name of a class
Measure = Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "roc_auc", "cost"]


def make_optional(name: str, section: type[Section], base: type[Base]) -> type[Base]:
    """A subclass of `base` that also has the fields of `section`, each of which may be null; so may those of its subsections,
    which are there themselves. name: of the class."""
    fields: dict[str, Any] = {}
    for key, field in section.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            fields[key] = (make_optional(f"{name}{annotation.__name__}", annotation, Section), ...)
        else:
            fields[key] = (field.rebuild_annotation() | None, ... if field.is_required() else None)
    return create_model(name, __base__=base, **fields)


def by_name(schemas: Mapping[str, type[Section]]) -> GetPydanticSchema:
    """For Annotated[dict[str, …], by_name(schemas)]: a dict with exactly these names, each with a section of its own."""
    return GetPydanticSchema(
        lambda _, handler: core_schema.typed_dict_schema(
            {name: core_schema.typed_dict_field(handler(schema)) for name, schema in schemas.items()},
            extra_behavior="forbid",
            strict=True,
        )
    )
