import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.config.types import Encoding
from pipeline.data.image import compute_image_id, decode_image
from pipeline.data.pixel_encoding import is_lossy
from pipeline.data.raw import load_index, read_bytes, save_raw
from pipeline.data.shards import (
    Chunk,
    Encoded,
    Row,
    compute_data_digest,
    count_images,
    encode_chunk,
    plan_chunks,
    write_shards,
)
from pipeline.data.tfrecords import DatasetFacts, Record, list_shards, read_records, record_length
from pipeline.runtime.errors import PipelineError
from pipeline.sources.raw_image import RawImage

CLASS_NAMES = ["bear, brown", "cat", "猫"]
ENCODED = [("jpeg", 90), ("webp", 90), ("webp", 100)]
IMAGES = 30  # per class
SIZE = 16

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def table(tmp_path, monkeypatch, make_image_bytes) -> pd.DataFrame:
    """One row per image of data/raw, sorted by name: of each class, 18 are in train, 6 in val and 6 in test."""
    monkeypatch.chdir(tmp_path)
    images = [
        RawImage(f"{label}/{i:03d}.png", label, "", make_image_bytes(size=(12, 10), seed=100 * number + i))
        for number, label in enumerate(CLASS_NAMES)
        for i in range(IMAGES)
    ]
    save_raw(images, {"source": "folder"})
    splits = ["train", "train", "train", "val", "test"] * (len(images) // 5)
    return load_index().assign(image_id=[compute_image_id(image.data) for image in images], split=splits)


@pytest.fixture
def write(tmp_path, table) -> Callable[..., Path]:
    """Plans and writes all shards; returns their folder."""

    def run(*, num_shards: int = 3, num_workers: int = 1, resize: str = "stretch", **encoding: Any) -> Path:
        folder = tmp_path / "-".join(map(str, (num_shards, num_workers, resize, *encoding.values())))
        folder.mkdir()
        chunks = plan_chunks(table, CLASS_NAMES, image_size=SIZE, resize=resize, num_shards=num_shards, **encoding)
        write_shards(chunks, len(table), folder, num_workers=num_workers)
        return folder

    return run


def read_contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def read_split(split: str, folder: Path, encoding: Encoding = "raw") -> list[Record]:
    return [record for file in list_shards(split, folder) for record in read_records(file, SIZE, encoding)]


def plan(table: pd.DataFrame, *, num_shards: int = 3, **encoding: Any) -> list[Chunk]:
    return list(plan_chunks(table, CLASS_NAMES, image_size=SIZE, resize="stretch", num_shards=num_shards, **encoding))


def measure_record(row: Row) -> int:
    name, image_id, label, *_ = row
    return record_length(SIZE, label=label, image_id=image_id, name=name)


class TestPlan:
    def test_every_image_is_in_one_shard_of_its_split(self, table):
        planned = [(row[0], chunk.file.partition("-")[0]) for chunk in plan(table) for row in chunk.rows]
        assert sorted(planned) == list(zip(table["name"], table["split"], strict=True))

    def test_the_shards_of_a_split_have_nearly_the_same_number_of_images(self, table):
        sizes = [len(chunk.rows) for chunk in plan(table, num_shards=4) if chunk.file.startswith("val")]
        assert len(sizes) == 4
        assert max(sizes) - min(sizes) <= 1

    def test_classes_are_mixed_within_a_split(self, table):
        labels = [row[2] for chunk in plan(table) if chunk.file.startswith("train") for row in chunk.rows]
        changes = sum(a != b for a, b in pairwise(labels))
        assert changes > len(labels) / 3

    def test_the_order_of_the_table_does_not_matter(self, table):
        assert plan(table.sample(frac=1, random_state=0)) == plan(table)

    def test_chunks_of_one_shard_follow_each_other_without_a_gap(self, table, write, monkeypatch):
        monkeypatch.setattr("pipeline.data.shards._CHUNK_BYTES", 3 * SIZE * SIZE * 4)
        for file, content in read_contents(write()).items():
            chunks = [chunk for chunk in plan(table) if chunk.file == file]
            ends = [chunk.begin + sum(map(measure_record, chunk.rows)) for chunk in chunks]
            assert len(chunks) > 1 or len(chunks[0].rows) <= 4
            assert [chunk.begin for chunk in chunks] == [0, *ends[:-1]]
            assert len(content) == ends[-1]


class TestWrite:
    def test_a_record_has_the_pixels_and_the_label_of_its_image(self, table, write):
        rows, folder = table.set_index("name"), write()
        records = [record for split in ("train", "val", "test") for record in read_split(split, folder)]
        assert len(records) == len(table)
        for record in records:
            data = read_bytes(*rows.loc[record.name, ["shard", "offset", "size"]])
            assert (record.pixels == decode_image(data, image_size=SIZE, resize="stretch")).all()
            assert CLASS_NAMES[record.label] == rows.loc[record.name, "label"]
            assert record.image_id == compute_image_id(data)

    def test_the_bytes_do_not_depend_on_the_number_of_workers(self, write):
        assert read_contents(write(num_workers=1)) == read_contents(write(num_workers=2))

    def test_the_bytes_do_not_depend_on_the_size_of_chunks(self, write, monkeypatch):
        expected = read_contents(write(num_workers=1))
        monkeypatch.setattr("pipeline.data.shards._CHUNK_BYTES", 3 * SIZE * SIZE * 4)
        assert read_contents(write(num_workers=2)) == expected

    def test_shards_are_named_by_split_and_number(self, write):
        names = sorted(read_contents(write(num_shards=2)))
        assert names == [f"{split}-{i:05d}-of-00002.tfrecord" for split in ("test", "train", "val") for i in (0, 1)]

    def test_more_shards_than_images_leave_some_empty(self, table, write):
        folder = write(num_shards=40)
        assert len(list_shards("test", folder)) == 40
        expected = set(table.loc[table["split"] == "test", "name"])
        assert {record.name for record in read_split("test", folder)} == expected

    def test_mean_and_standard_deviation_are_those_of_the_training_pixels(self, tmp_path, table):
        chunks = plan_chunks(table, CLASS_NAMES, image_size=SIZE, resize="stretch", num_shards=2)
        (tmp_path / "shards").mkdir()
        mean, std = write_shards(chunks, len(table), tmp_path / "shards", num_workers=1)
        pixels = np.stack([record.pixels for record in read_split("train", tmp_path / "shards")]).reshape(-1, 3)
        assert mean == pytest.approx(pixels.mean(axis=0), abs=1e-4)
        assert std == pytest.approx(pixels.std(axis=0), abs=1e-4)

    @pytest.mark.parametrize(("finished", "encoding"), [(0, "raw"), (1, "raw"), (4, "raw"), (8, "raw"), (4, "webp")])
    def test_finished_shards_of_a_killed_run_stay_and_the_bytes_are_the_same(
        self, table, write, tmp_path, monkeypatch, finished, encoding
    ):
        monkeypatch.setattr("pipeline.data.shards._CHUNK_BYTES", 3 * SIZE * SIZE * 4)
        expected, folder, encoded = read_contents(write(encoding=encoding)), tmp_path / "killed", []
        folder.mkdir()

        def encode(task: tuple[Chunk, Path]) -> Encoded:
            if len(list(folder.glob("*.counts"))) == finished:
                raise KeyboardInterrupt
            return encode_chunk(task)

        def count(task: tuple[Chunk, Path]) -> Encoded:
            encoded.append(task[0].file)
            return encode_chunk(task)

        monkeypatch.setattr("pipeline.data.shards.encode_chunk", encode)
        with pytest.raises(KeyboardInterrupt):
            write_shards(iter(plan(table, encoding=encoding)), len(table), folder, num_workers=1)
        for half in folder.glob("*.partial"):  # as folder_continued does
            half.unlink()
        shards = {file for file in read_contents(folder) if file.endswith("tfrecord")}
        assert len(shards) == finished
        monkeypatch.setattr("pipeline.data.shards.encode_chunk", count)
        facts = write_shards(iter(plan(table, encoding=encoding)), len(table), folder, num_workers=1)
        assert read_contents(folder) == expected
        assert set(encoded) == set(expected) - shards
        (tmp_path / "whole").mkdir()
        assert facts == write_shards(
            iter(plan(table, encoding=encoding)), len(table), tmp_path / "whole", num_workers=1
        )

    @pytest.mark.parametrize(("encoding", "quality"), ENCODED)
    def test_encoded_pixels_do_not_depend_on_workers_or_chunks(self, write, monkeypatch, encoding, quality):
        expected = read_contents(write(num_workers=1, encoding=encoding, quality=quality))
        monkeypatch.setattr("pipeline.data.shards._CHUNK_BYTES", 3 * SIZE * SIZE * 4)
        assert read_contents(write(num_workers=2, encoding=encoding, quality=quality)) == expected

    @pytest.mark.parametrize(("encoding", "quality"), ENCODED)
    def test_encoded_records_are_the_same_images_in_the_same_order(self, write, encoding, quality):
        raw, folder = write(), write(encoding=encoding, quality=quality)
        for split in ("train", "val", "test"):
            mine, theirs = read_split(split, folder, encoding), read_split(split, raw)
            assert [record.name for record in mine] == [record.name for record in theirs]
            same = [(a.pixels == b.pixels).all() for a, b in zip(mine, theirs, strict=True)]
            assert any(same) == all(same) == (not is_lossy(encoding, quality))

    @pytest.mark.parametrize(("encoding", "quality"), ENCODED)
    def test_mean_and_deviation_are_of_what_comes_back(self, tmp_path, table, encoding, quality):
        (tmp_path / "shards").mkdir()
        chunks = iter(plan(table, encoding=encoding, quality=quality))
        mean, std = write_shards(chunks, len(table), tmp_path / "shards", num_workers=1)
        pixels = np.stack([record.pixels for record in read_split("train", tmp_path / "shards", encoding)])
        assert mean == pytest.approx(pixels.reshape(-1, 3).mean(axis=0), abs=1e-4)
        assert std == pytest.approx(pixels.reshape(-1, 3).std(axis=0), abs=1e-4)

    def test_a_shard_without_its_note_is_written_again(self, table, write, tmp_path):
        expected = read_contents(write())
        folder = tmp_path / "killed"
        folder.mkdir()
        for file in expected:
            (folder / file).write_bytes(b"from a power cut")
        write_shards(iter(plan(table)), len(table), folder, num_workers=1)
        assert read_contents(folder) == expected

    def test_bytes_that_have_changed_since_prune_are_refused(self, table, write):
        shard = Path("data/raw/images-00000.tar")
        data = bytearray(shard.read_bytes())
        data[table["offset"].iloc[40] + 20] ^= 1
        shard.write_bytes(data)
        name = table["name"].iloc[40]
        with pytest.raises(PipelineError, match=f"^data/raw/images-00000.tar has changed since prune: '{name}' is"):
            write()


def test_images_are_counted_by_split_and_class_including_classes_without_any():
    table = pd.DataFrame({"split": ["train", "train", "test"], "label": ["cat", "cat", "dog"]})
    assert count_images(table, ["cat", "dog"]) == {
        "train": {"cat": 2, "dog": 0},
        "val": {"cat": 0, "dog": 0},
        "test": {"cat": 0, "dog": 1},
    }


class TestDigest:
    FACTS = DatasetFacts(["cat", "猫"], {}, {}, 32, "crop", [1.0] * 3, [2.0] * 3)
    ROWS = (
        ("a" * 64, "cat/1.png", "cat", "train"),
        ("b" * 64, "猫/2.png", "猫", "val"),
        ("a" * 64, "cat/3.png", "cat", "train"),
    )

    def compute(self, *rows: tuple[str, str, str, str], **changes: Any) -> str:
        table = pd.DataFrame(rows or self.ROWS, columns=["image_id", "name", "label", "split"])
        return compute_data_digest(table, replace(self.FACTS, **changes))

    def test_it_is_64_hex_digits_of_any_order_of_rows_and_any_file_names(self):
        renamed = [(image_id, f"{number}.png", *rest) for number, (image_id, _, *rest) in enumerate(self.ROWS)]
        assert re.fullmatch(r"[0-9a-f]{64}", self.compute())
        assert self.compute() == self.compute(*self.ROWS[::-1]) == self.compute(*renamed)

    @pytest.mark.parametrize(
        "row", [("c" * 64, "", "cat", "train"), ("a" * 64, "", "猫", "train"), ("a" * 64, "", "cat", "val")]
    )
    def test_another_content_class_or_split_of_one_image_changes_it(self, row):
        assert self.compute(row, *self.ROWS[1:]) != self.compute()

    def test_so_does_a_picture_more_or_a_copy_less(self):
        assert len({self.compute(), self.compute(*self.ROWS[:2]), self.compute(*self.ROWS, self.ROWS[0])}) == 3

    @pytest.mark.parametrize(
        "changes",
        [
            {"image_size": 64},
            {"resize": "stretch"},
            {"range": "full"},
            {"channel_mean": [1.5] * 3},
            {"class_names": ["cat"]},
            {"encoding": "jpeg", "quality": 90},
            {"encoding": "webp", "quality": 90},
        ],
    )
    def test_so_does_another_way_to_pixels(self, changes):
        assert self.compute(**changes) != self.compute()

    def test_pixels_that_come_back_as_they_were_change_nothing(self):
        assert self.compute(encoding="webp", quality=100) == self.compute(quality=50) == self.compute()
