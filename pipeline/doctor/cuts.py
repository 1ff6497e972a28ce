"""What each cut of a backbone costs in fine-tuning: bytes on disk once, seconds in each epoch. A table to choose one by."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.doctor.minutes import estimate_tuning_epoch
from pipeline.doctor.needs import measure_activations
from pipeline.doctor.resources import show_bytes
from pipeline.doctor.times import show_time

_HEADINGS = ("after", "activations", "on disk", "left", "trained", "an epoch")
_PIXELS = "null"  # as fine_tune.from has it: there is no cut


@dataclass(frozen=True)
class Cut:
    """block: from 1, the first, after which the backbone is trained. shape: of an image's activations there, height × width ×
    channels. share: of the backbone's multiply-adds, 0 to 1, those after it. weights: of the backbone, those that train."""

    block: int
    shape: tuple[int, ...]
    share: float
    weights: int

    @property
    def numbers(self) -> int:
        """Of an image's activations."""
        height, width, channels = self.shape
        return height * width * channels


@dataclass(frozen=True)
class Cuts:
    """Of one backbone. found: from the first block on. chosen: what the recipe names, None for pixels. refused: block to why
    it is none. measured: block to seconds of one image in training of what follows; one at least. whole: weights that train
    without a cut."""

    family: str
    size: int
    chosen: int | None
    whole: int
    found: list[Cut] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    measured: dict[int, float] = field(default_factory=dict)


def pick_measured(found: list[Cut]) -> list[Cut]:
    """The first one, the last one, and the one that leaves half of what the first leaves, about: between these, seconds are
    taken to follow multiply-adds."""
    middle = min(found, key=lambda cut: abs(cut.share - found[0].share / 2))
    return sorted({cut.block: cut for cut in (found[0], middle, found[-1])}.values(), key=lambda cut: cut.block)


def estimate_image(share: float, measured: Mapping[float, float]) -> float:
    """Seconds of one image in training of what is left after a cut: on straight lines between what was measured, in proportion
    outside. share: of multiply-adds. measured: share to seconds."""
    (low, at_low), (high, at_high) = min(measured.items()), max(measured.items())
    if share <= low:
        return at_low * share / low
    if share >= high:
        return at_high * share / high
    before = max(known for known in measured if known <= share)
    after = min(known for known in measured if known > share)
    part = (share - before) / (after - before)
    return (1 - part) * measured[before] + part * measured[after]


def write_cuts(cuts: Cuts, splits: dict[str, int], views: int, *, free: int, memory: int) -> list[str]:
    """Lines. splits: pictures of train, val and test. views: augmented ones of each training picture. free: bytes, on the disk;
    memory: those that are available."""
    shares = {cut.block: cut.share for cut in cuts.found}
    measured = {shares[block]: seconds for block, seconds in cuts.measured.items()}

    def show_epoch(share: float) -> str:
        return show_time(estimate_tuning_epoch(estimate_image(share, measured), splits))

    rows: list[tuple[str, ...]] = [(*_HEADINGS, "")]
    for cut in cuts.found:
        size = measure_activations(splits, views, cut.numbers)
        shape, name = " × ".join(map(str, cut.shape)), f"block {cut.block}"
        mark = "*" if cut.block == cuts.chosen else ""
        costs = (show_bytes(size), f"{100 * cut.share:.0f} %", f"{cut.weights:,}", show_epoch(cut.share))
        rows.append((name + mark, shape, *costs, _warn(size, free, memory)))
    rows.append((_PIXELS + ("" if cuts.chosen else "*"), "pixels", "0", "100 %", f"{cuts.whole:,}", show_epoch(1), ""))
    return [*_write_head(cuts, splits, views), *_align(rows), *_write_notes(cuts)]


def _warn(size: int, free: int, memory: int) -> str:
    if size > free:
        return f"does not fit: {show_bytes(free)} free"
    return f"more than the memory of {show_bytes(memory)}: each epoch reads the disk" if size > memory else ""


def _write_head(cuts: Cuts, splits: dict[str, int], views: int) -> list[str]:
    pictures = f"{splits['train']:,} training pictures"
    shown = {0: "", 1: ", a view of each"}.get(views, f", {views} views of each")
    return [f"cuts of {cuts.family} at {cuts.size} px: {pictures}{shown}, and {splits['val']:,} to validate on"]


def _write_notes(cuts: Cuts) -> list[str]:
    measured = ", ".join(map(str, cuts.measured))
    reasons: dict[str, list[int]] = {}
    for block, reason in cuts.refused.items():
        reasons.setdefault(reason, []).append(block)
    refused = [f"not after {', '.join(map(str, blocks))}: {reason}" for reason, blocks in reasons.items()]
    return [
        "* as the recipe has it. left: share of the backbone's multiply-adds; trained: weights of it; an epoch: measured after "
        f"blocks {measured}, else estimated by what is left",
        *refused,
    ]


def _align(rows: list[tuple[str, ...]]) -> list[str]:
    """The first two columns to the left, numbers to the right, what is remarked behind."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return [
        "  ".join(
            [
                *(text.ljust(width) for text, width in zip(row[:2], widths[:2], strict=True)),
                *(text.rjust(width) for text, width in zip(row[2:-1], widths[2:], strict=True)),
                row[-1],
            ]
        ).rstrip()
        for row in rows
    ]
