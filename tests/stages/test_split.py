import hashlib
import io
import json
import logging

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.data.inspection import Limits, inspect_files
from pipeline.data.manifest import MANIFEST_COLUMNS, save_table
from pipeline.data.raw import load_index, save_raw
from pipeline.data.splits import SPLITS_COLUMNS, load_splits
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import MANIFEST
from pipeline.sources.raw_image import RawImage
from stages.split import split
from tests.planted import CHANGES


@pytest.fixture
def manifest(project):  # noqa: ARG001 - the test is moved there
    """Writes data/manifest.csv with one row per (name, label, source split, content)."""

    def write(*rows: tuple[str, str, str, str]) -> None:
        table = [
            (hashlib.sha256(content.encode()).hexdigest(), name, label, source, 9, 9, "RGB", "x.tar", 0, 9)
            for name, label, source, content in rows
        ]
        save_table(pd.DataFrame(table, columns=MANIFEST_COLUMNS).sort_values("name"), MANIFEST)

    return write


def make_class(label: str, count: int, source: str = "") -> list[tuple[str, str, str, str]]:
    return [(f"{source}/{label}/{i:04d}.png", label, source, f"{source}{label}{i}") for i in range(count)]


def load_duplicates(project) -> pd.DataFrame:
    return pd.read_csv(project.folder / "data/duplicates.csv", dtype="str", keep_default_na=False)


def test_every_image_gets_a_split(manifest, project, caplog):
    manifest(*make_class("cat", 100), *make_class("dog", 100))
    caplog.set_level(logging.INFO)
    split()
    table = load_splits()
    assert list(table.columns) == SPLITS_COLUMNS
    assert len(table) == 200
    assert table["name"].is_monotonic_increasing
    assert set(zip(table["label"], table["split"], strict=True)) == {
        (label, name) for label in ("cat", "dog") for name in ("train", "val", "test")
    }
    assert load_duplicates(project).empty
    sizes = table["split"].value_counts()
    assert caplog.messages == [", ".join(f"{name} {count}" for name, count in sizes.items())]


def test_thinned_training_images_are_in_no_split(manifest, project, caplog):
    project.set(prune__thin="train", prune__max_images_per_class={"cat": 20})
    rows = make_class("cat", 50, "train") + make_class("cat", 30, "test")
    manifest(*rows, *make_class("dog", 40, "train"), *make_class("dog", 30, "test"))
    caplog.set_level(logging.INFO)
    split()
    table = load_splits()
    assert table.groupby(["label", "split"]).size().to_dict() == {
        ("cat", "test"): 30,
        ("cat", "train"): 16,
        ("cat", "val"): 4,
        ("dog", "test"): 30,
        ("dog", "train"): 32,
        ("dog", "val"): 8,
    }
    assert load_duplicates(project).empty
    assert caplog.messages == [
        "training thinned to cat 20 images per class, before val was drawn: 30 of 90 left out",
        "test 60, train 48, val 12",
    ]


def test_a_cap_of_all_splits_is_prunes(manifest, project):
    project.set(prune__max_images_per_class=20)
    manifest(*make_class("cat", 50), *make_class("dog", 50))
    split()
    assert len(load_splits()) == 100


def test_a_class_that_thinning_leaves_without_val_is_explained(manifest, project):
    project.set(prune__thin="train", prune__max_images_per_class=1)
    manifest(*make_class("cat", 50), *make_class("dog", 50))
    with pytest.raises(PipelineError, match=r"class 'cat' has no image in val.*or raise prune\.max_images_per_class"):
        split()


@pytest.mark.parametrize("label", ["polar bear", "NA", "bear, brown", "007", "猫"])
def test_class_names_may_be_any_text(manifest, label):
    manifest(*make_class(label, 50), *make_class("dog", 50))
    split()
    assert set(load_splits()["label"]) == {label, "dog"}


def test_seed_and_fractions_are_parameters(manifest, project):
    manifest(*make_class("cat", 300), *make_class("dog", 300))
    split()
    before = load_splits()
    project.set(split__seed=7)
    split()
    assert not load_splits().equals(before)
    project.set(split__test_fraction=0.6)
    split()
    assert (load_splits()["split"] == "test").sum() > 2 * (before["split"] == "test").sum()


def test_images_of_another_class_move_no_other(manifest):
    manifest(*make_class("cat", 100), *make_class("dog", 100))
    split()
    before = set(load_splits().itertuples(index=False, name=None))
    manifest(*make_class("cat", 100), *make_class("dog", 100), *make_class("eel", 100))
    split()
    assert before < set(load_splits().itertuples(index=False, name=None))


def test_copies_across_splits_are_left_out_and_listed(manifest, project, caplog):
    rows = [row for source in ("train", "test") for label in ("cat", "dog") for row in make_class(label, 30, source)]
    manifest(*rows, ("train/cat/twin.png", "cat", "train", "twin"), ("test/dog/twin.png", "dog", "test", "twin"))
    caplog.set_level(logging.INFO)
    split()
    assert "train/cat/twin.png" not in set(load_splits()["name"])
    duplicates = load_duplicates(project).set_index("name")
    assert duplicates.loc["train/cat/twin.png", "note"] == "labels differ; left out: its copy is in test"
    assert duplicates.loc["test/dog/twin.png", "note"] == "labels differ"
    assert caplog.messages[0].endswith("; 1 identical copies, 1 of them left out")


def test_identical_bytes_are_never_in_two_splits(manifest):
    manifest(*((f"{label}/{i}.png", label, "", f"{i % 50}") for label in ("cat", "dog") for i in range(200)))
    split()
    assert (load_splits().groupby("image_id")["split"].nunique() == 1).all()


def test_a_class_with_one_image_is_refused_and_no_file_written(manifest, project):
    manifest(*make_class("cat", 100), *make_class("dog", 1))
    with pytest.raises(PipelineError, match=r"class 'dog' has no image in .*received 1 image"):
        split()
    assert project.files() == ["manifest.csv"]


def test_the_same_manifest_gives_the_same_bytes(manifest, project):
    manifest(*make_class("cat", 50), *make_class("dog", 50))
    written = []
    for _ in range(2):
        split()
        written.append((project.folder / "data/splits.csv").read_bytes())
    assert written[0] == written[1]


def test_splits_of_a_source_in_which_test_is_train_are_refused_with_the_number_of_copies(manifest, project):
    rows = [row for label in ("cat", "dog") for row in make_class(label, 14)]
    manifest(*((f"{s}{name}", label, s, content) for s in ("train", "test") for name, label, _, content in rows))
    with pytest.raises(PipelineError, match=r"^28 of 28 training images have a copy in test"):
        split()
    assert project.files() == ["duplicates.csv", "leaks.csv", "manifest.csv"]
    assert len(load_duplicates(project)) == 56


def test_leaks_of_the_source_are_counted_in_one_warning_and_listed(manifest, project, caplog):
    rows = [
        row for source in ("train", "test", "val") for label in ("cat", "dog") for row in make_class(label, 30, source)
    ]
    manifest(*rows, ("train/cat/twin.png", "cat", "train", "twin"), ("test/dog/twin.png", "dog", "test", "twin"))
    split()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "1 of 61 training images have a copy in test; in train there is a copy of 1 of 61 test images: see data/leaks.csv"
    ]
    leaks = pd.read_csv(project.folder / "data/leaks.csv", dtype="str", keep_default_na=False)
    assert leaks[["name", "kind", "train_name"]].to_numpy().tolist() == [
        ["test/dog/twin.png", "copy", "train/cat/twin.png"]
    ]


def test_without_leaks_the_file_has_a_header_only(manifest, project):
    manifest(*make_class("cat", 100), *make_class("dog", 100))
    split()
    assert (project.folder / "data/leaks.csv").read_text().count("\n") == 1


def add_groups(groups: dict[str, str]) -> None:
    table = pd.read_csv(MANIFEST, dtype="str", keep_default_na=False)
    save_table(table.assign(group=table["name"].map(groups).fillna("")), MANIFEST)


class TestColumn:
    def test_no_group_is_divided_and_splits_have_the_group(self, manifest, project):
        rows = [*make_class("cat", 100), *make_class("dog", 100)]
        manifest(*rows)
        groups = {row[0]: f"patient {i // 4}" for i, row in enumerate(rows)}
        add_groups(groups)
        project.set(split__group="column")
        split()
        table = load_splits()
        assert list(table.columns) == [*SPLITS_COLUMNS, "group"]
        assert dict(zip(table["name"], table["group"], strict=True)) == groups
        assert (table.groupby("group")["split"].nunique() == 1).all()

    def test_images_without_a_group_are_counted(self, manifest, project, caplog):
        rows = [*make_class("cat", 100), *make_class("dog", 100)]
        manifest(*rows)
        add_groups({row[0]: f"patient {i // 4}" for i, row in enumerate(rows[:160])})
        project.set(split__group="column")
        split()
        assert "40 of 200 images have no group: each is drawn by itself" in caplog.messages

    def test_without_groups_it_is_refused(self, manifest, project):
        manifest(*make_class("cat", 100), *make_class("dog", 100))
        project.set(split__group="column")
        with pytest.raises(PipelineError, match=r"^split\.group is column, but no image has a group"):
            split()

    def test_a_group_for_each_class_is_too_few(self, manifest, project):
        rows = [*make_class("cat", 100), *make_class("dog", 100)]
        manifest(*rows)
        add_groups({name: label for name, label, *_ in rows})
        project.set(split__group="column")
        with pytest.raises(PipelineError, match=r"class 'cat' has no image in val .*Its images are 1 group\(s\)"):
            split()

    def test_leaks_of_the_source_count_by_group(self, manifest, project, caplog):
        rows = [
            row
            for source in ("train", "test", "val")
            for label in ("cat", "dog")
            for row in make_class(label, 8, source)
        ]
        manifest(*rows)
        add_groups({row[0]: f"patient {i % 12}" for i, row in enumerate(rows)})
        project.set(split__group="column")
        split()
        assert "in train there is an image of the group of 16 of 16 test images" in caplog.messages[-1]

    def test_other_settings_do_not_write_the_group(self, manifest):
        rows = [*make_class("cat", 100), *make_class("dog", 100)]
        manifest(*rows)
        add_groups({row[0]: "one" for row in rows})
        split()
        assert list(load_splits().columns) == SPLITS_COLUMNS


def test_an_unknown_rule_is_refused(manifest, project):
    manifest(*make_class("cat", 100), *make_class("dog", 100))
    project.set(split__group="patient")
    with pytest.raises(
        PipelineError, match=r"split\.group: expected 'exact', 'near', .* or 'pattern', received 'patient'"
    ):
        split()


class TestPaths:
    """Groups that the paths of pictures name."""

    @staticmethod
    def make_rows() -> list[tuple[str, str, str, str]]:
        """20 videos of a cat and of a dog, with five pictures each; a video of each class has the name of one of the other."""
        places = [(label, video, i) for label in ("cat", "dog") for video in range(20) for i in range(5)]
        return [(f"set/{k}/video_{v}/{i}.png", k, "", f"{k} {v} {i}") for k, v, i in places]

    @pytest.fixture
    def source(self, manifest, project):
        manifest(*self.make_rows())
        (project.folder / "data/raw").mkdir(parents=True, exist_ok=True)
        facts = {"source": "folder", "reading": {"classes": {"cat": 100, "dog": 100}}}
        (project.folder / "data/raw/source.json").write_text(json.dumps(facts))

    @pytest.mark.usefixtures("source")
    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ({"group": "folder"}, {f"video_{v}" for v in range(20)}),
            ({"group": "pattern", "group_pattern": "video_[0-9]+"}, {f"video_{v}" for v in range(20)}),
            ({"group": "pattern", "group_pattern": "video_([0-9])"}, set("0123456789")),
            (
                {"group": "pattern", "group_pattern": "(cat|dog)/video_([0-9]+)"},
                {f"{label}/{v}" for label in ("cat", "dog") for v in range(20)},
            ),
        ],
    )
    def test_no_group_is_divided(self, project, rule, expected):
        project.set(**{f"split__{name}": value for name, value in rule.items()})
        split()
        table = load_splits()
        assert len(table) == 200
        assert set(table["group"]) == expected
        assert (table.groupby("group")["split"].nunique() == 1).all()
        assert set(table["split"]) == {"train", "val", "test"}

    @pytest.mark.usefixtures("source")
    def test_folders_of_classes_that_were_merged_are_still_classes(self, project):
        table = pd.read_csv(MANIFEST, dtype="str", keep_default_na=False)
        save_table(table.assign(label=table["label"].replace({"cat": "pet", "dog": "animal"})), MANIFEST)
        project.set(split__group="folder")
        split()
        assert set(load_splits()["group"]) == {f"video_{v}" for v in range(20)}

    @pytest.mark.usefixtures("source")
    def test_pictures_in_which_a_pattern_finds_nothing_are_counted(self, project, caplog):
        project.set(split__group="pattern", split__group_pattern="video_1[0-9]*")
        split()
        assert "90 of 200 images have no group: each is drawn by itself" in caplog.messages

    @pytest.mark.usefixtures("source")
    def test_a_pattern_that_finds_nothing_shows_a_path(self, project):
        project.set(split__group="pattern", split__group_pattern="patient")
        with pytest.raises(PipelineError, match=r"received 'patient'; a path is 'set/cat/video_0/0\.png'$"):
            split()

    def test_no_folder_beside_the_classes_is_refused(self, manifest, project):
        manifest(*make_class("cat", 20), *make_class("dog", 20))
        (project.folder / "data/raw").mkdir(parents=True, exist_ok=True)
        (project.folder / "data/raw/source.json").write_text('{"source": "scenes"}')
        project.set(split__group="folder")
        with pytest.raises(
            PipelineError, match=r"^split\.group is folder, but no image has a group: .*<class>/<patient>"
        ):
            split()


class TestNear:
    """With real pictures in data/raw: each of 60 in four versions."""

    COUNT = 60

    def write(self, source_split=lambda _: "") -> None:
        random = np.random.default_rng(0)
        images = []
        for number in range(self.COUNT):
            label = ("cat", "dog")[number % 2]
            blobs = np.random.default_rng(number).integers(40, 180, (6, 6, 3), np.uint8)
            picture = Image.fromarray(blobs).resize((64, 64), Image.Resampling.BICUBIC)
            versions = {"original": picture} | {
                kind: CHANGES[kind](picture, random) for kind in ("cropped", "mirrored")
            }
            for kind, version in versions.items():
                buffer = io.BytesIO()
                version.save(buffer, "PNG")
                name = f"{label}/{kind}{number}.png"
                images.append(RawImage(name, label, source_split(kind), buffer.getvalue()))
        save_raw(images, {"source": "test"})
        table, _ = inspect_files(load_index(), Limits(8, 128.0, 30.0), num_workers=1)
        save_table(table, MANIFEST)

    def test_no_version_of_a_picture_is_in_another_split(self, project, caplog):
        self.write()
        caplog.set_level(logging.INFO)
        project.set(split__group="near")
        split()
        table = load_splits()
        number = table["name"].str.extract(r"(\d+)\.png")[0]
        assert (table.groupby(number)["split"].nunique() == 1).mean() > 0.98
        assert set(table["split"]) == {"train", "val", "test"}
        assert (table.groupby("group")["split"].nunique() == 1).all()
        assert "pairs of near copies; the largest group has 3 images" in caplog.text  # behind what faiss says

    @pytest.mark.usefixtures("project")
    def test_without_it_they_are(self):
        self.write()
        split()
        table = load_splits()
        number = table["name"].str.extract(r"(\d+)\.png")[0]
        assert (table.groupby(number)["split"].nunique() > 1).mean() > 0.4

    def test_the_source_s_splits_are_kept_and_the_leaks_counted(self, project, caplog):
        self.write({"original": "train", "cropped": "test", "mirrored": "val"}.__getitem__)
        project.set(split__group="near")
        split()
        assert len(load_splits()) == 3 * self.COUNT
        assert "a near copy of 60 of 60 val images" in caplog.messages[-1]
        leaks = pd.read_csv(project.folder / "data/leaks.csv")
        assert set(leaks["kind"]) == {"near"}
        assert (leaks["similarity"] >= 0.85).all()

    def test_the_same_pictures_give_the_same_bytes(self, project):
        self.write()
        project.set(split__group="near")
        written = []
        for _ in range(2):
            split()
            written.append((project.folder / "data/splits.csv").read_bytes())
        assert written[0] == written[1]


class TestTime:
    """split.order=time: the newest images are test, those before them val."""

    def write(self, manifest, times: list[str]) -> None:
        manifest(*make_class("cat", 50), *make_class("dog", 50))
        save_table(pd.read_csv(MANIFEST).assign(time=times), MANIFEST)

    def test_the_newest_images_are_test(self, manifest, project, caplog):
        days = [f"2024-{1 + i % 10:02d}-{1 + i // 10:02d}" for i in range(100)]
        self.write(manifest, days)
        project.set(split__order="time")
        caplog.set_level(logging.INFO)
        split()
        table = load_splits().assign(day=days)
        assert list(table.columns) == [*SPLITS_COLUMNS, "day"]
        periods = table.groupby("split")["day"].agg(["min", "max"])
        assert periods.loc["train", "max"] < periods.loc["val", "min"]
        assert periods.loc["val", "max"] < periods.loc["test", "min"]
        assert table["split"].value_counts().to_dict() == {"train": 64, "test": 20, "val": 16}
        assert f"test from {periods.loc['test', 'min']} to {periods.loc['test', 'max']}" in caplog.messages[0]

    def test_a_class_of_one_period_is_refused_with_the_periods(self, manifest, project):
        self.write(manifest, [str(i) for i in range(100)])
        project.set(split__order="time")
        with pytest.raises(
            PipelineError, match=r"class 'cat' has no image in val.*by time.*test from 80 to 99"
        ) as caught:
            split()
        assert "split.order=content" in str(caught.value)

    def test_without_times_it_is_refused(self, manifest, project):
        manifest(*make_class("cat", 50), *make_class("dog", 50))
        project.set(split__order="time")
        with pytest.raises(PipelineError, match="no image has a time"):
            split()
