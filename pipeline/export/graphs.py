"""A model as one graph of constants, and the SavedModel and LiteRT files that are made of it. Imports TensorFlow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Neither is in TensorFlow's public API, though its own converters use them.
from tensorflow.lite.tools import flatbuffer_utils
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from pipeline.config.types import ExportFormat
from pipeline.export.contract import ExportContract
from pipeline.export.operations import common_operations
from pipeline.models.contract import CONTRACT_FILE, dump_contract
from pipeline.runtime.quiet import silence_stderr

_OUTPUT, _DISTANCE = "probabilities", "distance"


def make_constant(model: keras.Model, num_classes: int | None = None) -> Any:
    """A function from `image`, float32 (n, size, size, 3), to a dict with `probabilities`, whose weights are constants.

    num_classes: of a model with the distance behind the probabilities, see `pipeline.models.joint`: then the dict also has
    `distance`, float32 (n,).
    """
    image = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="image")
    with common_operations():
        traced = tf.function(lambda image: model(image, training=False)).get_concrete_function(image)
    frozen = convert_variables_to_constants_v2(traced)
    if num_classes is None:
        return tf.function(lambda image: {_OUTPUT: frozen(image)[0]}, input_signature=[image])

    def split(image: tf.Tensor) -> dict[str, tf.Tensor]:
        both = frozen(image)[0]
        return {_OUTPUT: both[:, :num_classes], _DISTANCE: both[:, num_classes]}

    return tf.function(split, input_signature=[image])


def save_saved_model(model: keras.Model, folder: Path, contract: ExportContract) -> None:
    """Writes a SavedModel whose signature serving_default takes `image` and gives `probabilities`; see ExportContract.

    Its weights are constants of the graph: written as variables, their order would be that of memory addresses, and Keras'
    own `export` refuses layers whose names begin with an underscore. fingerprint.pb, which TensorFlow does not need, holds a
    random number and is deleted. The same bytes only if this is the first graph that a process makes, as names are numbered.
    """
    module = tf.Module()
    module.serve = make_constant(model)
    options = tf.saved_model.SaveOptions(
        experimental_custom_gradients=False
    )  # swish's can't be saved, and none is needed
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve}, options=options)
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    extra = folder / "assets.extra"  # TensorFlow's place for what others add
    extra.mkdir()
    (extra / CONTRACT_FILE).write_text(dump_contract(contract), encoding="utf-8")


def save_litert(
    saved_model: Path, file: Path, contract: ExportContract, name: ExportFormat, calibration: np.ndarray
) -> None:
    """Writes a .tflite file, which takes and gives float32 whatever it computes with inside, of a SavedModel.

    name: litert (float32), litert_float16 (weights halved), litert_int8_weights (weights in 8 bits), or litert_int8 (all in 8
    bits, with ranges that the calibration images have shown). calibration: uint8 (n, size, size, 3). contract.json is in the
    file's metadata. Raises tf.lite's ConverterError for operations that LiteRT itself does not have.
    """
    with silence_stderr():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
        if name != "litert":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if name == "litert_float16":
            converter.target_spec.supported_types = [tf.float16]
        if name == "litert_int8":
            converter.representative_dataset = lambda: _list_calibration(calibration)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        content = converter.convert()
    file.write_bytes(_add_metadata(content, {CONTRACT_FILE: dump_contract(contract)}))


def _list_calibration(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    for image in images:
        yield [image[None].astype(np.float32)]


def _add_metadata(content: bytes, texts: dict[str, str]) -> bytes:
    model: Any = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    schema = flatbuffer_utils.schema_fb
    for name, text in texts.items():
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = np.frombuffer(text.encode(), np.uint8)
        entry.name, entry.buffer = name.encode(), len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
