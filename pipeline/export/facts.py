"""facts.json: what the stage export notes beside the files. Imports nothing heavy."""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from pipeline.config.types import ExportFormat
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import EXPORTED

FACTS_FILE = "facts.json"
_PACKAGES = {
    "savedmodel": ("tensorflow",),
    "onnx": ("tensorflow", "tf2onnx", "onnx", "onnxruntime"),
    "onnx_float16": ("tensorflow", "tf2onnx", "onnx", "onnxruntime"),
    "openvino": ("tensorflow", "tf2onnx", "onnx", "openvino"),
}
_LITERT = ("tensorflow", "ai-edge-litert")


@dataclass(frozen=True)
class ExportFacts:
    """formats: that were asked for; none: the family is not exported. model_sha256: of the model's file. undecodable: names of
    the test images that decode.py refuses, which are in no row of parity.csv. differing: names of those of which it makes other
    pixels than preprocess did. versions: of the packages that wrote and ran the files."""

    formats: list[ExportFormat]
    model_sha256: str = ""
    undecodable: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()


def find_versions(formats: list[ExportFormat]) -> tuple[tuple[str, str], ...]:
    """Package and version, sorted."""
    packages = {package for name in formats for package in _PACKAGES.get(name, _LITERT)}
    return tuple((package, version(package)) for package in sorted(packages | {"keras", "numpy", "pillow"}))


def save_facts(facts: ExportFacts, folder: Path) -> None:
    """Writes facts.json."""
    content = asdict(facts) | {"versions": dict(facts.versions)}
    (folder / FACTS_FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def save_none(family: str, parent: Path = EXPORTED) -> None:
    """Notes that a family is not exported: DVC needs an output for each item of a matrix."""
    with folder_aside(parent / family) as folder:
        save_facts(ExportFacts([]), folder)
