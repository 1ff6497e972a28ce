"""Runs exported files over the test images, from files' bytes, beside the model. Imports no runtime itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from pipeline.config.types import ExportFormat
from pipeline.export.decode_script import DecodeScript
from pipeline.export.encoded_images import EncodedImage
from pipeline.export.formats import FORMATS
from pipeline.export.parity import Answers, Distances, Parity, check_exact, compare, find_reason
from pipeline.export.runners import Run
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import remove
from pipeline.runtime.progress import progress_bar

_BATCH = 32  # images; only speed and memory depend on it


@dataclass(frozen=True)
class Collected:
    """answers: by format, of the images that decode.py takes. undecodable: names of the others. differing: names of those that
    it decodes to other pixels than preprocess."""

    answers: dict[ExportFormat, Answers]
    undecodable: tuple[str, ...]
    differing: tuple[str, ...]


def collect_answers(
    images: Iterable[EncodedImage],
    script: DecodeScript,
    model: Run,
    runs: Mapping[ExportFormat, Run],
    scores: Sequence[float] | None = None,
) -> Collected:
    """model: from the pixels of preprocess. runs: by format, from what decode.py makes of the files' bytes. scores: of val,
    ascending, where the model gives the distance behind the probabilities. Raises PipelineError if decode.py refuses every
    image, or where a file gives no distance and should."""
    refused: list[str] = []
    differing: list[str] = []
    names: list[str] = []
    labels: list[int] = []
    given: dict[str, list[np.ndarray]] = {name: [] for name in ("model", *runs)}
    with progress_bar(desc="export", unit=" images") as progress:
        waiting = iter(images)
        while batch := list(islice(waiting, _BATCH)):
            progress.update(len(batch))
            decoded = [(image, pixels) for image in batch if (pixels := _decode(script, image, refused)) is not None]
            if not decoded:
                continue
            names += [image.name for image, _ in decoded]
            labels += [image.label for image, _ in decoded]
            differing += [image.name for image, pixels in decoded if not np.array_equal(pixels[0], image.pixels)]
            given["model"].append(model(np.stack([image.pixels for image, _ in decoded]).astype(np.float32)))
            files = np.concatenate([pixels for _, pixels in decoded])
            for name, run in runs.items():
                given[name].append(run(files))
    if not names:
        raise PipelineError(
            f"decode.py refuses all of the {len(refused)} test images, such as {refused[0]!r}: expected pictures of 8 bits per "
            "sample; nothing can be exported that is proven equal"
        )
    all_of = {name: np.concatenate(parts) for name, parts in given.items()}
    answers = {name: _pair(name, names, np.array(labels), all_of["model"], all_of[name], scores) for name in runs}
    return Collected(answers, tuple(refused), tuple(differing))


def _pair(
    name: ExportFormat,
    names: list[str],
    labels: np.ndarray,
    model: np.ndarray,
    exported: np.ndarray,
    scores: Sequence[float] | None,
) -> Answers:
    """model, exported: what both give, see `Run`."""
    classes = model.shape[1] - (scores is not None)
    expected = model.shape[1] if FORMATS[name].has_distance else classes
    if exported.shape[1] != expected:
        raise PipelineError(
            f"{FORMATS[name].file} gives {exported.shape[1]} numbers per image: expected {expected}; leave {name} out of "
            "export.formats, and please report this as a bug"
        )
    distances = None
    if scores is not None and FORMATS[name].has_distance:
        distances = Distances(model[:, classes], exported[:, classes], np.array(scores))
    return Answers(names, labels, model[:, :classes], exported[:, :classes], distances)


def _decode(script: DecodeScript, image: EncodedImage, refused: list[str]) -> np.ndarray | None:
    """None, and its name in `refused`, for an image that a user's program would be refused too."""
    try:
        return script.decode(image.data)
    except Exception:  # Pillow raises whatever it runs into
        refused.append(image.name)
        return None


def judge(family: str, collected: Collected, folder: Path, max_drop: float) -> list[Parity]:
    """A row per format. Deletes the files of those that round and lose too much. Raises PipelineError where one that does not
    round disagrees with the model."""
    rows = []
    for name, answers in collected.answers.items():
        file = folder / FORMATS[name].file
        parity = compare(name, file.name, measure_bytes(file), answers)
        reason = ""
        if FORMATS[name].is_exact:
            check_exact(family, parity, answers)
        elif reason := find_reason(parity, max_drop):
            remove(file)
        rows.append(parity.refuse(reason) if reason else parity)
    return rows


def measure_bytes(file: Path) -> int:
    """Of a file, of all in a folder, or of an .xml and the .bin beside it."""
    if file.is_dir():
        return sum(part.stat().st_size for part in file.rglob("*") if part.is_file())
    beside = file.with_suffix(".bin")
    return file.stat().st_size + (beside.stat().st_size if file.suffix == ".xml" and beside.exists() else 0)
