"""What stands beside exported models, and inside them where the format has a place for it: how to use them rightly."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.config.types import Section
from pipeline.models.contract import CONTRACT_FILE, Contract, dump_contract
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256
from pipeline.runtime.paths import EXPORTED

LABELS_FILE = "labels.txt"


class Input(Section):
    """RGB pixels, upright, 0 to 255, not scaled: the model does that itself. shape: null for the number of images."""

    name: Literal["image"] = "image"
    dtype: Literal["float32"] = "float32"
    shape: list[int | None]
    layout: Literal["NHWC"] = "NHWC"
    colours: Literal["RGB"] = "RGB"
    lowest: float = 0.0
    highest: float = 255.0


class Output(Section):
    """Probabilities in the order of class_names, before calibration: decode.py's `calibrate` applies the temperature."""

    dtype: Literal["float32"] = "float32"
    shape: list[int | None]
    meaning: Literal["probabilities"] = "probabilities"
    is_calibrated: Literal[False] = False


class ExportContract(Contract):
    """A model's contract, the digest of its file, and what goes into and comes out of the exported ones."""

    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    input: Input
    output: Output


def make_export_contract(contract: Contract, artifact: Path) -> ExportContract:
    """artifact: the model's file."""
    size = contract.image_size
    return ExportContract(
        **contract.model_dump(),
        model_sha256=compute_sha256(artifact),
        input=Input(shape=[None, size, size, 3]),
        output=Output(shape=[None, len(contract.class_names)]),
    )


def save_contract(contract: ExportContract, folder: Path) -> None:
    """Writes contract.json and labels.txt, a class per line in the order of the outputs."""
    (folder / CONTRACT_FILE).write_text(dump_contract(contract), encoding="utf-8")
    (folder / LABELS_FILE).write_text("".join(f"{name}\n" for name in contract.class_names), encoding="utf-8")


def load_export_contract(folder: Path) -> ExportContract:
    """What `save_contract` wrote. Raises PipelineError for anything else."""
    file = folder / CONTRACT_FILE
    try:
        return ExportContract.model_validate_json(file.read_bytes())
    except (OSError, ValueError) as error:
        is_own = folder.parent == EXPORTED  # a package was unzipped wherever somebody liked
        advice = (
            f"run `dvc repro -f export@{folder.name}`" if is_own else "export the model again, or name another folder"
        )
        raise PipelineError(
            f"{file} can't be read ({type(error).__name__}): expected what this version of export writes; {advice}"
        ) from error
