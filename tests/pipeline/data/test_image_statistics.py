import contextlib
import logging
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.data.image_statistics import _measure_contrast, _measure_part, measure_images
from pipeline.data.kept_parts import open_parts
from pipeline.data.near_duplicates import NUM_FEATURES, describe_outline
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.runtime.paths import TFRECORDS
from tests.tfrecords import make_noise, write_records

SIZE = 16
SPLITS = ("train", "val", "test")

pytestmark = pytest.mark.usefixtures("project", "one_core")


def measure(*images: np.ndarray) -> pd.DataFrame:
    """Statistics of training images with exactly these pixels."""
    write_records(class_names=["cat"], train=(np.stack(images), np.zeros(len(images), int)))
    return measure_images(load_dataset_facts(), 1).images


@pytest.mark.parametrize(
    ("colour", "luma"), [((255, 0, 0), 76.245), ((0, 255, 0), 149.685), ((0, 0, 255), 29.07), ((10, 20, 30), 18.15)]
)
def test_brightness_is_the_mean_luma(colour, luma):
    # 0.299 red + 0.587 green + 0.114 blue
    row = measure(np.full((SIZE, SIZE, 3), colour, np.uint8)).iloc[0]
    assert (row["brightness"], row["contrast"]) == (pytest.approx(luma, abs=0.0051), 0)


def test_contrast_ignores_the_darkest_and_brightest_two_percent():
    halves, specks = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    halves[:8] = 200
    specks[0, :5] = 200  # 5 of 256 pixels are less than 2 %
    images = measure(halves, specks)
    assert images["brightness"].tolist() == pytest.approx([100, 200 * 5 / 256], abs=0.01)
    assert images["contrast"].tolist() == pytest.approx([200, 0], abs=0.01)


@pytest.mark.parametrize("num_shards", [1, 7])
def test_every_image_has_a_row_and_an_outline_even_if_shards_are_empty(num_shards):
    names, labels = [f"class {i}" for i in range(5)], np.arange(5)
    splits = {split: (make_noise(5, 8, seed=i), labels) for i, split in enumerate(SPLITS)}
    write_records(class_names=names, num_shards=num_shards, **splits)
    measured = measure_images(load_dataset_facts(), 1)
    images, outlines = measured.images, measured.outlines
    assert images[["split", "label"]].to_numpy().tolist() == [[split, name] for split in SPLITS for name in names]
    assert outlines.shape == (15, NUM_FEATURES)
    for split, (pixels, _) in splits.items():
        expected = np.stack([describe_outline(one) for one in pixels])
        assert (outlines[(images["split"] == split).to_numpy()] == expected).all()


def test_the_result_does_not_depend_on_the_number_of_workers():
    splits = {split: (make_noise(9, 8, seed=i), np.arange(9) % 3) for i, split in enumerate(SPLITS)}
    write_records(class_names=["a", "b", "c"], **splits)
    one, two = (measure_images(load_dataset_facts(), n) for n in (1, 2))
    pd.testing.assert_frame_equal(one.images, two.images)
    pd.testing.assert_frame_equal(one.looks, two.looks)
    assert (one.outlines == two.outlines).all()


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_nor_on_how_many_images_a_worker_is_given_and_where_outlines_are(monkeypatch, tmp_path, resize):
    splits = {split: (make_noise(9, 8, seed=i), np.arange(9) % 3) for i, split in enumerate(SPLITS)}
    write_records(class_names=["a", "b", "c"], **splits)
    facts = replace(load_dataset_facts(), resize=resize)
    sizes = dict.fromkeys(measure_images(load_dataset_facts(), 1).images["name"], (8, 4))
    whole = measure_images(facts, 1, sizes)
    monkeypatch.setattr("pipeline.data.image_statistics._PART", 2)
    with (tmp_path / "room").open("w+b") as room:
        parts = measure_images(facts, 1, sizes, room=room)
        pd.testing.assert_frame_equal(parts.images, whole.images)
        pd.testing.assert_frame_equal(parts.looks, whole.looks)
        assert (parts.outlines == whole.outlines).all()
    assert (tmp_path / "room").stat().st_size == whole.outlines.nbytes


@pytest.mark.parametrize("side", [3, 8, 15, 16, 31])
def test_contrast_is_that_of_percentiles(side):
    luma = np.random.default_rng(side).random((side, side)) * 255
    low, high = np.percentile(luma, (2, 98))
    assert _measure_contrast(luma) == pytest.approx(high - low, abs=0.0051)


def test_looks_leave_out_the_bars_of_a_letterbox():
    pixels = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    pixels[0, 4:12] = 200  # an image of 32 x 16
    write_records(class_names=["cat"], train=(pixels, np.zeros(1, int)))
    facts = load_dataset_facts()
    whole, shown = (
        measure_images(replace(facts, resize=resize), 1, {"cat/0.png": (32, 16)}).looks.iloc[0]
        for resize in ("stretch", "letterbox")
    )
    assert (whole["is_constant"], shown["is_constant"]) == (False, True)


def test_encoded_pixels_are_measured_as_they_come_back():
    splits = {split: (make_noise(4, 8, seed=i), np.arange(4) % 2) for i, split in enumerate(SPLITS)}
    write_records(class_names=["a", "b"], **splits)
    raw = measure_images(load_dataset_facts(), 1)
    shutil.rmtree(TFRECORDS)
    write_records(class_names=["a", "b"], encoding="webp", **splits)
    lossless = measure_images(load_dataset_facts(), 1)
    pd.testing.assert_frame_equal(lossless.images, raw.images)
    assert (lossless.outlines == raw.outlines).all()


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("done", [0, 1, 4, 7])
def test_parts_that_a_killed_run_has_measured_are_not_measured_again(tmp_path, monkeypatch, done, resize):
    monkeypatch.setattr("pipeline.data.image_statistics._PART", 2)
    images = dict(zip(SPLITS, (5, 5, 1), strict=True))  # in shards of 3 and 2, and one that is empty: seven parts
    splits = {split: (make_noise(count, 8, seed=count), np.arange(count) % 2) for split, count in images.items()}
    write_records(class_names=["a", "b"], **splits)
    facts, measured = replace(load_dataset_facts(), resize=resize), []
    sizes = {f"{label}/{i}.png": (8, 4) for label in "ab" for i in range(5)}
    expected, parts = measure_images(facts, 1, sizes), open_parts(tmp_path / "measured", "key")

    def measure(part: tuple) -> tuple:
        if len(measured) == limit:
            raise KeyboardInterrupt
        measured.append(part[:3])
        return _measure_part(part)

    monkeypatch.setattr("pipeline.data.image_statistics._measure_part", measure)
    limit = done
    with pytest.raises(KeyboardInterrupt) if done < 7 else contextlib.nullcontext():
        measure_images(facts, 1, sizes, parts=parts)
    limit = 7
    with (tmp_path / "room").open("w+b") as room:
        again = measure_images(facts, 1, sizes, room=room, parts=open_parts(tmp_path / "measured", "key"))
    assert len(measured) == len(set(measured)) == 7, "each once"
    pd.testing.assert_frame_equal(again.images, expected.images)
    pd.testing.assert_frame_equal(again.looks, expected.looks)
    np.testing.assert_array_equal(again.outlines, expected.outlines, strict=True)
    for split in SPLITS:
        assert again.values[split][0] == expected.values[split][0]
        assert (again.values[split][1] == expected.values[split][1]).all()


def test_a_part_that_can_not_be_read_is_measured_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("pipeline.data.image_statistics._PART", 2)
    write_records(class_names=["a"], train=(make_noise(5, 8), np.zeros(5, int)))
    parts = open_parts(tmp_path / "measured", "key")
    expected = measure_images(load_dataset_facts(), 1, parts=parts)
    middle = sorted((tmp_path / "measured.partial").glob("*.npz"))[1]
    middle.write_bytes(middle.read_bytes()[:-9])
    caplog.set_level(logging.INFO)
    again = measure_images(load_dataset_facts(), 1, parts=parts)
    assert [int(line.split()[3]) for line in caplog.messages] == [2, 2]
    pd.testing.assert_frame_equal(again.images, expected.images)
    assert (again.outlines == expected.outlines).all()
