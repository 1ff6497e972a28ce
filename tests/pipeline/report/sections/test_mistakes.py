import base64
import hashlib
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.data.examination import NEAR_COLUMNS
from pipeline.data.manifest import MANIFEST_COLUMNS, save_table
from pipeline.data.raw import load_index, save_raw
from pipeline.report.sections.mistakes import (
    LABEL_COLUMNS,
    describe_doubts,
    describe_heat_maps,
    describe_mistakes,
    describe_pairs,
    find_label_issues,
    make_card,
    measure_without,
    open_album,
)
from pipeline.runtime.paths import MANIFEST
from pipeline.sources import RawImage
from tests.results import guess, make_probabilities, make_results, tabulate

NAMES = ["cat", "dog", "emu"]
CAT, DOG, EMU = range(3)


def album(name: str) -> np.ndarray:
    """Of each picture its own shade."""
    return np.full((8, 8, 3), int(hashlib.sha256(name.encode()).hexdigest()[:2], 16), np.uint8)


def decode(picture: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))))


def result_of(*guesses: tuple[int, int, float], names: list[str] = NAMES, **changes):
    """guesses: (label, predicted, confidence) of each image."""
    labels, predicted, confidence = (np.array(column) for column in zip(*guesses, strict=True))
    return make_results(names, (labels, make_probabilities(predicted, len(names), confidence)), **changes)


def numbers(cards) -> list[int]:
    """Which images a gallery shows."""
    return [int(card["name"].rpartition("/")[2].removesuffix(".png")) for card in cards]


class TestCard:
    def test_it_says_what_was_made_of_a_picture(self):
        row = result_of((CAT, DOG, 0.7)).predictions.iloc[0]
        card = make_card(row, album, family="one")
        assert abs(decode(card.pop("picture")).astype(int) - album("test/cat/0.png")).max() <= 2
        assert card.pop("true_confidence") == pytest.approx(0.15)
        assert card == {
            "name": "test/cat/0.png",
            "label": "cat",
            "predicted": "dog",
            "confidence": 0.7,
            "hit": False,
            "family": "one",
        }

    def test_a_picture_is_found_in_the_raw_bytes_by_its_name(self, tmp_path, monkeypatch, make_image_bytes):
        monkeypatch.chdir(tmp_path)
        data = {f"NA/{i}.png": make_image_bytes((50 * i,) * 3, size=(40, 20)) for i in range(4)}
        save_raw((RawImage(name, "NA", "", one) for name, one in data.items()), {"source": "folder"})
        table = load_index().assign(image_id="0" * 64, width=40, height=20, mode="RGB")
        save_table(table[MANIFEST_COLUMNS], MANIFEST)
        pictures = open_album("letterbox")
        for shade in (3, 0, 2):
            picture = pictures(f"NA/{shade}.png")
            assert picture.shape == (120, 120, 3)
            assert picture[60, 60].tolist() == [50 * shade] * 3
        assert pictures("NA/3.png")[0, 0].tolist() == [0, 0, 0]


class TestPairs:
    def test_what_is_confused_most_often_comes_first(self):
        result = result_of(
            *[(CAT, DOG, 0.9)] * 3, *[(DOG, CAT, 0.9)] * 5, *[(EMU, CAT, 0.9)] * 2, *[(CAT, CAT, 0.9)] * 7
        )
        pairs = describe_pairs(result, album)
        assert [(pair["label"], pair["predicted"], pair["images"]) for pair in pairs] == [
            ("dog", "cat", 5), ("cat", "dog", 3), ("emu", "cat", 2),
        ]  # fmt: skip
        assert [pair["share"] for pair in pairs] == [1, 0.3, 1]

    def test_of_as_many_the_larger_share_comes_first(self):
        result = result_of(*[(CAT, DOG, 0.9)] * 2, *[(CAT, CAT, 0.9)] * 6, *[(EMU, DOG, 0.9)] * 2)
        assert [pair["label"] for pair in describe_pairs(result, album)] == ["emu", "cat"]

    def test_each_pair_has_its_most_confident_pictures(self):
        result = result_of(*[(CAT, DOG, 0.5 + i / 100) for i in range(10)], (DOG, DOG, 0.99), (CAT, EMU, 0.99))
        first = describe_pairs(result, album)[0]["cards"]
        assert numbers(first) == [9, 8, 7, 6, 5, 4]
        assert {(card["label"], card["predicted"], card["hit"]) for card in first} == {("cat", "dog", False)}

    def test_there_are_four_at_most(self):
        result = result_of(*[(a, b, 0.9) for a in range(3) for b in range(3)])
        assert len(describe_pairs(result, album)) == 4

    def test_without_mistakes_there_is_none(self):
        assert describe_pairs(result_of((CAT, CAT, 0.9), (DOG, DOG, 0.9)), album) == []


class TestGalleries:
    def test_mistakes_are_the_surest_and_hits_the_least_sure(self):
        mistakes = [(CAT, DOG, 0.4 + i / 100) for i in range(20)]
        hits = [(CAT, CAT, 0.4 + i / 100) for i in range(20)]
        said = describe_mistakes("one", {"one": result_of(*mistakes, *hits)}, ["one"], NAMES, album)
        assert numbers(said["confident_mistakes"]) == list(range(19, 11, -1))
        assert numbers(said["unsure_hits"]) == list(range(20, 28))
        assert said["num_mistakes"] == 20

    def test_without_mistakes_there_are_hits_alone(self):
        said = describe_mistakes("one", {"one": result_of((CAT, CAT, 0.9))}, ["one"], NAMES, album)
        assert (said["pairs"], said["confident_mistakes"], said["num_mistakes"]) == ([], [], 0)
        assert len(said["unsure_hits"]) == 1

    def test_without_hits_there_are_mistakes_alone(self):
        said = describe_mistakes("one", {"one": result_of((CAT, DOG, 0.9))}, ["one"], NAMES, album)
        assert said["unsure_hits"] == []
        assert (len(said["confident_mistakes"]), said["num_mistakes"]) == (1, 1)

    def test_every_family_has_its_matrix_the_chosen_one_first(self):
        results = dict.fromkeys(["best on test", "chosen", "last"], result_of((CAT, DOG, 0.9), (DOG, DOG, 0.9)))
        said = describe_mistakes("chosen", results, list(results), NAMES, album)
        assert list(said["confusions"]) == ["chosen", "best on test", "last"]

    @pytest.mark.parametrize(("num_classes", "shown"), [(25, 2), (26, 1)])
    def test_of_many_classes_only_the_chosen_family_has_one(self, num_classes, shown):
        names = [f"class {i}" for i in range(num_classes)]
        results = dict.fromkeys(["chosen", "other"], result_of((0, 1, 0.9), (1, 1, 0.9), names=names))
        assert len(describe_mistakes("chosen", results, list(results), names, album)["confusions"]) == shown


class TestHeatMaps:
    MISTAKES = ((CAT, DOG, 0.6), (CAT, CAT, 0.99), (DOG, EMU, 0.9), (EMU, CAT, 0.7))
    HEAT = np.zeros((3, 2, 2), np.float16)

    def test_they_stand_beside_the_mistakes_that_they_are_of(self):
        heat = self.HEAT.copy()
        heat[1] = 1  # of the second most confident mistake
        cards = describe_heat_maps("one", {"one": result_of(*self.MISTAKES, heat_maps=heat)}, ["one"], album)
        assert numbers(cards) == [2, 3, 0]
        redness = [float(np.ptp(decode(card["heat"])[4, 4].astype(int))) for card in cards]
        assert redness[1] > 100
        assert max(redness[0], redness[2]) < 10

    def test_where_the_chosen_family_has_none_the_best_that_has_is_shown(self):
        results = {name: result_of(*self.MISTAKES) for name in ("chosen", "first")}
        results["second"] = result_of(*self.MISTAKES, heat_maps=self.HEAT)
        cards = describe_heat_maps("chosen", results, ["first", "second", "chosen"], album)
        assert {card["family"] for card in cards} == {"second"}

    def test_the_chosen_familys_own_come_before_those_of_a_better_one(self):
        results = {name: result_of(*self.MISTAKES, heat_maps=self.HEAT) for name in ("best", "chosen")}
        assert {card["family"] for card in describe_heat_maps("chosen", results, ["best", "chosen"], album)} == {
            "chosen"
        }

    def test_where_no_family_has_any_none_is_shown(self):
        assert describe_heat_maps("one", {"one": result_of(*self.MISTAKES)}, ["one"], album) == []

    def test_no_more_are_shown_than_there_are_mistakes_with_one(self):
        result = result_of(*[(CAT, DOG, 0.9)] * 20, heat_maps=np.zeros((12, 2, 2), np.float16))
        assert len(describe_heat_maps("one", {"one": result}, ["one"], album)) == 8


class TestLabelIssues:
    """A family that knows its classes well, and data in which the test has turned some labels."""

    def flipped(self, num_classes: int, rows: list[int], count: int = 120, names: list[str] = NAMES):
        truth = np.arange(count) % num_classes
        labels = truth.copy()
        labels[rows] = (truth[rows] + 1) % num_classes
        confidence = np.random.default_rng(0).uniform(0.85, 0.95, count)
        confidence[rows] = np.linspace(0.96, 0.99, len(rows))
        return labels, make_probabilities(truth, len(names), confidence)

    def test_labels_that_were_turned_are_found_in_test_and_val(self):
        issues = find_label_issues(make_results(NAMES, self.flipped(3, [4, 50, 77]), self.flipped(3, [9, 100])))
        found = {split: sorted(numbers(part.to_dict("records"))) for split, part in issues.groupby("split")}
        assert found == {"test": [4, 50, 77], "val": [9, 100]}
        assert list(issues.columns) == LABEL_COLUMNS

    def test_each_says_what_it_is_called_and_what_it_should_be(self):
        labels, probabilities = self.flipped(3, [30])
        row = find_label_issues(make_results(NAMES, (labels, probabilities), self.flipped(3, []))).iloc[0]
        assert (row["name"], row["label"], row["suggested"]) == ("test/dog/30.png", "dog", "cat")
        assert row["label_probability"] == pytest.approx(probabilities[30, DOG], abs=1e-6)
        assert row["suggested_probability"] == pytest.approx(probabilities[30, CAT], abs=1e-6)

    def test_the_least_probable_label_comes_first(self):
        issues = find_label_issues(make_results(NAMES, self.flipped(3, [4, 50, 77, 90]), self.flipped(3, [9, 100])))
        assert issues["label_probability"].is_monotonic_increasing
        assert issues.index.tolist() == list(range(6))

    def test_sound_labels_are_not_suspected(self):
        issues = find_label_issues(make_results(NAMES, self.flipped(3, [])))
        assert issues.empty
        assert list(issues.columns) == LABEL_COLUMNS

    def test_two_classes_are_enough(self):
        names = ["cat", "NA"]
        issues = find_label_issues(make_results(names, self.flipped(2, [4, 51], names=names)))
        assert sorted(numbers(issues[issues["split"] == "test"].to_dict("records"))) == [4, 51]
        assert set(issues["label"]) == {"cat", "NA"}

    def test_a_class_without_images_is_no_trouble(self):
        issues = find_label_issues(make_results(NAMES, self.flipped(2, [4, 51]), self.flipped(3, [7])))
        found = {split: sorted(numbers(part.to_dict("records"))) for split, part in issues.groupby("split")}
        assert found == {"test": [4, 51], "val": [7]}

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_a_handful_of_images_is_no_trouble(self, count):
        assert list(find_label_issues(make_results(NAMES, self.flipped(3, [], count=count))).columns) == LABEL_COLUMNS


class TestDoubts:
    def test_accuracy_is_measured_without_what_is_doubtful(self):
        labels = np.array([CAT] * 10)
        predictions = tabulate("test", labels, make_probabilities([CAT] * 6 + [DOG] * 4, 3), NAMES)
        names = predictions["name"].tolist()
        # of the near duplicates two of three are hits; of the suspects none; one image is both
        twins, suspects = {names[0], names[1], names[9]}, {names[8], names[9]}
        assert measure_without(predictions, suspects, twins) == {
            "all": 0.6,
            "without_near": pytest.approx(4 / 7),
            "without_issues": pytest.approx(6 / 8),
            "without_both": pytest.approx(4 / 6),
        }

    def test_of_no_image_there_is_no_accuracy(self):
        predictions = result_of((CAT, CAT, 0.9), (CAT, DOG, 0.9)).predictions
        first, second = predictions["name"]
        assert measure_without(predictions, {first}, {second}) == {
            "all": 0.5, "without_near": 1, "without_issues": 0, "without_both": None,
        }  # fmt: skip

    def test_names_of_other_splits_take_nothing_away(self):
        predictions = result_of((CAT, CAT, 0.9), (CAT, DOG, 0.9)).predictions
        without = measure_without(predictions, {"val/cat/0.png"}, {"val/cat/1.png"})
        assert set(without.values()) == {0.5}

    def make_issues(self, *names: tuple[str, str]) -> pd.DataFrame:
        rows = [(name, split, "cat", "dog", 0.1, 0.9) for name, split in names]
        return pd.DataFrame(rows, columns=LABEL_COLUMNS)

    def test_they_are_counted_by_split_and_shown_with_pictures(self):
        issues = self.make_issues(("test/cat/0.png", "test"), *[(f"val/cat/{i}.png", "val") for i in range(10)])
        near = pd.DataFrame(
            [
                ("test/cat/1.png", "test", "cat", "train/cat/7.png", "cat", 0.99),
                ("val/cat/3.png", "val", "cat", "train/dog/7.png", "dog", 0.97),
            ],
            columns=NEAR_COLUMNS,
        )
        result = result_of((CAT, DOG, 0.9), (CAT, CAT, 0.9), (CAT, CAT, 0.9))
        said = describe_doubts(issues, near, {"one": result}, ["one"], album)
        assert said["num_issues"] == {"test": 1, "val": 10}
        assert said["num_near"] == {"test": 1, "val": 1}
        assert said["num_near_other_label"] == 1
        assert len(said["issues"]) == 8
        assert said["without"] == [
            {"family": "one", "all": pytest.approx(2 / 3), "without_near": 0.5, "without_issues": 1, "without_both": 1}
        ]

    def test_near_duplicates_stand_side_by_side(self):
        near = pd.DataFrame([("test/a.png", "test", "cat", "train/b.png", "cat", 0.99)], columns=NEAR_COLUMNS)
        said = describe_doubts(self.make_issues(), near, {}, [], album)
        pair = decode(said["near"][0]["picture"]).astype(int)
        assert pair.shape == (8, 16, 3)
        assert abs(pair[:, :8] - album("test/a.png")).max() <= 2
        assert abs(pair[:, 8:] - album("train/b.png")).max() <= 2

    def test_where_nothing_is_doubtful_nothing_is_shown(self):
        said = describe_doubts(self.make_issues(), pd.DataFrame(columns=NEAR_COLUMNS), {}, [], album)
        assert (said["issues"], said["near"], said["num_near_other_label"]) == ([], [], 0)


def test_a_good_family_is_not_made_worse_by_its_own_suspects():
    """What the note on the page says: without suspected labels flatters."""
    labels = np.arange(150) % 3
    result = make_results(NAMES, (labels, guess(labels, 3, wrong=0.1, confidence=0.95)))
    suspects = set(find_label_issues(result).query("split == 'test'")["name"])
    without = measure_without(result.predictions, suspects, set())
    assert suspects
    assert without["without_issues"] >= without["all"]
