import csv
import hashlib
import io

import numpy as np
import pandas as pd
import pytest

from pipeline.data.manifest import (
    MANIFEST_COLUMNS,
    QUARANTINE_COLUMNS,
    check_classes,
    find_small_classes,
    hash_uniform,
    load_manifest,
    load_quarantine,
    read_table,
    rename_classes,
    save_table,
)
from pipeline.runtime.errors import PipelineError


def image_ids(count: int, salt: str = "") -> list[str]:
    return [hashlib.sha256(f"{salt}{i}".encode()).hexdigest() for i in range(count)]


def make_manifest(**counts: int) -> pd.DataFrame:
    """counts: images per class."""
    rows = [
        (image_id, f"{label}/{i:05d}.png", label)
        for label, count in counts.items()
        for i, image_id in enumerate(image_ids(count, label))
    ]
    return pd.DataFrame(rows, columns=["image_id", "name", "label"])


class TestRenameClasses:
    LABELS = pd.Series(["sea", "ice", "snow", "sea", "road"], dtype="str")

    def rename(self, drop_classes=(), merge_classes=None) -> list[str | None]:
        renamed = rename_classes(self.LABELS, drop_classes=drop_classes, merge_classes=merge_classes or {})
        return [None if pd.isna(label) else label for label in renamed]

    def refusal(self, **options) -> str:
        with pytest.raises(PipelineError) as caught:
            self.rename(**options)
        return str(caught.value)

    def test_without_rules_labels_stay_the_same(self):
        assert self.rename() == self.LABELS.tolist()

    def test_dropped_classes_lose_their_label(self):
        assert self.rename(drop_classes=["sea", "road"]) == [None, "ice", "snow", None, None]

    def test_merged_classes_take_the_new_name(self):
        assert self.rename(merge_classes={"cold": ["ice", "snow"]}) == ["sea", "cold", "cold", "sea", "road"]

    def test_a_new_name_may_be_an_existing_class(self):
        assert self.rename(merge_classes={"sea": ["ice"]}) == ["sea", "sea", "snow", "sea", "road"]

    def test_two_names_may_be_swapped(self):
        assert self.rename(merge_classes={"sea": ["ice"], "ice": ["sea"]}) == ["ice", "sea", "snow", "ice", "road"]

    def test_classes_can_be_dropped_and_merged_at_once(self):
        assert self.rename(["road"], {"water": ["sea", "ice"]}) == ["water", "water", "snow", "water", None]

    @pytest.mark.parametrize(
        ("options", "key"),
        [
            ({"drop_classes": ["street"]}, "prune.drop_classes"),
            ({"merge_classes": {"cold": ["ice", "street"]}}, "prune.merge_classes"),
        ],
    )
    def test_an_unknown_class_is_refused_with_a_list_of_the_known_ones(self, options, key):
        assert (
            self.refusal(**options)
            == f"{key}: there is no class 'street': expected one of 'ice', 'road', 'sea', 'snow'"
        )

    def test_a_class_can_not_be_merged_into_two(self):
        assert "'ice' goes into both 'a' and 'b'" in self.refusal(merge_classes={"a": ["ice"], "b": ["ice", "sea"]})

    def test_new_names_that_are_written_alike_are_one(self):
        two = {"W\u00e4rme": ["sea"], "Wa\u0308rme": ["ice", "sea"]}
        assert self.rename(merge_classes=two) == ["W\u00e4rme", "W\u00e4rme", "snow", "W\u00e4rme", "road"]

    def test_a_class_can_not_be_dropped_and_merged(self):
        line = self.refusal(drop_classes=["ice"], merge_classes={"cold": ["ice", "snow"]})
        assert "'ice' is in both drop_classes and merge_classes: expected only one of them" in line

    def test_the_empty_label_of_stray_files_is_not_a_class(self):
        labels = pd.Series(["", "sea"], dtype="str")
        assert rename_classes(labels, drop_classes=["sea"], merge_classes={}).fillna("gone").tolist() == ["", "gone"]
        with pytest.raises(PipelineError, match=r"expected one of 'sea'$"):
            rename_classes(labels, drop_classes=[""], merge_classes={})

    def test_at_most_fifty_classes_are_listed(self):
        labels = pd.Series([f"class{i:03d}" for i in range(120)], dtype="str")
        with pytest.raises(PipelineError, match=r"'class049' and 70 more$"):
            rename_classes(labels, drop_classes=["x"], merge_classes={})


class TestFindSmallClasses:
    MANIFEST = make_manifest(cat=50, dog=30, eel=5)

    @pytest.mark.parametrize(
        ("min_images", "small"), [(None, {}), (5, {}), (6, {"eel": 5}), (31, {"eel": 5, "dog": 30}), (1, {})]
    )
    def test_returns_classes_below_the_limit_with_their_size(self, min_images, small):
        assert find_small_classes(self.MANIFEST, min_images) == small


class TestCheckClasses:
    def test_two_classes_are_enough(self):
        check_classes(make_manifest(cat=1, dog=1), num_quarantined=9)

    @pytest.mark.parametrize(("counts", "received"), [({}, "none"), ({"cat": 5}, "'cat'")])
    def test_fewer_are_refused_with_what_is_left(self, counts, received):
        with pytest.raises(PipelineError) as caught:
            check_classes(make_manifest(**counts), num_quarantined=3)
        assert f"two classes or more: received {received} after pruning, with 3 file(s) that can't be used" in str(
            caught.value
        )


class TestHashUniform:
    def test_is_a_fixed_function_of_content_and_salt(self):
        draws = hash_uniform(image_ids(3), "test-42")
        assert draws.tolist() == hash_uniform(image_ids(3), "test-42").tolist()
        assert draws.tolist() != hash_uniform(image_ids(3), "test-43").tolist()
        assert hash_uniform(image_ids(1), "test-42")[0] == draws[0]

    def test_is_the_same_on_every_machine(self):
        assert hash_uniform(["abc"], "salt")[0] == 0.15352364742632363

    def test_is_uniform(self):
        draws = hash_uniform(image_ids(20_000), "any")
        assert draws.dtype == np.float64
        assert draws.min() >= 0
        assert draws.max() < 1
        counts = np.histogram(draws, bins=10, range=(0, 1))[0]
        assert np.abs(counts - 2000).max() < 5 * np.sqrt(2000 * 0.9)

    def test_different_salts_are_independent(self):
        ids = image_ids(20_000)
        assert abs(np.corrcoef(hash_uniform(ids, "test-1"), hash_uniform(ids, "val-1"))[0, 1]) < 5 / np.sqrt(20_000)

    def test_of_no_images_is_empty(self):
        assert hash_uniform([], "any").shape == (0,)


class TestTables:
    def make(self, label: str) -> pd.DataFrame:
        row = ("a" * 64, f"{label}/1.png", label, "", 32, 24, "RGB", "images-00000.tar", 512, 99)
        return pd.DataFrame([row], columns=MANIFEST_COLUMNS)

    @pytest.mark.parametrize(
        "label", ["polar bear", "猫", "bear, brown", 'so "called"', "NA", "null", "007", "1e5", "x\ny"]
    )
    def test_a_manifest_is_loaded_as_it_was_saved(self, tmp_path, label):
        save_table(self.make(label), tmp_path / "manifest.csv")
        pd.testing.assert_frame_equal(load_manifest(tmp_path / "manifest.csv"), self.make(label))

    def test_a_quarantine_is_loaded_as_it_was_saved(self, tmp_path):
        table = pd.DataFrame([("NA/1.png", "NA", "x, y")], columns=QUARANTINE_COLUMNS, dtype="str")
        save_table(table, tmp_path / "quarantine.csv")
        pd.testing.assert_frame_equal(load_quarantine(tmp_path / "quarantine.csv"), table)

    def test_an_empty_quarantine_has_its_columns(self, tmp_path):
        save_table(pd.DataFrame(columns=QUARANTINE_COLUMNS), tmp_path / "quarantine.csv")
        assert list(load_quarantine(tmp_path / "quarantine.csv").columns) == QUARANTINE_COLUMNS

    def test_the_same_table_gives_the_same_bytes(self, tmp_path):
        for name in ("a", "b"):
            save_table(self.make("cat"), tmp_path / name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        assert b"\r" not in (tmp_path / "a").read_bytes()


def test_a_merged_class_has_a_name_that_can_be_seen(caplog):
    labels = rename_classes(pd.Series(["a", "b", "c"]), drop_classes=[], merge_classes={"x\x1b[31m": ["a", "b"]})
    assert labels.tolist() == [r"x\x1b[31m", r"x\x1b[31m", "c"]
    assert "names in prune.merge_classes with characters that can't be seen or stored: 1" in caplog.text


class TestFormulas:
    NAMES = ("=1+1/a.png", "+1+1.png", "-x.png", "@SUM(A1).png", "\t=1.png", "'=1.png", "cat/1.png", "-1", "", "'t Hof")

    def test_no_text_of_a_table_is_one_and_all_are_read_as_they_were(self, tmp_path):
        table = pd.DataFrame({"name": [*self.NAMES], "label": "=cat", "score": -0.5, "kept": True, "none": np.nan})
        save_table(table, tmp_path / "a.csv")
        rows = [*csv.reader(io.StringIO((tmp_path / "a.csv").read_bytes().decode(), newline=""))]
        assert [row[:3] for row in rows[1:3]] == [["'=1+1/a.png", "'=cat", "-0.5"], ["'+1+1.png", "'=cat", "-0.5"]]
        assert [row[0] for row in rows[1:]][5:] == ["''=1.png", "cat/1.png", "-1", "", "'t Hof"]
        pd.testing.assert_frame_equal(
            read_table(
                tmp_path / "a.csv",
                dtype={"name": "str", "label": "str"},
                keep_default_na=False,
                na_values={"none": [""]},
            ),
            table.astype({"name": "str", "label": "str"}),
        )

    def test_in_a_column_of_texts_and_numbers_numbers_stay(self, tmp_path):
        save_table(pd.DataFrame({"value": pd.Series([-1, "=1", None, 0.5], dtype=object)}), tmp_path / "a.csv")
        assert (tmp_path / "a.csv").read_text() == 'value\n-1\n\'=1\n""\n0.5\n'

    @pytest.mark.parametrize("values", [[True, False], [None, None], [], [1, None], [{"a": "=1"}, ["="]]])
    def test_columns_of_other_objects_stay(self, tmp_path, values):
        table = pd.DataFrame({"value": pd.Series(values, dtype=object)})
        save_table(table, tmp_path / "a.csv")
        assert (tmp_path / "a.csv").read_text() == table.to_csv(index=False)

    def test_the_manifest_and_the_quarantine_keep_their_names(self, tmp_path):
        quarantine = pd.DataFrame([("=1.png", "@a", "-")], columns=QUARANTINE_COLUMNS, dtype="str")
        save_table(quarantine, tmp_path / "q.csv")
        pd.testing.assert_frame_equal(load_quarantine(tmp_path / "q.csv"), quarantine)
