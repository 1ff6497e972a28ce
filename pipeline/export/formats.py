"""The formats that models are exported to, as declarations."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec

from pipeline.config.types import ExportFormat
from pipeline.runtime.errors import PipelineError


@dataclass(frozen=True)
class Format:
    """file: a file or folder below the family's. packages: what writing and running it imports, besides TensorFlow. is_exact:
    whether it computes with the model's own weights in float32; others round. has_distance: whether it gives the distance, too,
    where the model refuses pictures by it."""

    file: str
    packages: tuple[str, ...] = ()
    is_exact: bool = True
    has_distance: bool = False


_ONNX = ("onnx", "onnxruntime", "tf2onnx")

# In the order in which they are written.
FORMATS: dict[ExportFormat, Format] = {
    "savedmodel": Format("savedmodel"),
    "onnx": Format("model.onnx", _ONNX, has_distance=True),
    "onnx_float16": Format("model_float16.onnx", _ONNX, is_exact=False, has_distance=True),
    "openvino": Format("model.xml", (*_ONNX, "openvino"), has_distance=True),
    "litert": Format("model.tflite", ("ai_edge_litert",)),
    "litert_float16": Format("model_float16.tflite", ("ai_edge_litert",), is_exact=False),
    "litert_int8_weights": Format("model_int8_weights.tflite", ("ai_edge_litert",), is_exact=False),
    "litert_int8": Format("model_int8.tflite", ("ai_edge_litert",), is_exact=False),
}


def check_packages(formats: Iterable[ExportFormat]) -> None:
    """Raises PipelineError, one line, where a format takes a package that is not installed."""
    for name in formats:
        missing = [package for package in FORMATS[name].packages if find_spec(package) is None]
        if missing:
            raise PipelineError(
                f"export.formats has {name}, but {', '.join(missing)} can't be imported: expected the extra `export`; run "
                "`pip install -c constraints.txt -e '.[export]'`"
            )
