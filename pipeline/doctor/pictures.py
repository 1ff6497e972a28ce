"""Tries a sample of pictures as `prune` and `preprocess` will: which can't be used, and how long one takes."""

import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import cast

import pandas as pd

from pipeline.config.sections import Params
from pipeline.data.guarded import make_bounds, map_guarded
from pipeline.data.image import BadImageError, decode_image, inspect_image
from pipeline.data.inspection import Limits
from pipeline.data.losses import check_losses, find_losses
from pipeline.data.manifest import QUARANTINE_COLUMNS
from pipeline.doctor.findings import Finding, find_refusal
from pipeline.doctor.samples import Sample
from pipeline.runtime.processes import in_chunks
from pipeline.sources.formats import MAX_IMAGE_BYTES

_SECONDS = 4.0  # after which no more pictures are tried
_EACH = 3.0  # seconds of processor time that one may take here, while prune allows prune.max_seconds
_SHOWN = 3  # reasons
_FEW = 3  # lost pictures that can be chance


@dataclass(frozen=True)
class Trial:
    """One picture. size: bytes of the file. width, height: pixels, 0 if it can't be used. seconds: of inspection and of
    decoding, on one core."""

    sample: Sample
    reason: str
    size: int = 0
    width: int = 0
    height: int = 0
    inspect_seconds: float = 0.0
    decode_seconds: float = 0.0


@dataclass(frozen=True)
class Trials:
    """What a sample has shown. seconds: per picture and core; bytes and pixels: mean and largest."""

    trials: tuple[Trial, ...]

    @property
    def lost(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.reason]

    @property
    def used(self) -> list[Trial]:
        return [trial for trial in self.trials if not trial.reason]

    @property
    def mean_bytes(self) -> float:
        return fmean(trial.size for trial in self.used) if self.used else 0.0

    @property
    def largest(self) -> tuple[int, int]:
        """Width and height of the picture with the most pixels."""
        return max(((t.width, t.height) for t in self.trials), key=lambda size: size[0] * size[1], default=(0, 0))

    @property
    def inspect_seconds(self) -> float:
        return fmean(trial.inspect_seconds for trial in self.used) if self.used else 0.0

    @property
    def decode_seconds(self) -> float:
        return fmean(trial.decode_seconds for trial in self.used) if self.used else 0.0

    @property
    def draw_seconds(self) -> float:
        """0 for pictures that are there."""
        return fmean(trial.sample.drawn for trial in self.trials) if self.trials else 0.0


def try_pictures(samples: Iterator[Sample], params: Params, *, num_workers: int | None = None) -> Trials:
    """Tries pictures for a few seconds at most. A hostile one costs its process and three seconds."""
    rules = params.prune
    limits = Limits(
        rules.min_side, rules.max_megapixels, rules.max_seconds, params.preprocess.range, rules.faults == "quarantine"
    )
    work = partial(_try, limits=limits, image_size=params.image_size, resize=params.preprocess.resize)
    each = min(_EACH, rules.max_seconds)
    bounds = make_bounds(max_seconds=each, max_megapixels=rules.max_megapixels)
    found: list[Trial] = []
    deadline = time.monotonic() + _SECONDS
    chunks = in_chunks(_until(samples, deadline), 1)  # so that one result is waited for at most
    results = map_guarded(work, chunks, refuse=partial(_refuse, each=each), bounds=bounds, num_workers=num_workers)
    with closing(cast(Generator[list[Trial], None, None], results)):  # which ends the workers
        for trials in results:
            found += trials
            if time.monotonic() > deadline:
                break
    return Trials(tuple(found))


def _until(samples: Iterable[Sample], deadline: float) -> Iterator[Sample]:
    for sample in samples:
        if time.monotonic() > deadline:
            return
        yield sample


def _refuse(sample: Sample, reason: str, each: float) -> Trial:
    is_slow = reason.startswith("takes too long")
    return Trial(sample, f"takes more than {each:g} s to decode; see prune.max_seconds" if is_slow else reason)


def _try(sample: Sample, limits: Limits, image_size: int, resize: str) -> Trial:
    """Runs in a worker. The same checks as `download` and `prune`, then what `preprocess` does."""
    if sample.reason:
        return Trial(sample, sample.reason)
    start = time.perf_counter()
    try:
        data = sample.data if sample.data is not None else _read(Path(sample.path))
        facts = inspect_image(
            data,
            min_side=limits.min_side,
            max_megapixels=limits.max_megapixels,
            value_range=limits.value_range,
            refuse_constant=limits.refuse_constant,
        )
        inspected = time.perf_counter()
        decode_image(data, image_size=image_size, resize=resize, value_range=limits.value_range)
    except BadImageError as error:
        return Trial(sample, str(error))
    except OSError as error:
        return Trial(sample, f"not readable: {error.strerror}")
    decoded = time.perf_counter()
    seconds = {"inspect_seconds": inspected - start, "decode_seconds": decoded - inspected}
    return Trial(_without_data(sample), "", len(data), facts.width, facts.height, **seconds)


def _without_data(sample: Sample) -> Sample:
    """So that the bytes are not sent back."""
    return Sample(sample.name, sample.label, drawn=sample.drawn)


def _read(file: Path) -> bytes:
    size = file.stat().st_size
    if size > MAX_IMAGE_BYTES:
        raise BadImageError(f"too large: {size / 1e6:.0f} MB")
    return file.read_bytes()


def describe_trials(trials: Trials, num_images: int, max_loss: float) -> tuple[list[str], list[Finding]]:
    """Lines, and what to change. num_images: of the source. max_loss: fraction, as prune.max_loss."""
    if not trials.trials:
        return [], []
    tried, lost = len(trials.trials), trials.lost
    if trials.draw_seconds:
        return [f"{tried} drawn ones tried: {_describe_rate(trials)}"], []
    lines = [f"{tried:,} of {num_images:,} tried: {len(lost)} would go to quarantine; {_describe_rate(trials)}"]
    reasons = Counter(_shorten(trial.reason) for trial in lost)
    for reason, count in reasons.most_common(_SHOWN):
        example = next(trial.sample.name for trial in lost if _shorten(trial.reason) == reason)
        lines.append(f"quarantine: {count} ({reason}), such as {example!r}")
    if len(reasons) > _SHOWN:
        lines.append(
            f"quarantine: {sum(reasons.values()) - sum(n for _, n in reasons.most_common(_SHOWN))} for other reasons"
        )
    return lines, _find_losses(trials, num_images, max_loss)


def _shorten(reason: str) -> str:
    """Without what differs from picture to picture."""
    return reason if len(reason) <= 90 else f"{reason[:87]}..."


def _describe_rate(trials: Trials) -> str:
    if not trials.used:
        return "none can be decoded"
    rate = 1 / (trials.inspect_seconds + trials.decode_seconds)
    width, height = trials.largest
    pace = f"{rate:,.{0 if rate >= 10 else 1}f}/s checked and resized per core"
    return f"{pace}; {trials.mean_bytes / 1e3:,.0f} kB each; the largest {width}x{height}"


def _find_losses(trials: Trials, num_images: int, max_loss: float) -> list[Finding]:
    """Too many, of all or of a class. Of a few, no share can be told: they are only listed."""
    if len(trials.trials) >= num_images:
        return find_refusal(lambda: _check_all(trials, max_loss))
    tried, lost, found = len(trials.trials), len(trials.lost), []
    if lost > max_loss * tried and lost >= _FEW:
        found.append(
            Finding(
                f"{lost} of {tried} sampled pictures can't be used, more than prune.max_loss = {max_loss:g}: `prune` would "
                "stop; mend or remove them, or raise prune.max_loss",
                stops=True,
            )
        )
    by_class = Counter(trial.sample.label for trial in trials.trials)
    gone = [
        label
        for label, count in Counter(trial.sample.label for trial in trials.lost).items()
        if count >= _FEW and count == by_class[label]
    ]
    if gone:
        found.append(
            Finding(f"no sampled picture of {', '.join(map(repr, gone[:10]))} can be used: see the reasons above")
        )
    return found


def _check_all(trials: Trials, max_loss: float) -> None:
    """As `prune` does, where the sample is all there is. Raises PipelineError."""
    used = pd.DataFrame({"label": [trial.sample.label for trial in trials.used]}, dtype="str")
    rows = [(trial.sample.name, trial.sample.label, trial.reason) for trial in trials.lost]
    losses = find_losses(used, pd.DataFrame(rows, columns=QUARANTINE_COLUMNS))
    check_losses(losses, len(used), max_loss)
