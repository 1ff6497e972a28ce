import json
import shutil
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import embeddings
from pipeline.data.embeddings import (
    EmbeddingFacts,
    Embeddings,
    EmbeddingWriter,
    Rows,
    compute_key,
    copy_twin,
    load_embeddings,
    save_facts,
    save_none,
)
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from tests.tfrecords import make_coloured_split, write_records

COUNT, NUM_FEATURES, SHARD_ROWS = 17, 5, 4
FACTS = EmbeddingFacts(
    backbone="mobilenet",
    key="the key",
    weights_sha256="the weights",
    num_features=NUM_FEATURES,
    dtype="float32",
    views=1,
    num_images={"train": COUNT},
)
NAMES = ["red", "green", "blue"]
DAMAGED = {
    "nothing at all": "",
    "half of it": '{"backbone": "mobilenet", "ke',
    "no object": "[]",
    "an empty object": "{}",
    "a field too few": '{"backbone": "mobilenet", "key": "the key"}',
    "a field too many": json.dumps(vars(FACTS) | {"colour": "red"}),
}


def make_features(count: int = COUNT, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, NUM_FEATURES)).astype(np.float32)


def make_labels(count: int = COUNT) -> np.ndarray:
    return np.arange(count) * 7 % 3


def cut(features: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    labels = make_labels(len(features))
    for start in range(0, len(features), batch_size):
        yield features[start : start + batch_size], labels[start : start + batch_size]


def write_family(parent: Path, family: str, facts: EmbeddingFacts = FACTS) -> Path:
    """What the stage embed writes: features of training images and of one augmented view of them."""
    with folder_aside(parent / family) as folder:
        for view in range(facts.views + 1):
            EmbeddingWriter(folder, facts.dtype).write("train", view, cut(make_features(seed=view), 6))
        save_facts(facts, folder)
    return parent / family


def read_all(rows: Rows) -> np.ndarray:
    return rows.take(np.arange(len(rows)))


def read_bytes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


class TestRoundTrip:
    @pytest.fixture(autouse=True)
    def _small_shards(self, monkeypatch):
        monkeypatch.setattr(embeddings, "_SHARD_ROWS", SHARD_ROWS)

    def write(self, folder: Path, features: np.ndarray, *, batch_size: int = 6, dtype: str = "float32") -> Embeddings:
        count = EmbeddingWriter(folder, dtype).write("train", 0, cut(features, batch_size))
        assert count == len(features)
        return Embeddings(FACTS, folder)

    @pytest.mark.parametrize("batch_size", [1, 3, 4, 5, 8, 17, 100])
    def test_features_and_labels_are_read_in_order_for_any_batch_size(self, tmp_path, batch_size):
        features = make_features()
        found = self.write(tmp_path, features, batch_size=batch_size)
        np.testing.assert_array_equal(read_all(found.features("train")), features)
        np.testing.assert_array_equal(found.labels("train"), make_labels())

    @pytest.mark.parametrize(("count", "sizes"), [(17, [4, 4, 4, 4, 1]), (16, [4, 4, 4, 4]), (3, [3])])
    @pytest.mark.parametrize("batch_size", [3, 9])
    def test_files_are_full_except_for_the_last(self, tmp_path, count, sizes, batch_size):
        self.write(tmp_path, make_features(count), batch_size=batch_size)
        assert [len(np.load(file)) for file in sorted(tmp_path.glob("train-view000-*.npy"))] == sizes

    def test_the_bytes_are_the_same_for_any_batch_size(self, tmp_path):
        folders = [tmp_path / str(batch_size) for batch_size in (2, 5, 17)]
        for folder in folders:
            folder.mkdir()
            self.write(folder, make_features(), batch_size=int(folder.name))
        assert read_bytes(folders[0]) == read_bytes(folders[1]) == read_bytes(folders[2])

    def test_more_than_ten_files_keep_their_order(self, tmp_path):
        features = make_features(12 * SHARD_ROWS)
        np.testing.assert_array_equal(read_all(self.write(tmp_path, features).features("train")), features)

    def test_a_split_without_images_is_read_without_images(self, tmp_path):
        batches = [(np.empty((0, NUM_FEATURES), np.float32), np.empty(0, np.int64))]
        assert EmbeddingWriter(tmp_path, "float32").write("val", 0, batches) == 0
        found = Embeddings(FACTS, tmp_path)
        assert (len(found.features("val")), len(found.labels("val"))) == (0, 0)

    @pytest.mark.parametrize("dtype", ["float16", "float32"])
    def test_features_are_stored_in_the_given_type_and_read_as_float32(self, tmp_path, dtype):
        features = make_features()
        found = read_all(self.write(tmp_path, features, dtype=dtype).features("train"))
        assert {np.load(file).dtype.name for file in tmp_path.glob("train-view*.npy")} == {dtype}
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, features.astype(dtype))

    def test_float16_takes_half_the_space(self, tmp_path):
        sizes = []
        for dtype in ("float32", "float16"):
            (tmp_path / dtype).mkdir()
            self.write(tmp_path / dtype, make_features(), dtype=dtype)
            arrays = [np.load(file) for file in (tmp_path / dtype).glob("train-view*.npy")]
            sizes.append(sum(array.nbytes for array in arrays))
        assert sizes[0] == 2 * sizes[1]

    @pytest.mark.parametrize("batch_size", [3, 4, 9])
    @pytest.mark.parametrize("kept", [0, 1, 3, 5])
    @pytest.mark.parametrize("view", [0, 1])
    def test_shards_of_a_killed_run_stay_and_the_bytes_are_the_same(self, tmp_path, batch_size, kept, view):
        whole, killed, features = tmp_path / "whole", tmp_path / "killed", make_features(17)
        for folder in (whole, killed):
            folder.mkdir()
        EmbeddingWriter(whole, "float32").write("train", view, cut(features, batch_size))
        for file in sorted(whole.glob("train-view*"))[:kept]:
            shutil.copy(file, killed)
        writer = EmbeddingWriter(killed, "float32")
        there = writer.count_rows("train", view)
        assert there == min(kept * SHARD_ROWS, 17)
        batches, end = [], 0
        for rows, labels in cut(features, batch_size):
            end += len(labels)
            batches.append((None if end <= there else rows, labels))
        assert writer.write("train", view, batches) == 17
        assert read_bytes(killed) == read_bytes(whole)

    def test_labels_are_written_with_view_0_only(self, tmp_path):
        writer = EmbeddingWriter(tmp_path, "float32")
        writer.write("train", 1, cut(make_features(), 6))
        assert not (tmp_path / "train-labels.npy").exists()
        writer.write("train", 0, cut(make_features(), 6))
        assert (tmp_path / "train-labels.npy").exists()

    def test_splits_and_views_are_kept_apart(self, tmp_path):
        writer = EmbeddingWriter(tmp_path, "float32")
        written = {("train", 0): 9, ("train", 1): 9, ("train", 10): 9, ("val", 0): 6, ("test", 0): 5}
        for seed, ((split, view), count) in enumerate(written.items()):
            writer.write(split, view, cut(make_features(count, seed=seed), 4))
        found = Embeddings(FACTS, tmp_path)
        for seed, ((split, view), count) in enumerate(written.items()):
            np.testing.assert_array_equal(read_all(found.features(split, view)), make_features(count, seed=seed))
        assert [len(found.labels(split)) for split in ("train", "val", "test")] == [9, 6, 5]

    def test_several_views_are_concatenated(self, tmp_path):
        writer, views = EmbeddingWriter(tmp_path, "float32"), [make_features(9, seed=seed) for seed in range(3)]
        for view, features in enumerate(views):
            writer.write("train", view, cut(features, 4))
        found = Embeddings(FACTS, tmp_path)
        np.testing.assert_array_equal(read_all(found.features("train", 0, 1, 2)), np.concatenate(views))
        np.testing.assert_array_equal(read_all(found.features("train", 2, 0)), np.concatenate([views[2], views[0]]))


class TestRows:
    FEATURES = make_features(10)
    ROWS = Rows([FEATURES[:4], FEATURES[4:4], FEATURES[4:7], FEATURES[7:]])  # one file is empty

    def test_they_have_a_length_and_a_width(self):
        assert (len(self.ROWS), self.ROWS.num_features) == (10, NUM_FEATURES)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32])
    def test_they_are_loaded_in_the_stored_type(self, dtype):
        stored = self.FEATURES.astype(dtype)
        rows = Rows([stored[:4], stored[4:4], stored[4:]])
        loaded = rows.load()
        np.testing.assert_array_equal(loaded, stored)
        assert (loaded.dtype, rows.num_bytes) == (dtype, stored.nbytes)

    @pytest.mark.parametrize(
        "rows",
        [
            range(10),
            range(9, -1, -1),
            [3, 4, 6, 7],  # both sides of each boundary
            [9, 0, 9, 4, 0, 4, 4],
            [5],
            [],
        ],
    )
    def test_they_are_taken_in_any_order_and_repeatedly(self, rows):
        chosen = np.array(rows, np.int64)
        taken = self.ROWS.take(chosen)
        np.testing.assert_array_equal(taken, self.FEATURES[chosen])
        assert (taken.shape, taken.dtype) == ((len(rows), NUM_FEATURES), np.float32)

    def test_a_row_beyond_the_last_is_an_error(self):
        with pytest.raises(IndexError):
            self.ROWS.take(np.array([3, 10]))

    def test_taken_rows_are_a_copy(self):
        features = make_features(4)
        Rows([features]).take(np.arange(4))[:] = 0
        np.testing.assert_array_equal(features, make_features(4))

    def test_files_are_not_read_into_memory(self, tmp_path):
        np.save(tmp_path / "train-view000-00000.npy", np.zeros((4_000_000, NUM_FEATURES), np.float16))  # 40 MB
        tracemalloc.start()
        try:
            Embeddings(FACTS, tmp_path).features("train").take(np.array([3_999_999, 0, 17]))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1_000_000


class TestFacts:
    def test_they_can_be_loaded(self, tmp_path):
        folder = write_family(tmp_path, "mobilenet")
        found = load_embeddings("mobilenet", tmp_path)
        assert (found.facts, found.folder) == (FACTS, folder)

    def refusal(self, parent: Path) -> str:
        with pytest.raises(PipelineError) as caught:
            load_embeddings("underfit", parent)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_a_family_on_pixels_has_none(self, tmp_path):
        save_none("underfit", tmp_path)
        expected = f"{tmp_path / 'underfit'} has no features: expected them from `dvc repro embed@underfit`"
        assert self.refusal(tmp_path) == expected
        assert [file.name for file in (tmp_path / "underfit").iterdir()] == ["embeddings.json"]

    def test_saving_none_deletes_previous_features(self, tmp_path):
        write_family(tmp_path, "underfit")
        save_none("underfit", tmp_path)
        assert [file.name for file in (tmp_path / "underfit").iterdir()] == ["embeddings.json"]

    def test_a_missing_folder_has_none(self, tmp_path):
        assert "has no features" in self.refusal(tmp_path)

    @pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
    def test_a_damaged_folder_has_none(self, tmp_path, content):
        (write_family(tmp_path, "underfit") / "embeddings.json").write_text(content)
        assert "has no features" in self.refusal(tmp_path)


def key_of(settings: dict, folder: Path) -> str:
    return compute_key(settings, sorted(folder.iterdir()))


class TestKey:
    SETTINGS = {"backbone": "mobilenet", "input_size": 32, "augment": {"flip": "none", "zoom": 0.1}}  # noqa: RUF012

    def write(self, folder: Path, *, label: int = 0, pixel: int = 0, **options) -> Path:
        images, labels = make_coloured_split(6, 8)
        labels[0], images[0, 0, 0, 0] = label, pixel
        write_records(folder, class_names=NAMES, train=(images, labels), **options)
        return folder

    def test_it_is_the_same_for_the_same_records_in_another_folder(self, tmp_path):
        keys = {key_of(self.SETTINGS, self.write(tmp_path / name)) for name in ("one", "two")}
        assert len(keys) == 1

    @pytest.mark.parametrize("changes", [{"label": 1}, {"pixel": 1}, {"num_shards": 3}])
    def test_it_changes_with_the_records(self, tmp_path, changes):
        before = key_of(self.SETTINGS, self.write(tmp_path / "before"))
        assert key_of(self.SETTINGS, self.write(tmp_path / "after", **changes)) != before

    def test_it_changes_with_the_order_of_the_images(self, tmp_path):
        images, labels = make_coloured_split(6, 8)
        write_records(tmp_path / "one", class_names=NAMES, num_shards=1, train=(images, labels))
        write_records(tmp_path / "two", class_names=NAMES, num_shards=1, train=(images[::-1], labels[::-1]))
        assert key_of(self.SETTINGS, tmp_path / "one") != key_of(self.SETTINGS, tmp_path / "two")

    def test_it_changes_with_the_facts_about_the_records(self, tmp_path):
        folder = self.write(tmp_path / "records")
        before = key_of(self.SETTINGS, folder)
        facts = json.loads((folder / "dataset.json").read_text())
        (folder / "dataset.json").write_text(json.dumps(facts | {"class_names": ["a", "b", "c"]}))
        assert key_of(self.SETTINGS, folder) != before

    @pytest.mark.parametrize(
        "changes",
        [
            {"backbone": "vgg16"},
            {"input_size": 64},
            {"augment": {"flip": "none", "zoom": 0.2}},
            {"augment": None},
            {"seed": 1},
        ],
    )
    def test_it_changes_with_the_settings(self, tmp_path, changes):
        folder = self.write(tmp_path / "records")
        assert key_of(self.SETTINGS | changes, folder) != key_of(self.SETTINGS, folder)

    def test_the_order_of_the_settings_does_not_matter(self, tmp_path):
        folder = self.write(tmp_path / "records")
        in_reverse = dict(reversed(self.SETTINGS.items()))
        assert key_of(in_reverse, folder) == key_of(self.SETTINGS, folder)


class TestTwin:
    def test_features_with_the_same_key_are_copied(self, tmp_path):
        twin = write_family(tmp_path, "mobilenet")
        assert copy_twin("mobilenet_svm", FACTS.key, tmp_path) == "mobilenet"
        assert read_bytes(tmp_path / "mobilenet_svm") == read_bytes(twin)

    def test_they_replace_previous_features(self, tmp_path):
        twin, previous = (
            write_family(tmp_path, "mobilenet"),
            write_family(tmp_path, "mobilenet_svm", replace(FACTS, key="old")),
        )
        (previous / "train-view009-00000.npy").touch()
        assert copy_twin("mobilenet_svm", FACTS.key, tmp_path) == "mobilenet"
        assert read_bytes(previous) == read_bytes(twin)

    def test_the_right_one_is_found_among_others(self, tmp_path):
        for name in ("a", "c"):
            write_family(tmp_path, name, replace(FACTS, key=f"{name}'s own"))
        write_family(tmp_path, "b")
        assert copy_twin("mobilenet", FACTS.key, tmp_path) == "b"

    def test_features_with_another_key_are_not_copied(self, tmp_path):
        write_family(tmp_path, "mobilenet")
        assert copy_twin("mobilenet_svm", "another key", tmp_path) is None
        assert not (tmp_path / "mobilenet_svm").exists()

    def test_a_family_is_not_its_own_twin(self, tmp_path):
        folder = write_family(tmp_path, "mobilenet")
        before = read_bytes(folder)
        assert copy_twin("mobilenet", FACTS.key, tmp_path) is None
        assert read_bytes(folder) == before

    def test_half_written_folders_are_ignored(self, tmp_path):
        write_family(tmp_path, "mobilenet").rename(tmp_path / "mobilenet.partial")
        assert copy_twin("mobilenet_svm", FACTS.key, tmp_path) is None

    @pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
    def test_damaged_folders_are_ignored(self, tmp_path, content):
        (write_family(tmp_path, "mobilenet") / "embeddings.json").write_text(content)
        assert copy_twin("mobilenet_svm", FACTS.key, tmp_path) is None

    def test_families_that_train_on_pixels_and_stray_files_are_ignored(self, tmp_path):
        save_none("linear_svm", tmp_path)
        (tmp_path / ".gitignore").write_text("/mobilenet\n")
        (tmp_path / "notes").mkdir()
        assert copy_twin("mobilenet_svm", FACTS.key, tmp_path) is None

    def test_without_any_features_there_is_none(self, tmp_path):
        assert copy_twin("mobilenet", FACTS.key, tmp_path / "embeddings") is None

    def test_an_interrupted_copy_leaves_no_files(self, tmp_path, monkeypatch):
        write_family(tmp_path, "mobilenet")
        copied, copyfile = [], shutil.copyfile

        def copy_one(source, target):
            if copied:
                raise OSError(28, "No space left")
            copied.append(copyfile(source, target))

        monkeypatch.setattr(shutil, "copyfile", copy_one)
        with pytest.raises(OSError, match="No space left"):
            copy_twin("mobilenet_svm", FACTS.key, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mobilenet"]
