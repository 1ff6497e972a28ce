import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import chi2

from pipeline.data.examination import NEAR_COLUMNS, load_examination
from pipeline.data.manifest import load_manifest, load_quarantine
from pipeline.data.near_duplicates import NUM_FEATURES
from pipeline.data.splits import load_splits
from pipeline.data.tfrecords import load_dataset_facts
from stages.download import download
from stages.examine import compare_splits, count_classes, examine, pair_up, read_images
from stages.preprocess import preprocess
from stages.prune import prune
from stages.split import split
from tests.tfrecords import make_noise, write_records

pytestmark = pytest.mark.usefixtures("one_core")

SIZE = 16
IMAGES = 4  # of each class and split
SPLITS = ("train", "val", "test")


def make_blobs(seed: int) -> np.ndarray:
    """A picture of its own, uint8 (48, 48, 3), from 60 to 150, so that it can be made brighter without clipping."""
    blobs = np.random.default_rng(seed).integers(60, 151, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(blobs).resize((48, 48), Image.Resampling.BILINEAR))


def save(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def draw_source(folder: Path, class_names: list[str]) -> Path:
    """IMAGES different pictures of each class in each of train, val and test."""
    places = [(part, label, i) for part in SPLITS for label in class_names for i in range(IMAGES)]
    for seed, (part, label, i) in enumerate(places):
        save(folder / part / label / f"{i}.png", make_blobs(seed))
    return folder


@pytest.fixture
def source(project, tmp_path):
    folder = draw_source(tmp_path / "pictures", ["cat", "dog", "NA"])
    project.set(
        families=["linear_svm"],
        data__source="folder",
        data__path=str(folder),
        preprocess__image_size=SIZE,
        preprocess__num_shards=3,
        preprocess__num_workers=1,
        examine__near_duplicate=0.95,
    )
    return folder


def prepare() -> None:
    """All stages before."""
    for stage in (download, prune, split, preprocess):
        stage()


def run():
    prepare()
    examine()
    return load_examination()


def measure(*pictures: np.ndarray) -> pd.DataFrame:
    """What is found of training images that are stored as they are."""
    write_records(class_names=["cat"], train=(np.stack(pictures), np.zeros(len(pictures), int)))
    images, _ = read_images(load_dataset_facts(), 1)
    return images


class TestImages:
    @pytest.mark.usefixtures("source")
    def test_every_image_that_is_used_has_a_row(self):
        images = run().images.sort_values("name", ignore_index=True)
        known = load_splits().merge(load_manifest()[["name", "width", "height", "mode"]], on="name")
        for column in ("name", "split", "label", "width", "height", "mode"):
            assert images[column].tolist() == known.sort_values("name")[column].tolist()
        assert len(images) == 3 * 3 * IMAGES

    def test_the_size_is_that_of_the_file_not_of_the_record(self, source):
        save(source / "train/cat/wide.png", np.tile(make_blobs(99), (1, 2, 1)))
        images = run().images.set_index("name")
        assert images.loc["train/cat/wide.png", ["width", "height"]].tolist() == [96, 48]

    @pytest.mark.parametrize(
        ("colour", "luma"), [((255, 0, 0), 76.245), ((0, 255, 0), 149.685), ((0, 0, 255), 29.07), ((10, 20, 30), 18.15)]
    )
    @pytest.mark.usefixtures("project")
    def test_brightness_is_the_mean_luma(self, colour, luma):
        # 0.299 red + 0.587 green + 0.114 blue
        row = measure(np.full((SIZE, SIZE, 3), colour, np.uint8)).iloc[0]
        assert (row["brightness"], row["contrast"]) == (pytest.approx(luma, abs=0.0051), 0)

    @pytest.mark.usefixtures("project")
    def test_contrast_is_the_distance_of_dark_and_light_without_the_outermost_pixels(self):
        halves, specks = np.zeros((2, SIZE, SIZE, 3), np.uint8)
        halves[:8] = 200
        specks[0, :5] = 200  # 5 of 256 pixels are less than 2 %
        images = measure(halves, specks)
        assert images["brightness"].tolist() == pytest.approx([100, 200 * 5 / 256], abs=0.01)
        assert images["contrast"].tolist() == pytest.approx([200, 0], abs=0.01)

    @pytest.mark.usefixtures("project")
    def test_one_image_a_class_is_enough(self):
        names, labels = [f"class {i}" for i in range(5)], np.arange(5)
        write_records(class_names=names, **{part: (make_noise(5, 8, seed=i), labels) for i, part in enumerate(SPLITS)})
        facts = load_dataset_facts()
        images, outlines = read_images(facts, 1)
        assert images.groupby(["split", "label"]).size().tolist() == [1] * 15
        assert outlines.shape == (15, NUM_FEATURES)
        assert compare_splits(facts.counts)["chi_squared"] == 0

    def test_more_shards_than_images_are_no_trouble(self, project, source):
        project.set(preprocess__num_shards=20)
        save(source / "test/cat/twin.png", make_blobs(0) + np.uint8(50))
        found = run()
        assert len(found.images) == 3 * 3 * IMAGES + 1
        assert found.images["brightness"].between(60, 201).all()
        assert found.near_duplicates["name"].tolist() == ["test/cat/twin.png"]


class TestNearDuplicates:
    @pytest.mark.usefixtures("source")
    def test_pictures_of_their_own_have_none(self):
        near = run().near_duplicates
        assert near.empty
        assert list(near.columns) == NEAR_COLUMNS

    def test_a_training_picture_that_was_made_brighter_is_found(self, source):
        save(source / "test/cat/brighter.png", make_blobs(0) + np.uint8(60))
        save(source / "val/cat/brighter.png", make_blobs(1) + np.uint8(90))
        near = run().near_duplicates.set_index("name")
        assert near["train_name"].to_dict() == {
            "test/cat/brighter.png": "train/cat/0.png",
            "val/cat/brighter.png": "train/cat/1.png",
        }
        assert near["split"].to_dict() == {"test/cat/brighter.png": "test", "val/cat/brighter.png": "val"}
        assert near["similarity"].between(0.95, 1).all()

    def test_both_labels_are_named_where_they_differ(self, source):
        save(source / "test/dog/brighter.png", make_blobs(0) + np.uint8(60))
        assert run().near_duplicates[["label", "train_label"]].to_numpy().tolist() == [["dog", "cat"]]

    def test_pairs_within_a_split_are_none_of_its_business(self, source):
        save(source / "train/cat/brighter.png", make_blobs(0) + np.uint8(60))
        save(source / "test/cat/brighter.png", make_blobs(24) + np.uint8(60))
        save(source / "val/cat/brighter.png", make_blobs(24) + np.uint8(90))
        assert (source / "test/cat/0.png").exists()
        assert run().near_duplicates.empty

    def test_how_similar_they_must_be_is_a_parameter(self, project, source):
        save(source / "test/cat/mixed.png", (make_blobs(0) * 0.6 + make_blobs(1000) * 0.4).astype(np.uint8))
        assert run().near_duplicates.empty
        project.set(examine__near_duplicate=0.7)
        examine()
        found = load_examination()
        assert found.near_duplicates["train_name"].tolist() == ["train/cat/0.png"]
        assert found.facts["near_duplicate"] == 0.7

    def test_the_most_similar_pair_comes_first_and_equals_by_name(self):
        images = pd.DataFrame(
            {"name": list("abcde"), "split": ["train", "val", "test", "test", "val"], "label": list("vwxyz")}
        )
        outlines = np.zeros((5, NUM_FEATURES), np.float16)
        outlines[:, 0] = 1
        outlines[1, 1] = 0.25
        near = pair_up(images, outlines, 0.5)
        assert near["name"].tolist() == ["c", "d", "e", "b"]
        assert near["similarity"].tolist() == [1, 1, 1, pytest.approx(1 / np.sqrt(1 + 1 / 16), abs=1e-4)]
        assert set(near["train_label"]) == {"v"}


class TestCounts:
    def counts(self, found) -> dict[str, dict[str, int]]:
        """Stage by stage."""
        return {
            str(stage): part.set_index("label")["images"].to_dict() for stage, part in found.classes.groupby("stage")
        }

    @pytest.mark.usefixtures("source")
    def test_they_are_of_what_was_found_and_kept_and_of_each_split(self):
        counts, each = self.counts(run()), dict.fromkeys(["NA", "cat", "dog"], IMAGES)
        whole = dict.fromkeys(["NA", "cat", "dog"], 3 * IMAGES)
        assert counts == {"found": whole, "kept": whole, "train": each, "val": each, "test": each}

    def test_what_cannot_be_used_was_found_but_not_kept(self, source):
        (source / "train/cat/broken.png").write_bytes(b"no picture")
        (source / "train/cat/notes.txt").write_bytes(b"meow")
        counts = self.counts(run())
        assert len(load_quarantine()) == 2
        assert counts["found"]["cat"] == 3 * IMAGES + 2
        assert counts["kept"]["cat"] == 3 * IMAGES

    @pytest.mark.usefixtures("source")
    def test_a_class_that_is_dropped_was_found_but_not_kept(self, project):
        project.set(prune__drop_classes=["dog"])
        counts = self.counts(run())
        assert counts["found"]["dog"] == 3 * IMAGES
        assert all("dog" not in counts[stage] for stage in ("kept", *SPLITS))

    @pytest.mark.usefixtures("source")
    def test_classes_that_are_merged_are_kept_under_their_new_name(self, project):
        project.set(prune__merge_classes={"pet": ["cat", "dog"]})
        counts = self.counts(run())
        assert counts["found"] == dict.fromkeys(["NA", "cat", "dog"], 3 * IMAGES)
        assert counts["kept"] == {"NA": 3 * IMAGES, "pet": 6 * IMAGES}

    def test_copies_are_kept_but_may_be_in_no_split(self, source):
        (source / "train/cat/copy.png").write_bytes((source / "test/cat/0.png").read_bytes())
        counts = self.counts(run())
        assert counts["kept"]["cat"] == 3 * IMAGES + 1
        assert (counts["train"]["cat"], counts["test"]["cat"]) == (IMAGES, IMAGES)

    def test_files_in_no_class_folder_count_for_no_class(self):
        index, manifest = pd.DataFrame({"label": ["cat", "", "dog"]}), pd.DataFrame({"label": ["cat", "dog"]})
        facts = {"counts": {part: {"cat": 1, "dog": 0} for part in SPLITS}}
        assert set(count_classes(index, manifest, facts)["label"]) == {"cat", "dog"}


COUNTS = {"train": {"cat": 50, "dog": 30}, "val": {"cat": 10, "dog": 10}, "test": {"cat": 5, "dog": 15}}


class TestSplits:
    def test_they_are_compared_by_pearsons_chi_squared_test(self):
        facts = compare_splits(COUNTS)
        # 65 of 120 images are cats: of 80 training images one expects 43.33, of 20 others 10.83
        cats, dogs = (80 * 65 / 120, 20 * 65 / 120, 20 * 65 / 120), (80 * 55 / 120, 20 * 55 / 120, 20 * 55 / 120)
        pairs = zip((50, 10, 5, 30, 10, 15), (*cats, *dogs), strict=True)
        statistic = sum((seen - expected) ** 2 / expected for seen, expected in pairs)
        assert facts["chi_squared"] == pytest.approx(statistic, abs=1e-4)
        assert facts["degrees_of_freedom"] == 2
        assert facts["p"] == pytest.approx(chi2.sf(statistic, 2), abs=1e-6)
        assert facts["least_expected"] == pytest.approx(min(dogs), abs=0.01)

    def test_the_order_of_the_classes_is_of_no_matter(self):
        turned = COUNTS | {"test": {"dog": 15, "cat": 5}}
        assert compare_splits(turned) == compare_splits(COUNTS)

    def test_equal_shares_are_as_alike_as_can_be(self):
        facts = compare_splits({part: {"cat": n, "dog": 2 * n} for part, n in zip(SPLITS, (80, 10, 10), strict=True)})
        assert (facts["chi_squared"], facts["p"]) == (0, 1)

    @pytest.mark.usefixtures("source")
    def test_what_is_found_goes_into_the_facts(self):
        found = run().facts
        assert found == compare_splits(load_dataset_facts().counts) | {"near_duplicate": 0.95}
        assert json.loads(Path("data/examination/facts.json").read_text()) == found


class TestFiles:
    def test_the_bytes_are_the_same_for_any_number_of_workers(self, project, source):
        save(source / "test/NA/brighter.png", make_blobs(0) + np.uint8(60))
        prepare()
        results = []
        for num_workers in (1, 2):
            project.set(preprocess__num_workers=num_workers)
            examine()
            results.append({file.name: file.read_bytes() for file in Path("data/examination").iterdir()})
        assert results[0] == results[1]
        assert sorted(results[0]) == ["classes.csv", "facts.json", "images.csv", "near_duplicates.csv"]

    def test_a_class_named_na_is_a_class_like_another(self, source):
        save(source / "test/NA/brighter.png", make_blobs(8) + np.uint8(60))
        found = run()
        assert (found.images["label"] == "NA").sum() == 3 * IMAGES + 1
        assert found.near_duplicates[["label", "train_name", "train_label"]].to_numpy().tolist() == [
            ["NA", "train/NA/0.png", "NA"]
        ]

    def test_it_says_what_it_has_found(self, source, capsys):
        save(source / "test/cat/brighter.png", make_blobs(0) + np.uint8(60))
        run()
        assert "37 images; 1 of val and test have nearly the same picture in train" in capsys.readouterr().out
