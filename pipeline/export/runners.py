"""Exported files as functions from images to what they give, each run by its own runtime."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pipeline.config.types import ExportFormat
from pipeline.export.formats import FORMATS
from pipeline.runtime.quiet import silence_stderr

# float32 (n, size, size, 3), 0 to 255, to float32 (n, classes), or to (n, classes + 1) with the distance behind them, where a
# file gives it.
Run: TypeAlias = Callable[[np.ndarray], np.ndarray]


def load_runner(name: ExportFormat, folder: Path, *, threads: int) -> Run:
    """folder: of the exported files. threads: of one operation. For a SavedModel TensorFlow is imported, and has to be
    configured before."""
    file = folder / FORMATS[name].file
    if name == "savedmodel":
        return _load_saved_model(file)
    if name in ("onnx", "onnx_float16"):
        return _load_onnx(file, threads)
    if name == "openvino":
        return _load_openvino(file, threads)
    return _load_litert(file, threads)


def _load_saved_model(folder: Path) -> Run:
    import tensorflow as tf

    with silence_stderr():  # a warning of gradients, which nobody needs here
        loaded = tf.saved_model.load(str(folder))  # whoever drops it loses its functions
    serve = loaded.signatures["serving_default"]

    def run(images: np.ndarray) -> np.ndarray:
        assert loaded is not None
        return serve(image=tf.constant(images))["probabilities"].numpy()

    return run


def _load_onnx(file: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda images: _join(session.run(None, {"image": images}))


def _load_openvino(file: Path, threads: int) -> Run:
    """In float32: by itself OpenVINO computes in bfloat16 on processors that have it, which changed one class in ten."""
    import openvino

    from pipeline.export.instructions import all_instructions

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(threads)}
    with all_instructions():
        compiled = openvino.Core().compile_model(str(file), "CPU", settings)
    return lambda images: _join([np.asarray(output) for output in compiled(images).values()])


def _join(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """outputs: probabilities, and perhaps distances, (n,)."""
    return outputs[0] if len(outputs) == 1 else np.hstack([outputs[0], outputs[1][:, None]])


def _load_litert(file: Path, threads: int) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    with silence_stderr():
        interpreter = Interpreter(model_path=str(file), num_threads=threads)
    [source], [target] = interpreter.get_input_details(), interpreter.get_output_details()
    shape: tuple[int, ...] = ()

    def run(images: np.ndarray) -> np.ndarray:
        nonlocal shape
        if images.shape != shape:
            interpreter.resize_tensor_input(source["index"], images.shape)
            with silence_stderr():
                interpreter.allocate_tensors()
            shape = images.shape
        interpreter.set_tensor(source["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return run
