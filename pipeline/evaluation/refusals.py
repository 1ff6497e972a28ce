"""How often "none of these" is said: of test images, and of pictures of no class that are made here. Imports TensorFlow."""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.config.sections import Params
from pipeline.config.sources import ScenesSettings
from pipeline.data.image import decode_image
from pipeline.data.tfrecords import DatasetFacts
from pipeline.evaluation.familiarity import compute_separation, find_limit, fit_familiarity
from pipeline.evaluation.familiarity_fit import Outputs, read_first, run, split_outputs
from pipeline.evaluation.unfamiliar import MADE, MAKERS
from pipeline.models.contract import Contract
from pipeline.models.inference import Apply
from pipeline.sources.scenes.drawing import CLASS_NAMES, draw_scene
from pipeline.training.scores import DIGITS

COLUMNS = ["kind", "score", "is_used", "images", "auroc", "refused"]
_JPEG_QUALITY = 92


def measure_refusals(
    outputs: Mapping[str, Outputs], apply: Apply, contract: Contract, facts: DatasetFacts, params: Params
) -> pd.DataFrame:
    """COLUMNS: for each score (distance, where there is one, and confidence), one row for test images, and one per kind of
    picture of no class: noise, scrambled (validation images), and classes of drawn scenes that were left out of the data.

    is_used: whether the model refuses by this score. auroc: the area under the ROC curve of the score, test images against
    these; missing for test. refused: the share above the limit of evaluate.false_alarms; for test, these are false alarms.

    outputs: of val and test. apply: the frozen model that gave them; see `make_answering`.
    """
    test, val, classes, images = outputs["test"], outputs["val"], len(contract.class_names), read_first("val")
    made = {kind: make(images, params.crossval.seed) for kind, make in MAKERS.items()} | draw_left_out(facts, params)
    others = {kind: split_outputs(run(apply, pixels), classes) for kind, pixels in made.items()}
    rows = []
    for by_distance in (True, False) if test.distances is not None else (False,):
        rows += _measure(val, {"test": test} | others, contract, params.evaluate.false_alarms, by_distance)
    return pd.DataFrame(rows, columns=COLUMNS)


def _measure(
    val: Outputs, given: dict[str, Outputs], contract: Contract, false_alarms: float, by_distance: bool
) -> list[dict]:
    scores = {kind: outputs.score(contract.temperature, by_distance=by_distance) for kind, outputs in given.items()}
    name = "distance" if by_distance else "confidence"
    is_used = contract.familiarity is not None and contract.familiarity.score == name
    own = fit_familiarity(val.score(contract.temperature, by_distance=by_distance), None, by_distance=by_distance)
    limit = find_limit(contract.familiarity if is_used and contract.familiarity else own, false_alarms)
    return [
        {
            "kind": kind,
            "score": name,
            "is_used": is_used,
            "images": len(values),
            "auroc": None if kind == "test" else round(compute_separation(scores["test"], values), DIGITS),
            "refused": round(float((values > limit).mean()), DIGITS),
        }
        for kind, values in scores.items()
    ]


def draw_left_out(facts: DatasetFacts, params: Params) -> dict[str, np.ndarray]:
    """Class to uint8 (up to 128, size, size, 3), for classes of the source scenes that the data do not have, from JPEGs as it
    makes them; none with another source."""
    settings = params.source_settings
    if not isinstance(settings, ScenesSettings):
        return {}
    dropped = settings.drop_classes if params.prune.drop_classes is None else params.prune.drop_classes
    count = min(MADE, settings.images_per_class)
    return {
        label: np.stack([_draw(label, number, settings, facts) for number in range(count)])
        for label in CLASS_NAMES
        if label in dropped
    }


def _draw(label: str, number: int, settings: ScenesSettings, facts: DatasetFacts) -> np.ndarray:
    pixels = draw_scene(label, image_size=settings.image_size, seed=settings.seed, index=number)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return decode_image(buffer.getvalue(), image_size=facts.image_size, resize=facts.resize, value_range=facts.range)
