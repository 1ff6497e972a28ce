"""What an experiment's accuracies are of: the class names in its models' contracts, and the images in val and test.

dvc.lock has the digests of both; the files are in DVC's cache. Imports neither DVC nor TensorFlow.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.manifest import read_table
from pipeline.data.splits import SPLIT_NAMES
from pipeline.models.contract import Contract, compare_names, load_contract
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import MODELS, SPLITS

_HELD_OUT = SPLIT_NAMES[1:]
_STAGE = re.compile(r"^  (\S+):$", re.MULTILINE)
ABSENT, _UNREADABLE = "not in DVC's cache", "without a contract, as of an older version, or damaged"

Find = Callable[[str], Path | None]  # a digest to the file in DVC's cache; None where that lacks it


class MixedModelsError(PipelineError):
    """The models, or they and the metrics, don't belong together."""


@dataclass(frozen=True)
class HeldOut:
    """What accuracies are of. class_names: of the models; None where nothing says them. images: digest of which images are in
    val and in test, under which labels, or, where data/splits.csv is not in the cache, of all of that; None where dvc.lock does
    not say it. num_test: of these images; 0 where unknown. lost: files that could not be read, each with the reason."""

    class_names: tuple[str, ...] | None = None
    images: str | None = None
    num_test: int = 0
    lost: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Split:
    images: str
    labels: tuple[str, ...]
    num_test: int


class HeldOutReader:
    """Reads each file once. find: where DVC's cache has the file with a digest."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._contracts: dict[Path, Contract | None] = {}
        self._splits: dict[Path, _Split | None] = {}

    def read(self, lock: str, families: Iterable[str], folder: Path | None = None) -> HeldOut:
        """lock: the text of dvc.lock. folder: of the workspace, whose models are read where they are; None for a commit. Raises
        MixedModelsError where models differ in classes or data, or have other classes than the metrics are of."""
        contracts: dict[str, Contract] = {}
        lost: list[tuple[str, str]] = []
        for family in families:
            file = MODELS / f"{family}.keras"
            found, is_expected = self._find_file(lock, file, f"evaluate@{family}", folder)
            contract = self._load_contract(found) if found else None
            if contract:
                contracts[family] = contract
            elif is_expected:
                lost.append((str(file), _UNREADABLE if found else ABSENT))
        _check_alike(contracts)
        class_names = next((tuple(contract.class_names) for contract in contracts.values()), None)
        digest = find_digest(lock, SPLITS, "report")
        if digest is None:
            return HeldOut(class_names, lost=tuple(lost))
        table = self._find(digest)
        split = self._load_split(table) if table else None
        if split is None:
            return HeldOut(class_names, digest, lost=(*lost, (str(SPLITS), "damaged" if table else ABSENT)))
        if class_names and class_names != split.labels:
            difference = compare_names(class_names, split.labels)
            raise MixedModelsError(
                f"its models have other classes than its metrics are of ({difference}): run `dvc repro`"
            )
        return HeldOut(split.labels, split.images, split.num_test, tuple(lost))

    def _find_file(self, lock: str, file: Path, stage: str, folder: Path | None) -> tuple[Path | None, bool]:
        """(Where a model is; whether dvc.lock or the workspace says that there is one.)"""
        if folder and (folder / file).is_file():
            return folder / file, True
        digest = find_digest(lock, file, stage)
        return (self._find(digest), True) if digest else (None, False)

    def _load_contract(self, file: Path) -> Contract | None:
        if file not in self._contracts:
            try:
                self._contracts[file] = load_contract(file)
            except PipelineError:
                self._contracts[file] = None
        return self._contracts[file]

    def _load_split(self, file: Path) -> _Split | None:
        if file not in self._splits:
            self._splits[file] = _load_split(file)
        return self._splits[file]


def find_digest(lock: str, path: Path, stage: str) -> str | None:
    """The MD5 of a file or folder: as a stage had it, or, where that says none, any. Parsed as YAML, a lock takes 0.1 s."""
    said = re.compile(rf"path: {re.escape(path.as_posix())}\n(?: +hash: md5\n)? +md5: '?([\w.]+)", re.MULTILINE)
    start = lock.find(f"\n  {stage}:\n")
    end = _STAGE.search(lock, start + len(stage) + 4) if start >= 0 else None
    found = said.search(lock, start, end.start() if end else len(lock)) if start >= 0 else None
    found = found or said.search(lock)
    return found.group(1) if found else None


def _check_alike(contracts: dict[str, Contract]) -> None:
    """Raises MixedModelsError unless all are of the same data."""
    for family, contract in contracts.items():
        first = next(iter(contracts))
        if contract.class_names != contracts[first].class_names:
            names = compare_names(contract.class_names, contracts[first].class_names)
            how = f"have other classes than one another ({names})"
        elif contract.data != contracts[first].data:
            how = "were trained on other pictures, labels or splits than one another"
        else:
            continue
        raise MixedModelsError(f"its models {family} and {first} {how}: run `dvc repro`")


def _load_split(file: Path) -> _Split | None:
    columns = ["image_id", "label", "split"]
    try:
        table = read_table(file, usecols=columns, dtype="str", keep_default_na=False)[columns]
    except ValueError:
        return None
    held_out = table[table["split"].isin(_HELD_OUT)]
    rows = sorted("\0".join(row) for row in held_out.itertuples(index=False))
    labels = table.loc[table["split"].isin(SPLIT_NAMES), "label"].unique()
    images = hashlib.md5("\n".join(rows).encode(), usedforsecurity=False).hexdigest()
    return _Split(images, tuple(sorted(labels)), int((table["split"] == "test").sum()))


def describe_difference(one: HeldOut, other: HeldOut) -> str | None:
    """Why accuracies on the two don't compare, in words; None where they do, as far as known."""
    if one.class_names is not None and other.class_names is not None and one.class_names != other.class_names:
        return f"other classes ({compare_names(one.class_names, other.class_names)})"
    if one.images is not None and other.images is not None and one.images != other.images:
        if not one.num_test or not other.num_test:
            return f"another {SPLITS} ({ABSENT})"  # which may differ in train alone
        return f"other images (of val and test, {one.num_test:,} against {other.num_test:,} in test)"
    return None
