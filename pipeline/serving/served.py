"""An exported family as the server uses it: its ONNX file and its contract. Imports onnxruntime, and no TensorFlow."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.sections import Params
from pipeline.data.image_files import Decoding, decode_as_trained
from pipeline.evaluation.ranking import Refusal, load_refusal
from pipeline.evaluation.temperature import apply_temperature
from pipeline.export.contract import ExportContract, load_export_contract
from pipeline.models.contract import CONTRACT_FILE
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256
from pipeline.runtime.paths import CHOSEN, EXPORTED, MODELS

ONNX_FILE = "model.onnx"
_REMEDY = "run `dvc exp run -S 'export.formats=[onnx]' -S 'export.families=[{family}]'`"

Fingerprint = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Served:
    """version: the first 12 digits of the model's SHA-256. refusal: None where the model can't tell."""

    contract: ExportContract
    session: Any
    decoding: Decoding
    refusal: Refusal | None

    @property
    def version(self) -> str:
        return self.contract.model_sha256[:12]

    def classify(self, pixels: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 (n, classes), and behind them the distance where the model refuses by that. pixels:
        (n, size, size, 3), 0 to 255."""
        outputs = self.session.run(None, {"image": pixels.astype(np.float32)})
        probabilities = apply_temperature(outputs[0], self.contract.temperature)
        return np.hstack([probabilities, *(output[:, None] for output in outputs[1:])])


def find_folder(family: str | None) -> Path:
    """Of the exported files of a family, or of the one that the report recommends. Raises PipelineError, one line, where there
    are none, or where they were made of another model than the one in models/."""
    if family is None:
        if not CHOSEN.exists():
            raise PipelineError(
                f"{CHOSEN} is not here: expected the family that the report recommends; name one with --family"
            )
        family = str(json.loads(CHOSEN.read_text())["family"])
    folder, artifact = EXPORTED / family, MODELS / f"{family}.keras"
    if not (folder / ONNX_FILE).exists():
        raise PipelineError(
            f"{folder} has no {ONNX_FILE}: expected an exported family; {_REMEDY.format(family=family)}"
        )
    if artifact.exists() and compute_sha256(artifact) != load_export_contract(folder).model_sha256:
        raise PipelineError(f"{folder} was made of another model than {artifact}: run `dvc repro export@{family}`")
    return folder


def load_served(folder: Path, params: Params) -> Served:
    """Raises PipelineError, one line, for a file that is missing or damaged, or does not fit its contract."""
    import onnxruntime

    file = folder / ONNX_FILE
    if not file.is_file():
        raise PipelineError(f"{file} is not here: expected an exported model; name the folder of one with --folder")
    contract = load_export_contract(folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = params.runtime.threads, 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it raises types of its own for damaged files
        said = " ".join(str(error).split())[:160]
        raise PipelineError(f"{file} can't be loaded ({said}): export it again with `dvc repro -f export`") from error
    served = Served(
        contract,
        session,
        decode_as_trained(contract, params.prune),
        load_refusal(contract, params.evaluate.false_alarms, file),
    )
    _check(served, file)
    return served


def _check(served: Served, file: Path) -> None:
    """By one image, which also warms the session up."""
    contract = served.contract
    size, expected = contract.image_size, len(contract.class_names)
    if served.refusal is not None and served.refusal.score == "distance":
        expected += 1
    try:
        given = served.classify(np.zeros((1, size, size, 3))).shape
    except Exception as error:
        said = " ".join(str(error).split())[:160]
        raise PipelineError(f"{file} does not run ({said}): export it again with `dvc repro -f export`") from error
    if given != (1, expected):
        raise PipelineError(
            f"{file} gives {given[1]} numbers: expected {expected}, as {CONTRACT_FILE} beside it says; export it again with "
            "`dvc repro -f export`"
        )


def read_fingerprint(folder: Path) -> Fingerprint | None:
    """Changes when a file is written or replaced; None while one is not there."""
    try:
        stats = [(folder / name).stat() for name in (ONNX_FILE, CONTRACT_FILE)]
    except OSError:
        return None
    return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)
