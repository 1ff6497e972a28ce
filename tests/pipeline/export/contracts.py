"""Contracts of models that tests export."""

from typing import Any

from pipeline.export.contract import ExportContract, Input, Output
from pipeline.models.contract import Contract

NAMES = ["red", "green", "blue"]


def make_contract(**changes: Any) -> ExportContract:
    size = changes.get("image_size", 32)
    content: dict[str, Any] = {
        "family": "underfit",
        "class_names": NAMES,
        "image_size": size,
        "resize": "stretch",
        "range": "auto",
        "temperature": 1.5,
        "data": "d" * 64,
        "settings": "e" * 64,
    }
    contract = Contract(**content | changes)
    return ExportContract(
        **contract.model_dump(),
        model_sha256="a" * 64,
        input=Input(shape=[None, size, size, 3]),
        output=Output(shape=[None, len(contract.class_names)]),
    )
