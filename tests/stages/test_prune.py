import logging

import pytest

from pipeline.data.corrections import CORRECTIONS_COLUMNS, load_corrections_table
from pipeline.data.manifest import load_manifest, load_quarantine
from pipeline.data.raw import save_raw
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import CODE
from pipeline.sources.raw_image import RawImage
from stages.prune import prune

pytestmark = pytest.mark.usefixtures("one_core")

TABLES = ("manifest.csv", "quarantine.csv", "corrections.csv")


@pytest.fixture
def raw(project, make_image_bytes):
    """Writes data/raw: a number of images per class, and files with given bytes."""
    project.set(data__source="folder", preprocess__num_workers=1, prune__max_loss=1.0)

    def write(files: dict[str, bytes] | None = None, **counts: int) -> None:
        images = [
            RawImage(f"{label}/{i:03d}.png", label, "", make_image_bytes(size=(12, 10), seed=seed * 1000 + i))
            for seed, (label, count) in enumerate(counts.items())
            for i in range(count)
        ]
        odd = [RawImage(name, name.partition("/")[0], "", data) for name, data in (files or {}).items()]
        save_raw(images + odd, {"source": "folder"})

    return write


def classes() -> dict[str, int]:
    return load_manifest()["label"].value_counts().to_dict()


def refusal(project) -> str:
    with pytest.raises(PipelineError) as caught:
        prune()
    assert "\n" not in str(caught.value)
    assert not (project.folder / "data/manifest.csv").exists()
    assert not (project.folder / "data/quarantine.csv").exists()
    return str(caught.value)


class TestFiles:
    def test_usable_images_go_into_the_manifest_the_others_into_quarantine(self, raw, caplog):
        raw({"cat/bad.png": b"bad"}, dog=3, cat=5)
        caplog.set_level(logging.INFO)
        prune()
        assert load_manifest()["name"].is_monotonic_increasing
        assert classes() == {"cat": 5, "dog": 3}
        assert load_quarantine()["name"].tolist() == ["cat/bad.png"]
        assert caplog.messages == [
            "lost to quarantine: 'cat' 1 of 6 (16.7%), the first because: "
            "not an image: no known format in its first bytes",
            "8 images of 2 classes; 1 files in data/quarantine.csv",
        ]

    def test_splits_of_the_source_are_kept(self, project, make_image_bytes):
        project.set(data__source="folder")
        images = [
            RawImage(f"{split}/{label}/1.png", label, split, make_image_bytes(seed=seed))
            for seed, (split, label) in enumerate(
                [("train", "cat"), ("test", "cat"), ("train", "dog"), ("test", "dog")]
            )
        ]
        save_raw(images, {"source": "folder"})
        prune()
        assert load_manifest()["source_split"].tolist() == ["test", "test", "train", "train"]

    @pytest.mark.parametrize("label", ["polar bear", "v1.0", "猫", "bear, brown", "NA", "007", 'so "called"'])
    def test_class_names_may_be_any_text(self, raw, label):
        raw(**{label: 2}, dog=2)
        prune()
        assert classes() == {label: 2, "dog": 2}

    def test_limits_of_size_are_parameters(self, raw, project, make_image_bytes):
        raw(
            {"cat/tiny.png": make_image_bytes(size=(3, 3)), "cat/large.png": make_image_bytes(size=(2000, 1000))},
            cat=1,
            dog=1,
        )
        project.set(prune__min_side=2, prune__max_megapixels=1.0)
        prune()
        assert load_quarantine()["name"].tolist() == ["cat/large.png"]

    def test_files_of_a_dropped_class_are_not_read(self, raw, project):
        raw({"eel/bad.png": b"bad"}, cat=1, dog=1)
        project.set(prune__drop_classes=["eel"])
        prune()
        assert load_quarantine().empty

    def test_the_same_files_give_the_same_bytes(self, raw, project):
        raw({"cat/bad.png": b"bad"}, cat=20, dog=20)
        written = []
        for _ in range(2):
            prune()
            written.append([(project.folder / f"data/{name}.csv").read_bytes() for name in ("manifest", "quarantine")])
        assert written[0] == written[1]


class TestClasses:
    def test_are_dropped_merged_and_capped(self, raw, project):
        raw(cat=9, dog=9, eel=9, fox=9)
        project.set(
            prune__drop_classes=["eel"], prune__merge_classes={"pet": ["cat", "dog"]}, prune__max_images_per_class=7
        )
        prune()
        assert classes() == {"pet": 7, "fox": 7}

    def test_that_are_too_small_are_left_out_and_logged(self, raw, project, caplog):
        raw(cat=9, dog=9, eel=3)
        project.set(prune__min_images_per_class=4)
        caplog.set_level(logging.INFO)
        prune()
        assert classes() == {"cat": 9, "dog": 9}
        assert caplog.messages[0] == "class 'eel' is left out: 3 images, prune.min_images_per_class is 4"

    def test_count_only_usable_images(self, raw, project, caplog):
        raw({f"eel/{i}.png": b"bad" for i in range(9)}, cat=5, dog=5, eel=3)
        project.set(prune__min_images_per_class=4)
        caplog.set_level(logging.INFO)
        prune()
        assert classes() == {"cat": 5, "dog": 5}
        assert not any("none of its files" in message for message in caplog.messages)

    def test_null_means_the_settings_of_the_source(self, raw, project):
        raw(cat=3, dog=3, eel=3)
        project.set(sources__folder__drop_classes=["eel"], sources__folder__max_images_per_class=2)
        prune()
        assert classes() == {"cat": 2, "dog": 2}

    def test_an_empty_list_overrides_the_source(self, raw, project):
        raw(cat=3, dog=3, eel=3)
        project.set(sources__folder__drop_classes=["eel"], prune__drop_classes=[])
        prune()
        assert set(classes()) == {"cat", "dog", "eel"}

    def test_by_default_street_is_dropped_from_scenes(self, raw, project):
        raw(sea=2, forest=2, street=2)
        project.set(data__source="scenes")
        prune()
        assert set(classes()) == {"sea", "forest"}

    def test_that_do_not_exist_are_refused_with_a_list_of_those_that_do(self, raw, project):
        raw(cat=2, dog=2)
        project.set(prune__drop_classes=["lion"])
        assert refusal(project) == "prune.drop_classes: there is no class 'lion': expected one of 'cat', 'dog'"

    def test_without_a_usable_image_are_left_out_and_logged(self, raw, caplog):
        raw({"eel/1.png": b"bad", "eel/2.png": b"", "fox/1.png": b""}, cat=2, dog=2)
        prune()
        assert set(classes()) == {"cat", "dog"}
        assert [(record.levelname, record.message) for record in caplog.records if record.levelno > logging.INFO] == [
            (
                "WARNING",
                "class 'eel' is left out: none of its files can be used, the first because: "
                "not an image: no known format in its first bytes",
            ),
            ("WARNING", "class 'fox' is left out: none of its files can be used, the first because: empty: 0 bytes"),
        ]

    @pytest.mark.parametrize(
        ("counts", "files", "change"),
        [
            ({"cat": 5}, {}, {}),
            ({"cat": 5}, {"dog/1.png": b"bad"}, {}),
            ({"cat": 5, "dog": 5}, {}, {"prune__drop_classes": ["dog"]}),
            ({"cat": 5, "dog": 5}, {}, {"prune__merge_classes": {"cat": ["cat", "dog"]}}),
            ({"cat": 5, "dog": 3}, {}, {"prune__min_images_per_class": 4}),
        ],
    )
    def test_a_single_one_is_refused(self, raw, project, counts, files, change):
        raw(files, **counts)
        project.set(**change)
        assert "two classes or more: received 'cat' after pruning" in refusal(project)

    def test_whose_only_files_are_constant_are_quarantined_if_faults_are(self, raw, project, make_image_bytes):
        raw({"cat/plain.png": make_image_bytes((9, 9, 9))}, cat=3, dog=3)
        for rule, expected in (("warn", {"cat": 4, "dog": 3}), ("quarantine", {"cat": 3, "dog": 3})):
            project.set(prune__faults=rule)
            prune()
            assert classes() == expected
        assert load_quarantine()["reason"].tolist() == ["constant: after decoding all pixels are (9, 9, 9)"]

    @pytest.mark.parametrize("change", [{"prune__drop_classes": ["cat", "dog"]}, {"prune__min_images_per_class": 99}])
    def test_none_at_all_is_refused(self, raw, project, change):
        raw(cat=2, dog=2)
        project.set(**change)
        assert "received none after pruning" in refusal(project)

    def test_only_unusable_files_are_refused_with_their_number(self, raw, project):
        raw({"cat/1.png": b"bad", "dog/1.png": b"bad"})
        assert "received none after pruning, with 2 file(s) that can't be used" in refusal(project)


class TestThinning:
    def test_a_map_caps_the_classes_that_it_names(self, raw, project):
        raw(cat=9, dog=9, eel=9)
        project.set(prune__max_images_per_class={"cat": 2, "dog": 4})
        prune()
        assert classes() == {"cat": 2, "dog": 4, "eel": 9}

    def test_the_source_may_have_a_map_and_a_number_overrides_it(self, raw, project):
        raw(cat=9, dog=9)
        project.set(sources__folder__max_images_per_class={"cat": 2})
        prune()
        assert classes() == {"cat": 2, "dog": 9}
        project.set(prune__max_images_per_class=5)
        prune()
        assert classes() == {"cat": 5, "dog": 5}

    @pytest.mark.parametrize("thin", ["all", "train"])
    def test_a_class_that_does_not_exist_is_refused(self, raw, project, thin):
        raw(cat=9, dog=9)
        project.set(prune__thin=thin, prune__max_images_per_class={"cta": 2})
        assert refusal(project) == (
            "prune.max_images_per_class: there is no class 'cta' after prune.drop_classes and merge_classes: did you mean cat?"
        )

    def test_names_of_merged_classes_count(self, raw, project):
        raw(cat=9, dog=9, eel=9)
        project.set(prune__merge_classes={"pet": ["cat", "dog"]}, prune__max_images_per_class={"pet": 4})
        prune()
        assert classes() == {"pet": 4, "eel": 9}
        (project.folder / "data/manifest.csv").unlink()
        (project.folder / "data/quarantine.csv").unlink()
        project.set(prune__max_images_per_class={"cat": 4})
        assert "there is no class 'cat' after prune.drop_classes and merge_classes" in refusal(project)

    def test_of_training_alone_is_left_to_split(self, raw, project):
        raw(cat=9, dog=9)
        project.set(prune__max_images_per_class=4, prune__thin="train")
        prune()
        assert classes() == {"cat": 9, "dog": 9}

    def test_without_a_number_is_told(self, raw, project, caplog):
        raw(cat=9, dog=9)
        project.set(prune__thin="train")
        prune()
        assert "prune.thin is train, but there is no prune.max_images_per_class: nothing is thinned" in caplog.messages


class TestCorrections:
    @pytest.fixture
    def correct(self, project):
        """Writes the copy of a file, as `locate` does, and names it."""

        def write(kind: str, text: str) -> None:
            (project.folder / "data/corrections").mkdir(parents=True, exist_ok=True)
            (project.folder / f"data/corrections/{kind}.csv").write_text(text)
            project.set(**{f"prune__{kind}": f"my/{kind}.txt"})

        return write

    def test_without_files_there_is_a_table_without_rows(self, raw):
        raw(cat=2, dog=2)
        prune()
        assert load_corrections_table().columns.tolist() == CORRECTIONS_COLUMNS
        assert load_corrections_table().empty

    def test_pictures_are_left_out_and_labelled_anew(self, raw, correct, caplog):
        raw(cat=5, dog=5)
        correct("exclude", "cat/000.png\ncat/001.png\n")
        correct("relabel", "name,label\ncat/002.png,dog\n")
        caplog.set_level(logging.INFO)
        prune()
        manifest = load_manifest()
        assert classes() == {"cat": 2, "dog": 6}
        assert manifest.set_index("name")["label"]["cat/002.png"] == "dog"
        table = load_corrections_table()
        assert table[["name", "label", "new_label", "action", "file", "row"]].to_numpy().tolist() == [
            ["cat/000.png", "cat", "", "exclude", "exclude.txt", "1"],
            ["cat/001.png", "cat", "", "exclude", "exclude.txt", "2"],
            ["cat/002.png", "cat", "dog", "relabel", "relabel.txt", "2"],
        ]
        assert table["image_id"].iloc[2] == manifest.set_index("name")["image_id"]["cat/002.png"]
        assert caplog.messages[:2] == [
            "prune.exclude 'exclude.txt': 2 of 2 rows match 2 pictures (left out 2)",
            "prune.relabel 'relabel.txt': 1 of 1 rows match 1 pictures (another label 1)",
        ]

    def test_a_file_that_can_not_be_used_may_be_left_out_and_is_no_loss(self, raw, project, correct):
        raw({"cat/bad.png": b"bad"}, cat=3, dog=3)
        project.set(prune__max_loss=0.0)
        correct("exclude", "cat/bad.png\n")
        prune()
        assert load_quarantine().empty

    def test_a_class_without_pictures_is_told_and_rules_of_number_come_after(self, raw, project, correct, caplog):
        raw(cat=4, dog=4, eel=1, fox=3)
        project.set(prune__min_images_per_class=3, prune__max_images_per_class={"cat": 3, "eel": 3, "fox": 3})
        correct("exclude", "eel/000.png\nfox/000.png\ncat/000.png\n")
        prune()
        assert classes() == {"cat": 3, "dog": 4}
        assert "class 'eel' is empty: prune.exclude and prune.relabel leave it no picture" in caplog.messages

    def test_what_is_wrong_stops_before_anything_is_written(self, raw, correct, project):
        raw(cat=2, dog=2)
        correct("exclude", "cat/000.png\ncat/999.png\n")
        assert refusal(project).startswith("prune.exclude 'exclude.txt', row 2: there is no picture 'cat/999.png'")


class TestLoss:
    def test_above_the_limit_of_any_class_stops_the_run_and_names_each_class(self, raw, project):
        raw({"eel/bad.png": b"", "cat/bad.png": b"bad"}, cat=50, dog=50, eel=9)
        project.set(prune__max_loss=0.05)
        said = refusal(project)
        assert said.startswith(
            "2 of 111 pictures (1.8%) can't be used: expected 5.0% at most, of all and of each class"
        )
        assert "received: 'eel' 1 of 10 (10.0%), the first because: empty: 0 bytes; 'cat' 1 of 51 (2.0%)" in said
        assert said.endswith("allow the loss: prune.max_loss=0.100")

    def test_the_loss_that_is_advised_is_allowed(self, raw, project):
        raw({"cat/bad.png": b"", "cat/worse.png": b"bad"}, cat=30, dog=30)
        project.set(prune__max_loss=0.05)
        advised = refusal(project).rpartition("=")[2]
        project.set(prune__max_loss=float(advised))
        prune()
        assert classes() == {"cat": 30, "dog": 30}

    def test_below_the_limit_each_class_is_named(self, raw, project, caplog):
        raw({"eel/bad.png": b"", "cat/bad.png": b""}, cat=25, dog=25, eel=25)
        project.set(prune__max_loss=0.05)
        prune()
        assert [message.split(" (")[0] for message in caplog.messages if message.startswith("lost")] == [
            "lost to quarantine: 'cat' 1 of 26",
            "lost to quarantine: 'eel' 1 of 26",
        ]

    def test_the_limit_itself_is_allowed(self, raw, project):
        raw({"cat/bad.png": b""}, cat=19, dog=19)
        project.set(prune__max_loss=0.05)
        prune()
        assert classes() == {"cat": 19, "dog": 19}

    def test_files_that_are_no_pictures_are_no_loss(self, raw, project):
        raw({f"cat/{i}.txt": b"meow" for i in range(9)}, cat=3, dog=3)
        project.set(prune__max_loss=0.0)
        prune()
        assert classes() == {"cat": 3, "dog": 3}

    def test_whole_classes_of_an_undecodable_format_stop_the_run(self, raw, project):
        heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
        files = {f"{label}/{i}.HEIC": heic + bytes([i]) * 300 for label in ("eel", "fox") for i in range(6)}
        raw(files, cat=14, dog=14)
        project.set(prune__max_loss=0.05)
        said = refusal(project)
        assert "'eel' 6 of 6 (100.0%), the first because: can't be decoded: damaged HEIC header" in said
        assert "'fox' 6 of 6 (100.0%)" in said


class TestConflicts:
    @pytest.fixture
    def twins(self, raw, make_image_bytes) -> None:
        both = make_image_bytes(seed=1)
        raw({"cat/twin.png": both, "dog/twin.png": both, "dog/again.png": both}, cat=5, dog=5)

    @pytest.mark.usefixtures("twins")
    def test_are_kept_and_counted(self, caplog):
        prune()
        assert classes() == {"cat": 6, "dog": 7}
        assert caplog.messages[0] == (
            "1 picture(s) with the same bytes under two labels, such as "
            "'cat/twin.png' ('cat') and 'dog/again.png' ('dog') and 'dog/twin.png' ('dog')"
        )

    @pytest.mark.usefixtures("twins")
    def test_are_dropped_on_demand_and_are_no_loss(self, project):
        project.set(prune__conflicts="drop", prune__max_loss=0.0)
        prune()
        assert classes() == {"cat": 5, "dog": 5}
        quarantine = load_quarantine()
        assert quarantine["name"].tolist() == ["cat/twin.png", "dog/again.png", "dog/twin.png"]
        assert set(quarantine["reason"]) == {
            "conflict: the same bytes under the labels 'cat', 'dog'; see prune.conflicts"
        }

    @pytest.mark.usefixtures("twins")
    def test_that_are_dropped_are_named_by_class(self, project, caplog):
        project.set(prune__conflicts="drop", prune__max_loss=0.0)
        prune()
        reason = "the first because: conflict: the same bytes under the labels 'cat', 'dog'; see prune.conflicts"
        assert caplog.messages[1:3] == [
            f"lost to quarantine: 'dog' 2 of 7 (28.6%), {reason}",
            f"lost to quarantine: 'cat' 1 of 6 (16.7%), {reason}",
        ]

    def test_that_cost_a_class_all_of_its_pictures_are_told(self, raw, project, make_image_bytes, caplog):
        copies = {f"{label}/copy{i}.png": make_image_bytes(seed=i) for label in ("dog", "eel") for i in range(3)}
        raw(copies | {"eel/bad.png": b"bad"}, cat=5, dog=5)
        project.set(prune__conflicts="drop")
        prune()
        assert classes() == {"cat": 5, "dog": 5}
        assert (
            "class 'eel' is left out: none of its files can be used, the first because: conflict: the same bytes under the "
            "labels 'dog', 'eel'; see prune.conflicts"
        ) in caplog.messages
        assert sum("'dog' 3 of 8" in message for message in caplog.messages) == 1

    @pytest.mark.usefixtures("twins")
    def test_are_an_error_on_demand(self, project):
        project.set(prune__conflicts="error")
        assert "1 picture(s) have the same bytes under two labels: expected one label each" in refusal(project)

    def test_copies_under_one_label_are_none(self, raw, project, make_image_bytes):
        both = make_image_bytes(seed=1)
        raw({"cat/a.png": both, "cat/b.png": both}, cat=2, dog=2)
        project.set(prune__conflicts="error")
        prune()
        assert classes() == {"cat": 4, "dog": 2}


def test_a_run_that_ends_early_leaves_what_it_has_inspected_to_the_next_which_leaves_nothing(
    project, raw, monkeypatch, caplog
):
    raw({"cat/bad.png": b"bad"}, dog=3, cat=5)
    prune()
    expected = {name: (project.folder / "data" / name).read_bytes() for name in TABLES}
    monkeypatch.setenv("DVC_STAGE", "prune")
    CODE.mkdir(parents=True)
    (CODE / "prune.json").write_text("{}")
    project.set(prune__max_loss=0.0)
    with pytest.raises(PipelineError):
        prune()
    assert "inspected.partial" in project.files()
    project.set(prune__max_loss=1.0)
    monkeypatch.setattr("pipeline.data.inspection.map_guarded", lambda *_, **__: iter([]))
    caplog.set_level(logging.INFO)
    caplog.clear()
    prune()
    assert caplog.messages[0] == "prune goes on: 9 files are done, by a run that ended early"
    assert {name: (project.folder / "data" / name).read_bytes() for name in TABLES} == expected
    assert "inspected.partial" not in project.files()
