"""The user's own files that prune.exclude and prune.relabel name: where they are, their copies, and their rows.

The copies in data/corrections go along to machines that lack the files.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from pipeline.runtime import paths
from pipeline.runtime.cells import read_cell
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.overrides import quote_setting
from pipeline.runtime.paths import CORRECTION_COPIES
from pipeline.sources.csv_table import decode_csv, fit_line, read_lines
from pipeline.sources.finding import Found
from pipeline.sources.local_paths import find_project, resolve_path

_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_KEYS = ("name", "image_id")
_LABELS = ("correct_label", "label")  # the first that is there counts
_EXPECTED = {
    "exclude": "a name or image_id per line, or a CSV file with a column name or image_id",
    "relabel": "a CSV file with a column name or image_id, and correct_label or label",
}


@dataclass(frozen=True)
class CorrectionRow:
    """number: of its line in the file, from 1. name, image_id: one of them at least. label: the new one; empty in exclude."""

    number: int
    name: str
    image_id: str
    label: str


@dataclass(frozen=True)
class CorrectionFile:
    """rows: those that say something. num_rows: of all. num_silent: rows with an empty correct_label."""

    kind: str
    name: str
    rows: tuple[CorrectionRow, ...]
    num_rows: int
    num_silent: int = 0

    @property
    def what(self) -> str:
        """For messages: prune.relabel 'fixes.csv'."""
        return f"prune.{self.kind} {self.name!r}"


def locate_corrections(kind: str, path: str | None) -> Path | None:
    """The file that prune.exclude or prune.relabel names (kind). Raises PipelineError if it is none, can't be read as a table,
    or lies where the pipeline writes."""
    if path is None:
        return None
    file = resolve_path(path)
    if not file.is_file():
        what = "is not a file" if file.exists() else "does not exist"
        raise PipelineError(f"prune.{kind} {path!r} {what}: expected {_EXPECTED[kind]}, or null")
    if _is_written(file):
        raise PipelineError(
            f"prune.{kind} {path!r} is an output of the pipeline, or lies in one: expected a file of your own elsewhere, as a "
            f"run replaces what is there; copy it (cp {quote(path)} {quote(file.name)}) and name the copy: "
            f"{quote_setting(f'prune.{kind}', file.name)}"
        )
    parse_corrections(file.read_bytes(), kind, file.name)
    return file


def _is_written(file: Path) -> bool:
    """Whether it lies in an output of a stage; DVC may have made that a link to its cache."""
    project = find_project(Path.cwd())
    outputs = {value for value in vars(paths).values() if isinstance(value, Path)} - {paths.PARAMS}
    places = [project / output for output in (*outputs, Path(".dvc/cache"))]
    places += [place.resolve() for place in places]
    return any(spelt.is_relative_to(place) for spelt in (_tidy(file), file.resolve()) for place in places)


def _tidy(file: Path) -> Path:
    """Without `..`, but with links as they are."""
    return file.parent.resolve() / file.name


def copy_corrections(found: Mapping[str, Found]) -> None:
    """To data/corrections, so that they go along to machines that lack the files. found: by kind; of a file that is gone since,
    the copy stays. Raises PipelineError if that is not here either."""
    with folder_aside(CORRECTION_COPIES) as folder:
        for kind, file in found.items():
            copy = CORRECTION_COPIES / f"{kind}.csv" if file.target is None else file.target
            if file.seen.content is not None and not copy.exists():
                raise PipelineError(
                    f"the file of prune.{kind} is not on this machine, nor its copy: run `dvc pull {CORRECTION_COPIES}`"
                )
            if file.seen.content is not None:
                shutil.copyfile(copy, folder / f"{kind}.csv")
        if not any(folder.iterdir()):
            (folder / "none.txt").write_text("There are no corrections: prune.exclude and prune.relabel are null.\n")


def load_corrections(named: Mapping[str, str | None]) -> list[CorrectionFile]:
    """What `copy_corrections` has kept. named: kind to the file that its parameter names; null: none. Errors: see
    `parse_corrections`."""
    files = []
    for kind, path in named.items():
        copy = CORRECTION_COPIES / f"{kind}.csv"
        if path is not None and not copy.exists():
            raise PipelineError(f"{copy}, the copy of prune.{kind} {path!r}, is not here: run `dvc repro`")
        if path is not None:
            files.append(parse_corrections(copy.read_bytes(), kind, Path(path).name))
    return files


def parse_corrections(data: bytes, kind: str, name: str) -> CorrectionFile:
    """The rows of a file. kind: exclude or relabel. name: of the file, for messages.

    Of relabel, the column correct_label is the new label, and a row where it is empty says nothing; without such a column it
    is label, which is nowhere empty. Of exclude, other columns mean nothing, and a file without a header is a list.
    Raises PipelineError, one line with the number of the row, for what can't be read.
    """
    what = f"prune.{kind} {name!r}"
    text = decode_csv(data, what)
    lines = list(read_lines(text, {*_KEYS, *_LABELS}, what))
    if not lines:
        raise PipelineError(
            f"{what} is empty: expected {_EXPECTED[kind]}; prune.{kind}=null if there is nothing to say"
        )
    header = [title.casefold() for title in lines[0][1]]
    if kind == "exclude" and not set(_KEYS) & set(header):
        rows = [CorrectionRow(number, _unquote(line), "", "") for number, line in enumerate(text.splitlines(), 1)]
        rows = [row for row in rows if row.name]
        return CorrectionFile(kind, name, tuple(rows), len(rows))
    label = _check_header(header, lines[0][1], kind, what)
    if len(lines) < 2:
        raise PipelineError(
            f"{what} has a header and no rows: expected a row per picture; prune.{kind}=null if there is none"
        )
    fitted = [fit_line(line, header, what) for line in lines[1:]]
    rows = [_read_row(number, dict(zip(header, fields, strict=True)), label, what) for number, fields in fitted]
    said = tuple(row for row in rows if row.label or label is None)
    return CorrectionFile(kind, name, said, len(rows), len(rows) - len(said))


def _unquote(line: str) -> str:
    text = line.strip()
    return read_cell(text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text)


def _check_header(header: list[str], written: list[str], kind: str, what: str) -> str | None:
    """The column of the new label; None for exclude."""
    received = ", ".join(written[:20])
    if not set(_KEYS) & set(header):
        raise PipelineError(f"{what} has no column name or image_id: expected {_EXPECTED[kind]}; received {received}")
    label = next((title for title in _LABELS if title in header), None)
    if kind == "relabel" and label is None:
        raise PipelineError(
            f"{what} has no column correct_label or label: expected the new labels; received {received}"
        )
    for title in (*_KEYS, *_LABELS):
        if header.count(title) > 1:
            raise PipelineError(f"{what} has the column {title!r} twice: expected it once")
    return label if kind == "relabel" else None


def _read_row(number: int, fields: dict[str, str], label: str | None, what: str) -> CorrectionRow:
    row = CorrectionRow(
        number, fields.get("name", ""), fields.get("image_id", "").lower(), fields[label] if label else ""
    )
    is_silent = label == "correct_label" and not row.label
    if not (row.name or row.image_id or is_silent):
        raise PipelineError(
            f"{what}, row {number}: expected a name or an image_id, received neither; fill it in or delete the row"
        )
    if row.image_id and not is_image_id(row.image_id) and not is_silent:
        raise PipelineError(
            f"{what}, row {number}: expected an image_id of 64 hex digits, received {row.image_id!r}; data/splits.csv has them"
        )
    if label == "label" and not row.label:
        raise PipelineError(
            f"{what}, row {number}: {row.name or row.image_id!r} has no label: expected the new one; fill it in or delete it"
        )
    return row


def is_image_id(text: str) -> bool:
    """Whether it is written like one; see `pipeline.data.image.compute_image_id`."""
    return _IMAGE_ID.fullmatch(text) is not None
