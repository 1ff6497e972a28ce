"""predict.py in a package: the shortest program that uses an exported file rightly."""

from dataclasses import dataclass

from pipeline.config.types import ExportFormat
from pipeline.export.formats import FORMATS

PREDICT_FILE = "predict.py"

_SCRIPT = '''"""python predict.py picture.jpg … names the class of each picture. Needs {packages}."""

import sys
from pathlib import Path

import numpy as np
{imports}
from decode import calibrate, decode

HERE = Path(__file__).parent
labels = (HERE / "labels.txt").read_text(encoding="utf-8").splitlines()
{load}

for name in sys.argv[1:]:
    pixels = decode(Path(name).read_bytes())
    probabilities = calibrate({run})[0]
    print(f"{{name}}\\t{{labels[np.argmax(probabilities)]}}\\t{{probabilities.max():.3f}}")
'''


@dataclass(frozen=True)
class _Runtime:
    package: str  # as pip calls it
    imports: str
    load: str
    run: str


_ONNX = _Runtime(
    "onnxruntime",
    "import onnxruntime\n",
    'session = onnxruntime.InferenceSession(str(HERE / "{file}"))',
    'session.run(None, {"image": pixels})[0]',
)
_OPENVINO = _Runtime(
    "openvino",
    "import openvino\n",
    'model = openvino.Core().compile_model(str(HERE / "{file}"), "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})',
    "model(pixels)[0]",
)
_LITERT = _Runtime(
    "ai-edge-litert",
    "from ai_edge_litert.interpreter import Interpreter\n",
    'run = Interpreter(str(HERE / "{file}")).get_signature_runner()',
    "next(iter(run(image=pixels).values()))",
)
_SAVED_MODEL = _Runtime(
    "tensorflow",
    "import tensorflow as tf\n",
    'model = tf.saved_model.load(str(HERE / "{file}"))',
    'model.serve(tf.constant(pixels))["probabilities"].numpy()',
)
_RUNTIMES: dict[str, _Runtime] = {
    "onnx": _ONNX,
    "onnx_float16": _ONNX,
    "openvino": _OPENVINO,
    "savedmodel": _SAVED_MODEL,
}


def list_requirements(name: ExportFormat) -> list[str]:
    """What pip has to install for predict.py: two packages, and NumPy, which both of them need."""
    return [_RUNTIMES.get(name, _LITERT).package, "numpy", "pillow"]


def make_predict_script(name: ExportFormat) -> str:
    """The text of predict.py, which stands beside the file, labels.txt and decode.py."""
    runtime = _RUNTIMES.get(name, _LITERT)
    load = runtime.load.format(file=FORMATS[name].file)
    packages = " and ".join([runtime.package, "pillow"])
    return _SCRIPT.format(packages=packages, imports=runtime.imports, load=load, run=runtime.run)
