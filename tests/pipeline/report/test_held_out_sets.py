from pathlib import Path

import pytest

from pipeline.report.held_out_sets import HeldOut, HeldOutReader, MixedModelsError, describe_difference, find_digest
from tests.experiments import make_lock, make_splits, save_model

MODELS = {"optimized": "a1", "underfit": "b2"}
LOCK = make_lock(MODELS, "c3")
HELD_OUT = {f"{label}{i}": label for label in ("cat", "dog") for i in range(3)}


@pytest.fixture
def cache(tmp_path) -> Path:
    """A file for each digest: two models of cats and dogs, and which images are in which split."""
    for family, digest in MODELS.items():
        save_model(tmp_path / f"{family}.keras", "cat", "dog").rename(tmp_path / digest)
    (tmp_path / "c3").write_text(make_splits(HELD_OUT, {"t1": "cat"}))
    return tmp_path


def read(cache: Path, lock: str = LOCK, folder: Path | None = None) -> HeldOut:
    reader = HeldOutReader(lambda digest: cache / digest if (cache / digest).exists() else None)
    return reader.read(lock, MODELS, folder)


def test_classes_are_those_of_the_models_and_images_those_held_out(cache):
    found = read(cache)
    assert (found.class_names, found.num_test, found.lost) == (("cat", "dog"), 3, ())


def test_images_in_train_and_the_order_of_rows_do_not_count(cache):
    before = read(cache).images
    (cache / "c3").write_text(make_splits(dict(reversed(HELD_OUT.items())), {"t2": "dog", "t3": "cat"}))
    swapped = read(cache).images
    assert swapped != before, "val and test have changed places"
    head, *rows = make_splits(HELD_OUT, {"t2": "dog"}).splitlines(keepends=True)
    (cache / "c3").write_text("".join([head, *reversed(rows)]))
    assert read(cache).images == before


def test_another_label_of_the_same_image_counts(cache):
    before = read(cache).images
    (cache / "c3").write_text(make_splits(HELD_OUT | {"cat0": "dog"}, {"t1": "cat"}))
    assert read(cache).images != before


@pytest.mark.parametrize("label", ["NA", "null", "", '"a, b"', "猫"])
def test_labels_are_text(cache, label):
    for digest in MODELS.values():
        save_model(cache / "x.keras", *sorted({label.strip('"'), "dog"})).rename(cache / digest)
    (cache / "c3").write_text(make_splits({"1": label, "2": "dog"}, {}), encoding="utf-8")
    assert read(cache).class_names == tuple(sorted({label.strip('"'), "dog"}))


def test_labels_that_a_spreadsheet_would_take_for_formulas_are_those_of_the_models(cache):
    for digest in MODELS.values():
        save_model(cache / "x.keras", "=cat", "dog").rename(cache / digest)
    (cache / "c3").write_text(make_splits({"1": "'=cat", "2": "dog"}, {}))
    assert read(cache).class_names == ("=cat", "dog")


class TestLost:
    def test_what_the_cache_lacks_is_listed(self, cache):
        (cache / "a1").unlink()
        found = read(cache)
        assert found.lost == (("models/optimized.keras", "not in DVC's cache"),)
        assert found.class_names == ("cat", "dog")

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"\x89HDF"])
    def test_so_is_a_model_of_an_older_version_or_a_damaged_one(self, cache, content):
        (cache / "a1").write_bytes(content)
        assert read(cache).lost == (
            ("models/optimized.keras", "without a contract, as of an older version, or damaged"),
        )

    @pytest.mark.parametrize("content", ["", "name,label\n", None])
    def test_without_the_list_of_images_its_digest_stands_for_it(self, cache, content):
        (cache / "c3").unlink() if content is None else (cache / "c3").write_text(content)
        found = read(cache)
        assert (found.class_names, found.images, found.num_test) == (("cat", "dog"), "c3", 0)
        assert [file for file, _ in found.lost] == ["data/splits.csv"]

    @pytest.mark.parametrize("lock", ["", "words", "<<<<<<< HEAD\n"])
    def test_a_lock_that_says_nothing_is_no_error(self, cache, lock):
        assert read(cache, lock) == HeldOut()


class TestMixed:
    def refuse(self, cache: Path) -> str:
        with pytest.raises(MixedModelsError) as caught:
            read(cache)
        return str(caught.value)

    def test_models_of_other_classes_than_one_another(self, cache):
        save_model(cache / "x.keras", "cat").rename(cache / "b2")
        said = "its models underfit and optimized have other classes than one another (without dog): run `dvc repro`"
        assert self.refuse(cache) == said

    def test_models_of_other_data_than_one_another(self, cache):
        save_model(cache / "x.keras", "cat", "dog", data="e" * 64).rename(cache / "b2")
        assert "were trained on other pictures, labels or splits than one another" in self.refuse(cache)

    def test_models_of_other_classes_than_the_metrics(self, cache):
        (cache / "c3").write_text(make_splits(HELD_OUT | {"w": "wolf"}, {}))
        assert "have other classes than its metrics are of (without wolf)" in self.refuse(cache)


def test_models_of_the_workspace_are_read_where_they_are(cache):
    for name in MODELS:
        save_model(cache / f"models/{name}.keras", "bird")
    (cache / "c3").unlink()
    assert read(cache, folder=cache).class_names == ("bird",)


class TestDigests:
    def test_what_the_stage_had_counts_before_what_others_had(self):
        lock = make_lock({"a": "11"}, "22").replace("report:", "split:") + make_lock({}, "33").partition("stages:\n")[2]
        assert find_digest(lock, Path("data/splits.csv"), "report") == "33"
        assert find_digest(lock, Path("data/splits.csv"), "gone") == "22"
        assert find_digest(lock, Path("models/a.keras"), "report") == "11"
        assert find_digest(lock, Path("models/b.keras"), "report") is None

    def test_one_of_digits_alone_is_quoted_there(self):
        assert find_digest(make_lock({}, "1" * 32), Path("data/splits.csv"), "report") == "1" * 32


class TestDifference:
    def test_what_is_not_known_differs_from_nothing(self):
        assert describe_difference(HeldOut(("a",), "1"), HeldOut()) is None
        assert describe_difference(HeldOut(("a",), None), HeldOut(("a",), "1")) is None

    def test_classes_come_first(self):
        assert describe_difference(HeldOut(("a", "b"), "1"), HeldOut(("a",), "2")) == "other classes (with b)"
