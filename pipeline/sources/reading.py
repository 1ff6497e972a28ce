"""A reading: what the program takes the files of a source for, and what it says of that."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NotRequired, TypedDict

from pipeline.config.sources import LabelColumns, ReadingSettings
from pipeline.runtime.files import readable_name

logger = logging.getLogger(__name__)

_SHOWN = 20  # names in one line, at most

# As in params.yaml: nothing is told, all is found.
AS_FOUND = ReadingSettings(
    encoding=None,
    root=None,
    layout="auto",
    splits={},
    classes="folders",
    labels=None,
    label_columns=LabelColumns(path="path", label="label", split="split", group="group", time="time"),
)


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file of a source.

    path: as given. label: class name, or empty outside class folders. source_split: train, val, test, or empty. reason: why it
    can't be used, or empty. name: the path as text that every table can hold; no other file has the same. group: of pictures
    that belong together (a patient, a camera), or empty. time: when it was taken, as the source writes it, or empty.
    """

    path: str
    label: str
    source_split: str
    reason: str = ""
    name: str = ""
    group: str = ""
    time: str = ""


class LeftOut(TypedDict):
    """count: files or folders. example: the first of them."""

    reason: str
    count: int
    example: str


class ReadingFacts(TypedDict):
    """A reading as it is recorded; see `Reading`."""

    classes: dict[str, int]
    splits: dict[str, int]
    wrappers: list[str]
    left_out: list[LeftOut]
    warnings: list[str]
    notes: list[str]


class SourceFacts(TypedDict):
    """What else is known about a source; reading: none where there is nothing to decide, as in drawn pictures."""

    source: str
    reading: NotRequired[ReadingFacts]


@dataclass(frozen=True)
class Reading:
    """What a source's files are.

    where: the source, for messages. files: sorted by path. wrappers: folders that hold everything and mean nothing. left_out:
    for each reason how many files or folders, and the first of them. warnings: what a person should look at, a line each.
    notes: what else was decided, a line each.
    """

    where: str
    files: tuple[TreeFile, ...]
    wrappers: tuple[str, ...] = ()
    left_out: tuple[tuple[str, int, str], ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[TreeFile]:
        return iter(self.files)

    @cached_property
    def classes(self) -> dict[str, int]:
        """Pictures of each class, sorted by name; by their file names, as nothing is decoded yet."""
        return dict(sorted(Counter(file.label for file in self.files if not file.reason).items()))

    @cached_property
    def splits(self) -> dict[str, int]:
        """Pictures of each split; empty if the source has none."""
        counts = Counter(file.source_split for file in self.files if not file.reason)
        return {name: counts[name] for name in ("train", "val", "test") if counts[name]}

    def describe(self) -> list[str]:
        """A few lines for a person, without the warnings."""
        lines = [
            f"{self.where}: {len(self.classes)} class{'es' * (len(self.classes) != 1)}: {list_counts(self.classes)}"
        ]
        if self.splits:
            rest = sum(self.classes.values()) - sum(self.splits.values())
            lines.append(f"splits: {list_counts(self.splits)}" + (f"; without one: {rest:,}" if rest else ""))
        if self.wrappers:
            lines.append(f"wrapper folders skipped: {list_names(self.wrappers)}")
        lines += [f"left out: {count:,} ({reason}), such as {example!r}" for reason, count, example in self.left_out]
        return lines + list(self.notes)

    def facts(self) -> ReadingFacts:
        """The same as JSON, the same for the same tree on any machine."""
        return {
            "classes": self.classes,
            "splits": self.splits,
            "wrappers": list(self.wrappers),
            "left_out": [{"reason": why, "count": count, "example": example} for why, count, example in self.left_out],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }


Record = Callable[[Reading], None]


def ignore_reading(_: Reading) -> None:
    """A `Record` for those who want the images only."""


def log_reading(reading: Reading) -> None:
    """Says what a source was read as, and what a person should look at. A `Record`."""
    for line in reading.describe():
        logger.info("%s", line)
    for line in reading.warnings:
        logger.warning("%s", line)


def list_names(names: tuple[str, ...] | list[str]) -> str:
    """The first twenty names, and how many more there are."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(map(readable_name, names[:_SHOWN])) + more


def list_counts(counts: dict[str, int]) -> str:
    """Names with their counts: 'cat 14, dog 20'."""
    return list_names([f"{name} {count:,}" for name, count in counts.items()])
