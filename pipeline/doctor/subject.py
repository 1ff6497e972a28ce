"""What is looked at: the source that params.yaml names, or the path of a command line in its place."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path

import pandas as pd

from pipeline.config.sections import Params, Split
from pipeline.config.sources import ArchiveSettings, LabelColumns, ReadingSettings
from pipeline.data.correction_files import locate_corrections
from pipeline.data.manifest import check_classes, rename_classes
from pipeline.data.splits import DRAWN_ANEW
from pipeline.data.thinning import Caps, check_caps
from pipeline.doctor.findings import Finding, find_refusal
from pipeline.evaluation.measures import make_cost_matrix
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.logins import hide_logins
from pipeline.sources.archive import read_archive
from pipeline.sources.finding import is_forgiven
from pipeline.sources.labels import find_labels_file
from pipeline.sources.loader import load_source
from pipeline.sources.local_folder import check_encoding, list_folder
from pipeline.sources.local_paths import resolve_path
from pipeline.sources.raw_image import RawImage
from pipeline.sources.reading import AS_FOUND, Reading, Record, list_counts
from pipeline.sources.scenes import CLASS_NAMES as SCENES

_REMOTE = ("http://", "https://", "doi:", "kaggle:")
_CIFAR10 = {"train": 50_000, "test": 10_000}
_MAX_TAR_BYTES = 200_000_000  # of a tar that is listed; a larger one takes longer than a person waits
_MIN_CLASS = 20  # pictures; with fewer, a class has two to four in each of val and test


@dataclass
class Subject:
    """lines: what would be read. target: the local folder or archive, if there is one. reading: if the source could be read.
    classes: pictures by class as `prune` leaves them, if none goes to quarantine. splits: pictures of train, val and test,
    about. images: of a tar, which can only be read from its beginning on. is_known: whether the pictures can be counted now.
    """

    lines: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    target: Path | None = None
    reading: Reading | None = None
    images: Iterator[RawImage] | None = None
    classes: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        return bool(self.classes)

    @property
    def num_images(self) -> int:
        return sum(self.splits.values())


def choose_source(path: str) -> dict[str, str]:
    """The parameters that make a path of a command line the source: an address as it is, a path absolute."""
    if path.lower().startswith(_REMOTE):
        return {"data.source": "archive", "data.path": path}
    place = Path(os.path.realpath(resolve_path(path)))  # Path.resolve raises for a link to itself before Python 3.13
    return {"data.source": "archive" if place.is_file() else "folder", "data.path": str(place)}


def describe_inherited(params: Params, given: Collection[str]) -> list[str]:
    """What params.yaml says of folders and labels, where it does not stand on the command line: for another data set, as the
    last experiment left it, it may be wrong. given: names of the parameters that do."""
    bare = [key.removeprefix("+") for key in given]
    found = [
        f"data.{name}={value.model_dump() if isinstance(value, LabelColumns) else value}"
        for name, usual in AS_FOUND
        if (value := getattr(params.data, name)) != usual
        and not any(f"{key}.".startswith(f"data.{name}.") for key in bare)
    ]
    return [f"params.yaml also says {', '.join(found)}, for these pictures too"] if found else []


def look_at_source(params: Params) -> Subject:
    """Reads what `locate` reads, and applies what `prune` and `split` say. A refusal is a finding."""
    subject = Subject()
    subject.findings += find_refusal(lambda: _read(params, subject))
    if not any(finding.stops for finding in subject.findings):
        subject.findings += find_refusal(lambda: _count(params, subject))
    subject.findings += find_refusal(lambda: _check_outside(params))
    for kind, path in (("exclude", params.prune.exclude), ("relabel", params.prune.relabel)):
        if not is_forgiven(kind, path, {"path": path}):
            subject.findings += find_refusal(partial(locate_corrections, kind, path))
    return subject


def _read(params: Params, subject: Subject) -> None:
    data = params.data
    name, path = data.source, data.path or ""

    def record(reading: Reading) -> None:
        subject.reading = reading
        subject.lines += reading.describe()
        subject.findings += [Finding(text) for text in reading.warnings]

    source = load_source(name)
    subject.lines.append(f"source {name}" + (f": {hide_logins(path)}" if path else ""))
    if is_forgiven("source", data.path, data.model_dump(mode="json", exclude={"keep"})):
        subject.lines.append("not on this machine: what was downloaded from it is used (`dvc pull` brings it)")
        return
    subject.target = source.locate(data.path, data, record)
    find_labels_file(data.labels, subject.target)
    if name == "archive" and subject.target is None:
        subject.lines.append("not downloaded yet, so that its classes are not known; nothing was fetched now")
        if path.startswith("kaggle:") and find_spec("kagglehub") is None:
            raise PipelineError(f"data.path {path} needs kagglehub: run `pip install -e '.[kaggle]'`")
    elif isinstance(params.source_settings, ArchiveSettings) and subject.target is not None and subject.reading is None:
        _read_tar(subject, subject.target, params.source_settings, data, record)


def _read_tar(subject: Subject, tar: Path, settings: ArchiveSettings, reading: ReadingSettings, record: Record) -> None:
    size = tar.stat().st_size
    if size > _MAX_TAR_BYTES:
        subject.lines.append(
            f"a tar of {size / 1e9:.1f} GB, which takes as long to list as to read: `dvc repro download` says what is in it"
        )
        return
    images = read_archive(tar, settings, reading, record)
    first = list(islice(images, 1))  # by then it is listed
    subject.images = chain(first, images)


def _count(params: Params, subject: Subject) -> None:
    """Raises PipelineError as `prune` does, for classes that do not exist or are fewer than two."""
    table = _list_pictures(params, subject)
    if table is None:
        return
    rules, source = params.prune, params.source_settings
    table["label"] = rename_classes(
        table["label"],
        drop_classes=source.drop_classes if rules.drop_classes is None else rules.drop_classes,
        merge_classes=source.merge_classes if rules.merge_classes is None else rules.merge_classes,
    )
    table = table[table["label"].notna()]
    sizes = table.groupby("label")["count"].sum()
    least = source.min_images_per_class if rules.min_images_per_class is None else rules.min_images_per_class
    table = table[table["label"].map(sizes >= (least or 0)).astype(bool)]
    check_classes(table, num_quarantined=0)
    check_caps(params.max_images_per_class, sizes.index, params.caps_name)
    if params.max_images_per_class is not None:
        table = _cap(table, params.max_images_per_class, rules.thin, params.split.test_fraction)
    subject.classes = {str(label): round(count) for label, count in table.groupby("label")["count"].sum().items()}
    given = {str(name): int(count) for name, count in table.groupby("split")["count"].sum().items()}
    subject.splits = _estimate_splits(given, params.split.test_fraction, params.split.val_fraction)
    _describe_counts(subject)
    subject.findings += find_refusal(lambda: _check_every_split(table, params.split))
    # The run itself says so when all is trained: what errors cost is no reason to prune or split again.
    subject.findings += find_refusal(lambda: _check_costs(params, sorted(subject.classes)))


def _check_costs(params: Params, class_names: list[str]) -> None:
    make_cost_matrix(params.evaluate.costs, class_names)


def _check_every_split(table: pd.DataFrame, rule: Split) -> None:
    """Raises PipelineError, as `split` does later, for a class that a split of the source lacks, or that has too few pictures
    for all splits. table: label, split, count."""
    counts = table.pivot_table(index="label", columns="split", values="count", aggfunc="sum", fill_value=0)
    pool = sum((counts[name] for name in ("", "train") if name in counts), pd.Series(0, counts.index))
    own = {name: counts[name] for name in ("val", "test") if name in counts}
    lacking = [(label, f"no picture in {name}") for name, found in own.items() for label in found.index[found == 0]]
    # One for train and one for each that is drawn.
    least = 3 - len(own) if rule.method == "exact" and rule.order == "content" else 1
    few = [(label, round(count)) for label, count in pool.items() if round(count) < least]
    lacking += [(label, f"{count} picture(s) to divide" if count else "no picture in train") for label, count in few]
    if lacking:
        more = f" (and {len(lacking) - 1} more such)" if len(lacking) > 1 else ""
        advice = f", or have {DRAWN_ANEW}" if own else f", or set prune.min_images_per_class={least}"
        raise PipelineError(
            f"class {lacking[0][0]!r} has {lacking[0][1]}{more}: expected every class in train, val and test; add pictures, "
            f"drop or merge the class (prune.*){advice}"
        )


def _cap(table: pd.DataFrame, caps: Caps, thin: str, test_fraction: float) -> pd.DataFrame:
    """label, split, count (a fraction too), at most so many of each class: in all, or of what is not held out. thin: as
    prune.thin; of train, test is drawn first where the source has none."""
    train = table["split"].isin(["", "train"])
    if thin == "train" and "test" not in set(table["split"]):
        test = table[train].assign(split="test", count=table["count"] * test_fraction)
        table = pd.concat([table.assign(count=table["count"] - test["count"].reindex(table.index, fill_value=0)), test])
        table = table.reset_index(drop=True)
        train = table["split"].isin(["", "train"])
    pool = table[train] if thin == "train" else table
    most = pool["label"].map(caps) if isinstance(caps, dict) else float(caps)
    share = (most / pool.groupby("label")["count"].transform("sum")).clip(upper=1)
    share = share.fillna(1).reindex(table.index, fill_value=1)  # a class that the map does not name keeps all
    return table.assign(count=table["count"] * share)


def _list_pictures(params: Params, subject: Subject) -> pd.DataFrame | None:
    """label, split, count; None if only a download can tell. Empty splits are `train`, or drawn."""
    if subject.reading is not None:
        files = [(file.label, file.source_split) for file in subject.reading if not file.reason]
        return (
            pd.DataFrame(files, columns=["label", "split"]).groupby(["label", "split"]).size().reset_index(name="count")
        )
    if params.data.source == "scenes":
        count = getattr(params.source_settings, "images_per_class", 0)
        subject.lines.append(f"draws {count:,} pictures of each of {len(SCENES)} classes; nothing is downloaded")
        return pd.DataFrame([(label, "", count) for label in SCENES], columns=["label", "split", "count"])
    if params.data.source == "cifar10":
        from pipeline.sources.cifar10 import CLASS_NAMES

        subject.lines.append(
            "60,000 pictures of 32 px in ten classes, 50,000 of them to train; 170 MB are downloaded once"
        )
        rows = [(label, split, count // 10) for label in CLASS_NAMES for split, count in _CIFAR10.items()]
        return pd.DataFrame(rows, columns=["label", "split", "count"])
    return None


def _estimate_splits(given: dict[str, int], test_fraction: float, val_fraction: float) -> dict[str, int]:
    """As `assign_splits` has them, but for chance. given: pictures by the source's own split, or ''."""
    sizes = {
        "train": given.get("train", 0) + given.get("", 0),
        "val": given.get("val", 0),
        "test": given.get("test", 0),
    }
    for name, fraction in (("test", test_fraction), ("val", val_fraction)):
        if not sizes[name]:
            sizes[name] = round(sizes["train"] * fraction)
            sizes["train"] -= sizes[name]
    return sizes


def _describe_counts(subject: Subject) -> None:
    before = subject.reading.classes if subject.reading is not None else None
    if subject.classes != before:
        subject.lines.append(f"after prune, {len(subject.classes)} classes: {list_counts(subject.classes)}")
    subject.lines.append(f"to train on, about: {list_counts(subject.splits)}")
    small = {label: count for label, count in subject.classes.items() if count < _MIN_CLASS}
    if small:
        subject.findings.append(
            Finding(
                f"{len(small)} class(es) with fewer than {_MIN_CLASS} pictures, {list_counts(small)}: their metrics will say "
                "little; add pictures, or set prune.min_images_per_class or prune.merge_classes"
            )
        )
    most, fewest = max(subject.classes.values()), min(subject.classes.values())
    if most > 10 * fewest and fewest >= _MIN_CLASS:
        subject.findings.append(
            Finding(f"classes of {fewest:,} to {most:,} pictures: consider train.class_weight=balanced")
        )


def _check_outside(params: Params) -> None:
    path = params.evaluate.outside_path
    if path is None or is_forgiven("outside", path, {"path": path}):
        return
    if not resolve_path(path).is_dir():
        raise PipelineError(f"evaluate.outside_path {path!r} is not a folder: expected a folder of pictures, or null")
    check_encoding(list_folder(resolve_path(path)), f"evaluate.outside_path {path!r}")
