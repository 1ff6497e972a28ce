"""Names what is in pictures: python -m stages.predict FILE|FOLDER… [--family NAME] [--top 3] [--json|--csv].

Uses the family that is best on validation images, unless one is named; pictures are decoded as in training, and
probabilities are calibrated. A file that can't be used gets a line of its own, and the others go on; the exit status is 1
then.
"""

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.data.image_files import decode_as_trained, list_pictures, load_pictures
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.calibration import apply_temperature
from pipeline.evaluation.results import load_temperature
from pipeline.runtime.cli import make_parser, report_errors
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import METRICS, MODELS
from pipeline.runtime.processes import in_chunks
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.tensorflow import configure_tensorflow

_BATCH = 32


class Writer(Protocol):
    """Writes one answer as soon as it is there."""

    def write(self, path: str, ranking: list[tuple[str, float]], reason: str) -> None:
        """ranking: class and probability, the most probable first; empty where reason says why."""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 if any picture could not be used or nothing could be done."""
    parser = make_parser("predict", __doc__)
    parser.add_argument("paths", nargs="+", metavar="FILE|FOLDER", help="pictures, or folders with pictures below them")
    parser.add_argument("--family", help="a family that has been trained; unless named, the best on validation images")
    parser.add_argument("--top", type=int, default=3, metavar="N", help="classes to name for each picture (3)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON object a line")
    form.add_argument("--csv", action="store_true", help="a table: path, family, class_1, probability_1, …, error")
    chosen = parser.parse_args(arguments)
    if chosen.top < 1:
        parser.error(f"--top: expected 1 or more, received {chosen.top}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be any bytes
    bad: list[str] = []
    status = 0
    try:
        status = report_errors(lambda: predict(chosen, bad))
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # takes what Python flushes when it ends
    return status or int(bool(bad))


def predict(chosen: argparse.Namespace, bad: list[str]) -> None:
    """Writes an answer for each picture to stdout; appends the paths of those that could not be used to `bad`."""
    params = load_params()
    family = chosen.family or choose_best()
    check_family(family)
    artifact = MODELS / f"{family}.keras"
    if not artifact.exists():
        raise PipelineError(f"{artifact} is not here: expected a trained model; run `dvc repro train@{family}`")
    facts = load_dataset_facts()
    temperature = load_temperature(family, artifact)
    writer = make_writer(chosen, family, min(chosen.top, len(facts.class_names)))
    configure_tensorflow(onednn=params.runtime.onednn)
    from pipeline.models.artifacts import load_model
    from pipeline.models.inference import freeze

    apply = freeze(load_model(artifact))
    pictures = load_pictures(find_files(chosen.paths), decode_as_trained(facts, params.prune))
    with progress_bar(desc="predict", unit=" images", disable=None) as progress:
        for chunk in in_chunks(pictures, _BATCH):
            good = [picture.pixels for picture in chunk if picture.pixels is not None]
            rows = iter(apply_temperature(apply(np.stack(good)), temperature) if good else ())
            for picture in chunk:
                ranking = rank(next(rows), facts.class_names, chosen.top) if picture.pixels is not None else []
                writer.write(picture.path, ranking, picture.reason)
                if picture.reason:
                    bad.append(picture.path)
            progress.update(len(chunk))


def choose_best(folder: Path = METRICS) -> str:
    """The family that the report recommends."""
    from pipeline.report.tables import choose_family, load_summary

    return choose_family(load_summary(folder / "summary.csv"))


def find_files(paths: Iterable[str]) -> Iterator[str]:
    """The files that are named, and those below the folders that are. A folder without any is a PipelineError."""
    for path in paths:
        if not Path(path).is_dir():
            yield path  # what is wrong with it, if anything, is said in its turn
            continue
        found = 0
        for file in list_pictures(Path(path)):
            found += 1
            yield file
        if not found:
            raise PipelineError(
                f"{path} holds no picture: expected files such as .jpg, .png, .bmp, .gif, .webp or .tif below it"
            )


def rank(row: np.ndarray, class_names: list[str], top: int) -> list[tuple[str, float]]:
    """The `top` most probable classes with their probabilities, the first first."""
    order = np.argsort(-row, kind="stable")[:top]
    return [(class_names[number], round(float(row[number]), 6)) for number in order]


def make_writer(chosen: argparse.Namespace, family: str, top: int) -> Writer:
    """For --json, --csv, or people."""
    if chosen.json:
        return _JsonWriter(family)
    return _CsvWriter(family, top) if chosen.csv else _TextWriter(family)


class _JsonWriter:
    def __init__(self, family: str) -> None:
        self._family = family

    def write(self, path: str, ranking: list[tuple[str, float]], reason: str) -> None:
        answer: dict[str, Any] = {"path": path, "family": self._family}
        if reason:
            answer["error"] = reason
        else:
            answer["predictions"] = [{"label": label, "probability": p} for label, p in ranking]
        print(json.dumps(answer, ensure_ascii=False), flush=True)


class _CsvWriter:
    def __init__(self, family: str, top: int) -> None:
        self._family, self._top = family, top
        self._rows = csv.writer(sys.stdout, lineterminator="\n")
        columns = [name for n in range(1, top + 1) for name in (f"class_{n}", f"probability_{n}")]
        self._rows.writerow(["path", "family", *columns, "error"])

    def write(self, path: str, ranking: list[tuple[str, float]], reason: str) -> None:
        values = [value for pair in ranking for value in pair] or [""] * (2 * self._top)
        self._rows.writerow([path, self._family, *values, reason])
        sys.stdout.flush()


class _TextWriter:
    def __init__(self, family: str) -> None:
        print(f"{family}:", file=sys.stderr)

    def write(self, path: str, ranking: list[tuple[str, float]], reason: str) -> None:
        if reason:
            print(f"error: {path}: {reason}", file=sys.stderr, flush=True)
        else:
            print(f"{path}  " + ", ".join(f"{label} {100 * p:.1f} %" for label, p in ranking), flush=True)


if __name__ == "__main__":
    sys.exit(main())
