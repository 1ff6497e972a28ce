import copy
import math
from typing import Any

import pytest

from pipeline.config.search_space import Choices, Range, list_points, parse_space, remove_parameters, set_parameters
from pipeline.runtime.errors import PipelineError

NAME = "train.dropout"
CONTENT: dict[str, Any] = {
    "train": {"dropout": None, "augment": {"flip": None, "zoom": 0.1}},
    "recipes": {"underfit": {"dropout": 0.0}},
}


def parse(leaf: Any) -> Any:
    """The dimension of one parameter."""
    (dimension,) = parse_space({"train": {"dropout": leaf}})
    assert dimension.name == NAME
    return dimension


def refusal(leaf: Any) -> str:
    """Without its beginning, which names the parameter."""
    with pytest.raises(PipelineError) as caught:
        parse(leaf)
    name, _, line = str(caught.value).partition(": ")
    assert name == f"search.space.{NAME}"
    assert "\n" not in line
    return line


class TestParsing:
    def test_names_are_paths_in_the_order_of_the_file(self):
        space = {
            "train": {"learning_rate": [0.1], "augment": {"zoom": {"low": 0.0, "high": 0.2}, "flip": ["none"]}},
            "recipes": {"underfit": {"l2": [0.0, 0.1]}, "searched_cnn": {"blocks": {"low": 1, "high": 5}}},
        }
        assert [dimension.name for dimension in parse_space(space)] == [
            "train.learning_rate",
            "train.augment.zoom",
            "train.augment.flip",
            "recipes.underfit.l2",
            "recipes.searched_cnn.blocks",
        ]

    @pytest.mark.parametrize("space", [{}, {"train": {}}, {"train": {"augment": {}}, "recipes": {}}])
    def test_nothing_gives_no_dimensions(self, space):
        assert parse_space(space) == []

    @pytest.mark.parametrize("values", [[0.1, 0.2], [3], ["adam", "rmsprop"], [None, 1, 5], [True, False], ["a", 1]])
    def test_a_list_holds_choices(self, values):
        assert parse(values) == Choices(NAME, tuple(values))

    @pytest.mark.parametrize(
        ("leaf", "expected"),
        [
            ({"low": 0.1, "high": 0.5}, Range(NAME, 0.1, 0.5, log=False, step=None, whole=False)),
            ({"low": 1e-4, "high": 0.01, "log": True}, Range(NAME, 1e-4, 0.01, log=True, step=None, whole=False)),
            ({"low": 0.0, "high": 0.9, "step": 0.1}, Range(NAME, 0.0, 0.9, log=False, step=0.1, whole=False)),
            ({"low": 0, "high": 0.9}, Range(NAME, 0, 0.9, log=False, step=None, whole=False)),
            ({"low": 1, "high": 5}, Range(NAME, 1, 5, log=False, step=1, whole=True)),
            ({"low": 32, "high": 256, "step": 32}, Range(NAME, 32, 256, log=False, step=32, whole=True)),
            ({"low": 1, "high": 100, "log": True}, Range(NAME, 1, 100, log=True, step=None, whole=True)),
            ({"low": 1, "high": 2, "step": 0.5}, Range(NAME, 1, 2, log=False, step=0.5, whole=False)),
            ({"low": 0.1, "high": 0.5, "log": False}, Range(NAME, 0.1, 0.5, log=False, step=None, whole=False)),
            ({"low": 0.1, "high": 0.5, "step": None}, Range(NAME, 0.1, 0.5, log=False, step=None, whole=False)),
        ],
    )
    def test_low_and_high_are_a_range_of_integers_if_all_its_numbers_are(self, leaf, expected):
        assert parse(leaf) == expected

    def test_an_exponent_that_yaml_reads_as_text_is_a_number(self):
        assert parse({"low": "1e-4", "high": "1e-2", "log": True}) == parse({"low": 1e-4, "high": 1e-2, "log": True})


class TestRefusals:
    @pytest.mark.parametrize("low", [0.5, 0.7])
    def test_a_range_upside_down_or_of_one_value(self, low):
        assert refusal({"low": low, "high": 0.5}) == f"expected low below high, received low {low} and high 0.5"

    @pytest.mark.parametrize("low", [0, 0.0, -1.0])
    def test_a_logarithm_of_zero_or_less(self, low):
        expected = f"expected low above 0, as log is true, received {low}"
        assert refusal({"low": low, "high": 0.5, "log": True}) == expected

    def test_a_logarithm_in_steps(self):
        expected = "expected log: true or step, not both, received step 0.1"
        assert refusal({"low": 0.1, "high": 0.5, "log": True, "step": 0.1}) == expected

    @pytest.mark.parametrize("step", [0.5, 7])
    def test_a_step_beyond_the_range(self, step):
        expected = f"expected a step of at most high - low, received step {step} from 0.1 to 0.5"
        assert refusal({"low": 0.1, "high": 0.5, "step": step}) == expected

    @pytest.mark.parametrize("step", [0.0, -0.1])
    def test_a_step_that_leads_nowhere(self, step):
        assert refusal({"low": 0.1, "high": 0.5, "step": step}).startswith(
            "expected numbers low and high, and optionally"
        )

    @pytest.mark.parametrize("step", [0, -1])
    def test_an_integer_step_too(self, step):
        assert f"'step': {step}" in refusal({"low": 1, "high": 9, "step": step})

    def test_the_line_says_what_is_wrong_with_a_step(self):
        assert "greater than 0" in refusal({"low": 0.1, "high": 0.5, "step": 0.0})

    @pytest.mark.parametrize(
        ("leaf", "part"),
        [
            ({"low": 0.1}, "high: Field required"),
            ({"high": 0.5}, "low: Field required"),
            ({"low": 0.1, "high": None}, "high: "),
            ({"low": True, "high": 2}, "low: "),
            ({"low": 0.1, "high": "much"}, "high: "),
            ({"low": [0.1], "high": 0.5}, "low: "),
            ({"low": math.nan, "high": 0.5}, "low: "),
            ({"low": 0.1, "high": math.inf}, "high: "),
            ({"low": 0.1, "high": 0.5, "log": "yes"}, "log: "),
            ({"low": 0.1, "high": 0.5, "steps": 0.1}, "steps: "),
        ],
    )
    def test_a_range_of_anything_else_with_what_it_has(self, leaf, part):
        line = refusal(leaf)
        assert line.startswith("expected numbers low and high, and optionally log: true or step, received {")
        assert f"({part}" in line

    @pytest.mark.parametrize("leaf", [0.5, "adam", None, True])
    def test_a_value_alone(self, leaf):
        expected = f"expected a list of choices, or low and high, as in {{low: 0.1, high: 0.5}}, received {leaf!r}"
        assert refusal(leaf) == expected

    def test_a_section_that_is_none(self):
        with pytest.raises(PipelineError, match=r"^search.space.train: expected a list of choices, or low and high"):
            parse_space({"train": 3})

    def test_a_list_of_nothing(self):
        assert refusal([]) == "expected one choice or more, received an empty list"

    @pytest.mark.parametrize("odd", [[0.2], {"low": 0.1}, (1,)])
    def test_choices_that_are_no_single_values(self, odd):
        expected = f"expected numbers, words, true, false or null as choices, received {odd!r}"
        assert refusal([0.1, odd]) == expected

    @pytest.mark.parametrize("values", [[0.1, 0.2, 0.1], ["a", "a"], [None, None], [1, 1.0]])
    def test_a_choice_listed_twice(self, values):
        assert refusal(values) == f"expected each choice once, received {values[-1]!r} twice"


class TestRange:
    @pytest.mark.parametrize(
        ("leaf", "values"),
        [
            ({"low": 1, "high": 4}, (1, 2, 3, 4)),
            ({"low": 32, "high": 128, "step": 32}, (32, 64, 96, 128)),
            ({"low": 1, "high": 9, "step": 3}, (1, 4, 7)),
            ({"low": 0.0, "high": 0.9, "step": 0.1}, (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
            ({"low": 0.1, "high": 0.35, "step": 0.1}, (0.1, 0.2, 0.3)),
            ({"low": -1, "high": 1}, (-1, 0, 1)),
        ],
    )
    def test_steps_can_be_listed(self, leaf, values):
        found = parse(leaf).values
        assert found == values
        assert [type(value) for value in found] == [type(value) for value in values]

    @pytest.mark.parametrize(
        "leaf",
        [
            {"low": 0.1, "high": 0.5},
            {"low": 0.1, "high": 0.5, "log": True},
            {"low": 0, "high": 200_000},
            {"low": 0.0, "high": 1.0, "step": 1e-6},
        ],
    )
    def test_others_can_not(self, leaf):
        assert parse(leaf).values is None

    def test_integers_on_a_logarithmic_scale_can_be_listed_too(self):
        assert parse({"low": 1, "high": 4, "log": True}).values == (1, 2, 3, 4)

    def test_no_value_is_listed_twice(self):
        values = parse({"low": 1000.0, "high": 1001.0, "step": 0.1}).values
        assert len(set(values)) == len(values) == 11

    @pytest.mark.parametrize(
        ("leaf", "value", "tidy"),
        [
            ({"low": 0.0, "high": 1.0}, 0.123456, 0.1235),
            ({"low": 1e-6, "high": 1.0, "log": True}, 1.23456e-5, 1.235e-5),
            ({"low": 0.12344, "high": 0.2}, 0.12344, 0.12344),
            ({"low": 0.1, "high": 0.123449}, 0.1234489, 0.1234),
            ({"low": 0.1, "high": 0.12347}, 0.123469, 0.12347),
            ({"low": 1, "high": 9}, 3.0, 3),
        ],
    )
    def test_numbers_are_rounded_to_four_digits_within_the_range(self, leaf, value, tidy):
        found = parse(leaf).tidy(value)
        assert (found, type(found)) == (tidy, type(tidy))

    def test_the_ends_are_what_is_checked(self):
        assert parse({"low": 0.1, "high": 0.5}).edges == (0.1, 0.5)
        assert parse(["a", None, 3]).edges == ("a", None, 3)


class TestPoints:
    def test_the_last_dimension_changes_fastest(self):
        dimensions = parse_space({"train": {"optimizer": ["adam", "sgd"], "epochs": {"low": 1, "high": 3}}})
        points = list_points(dimensions)
        assert points is not None
        assert [tuple(point.values()) for point in points] == [
            ("adam", 1), ("adam", 2), ("adam", 3), ("sgd", 1), ("sgd", 2), ("sgd", 3),
        ]  # fmt: skip
        assert list(points[0]) == ["train.optimizer", "train.epochs"]

    def test_one_continuous_dimension_makes_the_space_continuous(self):
        dimensions = parse_space({"train": {"optimizer": ["adam", "sgd"], "dropout": {"low": 0.0, "high": 0.5}}})
        assert list_points(dimensions) is None

    @pytest.mark.parametrize(("count", "expected"), [(100, 100_000), (101, None)])
    def test_nor_are_more_listed_than_anybody_could_try(self, count, expected):
        space = {"a": {"low": 1, "high": 1000}, "b": {"low": 1, "high": count}}
        points = list_points(parse_space({"train": space}))
        assert (points and len(points)) == expected


class TestParameters:
    def test_values_are_set_by_name_in_a_copy(self):
        before = copy.deepcopy(CONTENT)
        changed = set_parameters(CONTENT, {NAME: 0.3, "train.augment.zoom": None, "recipes.underfit.dropout": 0.2})
        assert changed == {
            "train": {"dropout": 0.3, "augment": {"flip": None, "zoom": None}},
            "recipes": {"underfit": {"dropout": 0.2}},
        }
        assert before == CONTENT

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("train.drop_out", "did you mean dropout?"),
            ("train.augment.turn", "expected one of flip, zoom"),
            ("training.dropout", "did you mean train?"),
            ("drop", "expected one of train, recipes"),
            ("train.", "expected one of dropout, augment"),
            ("train.dropout.rate", "expected the name of a parameter in params.yaml, such as train.dropout"),
        ],
    )
    def test_a_name_that_does_not_exist_is_refused(self, name, hint):
        with pytest.raises(PipelineError) as caught:
            set_parameters(CONTENT, {name: 0.3})
        assert str(caught.value) == f"{name} is unknown: {hint}"

    def test_parameters_are_removed_by_name_from_a_copy(self):
        before = copy.deepcopy(CONTENT)
        assert remove_parameters(CONTENT, {NAME, "train.augment.zoom", "recipes.overfit.dropout"}) == {
            "train": {"augment": {"flip": None}},
            "recipes": {"underfit": {"dropout": 0.0}},
        }
        assert before == CONTENT
        assert remove_parameters(CONTENT, {"recipes"}) == {"train": CONTENT["train"]}
