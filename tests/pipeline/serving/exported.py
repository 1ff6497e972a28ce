"""An exported family without TensorFlow: a small ONNX file that names the brightest colour of a picture."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.export.contract import save_contract
from pipeline.models.contract import CONTRACT_FILE, dump_contract
from tests.pipeline.export.contracts import NAMES, make_contract

SIZE = 16
SCORES = [n / 100 for n in range(1, 100)]
UNFAMILIAR = {"score": "confidence", "images": 99, "scores": [0.6] * 99, "features": 0, "directions": 0, "numbers": ""}
CONTRACT: dict[str, Any] = {
    "image_size": SIZE,
    "temperature": 1.0,
    "conformal": {"images": 99, "scores": SCORES},
    "familiarity": UNFAMILIAR,
}


def save_exported(folder: Path, *, sharpness: float = 0.02, **changes: Any) -> None:
    """model.onnx, contract.json and labels.txt. sharpness: by how much a brighter colour is more probable; the digest of the
    model follows it."""
    import onnx
    from onnx import TensorProto, helper

    digest = f"{int(sharpness * 1000):x}".ljust(64, "0")
    contract = make_contract(**CONTRACT | changes).model_copy(update={"model_sha256": digest})
    size = contract.image_size
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["colour"], keepdims=0),
        helper.make_node("Mul", ["colour", "sharpness"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    numbers = [
        onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        onnx.numpy_helper.from_array(np.array([sharpness], np.float32), "sharpness"),
    ]
    ends = [
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["images", size, size, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["images", 3])],
    ]
    graph = helper.make_graph(nodes, "model", *ends, initializer=numbers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {CONTRACT_FILE: dump_contract(contract)})
    folder.mkdir(parents=True, exist_ok=True)
    save_contract(contract, folder)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def compute_expected(pixels: np.ndarray, sharpness: float = 0.02) -> np.ndarray:
    """Probabilities, (n, 3), of uint8 (n, size, size, 3)."""
    powers = np.exp(pixels.mean(axis=(1, 2), dtype=np.float64) * sharpness)
    return powers / powers.sum(axis=1, keepdims=True)


__all__ = ["CONTRACT", "NAMES", "SIZE", "compute_expected", "save_exported"]
