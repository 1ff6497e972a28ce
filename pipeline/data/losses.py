"""What quarantine costs each class, when that is too much, and the same bytes under two labels. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from pipeline.data.file_kinds import is_picture_name
from pipeline.data.manifest import QUARANTINE_COLUMNS
from pipeline.runtime.errors import PipelineError

_NAMED = 50  # classes in one line; the log names all


@dataclass(frozen=True)
class Loss:
    """Of the `found` pictures of a class, `lost` went to quarantine. reason: of the first."""

    label: str
    lost: int
    found: int
    reason: str

    @property
    def share(self) -> float:
        """Fraction of its pictures, 0 to 1."""
        return self.lost / self.found

    def __str__(self) -> str:
        return f"{self.label!r} {self.lost:,} of {self.found:,} ({self.share:.1%}), the first because: {self.reason}"


def find_losses(manifest: pd.DataFrame, quarantine: pd.DataFrame) -> list[Loss]:
    """One for each class that lost a picture, the largest share first.

    manifest: label. quarantine: QUARANTINE_COLUMNS; a file counts as a picture if its name has the extension of one. A file
    in no class folder belongs to no class.
    """
    lost = quarantine[(quarantine["label"] != "") & quarantine["name"].map(is_picture_name).astype(bool)]
    used = manifest["label"].value_counts()
    losses = [
        Loss(str(label), len(files), len(files) + int(used.get(label, 0)), files["reason"].iloc[0])
        for label, files in lost.groupby("label")
    ]
    return sorted(losses, key=lambda loss: (-loss.share, loss.label))


def check_losses(losses: list[Loss], num_used: int, max_loss: float) -> None:
    """Raises PipelineError if more than `max_loss` (0 to 1) of all pictures, or of those of any class, were lost."""
    lost = sum(loss.lost for loss in losses)
    total = lost / max(1, lost + num_used)
    if total > max_loss or any(loss.share > max_loss for loss in losses):
        raise PipelineError(
            f"{lost:,} of {lost + num_used:,} pictures ({total:.1%}) can't be used: expected {max_loss:.1%} at most, of all "
            f"and of each class (prune.max_loss); received: {_list(losses)}. Mend or delete these files, or allow "
            f"the loss: prune.max_loss={math.ceil(1000 * max(total, losses[0].share)) / 1000:.3f}"
        )


def describe_losses(losses: list[Loss], manifest: pd.DataFrame, quarantine: pd.DataFrame) -> Iterator[str]:
    """A line for each class that lost all of its files, which is left out, and for each that lost some of its pictures."""
    lost = quarantine[(quarantine["label"] != "") & ~quarantine["label"].isin(manifest["label"])]
    for label, files in lost.groupby("label"):
        reason = files["reason"].iloc[0]
        yield f"class {label!r} is left out: none of its files can be used, the first because: {reason}"
    yield from (f"lost to quarantine: {loss}" for loss in losses if loss.share < 1)


def _list(losses: list[Loss]) -> str:
    more = f"; and {len(losses) - _NAMED} more classes" if len(losses) > _NAMED else ""
    return "; ".join(map(str, losses[:_NAMED])) + more


@dataclass(frozen=True)
class Conflict:
    """Files with the same bytes under more than one label."""

    names: list[str]
    labels: list[str]

    def __str__(self) -> str:
        return " and ".join(
            f"{name!r} ({label!r})" for name, label in zip(self.names[:5], self.labels[:5], strict=True)
        )


def find_conflicts(manifest: pd.DataFrame) -> list[Conflict]:
    """manifest: image_id, name, label, sorted by name."""
    return [
        Conflict(files["name"].tolist(), files["label"].tolist())
        for _, files in manifest[manifest["image_id"].duplicated(keep=False)].groupby("image_id", sort=False)
        if files["label"].nunique() > 1
    ]


def describe_conflicts(conflicts: list[Conflict], manifest: pd.DataFrame, rule: str) -> Iterator[str]:
    """A line for all of them; if they are dropped, one also for each class that this costs pictures, or all of them.

    manifest, rule: as `settle_conflicts` takes them.
    """
    if conflicts:
        yield f"{len(conflicts)} picture(s) with the same bytes under two labels, such as {conflicts[0]}"
    if conflicts and rule == "drop":
        left, dropped = settle_conflicts(manifest, pd.DataFrame(columns=QUARANTINE_COLUMNS), conflicts, rule)
        yield from describe_losses(find_losses(left, dropped), left, dropped)


def settle_conflicts(
    manifest: pd.DataFrame, quarantine: pd.DataFrame, conflicts: list[Conflict], rule: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifest and the quarantine after prune.conflicts. rule: keep (both as they are), drop (all files of a conflict go to
    quarantine) or error, which raises PipelineError if there is any."""
    if not conflicts or rule == "keep":
        return manifest, quarantine
    if rule == "error":
        raise PipelineError(
            f"{len(conflicts):,} picture(s) have the same bytes under two labels: expected one label each (prune.conflicts is "
            f"error); the first: {conflicts[0]}. Delete the wrong ones, or set prune.conflicts to keep or drop"
        )
    dropped = pd.DataFrame(_quarantine_rows(conflicts), columns=QUARANTINE_COLUMNS)
    both = pd.concat([quarantine, dropped], ignore_index=True).sort_values("name", ignore_index=True)
    return manifest[~manifest["name"].isin(dropped["name"])].reset_index(drop=True), both


def _quarantine_rows(conflicts: list[Conflict]) -> Iterator[tuple[str, str, str]]:
    for conflict in conflicts:
        labels = ", ".join(repr(label) for label in sorted(set(conflict.labels)))
        for name, label in zip(conflict.names, conflict.labels, strict=True):
            yield name, label, f"conflict: the same bytes under the labels {labels}; see prune.conflicts"
