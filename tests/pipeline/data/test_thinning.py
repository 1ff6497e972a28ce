from itertools import pairwise

import pandas as pd
import pytest

from pipeline.data.splits import assign_splits
from pipeline.data.thinning import THINNED, Thinning, cap_classes, check_caps, describe_thinned, make_thinning
from pipeline.runtime.errors import PipelineError


def make_manifest(**counts: int) -> pd.DataFrame:
    """Images of `label__split` (or `label`), as many as said, no two alike."""
    rows = [
        (f"{label}-{split}-{i}", f"{split}/{label}/{i:04d}.png", label, split)
        for key, count in counts.items()
        for label, _, split in [key.partition("__")]
        for i in range(count)
    ]
    return pd.DataFrame(rows, columns=["image_id", "name", "label", "source_split"])


def divide(manifest: pd.DataFrame, caps: int | dict[str, int] | None, **options) -> pd.Series:
    thinning = make_thinning(caps, "train", 42)
    rules = {"test_fraction": 0.2, "val_fraction": 0.2, "seed": 42, "method": "exact"}
    return assign_splits(manifest, **rules | options, thinning=thinning)


def sizes(manifest: pd.DataFrame, split: pd.Series) -> dict[tuple[str, str], int]:
    return pd.Series(split.to_numpy()).groupby([manifest["label"].to_numpy(), split.to_numpy()]).size().to_dict()


class TestCapClasses:
    MANIFEST = make_manifest(cat=50, dog=30, eel=5)

    def test_null_keeps_all_images(self):
        assert cap_classes(self.MANIFEST, max_images=None, seed=0) is self.MANIFEST

    def test_only_larger_classes_lose_images(self):
        capped = cap_classes(self.MANIFEST, max_images=10, seed=0)
        assert capped["label"].value_counts().to_dict() == {"cat": 10, "dog": 10, "eel": 5}

    def test_the_order_of_rows_is_kept(self):
        capped = cap_classes(self.MANIFEST, max_images=10, seed=0)
        assert capped.index.is_monotonic_increasing
        assert list(capped.columns) == list(self.MANIFEST.columns)

    def test_a_higher_cap_keeps_all_that_a_lower_one_kept(self):
        kept = [set(cap_classes(self.MANIFEST, max_images=n, seed=7)["name"]) for n in (1, 5, 20, 40, 60)]
        assert all(fewer < more for fewer, more in pairwise(kept))

    def test_the_seed_determines_the_choice(self):
        kept = [set(cap_classes(self.MANIFEST, max_images=10, seed=seed)["name"]) for seed in (1, 1, 2)]
        assert kept[0] == kept[1] != kept[2]

    def test_the_order_of_rows_does_not(self):
        shuffled = self.MANIFEST.sample(frac=1, random_state=0)
        expected = cap_classes(self.MANIFEST, max_images=10, seed=0)
        assert set(cap_classes(shuffled, max_images=10, seed=0)["name"]) == set(expected["name"])

    def test_another_class_does_not_change_the_choice_in_the_others(self):
        fewer = cap_classes(self.MANIFEST[self.MANIFEST["label"] != "dog"], max_images=10, seed=0)
        all_three = cap_classes(self.MANIFEST, max_images=10, seed=0)
        assert set(fewer["name"]) == set(all_three.loc[all_three["label"] != "dog", "name"])

    def test_an_empty_manifest_stays_empty(self):
        assert cap_classes(self.MANIFEST.iloc[:0], max_images=3, seed=0).empty


class TestCaps:
    def test_a_number_counts_for_every_class(self):
        assert cap_classes(make_manifest(cat=9, dog=5), max_images=7, seed=0)["label"].value_counts().to_dict() == {
            "cat": 7,
            "dog": 5,
        }

    def test_a_class_that_the_map_does_not_name_keeps_all(self):
        kept = cap_classes(make_manifest(cat=9, dog=9, eel=9), max_images={"cat": 2, "dog": 30}, seed=0)
        assert kept["label"].value_counts().to_dict() == {"cat": 2, "dog": 9, "eel": 9}

    def test_one_image_more_moves_one_at_most(self):
        manifest = make_manifest(cat=200)
        for number in range(150, 200):
            before = set(cap_classes(manifest[:number], max_images=50, seed=1)["name"])
            after = set(cap_classes(manifest[: number + 1], max_images=50, seed=1)["name"])
            assert len(before - after) <= 1

    def test_the_order_is_unchanged(self):
        kept = cap_classes(make_manifest(cat=50, dog=50), max_images={"cat": 9}, seed=1)
        assert kept["name"].tolist() == sorted(kept["name"])

    @pytest.mark.parametrize("caps", [None, 3, {}, {"cat": 3}])
    def test_what_exists_may_be_named(self, caps):
        check_caps(caps, ["cat", "dog", ""], "prune.max_images_per_class")

    @pytest.mark.parametrize(("name", "advice"), [("catt", "did you mean cat?"), ("lion", "expected one of cat, dog")])
    def test_an_unknown_class_is_refused(self, name, advice):
        with pytest.raises(PipelineError) as caught:
            check_caps({name: 3}, ["cat", "dog", ""], "sources.folder.max_images_per_class")
        assert str(caught.value) == (
            f"sources.folder.max_images_per_class: there is no class {name!r} after prune.drop_classes and merge_classes: "
            f"{advice}"
        )


class TestTraining:
    def test_of_a_source_with_a_test_split_alone_is_thinned_before_val_is_drawn(self):
        manifest = make_manifest(cat__train=700, cat__test=250, dog__train=690, dog__test=240)
        split = divide(manifest, {"cat": 133, "dog": 400})
        assert sizes(manifest, split) == {
            ("cat", "test"): 250,
            ("cat", "train"): 106,
            ("cat", "val"): 27,
            ("cat", THINNED): 567,
            ("dog", "test"): 240,
            ("dog", "train"): 320,
            ("dog", "val"): 80,
            ("dog", THINNED): 290,
        }

    def test_system_a_has_its_sizes(self):
        """Training thinned to 2,666 images, 20 % (533) of them for validation, all 2,499 test images."""
        labels = ("buildings", "forest", "glacier", "mountain", "sea")
        tested = dict(zip(labels, (437, 474, 553, 525, 510), strict=True))
        caps = dict(zip(labels, (533, 533, 534, 533, 533), strict=True))
        counts = {f"{label}__train": 2300 for label in labels} | {f"{k}__test": n for k, n in tested.items()}
        split = divide(make_manifest(**counts), caps).value_counts()
        assert split["test"] == 2499
        assert split["train"] + split["val"] == 2666
        assert split["val"] == pytest.approx(533, abs=3)

    @pytest.mark.parametrize("options", [{}, {"method": "independent"}, {"times": True}])
    def test_where_the_source_has_no_test_split_test_is_the_same_as_without(self, options):
        manifest = make_manifest(cat=300, dog=200)
        options = options | ({"times": pd.Series(range(500), dtype=float)} if "times" in options else {})
        whole, thinned = divide(manifest, None, **options), divide(manifest, 60, **options)
        assert (thinned == "test").equals(whole == "test")
        assert manifest["label"][thinned.isin(["train", "val"])].value_counts().to_dict() == {"cat": 60, "dog": 60}

    def test_fractions_stay_as_they_are_said(self):
        manifest = make_manifest(cat=300, dog=200)
        assert sizes(manifest, divide(manifest, 100)) == {
            ("cat", "test"): 60,
            ("cat", "train"): 80,
            ("cat", "val"): 20,
            ("cat", THINNED): 140,
            ("dog", "test"): 40,
            ("dog", "train"): 80,
            ("dog", "val"): 20,
            ("dog", THINNED): 60,
        }

    def test_the_sources_own_val_keeps_all(self):
        manifest = make_manifest(cat__train=50, cat__val=30, cat__test=20, dog__train=40, dog__val=30, dog__test=20)
        split = divide(manifest, 10)
        assert split.value_counts().to_dict() == {"val": 60, "test": 40, "train": 20, THINNED: 70}

    def test_copies_of_test_images_do_not_count(self):
        manifest = make_manifest(cat__train=50, cat__test=20, dog__train=50, dog__test=20)
        manifest.loc[:19, "image_id"] = manifest["image_id"][50:70].to_numpy()
        split = divide(manifest, 30)
        assert (split[:20] == "").all()
        assert sizes(manifest, split)["cat", "train"] == 24
        assert THINNED not in set(split[:50])

    def test_a_cap_above_all_changes_nothing(self):
        manifest = make_manifest(cat=30, dog=200)
        assert divide(manifest, 500).equals(divide(manifest, None))

    def test_one_image_more_changes_few(self):
        for number in range(100, 130):
            before, after = make_manifest(cat=number), make_manifest(cat=number + 1)
            old, new = divide(before, 40), divide(after, 40)
            # One each across the borders of test, of the cap and of val.
            assert (old.to_numpy() != new[:number].to_numpy()).sum() <= 3


def test_what_was_left_out_is_said_with_its_number():
    split = pd.Series(["train"] * 8 + ["val"] * 2 + ["test"] * 5 + [THINNED] * 30)
    said = "images per class, before val was drawn: 30 of 40 left out"
    assert describe_thinned(split, Thinning(10, 1)) == f"training thinned to 10 {said}"
    assert describe_thinned(split, Thinning({"cat": 1000}, 1)) == f"training thinned to cat 1,000 {said}"


def test_there_is_none_without_a_cap_or_where_it_counts_everywhere():
    assert make_thinning(None, "train", 1) is None
    assert make_thinning(3, "all", 1) is None
    assert make_thinning(3, "train", 1) == Thinning(3, 1)
