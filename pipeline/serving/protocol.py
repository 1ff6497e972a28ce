"""The Open Inference Protocol, version 2: tensors as JSON. https://github.com/kserve/open-inference-protocol"""

import json
from typing import Any

import numpy as np

from pipeline.serving.admission import RefusedError
from pipeline.serving.served import Served

_TYPES: dict[str, type[np.generic]] = {"FP32": np.float32, "UINT8": np.uint8}


def describe_server() -> dict[str, Any]:
    return {"name": "image-classification-pipeline", "version": "1", "extensions": []}


def describe_model(served: Served) -> dict[str, Any]:
    """inputs and outputs as the protocol names them; -1: any number."""
    contract = served.contract
    size, classes = contract.image_size, len(contract.class_names)
    outputs = [{"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]}]
    if served.refusal is not None:
        outputs.append({"name": "none_of_these", "datatype": "BOOL", "shape": [-1]})
    return {
        "name": contract.family,
        "versions": [served.version],
        "platform": "onnx",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, size, size, 3]}],
        "outputs": outputs,
        "parameters": {"class_names": json.dumps(contract.class_names, ensure_ascii=False)},
    }


def parse_tensor(body: bytes, size: int) -> tuple[np.ndarray, str | None]:
    """(float32 (n, size, size, 3); the request's id). Raises RefusedError for all else."""
    try:
        content = json.loads(body)
        [tensor] = content["inputs"]
        kind = _TYPES[tensor["datatype"]]
        shape = tuple(tensor["shape"])
        if tensor["name"] != "image" or len(shape) != 4 or shape[1:] != (size, size, 3) or not 1 <= shape[0] < 1 << 20:
            raise ValueError(f"{tensor['name']} of shape {list(shape)}")
        values = np.asarray(tensor["data"], np.float64)
        if values.size != np.prod(shape) or not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
            raise ValueError(f"{values.size} values, or some that are not from 0 to 255")
        identifier = content.get("id")
        return values.reshape(shape).astype(kind).astype(np.float32), identifier if isinstance(
            identifier, str
        ) else None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, OverflowError) as error:
        said = " ".join(str(error).split())[:100]
        raise RefusedError(
            400,
            f"not an inference request ({type(error).__name__}: {said}): expected one input `image`, FP32 or UINT8, "
            f"[images, {size}, {size}, 3], 0 to 255",
        ) from error


def write_tensors(served: Served, rows: np.ndarray, identifier: str | None) -> dict[str, Any]:
    """rows: as `Served.classify` gives them."""
    classes = len(served.contract.class_names)
    probabilities = rows[:, :classes].astype(np.float32)
    outputs: list[dict[str, Any]] = [
        {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": list(probabilities.shape),
            "data": probabilities.ravel().tolist(),
        }
    ]
    if served.refusal is not None:
        refused = [served.refusal.refuses(row, classes) for row in rows]
        outputs.append({"name": "none_of_these", "datatype": "BOOL", "shape": [len(refused)], "data": refused})
    head = {"model_name": served.contract.family, "model_version": served.version}
    return head | ({} if identifier is None else {"id": identifier}) | {"outputs": outputs}
