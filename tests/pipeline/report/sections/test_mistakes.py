import numpy as np
import pytest

from pipeline.report.sections.mistakes import describe_heat_maps, describe_mistakes, describe_pairs, describe_strips
from tests.pipeline.report.pictures import CAT, DOG, EMU, NAMES, album, decode, get_numbers, make_result


class TestPairs:
    def test_what_is_confused_most_often_comes_first(self):
        result = make_result(
            *[(CAT, DOG, 0.9)] * 3, *[(DOG, CAT, 0.9)] * 5, *[(EMU, CAT, 0.9)] * 2, *[(CAT, CAT, 0.9)] * 7
        )
        pairs = describe_pairs(result, album)
        assert [(pair["label"], pair["predicted"], pair["images"]) for pair in pairs] == [
            ("dog", "cat", 5), ("cat", "dog", 3), ("emu", "cat", 2),
        ]  # fmt: skip
        assert [pair["share"] for pair in pairs] == [1, 0.3, 1]

    def test_of_equal_counts_the_larger_share_comes_first(self):
        result = make_result(*[(CAT, DOG, 0.9)] * 2, *[(CAT, CAT, 0.9)] * 6, *[(EMU, DOG, 0.9)] * 2)
        assert [pair["label"] for pair in describe_pairs(result, album)] == ["emu", "cat"]

    def test_each_pair_has_its_most_confident_pictures(self):
        result = make_result(*[(CAT, DOG, 0.5 + i / 100) for i in range(10)], (DOG, DOG, 0.99), (CAT, EMU, 0.99))
        first = describe_pairs(result, album)[0]["cards"]
        assert get_numbers(first) == [9, 8, 7, 6, 5, 4]
        assert {(card["label"], card["predicted"], card["hit"]) for card in first} == {("cat", "dog", False)}

    def test_there_are_four_at_most(self):
        result = make_result(*[(a, b, 0.9) for a in range(3) for b in range(3)])
        assert len(describe_pairs(result, album)) == 4

    def test_without_mistakes_there_is_none(self):
        assert describe_pairs(make_result((CAT, CAT, 0.9), (DOG, DOG, 0.9)), album) == []


class TestStrips:
    def test_each_pair_has_one_picture_of_its_most_confident_mistakes(self):
        result = make_result(*[(CAT, DOG, 0.5 + i / 100) for i in range(10)], (DOG, CAT, 0.9), (DOG, DOG, 0.9))
        first, second = describe_strips(result, album)
        assert (first["label"], first["predicted"], first["images"]) == ("cat", "dog", 10)
        assert first["names"] == [f"test/cat/{number}.png" for number in (9, 8, 7, 6, 5, 4)]
        assert first["confidences"] == [0.59, 0.58, 0.57, 0.56, 0.55, 0.54]
        assert decode(first["strip"]).shape == (64, 6 * 64, 3)
        assert (second["width"], decode(second["strip"]).shape[1]) == (64, 64)

    def test_every_family_but_the_chosen_one_has_them_also_one_without_mistakes(self):
        results = {
            "chosen": make_result((CAT, DOG, 0.9)),
            "wrong": make_result((CAT, DOG, 0.9)),
            "right": make_result((CAT, CAT, 0.9)),
        }
        said = describe_mistakes("chosen", results, ["right", "chosen", "wrong"], NAMES, album)
        assert {family: len(pairs) for family, pairs in said["other_pairs"].items()} == {"right": 0, "wrong": 1}


class TestGalleries:
    def test_mistakes_are_the_most_confident_and_correct_predictions_the_least_confident(self):
        mistakes = [(CAT, DOG, 0.4 + i / 100) for i in range(20)]
        hits = [(CAT, CAT, 0.4 + i / 100) for i in range(20)]
        said = describe_mistakes("one", {"one": make_result(*mistakes, *hits)}, ["one"], NAMES, album)
        assert get_numbers(said["confident_mistakes"]) == list(range(19, 11, -1))
        assert get_numbers(said["unsure_hits"]) == list(range(20, 28))
        assert said["num_mistakes"] == 20

    def test_without_mistakes_there_are_correct_predictions_only(self):
        said = describe_mistakes("one", {"one": make_result((CAT, CAT, 0.9))}, ["one"], NAMES, album)
        assert (said["pairs"], said["confident_mistakes"], said["num_mistakes"]) == ([], [], 0)
        assert len(said["unsure_hits"]) == 1

    def test_without_correct_predictions_there_are_mistakes_only(self):
        said = describe_mistakes("one", {"one": make_result((CAT, DOG, 0.9))}, ["one"], NAMES, album)
        assert said["unsure_hits"] == []
        assert (len(said["confident_mistakes"]), said["num_mistakes"]) == (1, 1)

    def test_every_family_has_its_matrix_the_chosen_one_first(self):
        results = dict.fromkeys(["best on test", "chosen", "last"], make_result((CAT, DOG, 0.9), (DOG, DOG, 0.9)))
        said = describe_mistakes("chosen", results, list(results), NAMES, album)
        assert list(said["confusions"]) == ["chosen", "best on test", "last"]

    @pytest.mark.parametrize(("num_classes", "shown"), [(25, 2), (26, 1)])
    def test_of_many_classes_only_the_chosen_family_has_one(self, num_classes, shown):
        names = [f"class {i}" for i in range(num_classes)]
        results = dict.fromkeys(["chosen", "other"], make_result((0, 1, 0.9), (1, 1, 0.9), names=names))
        assert len(describe_mistakes("chosen", results, list(results), names, album)["confusions"]) == shown


class TestHeatMaps:
    MISTAKES = ((CAT, DOG, 0.6), (CAT, CAT, 0.99), (DOG, EMU, 0.9), (EMU, CAT, 0.7))
    HEAT = np.zeros((3, 2, 2), np.float16)

    def test_each_is_on_the_card_of_its_own_mistake(self):
        heat = self.HEAT.copy()
        heat[1] = 1  # of the second most confident mistake
        cards = describe_heat_maps("one", {"one": make_result(*self.MISTAKES, heat_maps=heat)}, ["one"], album)
        assert get_numbers(cards) == [2, 3, 0]
        redness = [float(np.ptp(decode(card["heat"])[4, 4].astype(int))) for card in cards]
        assert redness[1] > 100
        assert max(redness[0], redness[2]) < 10

    def test_where_the_chosen_family_has_none_the_best_that_has_is_shown(self):
        results = {name: make_result(*self.MISTAKES) for name in ("chosen", "first")}
        results["second"] = make_result(*self.MISTAKES, heat_maps=self.HEAT)
        cards = describe_heat_maps("chosen", results, ["first", "second", "chosen"], album)
        assert {card["family"] for card in cards} == {"second"}

    def test_those_of_the_chosen_family_come_before_those_of_a_better_one(self):
        results = {name: make_result(*self.MISTAKES, heat_maps=self.HEAT) for name in ("best", "chosen")}
        assert {card["family"] for card in describe_heat_maps("chosen", results, ["best", "chosen"], album)} == {
            "chosen"
        }

    def test_where_no_family_has_any_none_is_shown(self):
        assert describe_heat_maps("one", {"one": make_result(*self.MISTAKES)}, ["one"], album) == []

    def test_no_more_are_shown_than_there_are_mistakes_with_one(self):
        result = make_result(*[(CAT, DOG, 0.9)] * 20, heat_maps=np.zeros((12, 2, 2), np.float16))
        assert len(describe_heat_maps("one", {"one": result}, ["one"], album)) == 8
