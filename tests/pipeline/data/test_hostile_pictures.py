"""Over two hundred hostile pictures: every one is used or in quarantine with a true reason, in bounded time and memory."""

import re
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.data.guarded import make_bounds, map_guarded
from pipeline.data.image import BadImageError, decode_image, inspect_image
from pipeline.data.inspection import Limits, inspect_files
from pipeline.data.raw import load_index, read_bytes, save_raw
from pipeline.sources.raw_image import RawImage
from tests.pipeline.data.hostile import list_bad, list_good

LIMITS = Limits(min_side=8, max_megapixels=128, max_seconds=5)
LITTER = 3


@pytest.fixture(scope="module")
def good() -> list[tuple[str, bytes]]:
    return list(list_good())


@pytest.fixture(scope="module")
def bad() -> list[tuple[str, bytes, str]]:
    return list(list_bad())


@pytest.fixture(scope="module")
def tables(good, bad, tmp_path_factory) -> tuple[Path, pd.DataFrame, pd.DataFrame]:
    """A folder with data/raw, its manifest and its quarantine."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("hostile")
        patch.chdir(folder)
        images = [RawImage(f"good/{name}", "good", "", data) for name, data in good]
        images += [RawImage(f"bad/{name}", "bad", "", data) for name, data, _ in bad]
        images += [RawImage(f"{i}.txt", "", "", None, "lies in no class folder") for i in range(LITTER)]
        save_raw(images, {"source": "folder"})
        return folder, *inspect_files(load_index(), LIMITS, num_workers=2)


def test_there_are_more_than_two_hundred(good, bad):
    assert len({name for name, _ in good} | {name for name, *_ in bad}) == len(good) + len(bad)
    assert len(good) + len(bad) >= 200


def test_the_balance(tables, good, bad):
    _, manifest, quarantine = tables
    assert len(manifest) + len(quarantine) == len(good) + len(bad) + LITTER
    assert set(manifest["name"]) & set(quarantine["name"]) == set()


def test_what_is_right_is_used_and_what_is_not_is_named(tables, good, bad):
    _, manifest, quarantine = tables
    assert set(manifest["name"]) == {f"good/{name}" for name, _ in good}
    reasons = quarantine.set_index("name")["reason"]
    wrong = {name: reasons[f"bad/{name}"] for name, _, words in bad if not re.search(words, reasons[f"bad/{name}"])}
    assert wrong == {}
    assert not reasons.str.contains("\n").any()
    assert not reasons.str.contains("takes too long|crashes|out of memory").any()  # all are refused before


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_what_passes_prune_passes_preprocess_and_shows_something(tables, resize, monkeypatch):
    folder, manifest, _ = tables
    monkeypatch.chdir(folder)
    flat = []
    for row in manifest.itertuples():
        pixels = decode_image(read_bytes(row.shard, row.offset, row.size), image_size=48, resize=resize)
        if np.ptp(pixels, axis=(0, 1)).max() < 30:
            flat.append(row.name)
    assert flat == (["good/mode-LAB.tif"] if resize == "stretch" else [])  # which has one colour


def measure(data: bytes) -> tuple[str, float, float]:
    """Why a picture is refused, and what that took: seconds of processor time, MB above the peak before. Runs in a worker."""
    begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        inspect_image(data, min_side=LIMITS.min_side, max_megapixels=LIMITS.max_megapixels)
        reason = ""
    except BadImageError as error:
        reason = str(error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return reason, time.process_time() - begun, (peak - before) / 1024


def test_a_claim_costs_neither_time_nor_memory(bad):
    claims = {name: data for name, data, _ in bad if name.startswith(("claims", "hollow", "bomb", "scans"))}
    bounds = make_bounds(max_seconds=LIMITS.max_seconds, max_megapixels=LIMITS.max_megapixels)
    [answers] = map_guarded(measure, iter([list(claims.values())]), refuse=lambda _, why: why, bounds=bounds)
    assert len(answers) > 20
    wasteful = {
        name: answer
        for name, answer in zip(claims, answers, strict=True)
        if not answer[0] or answer[1] > 1 or answer[2] > 100
    }
    assert wasteful == {}
