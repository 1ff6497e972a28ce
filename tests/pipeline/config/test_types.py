import pytest

from pipeline.config.reader import load_params
from tests.pipeline.config.conftest import refusal

COMPOSED, DECOMPOSED = "B\u00e4ume", "Ba\u0308ume"


class TestNamesOfClasses:
    """A class has its name in Unicode's form NFC; a shell completes the folder's, which is NFD on a Mac."""

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("drop_classes", [DECOMPOSED, 2019], [COMPOSED, "2019"]),
            ("merge_classes", {DECOMPOSED: [DECOMPOSED, "sea"]}, {COMPOSED: [COMPOSED, "sea"]}),
            ("max_images_per_class", {DECOMPOSED: 5, 2019: 6}, {COMPOSED: 5, "2019": 6}),
        ],
    )
    @pytest.mark.parametrize("section", ["prune", "sources.folder"])
    def test_are_those_of_the_sources_in_any_unicode_form(self, change, section, name, value, expected):
        params = load_params(change(f"{section}.{name}", value))
        found = params.prune if section == "prune" else params.sources["folder"]
        assert getattr(found, name) == expected

    def test_are_so_too_where_errors_cost(self, change):
        costs = {DECOMPOSED: {DECOMPOSED + "2": 3.0}, 2019: 2.0}
        found = load_params(change("evaluate.costs", costs)).evaluate.costs
        assert found == {COMPOSED: {COMPOSED + "2": 3.0}, "2019": 2.0}

    @pytest.mark.parametrize(("one", "other"), [(COMPOSED, DECOMPOSED), (2019, "2019")])
    def test_that_are_one_share_what_is_merged(self, change, one, other):
        merges = load_params(change("prune.merge_classes", {one: ["sea"], other: ["lake"]})).prune.merge_classes
        assert {name: sorted(olds) for name, olds in merges.items()} == {str(one): ["lake", "sea"]}

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("prune.max_images_per_class", {COMPOSED: 5, DECOMPOSED: 7}),
            ("evaluate.costs", {COMPOSED: 5.0, DECOMPOSED: 7.0}),
            ("evaluate.costs.sea", {COMPOSED: 5.0, DECOMPOSED: 7.0}),
        ],
    )
    def test_that_are_one_can_not_have_two_numbers(self, change, name, value):
        line = refusal(change(name, value))
        assert line.startswith(
            f"{name}: expected each class once ('{COMPOSED}' is there twice, in two spellings), received "
        )

    def test_of_folders_stay_as_they_are(self, change):
        assert load_params(change("data.splits", {DECOMPOSED: "test"})).data.splits == {DECOMPOSED: "test"}
