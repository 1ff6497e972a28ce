"""A split by time: the newest images are test, those before them val, so that a figure says how the model does tomorrow.

A random split of a camera's or a year's pictures mixes yesterday's with today's, and promises more than a model keeps once it
is in use (Roberts et al. 2017, Ecography 40: block cross-validation for data with temporal structure).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.runtime.errors import PipelineError

_EXIF = r"^(\d{4}):(\d{2}):(\d{2})(?=$|[ T])"  # 2024:05:31 18:02:11, as cameras write it


def read_times(manifest: pd.DataFrame) -> pd.Series:
    """float64, one per image: numbers as they are (years, frames, seconds), or dates as seconds since 1970, UTC if they name no
    zone.

    manifest: name, and time, text: all of them numbers, or all of them dates as in ISO 8601 (2024-05-31, 2024-05-31T18:02:11Z)
    or as cameras write them (2024:05:31 18:02:11). Raises PipelineError, one line with the first image, for what is missing or
    neither; 03/04/2024, which is two dates, is neither.
    """
    if "time" not in manifest or not manifest["time"].any():
        raise PipelineError(
            "split.order is time, but no image has a time: expected a column of dates or numbers in the CSV file that "
            "data.labels names; received none: say which column it is by data.label_columns.time, or set split.order to content"
        )
    texts = manifest["time"].str.strip()
    numbers = pd.to_numeric(texts, errors="coerce").replace([np.inf, -np.inf], np.nan)
    if numbers.notna().any():
        times = numbers
    else:
        dates = pd.to_datetime(
            texts.str.replace(_EXIF, r"\1-\2-\3", regex=True), format="ISO8601", utc=True, errors="coerce"
        )
        times = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    _refuse_gaps(manifest["name"], texts, times)
    return times.astype(float)


def _refuse_gaps(names: pd.Series, texts: pd.Series, times: pd.Series) -> None:
    wrong = times.isna()
    if wrong.any():
        first = int(wrong.to_numpy().argmax())
        received = repr(texts.iloc[first]) if texts.iloc[first] else "nothing"
        raise PipelineError(
            f"split.order is time, but {wrong.sum():,} of {len(times):,} images have no time that can be read, such as "
            f"{names.iloc[first]!r}: expected all numbers, or all dates such as 2024-05-31 or 2024-05-31T18:02:11; received "
            f"{received}: correct the column data.label_columns.time, or set split.order to content"
        )


def draw_by_time(times: pd.Series, groups: pd.Series, fractions: Mapping[str, float]) -> pd.Series:
    """train, or one of the names in `fractions`, for each image, by time alone: train is the oldest part, the first name in
    `fractions` the newest.

    times: float. groups: a group goes as a whole where its newest image belongs, so that nothing in train is newer than what
    is tested. fractions: name to its share of the images. Images of the same time are not divided, so that the shares hold as
    nearly as the times allow.
    """
    last = times.groupby(groups).transform("max").to_numpy()
    moments, sizes = np.unique(last, return_counts=True)
    older = np.concatenate([[0], np.cumsum(sizes)])  # images before each moment; all of them at the end
    bounds, rest, end = {}, 1.0, len(moments)
    for name, share in fractions.items():
        rest -= share
        start = int(np.abs(older[: end + 1] - rest * len(last)).argmin())
        bounds[name], end = (start, end), start
    place = np.searchsorted(moments, last)
    split = np.full(len(last), "train", dtype=object)
    for name, (start, stop) in bounds.items():
        split[(place >= start) & (place < stop)] = name
    return pd.Series(split, index=times.index)


def describe_periods(texts: pd.Series, times: pd.Series, split: pd.Series) -> str:
    """Such as "train from 2019-03-01 to 2021-06-30, val from … to …", by the texts of the source."""
    parts = []
    for name in ("train", "val", "test"):
        inside = (split == name).to_numpy()
        if inside.any():
            order = times[inside].to_numpy().argsort()
            oldest, newest = texts[inside].iloc[[order[0], order[-1]]]
            parts.append(f"{name} from {oldest} to {newest}")
    return ", ".join(parts)
