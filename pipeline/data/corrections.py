"""data/corrections.csv: which pictures the user's files leave out or label anew, by which row. Nothing in them is ignored."""

import difflib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field
from functools import cached_property
from pathlib import Path
from unicodedata import normalize

import pandas as pd

from pipeline.config.messages import suggest
from pipeline.data.correction_files import CorrectionFile, CorrectionRow, is_image_id
from pipeline.data.image import compute_image_id
from pipeline.data.manifest import read_table
from pipeline.data.raw import read_bytes, read_many
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import CORRECTIONS
from pipeline.sources.label_finder import Finder
from pipeline.sources.label_table import LabelRow

logger = logging.getLogger(__name__)

CORRECTIONS_COLUMNS = ["name", "image_id", "label", "new_label", "action", "file", "row"]
_OUT = "-"  # in place of a label
_OUT_OF_SET = ""  # the new label of a picture that is left out


def make_corrections(index: pd.DataFrame, classes: pd.Series, files: Iterable[CorrectionFile]) -> pd.DataFrame:
    """CORRECTIONS_COLUMNS, one row per picture that a file means, sorted by name. Logs how many rows of each file matched.

    index: INDEX_COLUMNS, labels as in the source. classes: labels after dropping (NA) and merging. files: exclude before
    relabel. action: exclude, relabel, or keep where the label is the same as before. label: empty for a picture of no class.

    A new label is the name of a class after merging, or of one in the source, which is then dropped or merged likewise; `-`
    leaves the picture out, unless a class has that name. A picture that is left out by one file is left out, whatever
    another says. Raises PipelineError, one line with the number of the row, for an unknown picture or label, for a
    picture with two labels, and for a new label of a file that the source can't give: it would be one in the log alone.
    """
    pictures, labels = _Pictures(index), _Labels(index["label"], classes)
    changes: dict[int, _Change] = {}
    for file in files:
        made = _read_file(file, pictures, labels)
        logger.log(logging.INFO if made.changes else logging.WARNING, "%s", made.describe())
        for line in pictures.describe(file):
            logger.warning("%s", line)
        if twice := [place for place in made.changes if place in changes]:
            first, name = made.changes[twice[0]], index["name"].iloc[twice[0]]
            logger.warning(
                f"{file.what}, row {first.row}: {name!r} is left out by {changes[twice[0]].file!r}, and so it is: rows "
                f"that change nothing for this reason: {len(twice):,}"
            )
        changes = made.changes | changes
        _check_given(index, labels, file, changes)
    rows = [
        (index["name"].iloc[place], pictures.get_id(place), labels.of(place), *astuple(change))
        for place, change in changes.items()
    ]
    return pd.DataFrame(rows, columns=CORRECTIONS_COLUMNS).sort_values("name", ignore_index=True)


def apply_corrections(index: pd.DataFrame, classes: pd.Series, corrections: pd.DataFrame) -> pd.Series:
    """The classes after the corrections; NA where a picture is left out, or of a dropped class. Logs which classes are empty.

    index, classes: as in `make_corrections`. corrections: what it returned.
    """
    known = set(classes.dropna())
    new = corrections[corrections["action"] != "keep"].set_index("name")["new_label"]
    new = new.where(new.isin(known - {""}), pd.NA)
    touched = index["name"].isin(new.index)
    corrected = classes.mask(touched, index["name"].map(new))
    for label in sorted(known - {""} - set(corrected.dropna())):
        logger.warning("class %r is empty: prune.exclude and prune.relabel leave it no picture", label)
    return corrected


def load_corrections_table(file: Path = CORRECTIONS) -> pd.DataFrame:
    """CORRECTIONS_COLUMNS, all of them text."""
    return read_table(file, dtype="str", keep_default_na=False)


@dataclass(frozen=True)
class _Change:
    """label: the new one; empty where the picture is left out. row: of the file."""

    label: str
    action: str
    file: str
    row: int


@dataclass
class _Made:
    """What a file changes, by place in the index. repeated: rows that mean what one before has said. copied: rows of an
    image_id that several pictures have."""

    file: CorrectionFile
    changes: dict[int, _Change] = field(default_factory=dict)
    repeated: int = 0
    copied: int = 0

    def describe(self) -> str:
        """How many rows matched, and what became of the pictures."""
        actions = Counter(change.action for change in self.changes.values())
        words = {"exclude": "left out", "relabel": "another label", "keep": "the same label as before"}
        said = [f"{words[action]} {count:,}" for action, count in sorted(actions.items())]
        notes = {
            "with an empty correct_label, which say nothing": self.file.num_silent,
            "that repeat one before": self.repeated,
            "of an image_id that several pictures have, and that means them all": self.copied,
        }
        pictures = f"{len(self.changes):,} pictures" + (f" ({', '.join(said)})" if said else "")
        return "; ".join(
            [f"{self.file.what}: {len(self.file.rows):,} of {self.file.num_rows:,} rows match {pictures}"]
            + [f"rows {text}: {count:,}" for text, count in notes.items() if count]
        )


def _read_file(file: CorrectionFile, pictures: "_Pictures", labels: "_Labels") -> _Made:
    made = _Made(file)
    for row in file.rows:
        new = labels.find(row, file) if file.kind == "relabel" else _OUT_OF_SET
        places = pictures.find(row, file)
        made.copied += len(places) > 1
        before = [made.changes[place] for place in places if place in made.changes]
        if other := next((change for change in before if change.label != new), None):
            raise PipelineError(
                f"{file.what}, row {row.number}: {row.name or row.image_id!r} gets {_say(new)}, and {_say(other.label)} in row "
                f"{other.row}: expected one label; correct or delete one of them"
            )
        made.repeated += len(before) == len(places)
        for place in places:
            action = "exclude" if new == _OUT_OF_SET else "keep" if new == labels.of(place) else "relabel"
            made.changes.setdefault(place, _Change(new, action, file.name, row.number))
    return made


def _check_given(index: pd.DataFrame, labels: "_Labels", file: CorrectionFile, changes: dict[int, _Change]) -> None:
    """Raises PipelineError for a class that would get a picture which it can't have: one without bytes."""
    for place, change in changes.items():
        reason = index["reason"].iloc[place]
        if reason and change.action == "relabel" and change.label in labels.kept:
            raise PipelineError(
                f"{file.what}, row {change.row}: {index['name'].iloc[place]!r} can't get the label {change.label!r}: expected "
                f"a picture that the source can give; received one that is not used: {reason}; mend or move the file, or "
                "delete the row"
            )


def _say(label: str) -> str:
    return repr(label) if label else f"{_OUT!r}"


class _Labels:
    """Which labels there are, and what a new one becomes. before: in the source, after: after dropping and merging.
    kept: those after it."""

    def __init__(self, before: pd.Series, after: pd.Series) -> None:
        self.kept = set(after.dropna()) - {""}
        self._each = after.where(after.notna(), before)
        self._known = dict(zip(before, self._each, strict=True)) | {label: label for label in after.dropna()}
        self._known.pop("", None)
        self._bare = self._strip()

    def of(self, place: int) -> str:
        """The label that a picture has; of a dropped class, its name."""
        return str(self._each.iloc[place])

    def _strip(self) -> dict[str, str]:
        """What names become that a CSV file has, without blanks around; those of which several are the same then mean none."""
        found: dict[str, set[str]] = defaultdict(set)
        for label, new in self._known.items():
            found[label.strip()].add(new)
        return {label: new.pop() for label, new in found.items() if len(new) == 1 and label not in ("", _OUT)}

    def find(self, row: CorrectionRow, file: CorrectionFile) -> str:
        """The new label that a row means, or nothing where it leaves the picture out."""
        label = normalize("NFC", row.label)
        if label in self._known:
            return str(self._known[label])
        if label == _OUT:
            return _OUT_OF_SET
        if label in self._bare:
            return self._bare[label]
        raise PipelineError(
            f"{file.what}, row {row.number}: there is no class {row.label!r} (write {_OUT} to leave the picture out): "
            f"{suggest(label, sorted(self._known))}"
        )


class _Pictures:
    """Finds the pictures that a row means: places in the index. Bytes are read only where an image_id asks for them."""

    def __init__(self, index: pd.DataFrame) -> None:
        self._index = index
        self._finders: dict[str, Finder] = {}

    @cached_property
    def _names(self) -> list[str]:
        return self._index["name"].tolist()

    @cached_property
    def _by_cell(self) -> dict[str, list[int]]:
        """Places by name as a CSV file has it, without blanks around it. Made where a file names pictures: of a million, it
        takes a quarter of a gigabyte."""
        found: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(self._names):
            found[name.strip()].append(place)
        return found

    def find(self, row: CorrectionRow, file: CorrectionFile) -> list[int]:
        """One place, or that of each copy. Raises PipelineError for none, and for several names alike."""
        if not row.name:
            return self._find_id(row.image_id, row, file)
        places = self._by_cell.get(row.name, [])
        if len(places) > 1:
            raise PipelineError(
                f"{file.what}, row {row.number}: {row.name!r} is {len(places)} pictures, whose names differ by blanks around "
                "them: expected one; name it by its image_id, which data/splits.csv has"
            )
        if not places and (found := self._finder(file).find(LabelRow(row.number, row.name, "", "", "", ""), file.name)):
            places = self._by_cell[found.strip()]
        if not places and is_image_id(row.name.lower()):
            return self._find_id(row.name.lower(), row, file)
        if not places:
            raise PipelineError(
                f"{file.what}, row {row.number}: there is no picture {row.name!r} (correct or delete the row): "
                f"{self._suggest(row.name, file)}"
            )
        if row.image_id and self.get_id(places[0]) != row.image_id:
            raise PipelineError(
                f"{file.what}, row {row.number}: {row.name!r} has the image_id {self.get_id(places[0])[:12]}…, the row has "
                f"{row.image_id[:12]}…: expected the same; the picture has changed since: look at it again, or empty the cell"
            )
        return places

    def get_id(self, place: int) -> str:
        """A picture's image_id; empty if the source could not give its bytes."""
        row = self._index.iloc[place]
        return "" if row["reason"] else compute_image_id(read_bytes(row["shard"], row["offset"], row["size"]))

    def describe(self, file: CorrectionFile) -> Iterator[str]:
        """What a person should look at, of the names in a file."""
        yield from self._finders[file.kind].describe(file.what) if file.kind in self._finders else ()

    def _finder(self, file: CorrectionFile) -> Finder:
        if file.kind not in self._finders:
            names = {name: name for name in self._names}
            self._finders[file.kind] = Finder(names, None, "the source", f"prune.{file.kind}")
        return self._finders[file.kind]

    def _find_id(self, image_id: str, row: CorrectionRow, file: CorrectionFile) -> list[int]:
        if image_id not in self._by_id:
            raise PipelineError(
                f"{file.what}, row {row.number}: no picture has the image_id {image_id[:12]}…: expected one of "
                "data/splits.csv; the picture is gone or has changed: correct or delete the row"
            )
        return self._by_id[image_id]

    @cached_property
    def _by_id(self) -> dict[str, list[int]]:
        places = [place for place, reason in enumerate(self._index["reason"]) if not reason]
        rows = self._index.iloc[places]
        found: dict[str, list[int]] = defaultdict(list)
        for place, data in zip(
            places, read_many(zip(rows["shard"], rows["offset"], rows["size"], strict=True)), strict=True
        ):
            found[compute_image_id(data)].append(place)
        return dict(found)

    def _suggest(self, name: str, file: CorrectionFile) -> str:
        near = difflib.get_close_matches(name, self._names, n=1, cutoff=0.6)
        if near:
            return f"did you mean {near[0]!r}?"
        header = "; a CSV file has a header with name or image_id" if file.kind == "exclude" else ""
        return f"expected a name as in data/splits.csv, such as {self._names[0]!r}{header}"
