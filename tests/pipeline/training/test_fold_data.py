import contextlib
import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.config.sections import Crossval
from pipeline.config.types import Encoding
from pipeline.data.embeddings import (
    MIRROR,
    EmbeddingFacts,
    Embeddings,
    EmbeddingWriter,
    find_embeddings,
    load_embeddings,
    save_facts,
)
from pipeline.data.groups import save_groups
from pipeline.data.tfrecords import DatasetFacts, Record, list_shards, load_dataset_facts, read_records
from pipeline.runtime.errors import PipelineError
from pipeline.training import fold_data as folds
from pipeline.training.fold_data import FOLD_SPLITS, assign_folds, open_fold, write_fold, write_fold_embeddings
from tests.tfrecords import make_coloured_split, write_records

SIZE, NAMES, NUM_FOLDS = 8, ["red", "green", "blue"], 4
COUNTS = {"train": 25, "val": 9, "test": 6}


def make_ids(count: int, name: str = "picture") -> list[str]:
    return [hashlib.sha256(f"{name} {i}".encode()).hexdigest() for i in range(count)]


def make_labels(*counts: int) -> list[int]:
    """Labels of this many images of each class, shuffled."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(0).permutation(labels).tolist()


def assign(image_ids: list[str], labels: list[int], *, num_folds: int = 5, seed: int = 42) -> np.ndarray:
    return assign_folds(image_ids, labels, num_folds=num_folds, seed=seed)


def by_image(image_ids: list[str], labels: list[int], **options: Any) -> dict[str, int]:
    return dict(zip(image_ids, assign(image_ids, labels, **options).tolist(), strict=True))


class TestAssignment:
    IDS, LABELS = make_ids(600), make_labels(300, 200, 100)

    @pytest.mark.parametrize("num_folds", [2, 3, 5, 10])
    @pytest.mark.parametrize("counts", [(300, 200, 100), (11, 12, 13), (23, 23, 23, 23), (101,), (10, 1001)])
    def test_folds_are_of_equal_size_overall_and_in_each_class(self, counts, num_folds):
        labels = np.array(make_labels(*counts))
        found = assign(make_ids(len(labels)), labels.tolist(), num_folds=num_folds)
        for chosen in (labels >= 0, *(labels == label for label in range(len(counts)))):
            sizes = np.bincount(found[chosen], minlength=num_folds)
            assert len(sizes) == num_folds
            assert sizes.max() - sizes.min() <= 1

    def test_with_as_many_folds_as_images_each_fold_has_one_image_per_class(self):
        found = assign(make_ids(10), [0] * 5 + [1] * 5)
        assert sorted(found[:5]) == sorted(found[5:]) == [0, 1, 2, 3, 4]

    def test_classes_without_images_are_ignored(self):
        assert sorted(assign(make_ids(5), [2] * 5)) == [0, 1, 2, 3, 4]

    def test_copies_of_an_image_share_a_fold(self):
        found = assign(self.IDS + self.IDS[:100] * 3, self.LABELS + self.LABELS[:100] * 3)
        for copies in np.split(found[600:], 3):
            assert copies.tolist() == found[:100].tolist()

    def test_copies_with_different_labels_share_a_fold(self):
        found = assign(self.IDS + self.IDS[:100], self.LABELS + [(label + 1) % 3 for label in self.LABELS[:100]])
        assert found[600:].tolist() == found[:100].tolist()

    def test_copies_count_as_one_image(self):
        with pytest.raises(PipelineError, match="class number 0 has 4 images"):
            assign(make_ids(4) * 10, [0] * 40)

    def test_the_seed_determines_the_folds(self):
        assert by_image(self.IDS, self.LABELS) == by_image(self.IDS, self.LABELS)
        moved = assign(self.IDS, self.LABELS) != assign(self.IDS, self.LABELS, seed=43)
        assert 0.7 < moved.mean() < 0.9  # one in five remains by chance

    def test_the_order_of_the_images_does_not_matter(self):
        order = np.random.default_rng(1).permutation(600)
        mixed = by_image([self.IDS[i] for i in order], [self.LABELS[i] for i in order])
        assert mixed == by_image(self.IDS, self.LABELS)

    def test_the_order_of_copies_with_different_labels_does_not_matter(self):
        ids, labels = self.IDS * 2, self.LABELS + [2] * 600
        assert by_image(ids[::-1], labels[::-1]) == by_image(ids, labels)

    @pytest.mark.parametrize("added", [1, 3])
    def test_adding_images_moves_few(self, added):
        before = by_image(self.IDS, self.LABELS)
        after = by_image(self.IDS + make_ids(added, "new"), self.LABELS + [0] * added)
        moved = sum(after[image_id] != fold for image_id, fold in before.items())
        # Each image shifts the four boundaries of five folds by one at most, in each of three classes.
        assert moved <= added * 4 * 3

    def test_folds_are_independent_of_splits(self):
        """Otherwise a fold could be the whole of val."""
        from pipeline.data.manifest import hash_uniform

        found = assign(self.IDS, [0] * 600)
        for name in ("val", "test"):
            assert abs(np.corrcoef(found, hash_uniform(self.IDS, f"{name}-42"))[0, 1]) < 0.15

    def test_more_folds_than_images_of_the_smallest_class_are_refused(self):
        with pytest.raises(PipelineError) as caught:
            assign(make_ids(13), [0] * 9 + [1] * 4)
        assert str(caught.value) == (
            "crossval.folds: there are 5, but class number 1 has 4 images in train and val: expected at most as many folds "
            "as the smallest class has images"
        )

    def test_the_error_has_the_name_of_the_class_if_it_is_known(self):
        with pytest.raises(PipelineError, match="but class Käfer has 4 images in train and val"):
            assign_folds(make_ids(13), [0] * 9 + [1] * 4, num_folds=5, seed=42, class_names=["cat", "Käfer"])


@dataclass(frozen=True)
class Project:
    """folder: of data/tfrecords. folds: workspace and origins of each fold."""

    folder: Path
    folds: list[tuple[Path, dict[str, np.ndarray]]]


def make_project(folder: Path) -> None:
    splits = {name: make_coloured_split(count, SIZE, seed=count) for name, count in COUNTS.items()}
    write_records(folder / "data/tfrecords", class_names=NAMES, num_shards=3, **splits)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """All folds of a project with 34 images in train and val. Not to be changed."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    written = []
    with contextlib.chdir(folder):
        for fold in range(NUM_FOLDS):
            workspace = folder / f"fold-{fold}"
            facts = load_dataset_facts()
            written.append((workspace, write_fold(workspace, facts, fold=fold, num_folds=NUM_FOLDS, seed=1)))
    return Project(folder, written)


def read(folder: Path, split: str, encoding: Encoding = "raw") -> list[Record]:
    records = folder / "data/tfrecords"
    return [record for file in list_shards(split, records) for record in read_records(file, SIZE, encoding)]


def read_ids(folder: Path, split: str) -> list[str]:
    return [record.image_id for record in read(folder, split)]


def read_facts(folder: Path) -> DatasetFacts:
    return load_dataset_facts(folder / "data/tfrecords")


class TestFold:
    def test_every_image_of_train_and_val_is_held_out_in_one_fold(self, project):
        held_out = [image_id for folder, _ in project.folds for image_id in read_ids(folder, "val")]
        assert sorted(held_out) == sorted(f"{split}-id-{i}" for split in FOLD_SPLITS for i in range(COUNTS[split]))

    def test_all_other_images_are_in_train(self, project):
        everything = {image_id for split in FOLD_SPLITS for image_id in read_ids(project.folder, split)}
        for folder, _ in project.folds:
            train, val = read_ids(folder, "train"), read_ids(folder, "val")
            assert len(train) + len(val) == len(everything)
            assert set(train) == everything - set(val)

    def test_train_and_val_have_images_of_both_splits(self, project):
        for _, origins in project.folds:
            assert set(origins["train"][:, 0]) == {0, 1}
        assert {number for _, origins in project.folds for number in origins["val"][:, 0]} == {0, 1}

    def test_the_test_split_takes_no_part(self, project, tmp_path, monkeypatch):
        for folder, _ in project.folds:
            files = sorted(file.name for file in (folder / "data/tfrecords").iterdir())
            assert files == ["dataset.json", *(f"{split}-00000-of-00001.tfrecord" for split in FOLD_SPLITS)]
            facts = read_facts(folder)
            assert set(facts.num_images) == set(facts.counts) == set(FOLD_SPLITS)
        shutil.copytree(project.folder / "data", tmp_path / "data")
        for file in (tmp_path / "data/tfrecords").glob("test-*"):
            file.unlink()
        monkeypatch.chdir(tmp_path)
        write_fold(tmp_path / "fold", load_dataset_facts(), fold=0, num_folds=NUM_FOLDS, seed=1)
        assert read_ids(tmp_path / "fold", "val") == read_ids(project.folds[0][0], "val")

    def test_the_projects_records_are_not_changed(self, project, tmp_path):
        make_project(tmp_path)
        for file in (tmp_path / "data/tfrecords").iterdir():
            assert (project.folder / "data/tfrecords" / file.name).read_bytes() == file.read_bytes()

    def test_encoded_pixels_are_copied_and_not_encoded_again(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        splits = {name: make_coloured_split(count, SIZE, seed=count) for name, count in COUNTS.items()}
        write_records(class_names=NAMES, encoding="jpeg", quality=50, **splits)
        before = load_dataset_facts()
        write_fold(tmp_path / "fold", before, fold=0, num_folds=NUM_FOLDS, seed=1)
        after = read_facts(tmp_path / "fold")
        assert (after.encoding, after.quality) == ("jpeg", 50)
        original = {record.image_id: record for split in FOLD_SPLITS for record in read(tmp_path, split, "jpeg")}
        for split in FOLD_SPLITS:
            for record in read(tmp_path / "fold", split, "jpeg"):
                assert record.data == original[record.image_id].data
        pixels = np.stack([record.pixels for record in read(tmp_path / "fold", "train", "jpeg")])
        assert after.channel_mean == pytest.approx(pixels.reshape(-1, 3).mean(axis=0), abs=1e-4)

    def test_class_names_and_size_are_those_of_the_project(self, project):
        for folder, _ in project.folds:
            facts = read_facts(folder)
            assert (facts.class_names, facts.image_size, facts.resize) == (NAMES, SIZE, "stretch")

    def test_images_are_counted_by_split_and_class(self, project):
        for folder, _ in project.folds:
            facts = read_facts(folder)
            for split in FOLD_SPLITS:
                labels = [record.label for record in read(folder, split)]
                assert facts.num_images[split] == len(labels)
                assert facts.counts[split] == {name: labels.count(i) for i, name in enumerate(NAMES)}

    def test_mean_and_deviation_of_the_channels_are_those_of_train(self, project):
        for folder, _ in project.folds:
            pixels = np.stack([record.pixels for record in read(folder, "train")]).reshape(-1, 3).astype(float)
            facts = read_facts(folder)
            assert facts.channel_mean == pytest.approx(pixels.mean(axis=0), abs=1e-4)
            assert facts.channel_std == pytest.approx(pixels.std(axis=0), abs=1e-4)
        assert len({tuple(read_facts(folder).channel_mean) for folder, _ in project.folds}) == NUM_FOLDS

    def test_it_returns_the_origin_of_each_image(self, project):
        before = [read(project.folder, split) for split in FOLD_SPLITS]
        for folder, origins in project.folds:
            assert list(origins) == list(FOLD_SPLITS)
            for split, rows in origins.items():
                for record, (number, row) in zip(read(folder, split), rows, strict=True):
                    origin = before[number][row]
                    assert (record.image_id, record.name, record.label) == (origin.image_id, origin.name, origin.label)
                    assert (record.pixels == origin.pixels).all()

    def test_images_keep_their_order(self, project):
        for _, origins in project.folds:
            for rows in origins.values():
                assert rows.tolist() == sorted(rows.tolist())

    @pytest.mark.usefixtures("tensorflow")
    def test_training_can_read_it(self, project):
        from pipeline.data.batches import load_split, read_names

        for folder, _ in project.folds:
            for split in FOLD_SPLITS:
                records = read(folder, split)
                images, labels = load_split(split, folder=folder / "data/tfrecords")
                assert (images == np.stack([record.pixels for record in records])).all()
                assert labels.tolist() == [record.label for record in records]
                ids, names = read_names(split, folder=folder / "data/tfrecords")
                assert ids == [record.image_id for record in records]
                assert names == [record.name for record in records]

    def test_class_names_of_any_script_are_kept(self, project, tmp_path, monkeypatch):
        shutil.copytree(project.folder / "data", tmp_path / "data")
        monkeypatch.chdir(tmp_path)
        facts = replace(load_dataset_facts(), class_names=["Käfer", "猫", "NA"])
        write_fold(tmp_path / "fold", facts, fold=0, num_folds=NUM_FOLDS, seed=1)
        assert list(read_facts(tmp_path / "fold").counts["val"]) == ["Käfer", "猫", "NA"]

    def test_too_many_folds_leave_no_files(self, project, tmp_path, monkeypatch):
        monkeypatch.chdir(project.folder)
        with pytest.raises(PipelineError, match=r"^crossval\.folds: there are 30, but class red has 12 images"):
            write_fold(tmp_path / "fold", load_dataset_facts(), fold=0, num_folds=30, seed=1)
        assert not (tmp_path / "fold").exists()


class TestGroups:
    def make_groups(self, folder: Path) -> dict[str, str]:
        """Groups of four images of train and val, by name, written as preprocess does."""
        names = sorted(record.name for split in ("train", "val", "test") for record in read(folder, split))
        groups = {name: f"patient {i // 4}" for i, name in enumerate(dict.fromkeys(names))}
        save_groups(pd.DataFrame(groups.items(), columns=["name", "group"]), folder / "data/tfrecords")
        return groups

    def test_a_group_is_in_one_fold(self, project, tmp_path, monkeypatch):
        shutil.copytree(project.folder / "data", tmp_path / "data")
        groups = self.make_groups(tmp_path)
        monkeypatch.chdir(tmp_path)
        held_out = []
        for fold in range(2):
            write_fold(tmp_path / f"fold-{fold}", load_dataset_facts(), fold=fold, num_folds=2, seed=1)
            train, val = ({groups[record.name] for record in read(tmp_path / f"fold-{fold}", s)} for s in FOLD_SPLITS)
            assert not train & val
            assert val
            held_out += read_ids(tmp_path / f"fold-{fold}", "val")
        assert len(held_out) == len(set(held_out)) == COUNTS["train"] + COUNTS["val"]

    def test_without_groups_they_would_be_divided(self, project, tmp_path):
        shutil.copytree(project.folder / "data", tmp_path / "data")
        groups = self.make_groups(tmp_path)
        folder, _ = project.folds[0]
        assert {groups[r.name] for r in read(folder, "train")} & {groups[r.name] for r in read(folder, "val")}

    def test_too_few_groups_are_refused(self, project, tmp_path, monkeypatch):
        shutil.copytree(project.folder / "data", tmp_path / "data")
        names = {record.name for split in FOLD_SPLITS for record in read(tmp_path, split)}
        save_groups(pd.DataFrame({"name": sorted(names), "group": "one"}), tmp_path / "data/tfrecords")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(PipelineError, match="but class red has 1 groups of images in train and val"):
            write_fold(tmp_path / "fold", load_dataset_facts(), fold=0, num_folds=2, seed=1)


NUM_FEATURES, VIEWS = 3, 2


def make_features(split: str, view: int, rows: np.ndarray) -> np.ndarray:
    """Features that identify split, view and row."""
    return np.stack(
        [np.full(len(rows), FOLD_SPLITS.index(split)), np.full(len(rows), view), rows], axis=1, dtype=np.float32
    )


def read_labels(folder: Path, split: str) -> np.ndarray:
    return np.array([record.label for record in read(folder, split)])


@pytest.fixture(scope="module")
def embeddings(project, tmp_path_factory) -> Embeddings:
    """What embed writes for the project."""
    folder = tmp_path_factory.mktemp("embeddings")
    facts = EmbeddingFacts("mobilenet", "the key", "the weights", NUM_FEATURES, "float16", VIEWS, COUNTS)
    for split in FOLD_SPLITS:
        for view in range(VIEWS + 1 if split == "train" else 1):
            rows = np.arange(COUNTS[split])
            batch = make_features(split, view, rows), read_labels(project.folder, split)
            EmbeddingWriter(folder, facts.dtype).write(split, view, [batch])
    save_facts(facts, folder)
    return Embeddings(facts, folder)


def write_embeddings(folder: Path, embeddings: Embeddings, origins: dict[str, np.ndarray], views: int) -> Embeddings:
    write_fold_embeddings(folder, "mobilenet", embeddings, origins, views=views)
    return load_embeddings("mobilenet", folder / "data/embeddings")


def read_all(found: Embeddings, split: str, view: int = 0) -> np.ndarray:
    rows = found.features(split, view)
    return rows.take(np.arange(len(rows)))


class TestEmbeddings:
    def test_each_row_belongs_to_the_image_in_the_same_row(self, project, embeddings, tmp_path):
        for fold, (folder, origins) in enumerate(project.folds):
            found = write_embeddings(tmp_path / str(fold), embeddings, origins, VIEWS)
            for split, rows in origins.items():
                expected = np.stack([rows[:, 0], np.zeros(len(rows)), rows[:, 1]], axis=1)
                np.testing.assert_array_equal(read_all(found, split), expected)
                np.testing.assert_array_equal(found.labels(split), read_labels(folder, split))

    @pytest.mark.parametrize("view", [1, 2])
    def test_views_are_of_the_same_images_and_for_images_of_val_the_image_itself(
        self, project, embeddings, tmp_path, view
    ):
        _, origins = project.folds[0]
        found = read_all(write_embeddings(tmp_path, embeddings, origins, VIEWS), "train", view)
        rows = origins["train"]
        np.testing.assert_array_equal(found[:, [0, 2]], rows)
        np.testing.assert_array_equal(found[:, 1], np.where(rows[:, 0] == 0, view, 0))

    @pytest.mark.parametrize("views", [0, 1, 2])
    def test_this_many_views_are_included(self, project, embeddings, tmp_path, views):
        found = write_embeddings(tmp_path, embeddings, project.folds[0][1], views)
        assert found.facts.views == views
        names = sorted(file.name for file in found.folder.iterdir())
        assert names == [
            "embeddings.json",
            "train-labels.npy",
            *(f"train-view{view:03d}-00000.npy" for view in range(views + 1)),
            "val-labels.npy",
            "val-view000-00000.npy",
        ]

    def test_the_facts_are_those_of_the_features_except_for_the_numbers_of_images(self, project, embeddings, tmp_path):
        folder, origins = project.folds[0]
        found = write_embeddings(tmp_path, embeddings, origins, VIEWS)
        changed = {"num_images": read_facts(folder).num_images}
        assert vars(found.facts) == vars(embeddings.facts) | changed
        assert json.loads((found.folder / "embeddings.json").read_text())["backbone"] == "mobilenet"

    def test_features_keep_their_type_on_disk(self, project, embeddings, tmp_path):
        found = write_embeddings(tmp_path, embeddings, project.folds[0][1], 0)
        assert np.load(found.folder / "val-view000-00000.npy").dtype == np.float16

    def test_the_bytes_do_not_depend_on_the_number_of_rows_at_a_time(self, project, embeddings, tmp_path, monkeypatch):
        contents = []
        for rows in (4096, 4, 1):
            monkeypatch.setattr(folds, "_ROWS", rows)
            found = write_embeddings(tmp_path / str(rows), embeddings, project.folds[1][1], VIEWS)
            contents.append({file.name: file.read_bytes() for file in found.folder.iterdir()})
        assert contents[0] == contents[1] == contents[2]

    def test_activations_at_a_cut_are_divided_like_features(self, project, embeddings, tmp_path, monkeypatch):
        source = shutil.copytree(embeddings.folder, tmp_path / "source")
        facts = replace(embeddings.facts, cut=4, cut_shape=[1, 1, NUM_FEATURES], mirrored=True)
        for split in FOLD_SPLITS:
            for view in [*range(VIEWS + 1 if split == "train" else 1), MIRROR]:
                values, writer = (
                    make_features(split, view, np.arange(COUNTS[split])),
                    EmbeddingWriter(source, "float16"),
                )
                if view == MIRROR:
                    writer.write(split, view, [(values, np.zeros(len(values), int))])
                writer = writer.open_cut(split, view, NUM_FEATURES)
                writer.add(values, COUNTS[split])
                writer.close()
        monkeypatch.setattr(folds, "_MOST_NUMBERS", 2 * NUM_FEATURES)
        found = write_embeddings(tmp_path / "fold", Embeddings(facts, source), project.folds[0][1], VIEWS)
        assert (found.facts.cut, found.facts.cut_shape) == (4, [1, 1, NUM_FEATURES])
        for split, view in [("train", 0), ("train", 1), ("train", 2), ("train", MIRROR), ("val", 0), ("val", MIRROR)]:
            activations = found.activations(split, view)
            rows = np.arange(len(activations))
            np.testing.assert_array_equal(activations.take(rows), found.features(split, view).take(rows))


def test_a_fold_of_a_network_has_its_teachers_features_of_the_folds_own_images(
    project, embeddings, tmp_path, monkeypatch
):
    """So that what teaches has seen no image that is held out."""
    (tmp_path / "data/embeddings").mkdir(parents=True)
    (tmp_path / "data/tfrecords").symlink_to(project.folder / "data/tfrecords")
    (tmp_path / "data/embeddings/underfit").symlink_to(embeddings.folder)
    monkeypatch.chdir(tmp_path)
    settings = Crossval(families=[], folds=list(range(NUM_FOLDS)), seed=1, augment=True)
    with open_fold(Path("fold"), "underfit", load_dataset_facts(), settings, fold=1, source="mobilenet"):
        found, (_, origins) = load_embeddings("underfit", Path("fold/data/embeddings")), project.folds[1]
        for split in FOLD_SPLITS:
            assert read_all(found, split)[:, [0, 2]].tolist() == origins[split].tolist()
            assert found.labels(split).tolist() == read_labels(Path("fold"), split).tolist()
    with open_fold(Path("fold"), "underfit", load_dataset_facts(), settings, fold=1, source="underfit"):
        assert find_embeddings("underfit", Path("fold/data/embeddings")) is None
