import contextlib
import logging
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.class_counts import compare_splits
from pipeline.data.examination import NEAR_COLUMNS, Examination, load_examination
from pipeline.data.manifest import load_manifest, load_quarantine
from pipeline.data.splits import load_splits
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.runtime.paths import CODE, EXAMINATION, MANIFEST, TFRECORDS
from stages.download import download
from stages.examine import examine
from stages.preprocess import preprocess
from stages.prune import prune
from stages.split import split
from tests.conftest import Project

pytestmark = pytest.mark.usefixtures("one_core")

SIZE = 16
IMAGES = 4  # per class and split
SPLITS = ("train", "val", "test")


def make_blobs(seed: int) -> np.ndarray:
    """An image like no other, uint8 (48, 48, 3), from 60 to 150, so that it can be made brighter without clipping."""
    blobs = np.random.default_rng(seed).integers(60, 151, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(blobs).resize((48, 48), Image.Resampling.BILINEAR))


def save(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def draw_source(folder: Path, class_names: list[str]) -> Path:
    """IMAGES different images of each class in each of train, val and test."""
    files = [(part, label, i) for part in SPLITS for label in class_names for i in range(IMAGES)]
    for seed, (part, label, i) in enumerate(files):
        save(folder / part / label / f"{i}.png", make_blobs(seed))
    return folder


def set_source(project: Project, pictures: Path) -> Path:
    """Draws the pictures, and makes them the project's."""
    project.set(
        families=["linear_svm"],
        data__source="folder",
        data__path=str(pictures),
        preprocess__image_size=SIZE,
        preprocess__num_shards=3,
        preprocess__num_workers=1,
        examine__near_duplicate=0.95,
        prune__max_loss=0.1,
    )
    return draw_source(pictures, ["cat", "dog", "NA"])


@pytest.fixture
def source(project, tmp_path) -> Path:
    """For one test, which may add pictures."""
    return set_source(project, tmp_path / "pictures")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project whose pictures are all different, examined once. Not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    set_source(Project(folder), tmp_path_factory.mktemp("source") / "pictures")
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.runtime.processes.num_cores", lambda: 1)
        run()
    return folder


@pytest.fixture
def examined(finished, monkeypatch) -> Examination:
    """What was found in it; the test is moved there."""
    monkeypatch.chdir(finished)
    return load_examination()


@pytest.fixture
def prepared(finished, project) -> Project:
    """A copy of it for one test, which may examine it again."""
    shutil.copytree(finished, project.folder, dirs_exist_ok=True)
    return project


def raise_interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def prepare() -> None:
    """Runs all earlier stages."""
    for stage in (download, prune, split, preprocess):
        stage()


def run() -> Examination:
    prepare()
    examine()
    return load_examination()


class TestPixels:
    def test_the_range_of_values_is_measured_before_and_after_resizing(self, examined):
        pixels = examined.pixels
        assert pixels[["split", "stage", "images"]].to_numpy().tolist() == [
            [split, stage, 3 * IMAGES] for split in SPLITS for stage in ("before", "after")
        ]
        before, after = (pixels[pixels["stage"] == stage] for stage in ("before", "after"))
        assert (before["least"].to_numpy() <= after["least"].to_numpy()).all()
        assert (before["greatest"].to_numpy() >= after["greatest"].to_numpy()).all()
        assert pixels["least"].between(60, 80).all()
        assert pixels["greatest"].between(130, 150).all()
        assert (pixels[["black", "white"]] == 0).all(axis=None)


class TestImages:
    def test_every_image_that_is_used_has_a_row(self, examined):
        images = examined.images.sort_values("name", ignore_index=True)
        known = load_splits().merge(load_manifest()[["name", "width", "height", "mode"]], on="name")
        for column in ("name", "split", "label", "width", "height", "mode"):
            assert images[column].tolist() == known.sort_values("name")[column].tolist()
        assert len(images) == 3 * 3 * IMAGES

    def test_width_and_height_are_those_of_the_file_not_of_the_record(self, source):
        save(source / "train/cat/wide.png", np.tile(make_blobs(99), (1, 2, 1)))
        images = run().images.set_index("name")
        assert images.loc["train/cat/wide.png", ["width", "height"]].tolist() == [96, 48]

    def test_more_shards_than_images_do_no_harm(self, project, source):
        project.set(preprocess__num_shards=20)
        save(source / "test/cat/twin.png", make_blobs(0) + np.uint8(50))
        found = run()
        assert len(found.images) == 3 * 3 * IMAGES + 1
        assert found.images["brightness"].between(60, 201).all()
        assert found.near_duplicates["name"].tolist() == ["test/cat/twin.png"]


class TestNearDuplicates:
    def test_different_images_have_none(self, examined):
        near = examined.near_duplicates
        assert near.empty
        assert list(near.columns) == NEAR_COLUMNS

    def test_brighter_copies_of_training_images_are_found_and_told(self, source, caplog):
        """One of them of a class that is named NA."""
        save(source / "test/cat/brighter.png", make_blobs(0) + np.uint8(60))
        save(source / "val/dog/brighter.png", make_blobs(1) + np.uint8(90))
        save(source / "test/NA/brighter.png", make_blobs(8) + np.uint8(60))
        caplog.set_level(logging.INFO)
        found = run()
        near = found.near_duplicates.set_index("name")
        assert near[["split", "label", "train_name", "train_label"]].T.to_dict("list") == {
            "test/cat/brighter.png": ["test", "cat", "train/cat/0.png", "cat"],
            "val/dog/brighter.png": ["val", "dog", "train/cat/1.png", "cat"],
            "test/NA/brighter.png": ["test", "NA", "train/NA/0.png", "NA"],
        }
        assert near["similarity"].between(0.95, 1).all()
        assert (found.images["label"] == "NA").sum() == 3 * IMAGES + 1
        assert caplog.messages[-1] == (
            "39 images; 3 of val and test are near copies of an image of train, 0 more are similar to one"
        )

    def test_the_similarity_from_which_images_count_is_a_parameter(self, project, source):
        save(source / "test/cat/mixed.png", (make_blobs(0) * 0.6 + make_blobs(1000) * 0.4).astype(np.uint8))
        assert run().near_duplicates.empty
        project.set(examine__near_duplicate=0.7)
        examine()
        found = load_examination()
        assert found.near_duplicates["train_name"].tolist() == ["train/cat/0.png"]
        assert found.facts.near_duplicate == 0.7


class TestCounts:
    def counts(self, found: Examination) -> dict[str, dict[str, int]]:
        """Stage to class to images."""
        return {
            str(stage): part.set_index("label")["images"].to_dict() for stage, part in found.classes.groupby("stage")
        }

    def test_are_those_of_the_source_after_pruning_and_of_each_split(self, examined):
        counts, each = self.counts(examined), dict.fromkeys(["NA", "cat", "dog"], IMAGES)
        total = dict.fromkeys(["NA", "cat", "dog"], 3 * IMAGES)
        assert counts == {"found": total, "kept": total, "train": each, "val": each, "test": each}

    def test_files_that_can_not_be_used_were_found_but_not_kept_and_copies_may_be_in_no_split(self, source):
        (source / "train/cat/broken.png").write_bytes(b"no picture")
        (source / "train/cat/notes.txt").write_bytes(b"meow")
        (source / "train/dog/copy.png").write_bytes((source / "test/dog/0.png").read_bytes())
        counts = self.counts(run())
        assert len(load_quarantine()) == 2
        assert counts["found"]["cat"] == 3 * IMAGES + 2
        assert counts["kept"]["cat"] == 3 * IMAGES
        assert counts["kept"]["dog"] == 3 * IMAGES + 1
        assert (counts["train"]["dog"], counts["test"]["dog"]) == (IMAGES, IMAGES)

    @pytest.mark.usefixtures("source")
    def test_a_dropped_class_was_found_but_not_kept(self, project):
        project.set(prune__drop_classes=["dog"])
        counts = self.counts(run())
        assert counts["found"]["dog"] == 3 * IMAGES
        assert all("dog" not in counts[stage] for stage in ("kept", *SPLITS))

    @pytest.mark.usefixtures("source")
    def test_merged_classes_are_kept_under_their_new_name(self, project):
        project.set(prune__merge_classes={"pet": ["cat", "dog"]})
        counts = self.counts(run())
        assert counts["found"] == dict.fromkeys(["NA", "cat", "dog"], 3 * IMAGES)
        assert counts["kept"] == {"NA": 3 * IMAGES, "pet": 6 * IMAGES}


class TestFiles:
    def test_the_facts_say_whether_the_splits_are_homogeneous(self, examined):
        found = examined.facts
        assert asdict(found) == asdict(compare_splits(load_dataset_facts().counts)) | {"near_duplicate": 0.95}

    def test_their_bytes_do_not_depend_on_the_number_of_workers(self, prepared):
        prepared.set(examine__near_duplicate=0.3)  # so that there are some
        results = []
        for num_workers in (1, 2):
            prepared.set(preprocess__num_workers=num_workers)
            examine()
            results.append({file.name: file.read_bytes() for file in Path("data/examination").iterdir()})
        assert not load_examination().near_duplicates.empty
        assert results[0] == results[1]
        assert sorted(results[0]) == [
            *("classes.csv", "facts.json", "faults.csv", "images.csv", "near_duplicates.csv", "pixels.csv")
        ]


class TestKilled:
    @pytest.fixture
    def killed(self, prepared, monkeypatch) -> Project:
        """Examined as by DVC, and killed when all was measured."""
        monkeypatch.setenv("DVC_STAGE", "examine")
        CODE.mkdir(parents=True)
        (CODE / "examine.json").write_text("{}")
        shutil.rmtree(EXAMINATION)  # as DVC does first
        with monkeypatch.context() as patch:
            patch.setattr("stages.examine.find_near_duplicates", raise_interrupt)
            with pytest.raises(KeyboardInterrupt):
                examine()
        assert not EXAMINATION.exists()
        return prepared

    def test_nothing_is_measured_twice_and_the_bytes_are_the_same(self, killed, finished, monkeypatch):
        for name in ("image_statistics._measure_part", "pixel_values._measure"):
            monkeypatch.setattr(f"pipeline.data.{name}", raise_interrupt)
        examine()
        for file in (finished / EXAMINATION).iterdir():
            assert (EXAMINATION / file.name).read_bytes() == file.read_bytes()
        assert not [name for name in killed.files() if name.endswith(".partial")]

    @pytest.mark.usefixtures("killed")
    @pytest.mark.parametrize("changed", [CODE / "examine.json", MANIFEST, TFRECORDS / "val-00000-of-00003.tfrecord"])
    def test_after_a_change_all_is_measured_anew(self, monkeypatch, changed):
        changed.write_bytes(changed.read_bytes() + b"\n")
        monkeypatch.setattr("pipeline.data.image_statistics._measure_part", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            examine()
