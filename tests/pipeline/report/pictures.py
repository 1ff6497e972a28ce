"""Predictions and their pictures, for the galleries of the page."""

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from pipeline.evaluation.results import Results
from tests.results import make_probabilities, make_results

NAMES = ["cat", "dog", "emu"]
CAT, DOG, EMU = range(3)


def album(name: str) -> np.ndarray:
    """A picture in a shade of its own."""
    return np.full((8, 8, 3), int(hashlib.sha256(name.encode()).hexdigest()[:2], 16), np.uint8)


def decode(uri: str) -> np.ndarray:
    """The pixels of a data URI."""
    kind, _, data = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def make_result(*guesses: tuple[int, int, float], names: list[str] = NAMES, **changes: Any) -> Results:
    """guesses: (label, predicted, confidence) of each test image. changes: see `make_results`."""
    labels, predicted, confidence = (np.array(column) for column in zip(*guesses, strict=True))
    return make_results(names, (labels, make_probabilities(predicted, len(names), confidence)), **changes)


def get_numbers(cards: Iterable[Mapping[Any, Any]]) -> list[int]:
    """Which images a gallery shows: the numbers in their names."""
    return [int(card["name"].rpartition("/")[2].removesuffix(".png")) for card in cards]
