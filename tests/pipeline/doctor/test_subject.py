from pathlib import Path

import pytest

from pipeline.config.reader import load_params
from pipeline.doctor.findings import Finding, collect_warnings
from pipeline.doctor.subject import choose_source, describe_inherited, look_at_source
from stages.locate import locate
from tests.pipeline.sources.packing import pack_tar, pack_zip


@pytest.fixture
def look(project):
    """What is found at these parameters."""

    def run(**values):
        project.set(**values)
        return look_at_source(load_params())

    return run


def texts(findings: list[Finding], *, stops: bool) -> str:
    return "\n".join(finding.text for finding in findings if finding.stops is stops)


class TestPath:
    def test_a_folder_or_file_is_absolute(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a.zip").touch()
        assert choose_source("a.zip") == {"data.source": "archive", "data.path": str(tmp_path / "a.zip")}
        assert choose_source(".") == {"data.source": "folder", "data.path": str(tmp_path)}

    def test_a_tilde_is_the_home_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert choose_source("~/pictures")["data.path"] == str(tmp_path / "pictures")

    @pytest.mark.parametrize("path", ["https://host/a.zip", "doi:1/2", "kaggle:a/b"])
    def test_an_address_stays(self, path):
        assert choose_source(path) == {"data.source": "archive", "data.path": path}


class TestFolder:
    def test_its_classes_and_splits_are_counted(self, look, picture_folder):
        subject = look(data__source="folder", data__path=str(picture_folder({"cat": 25, "dog": 35})))
        assert subject.classes == {"cat": 25, "dog": 35}
        assert subject.splits == {"train": 38, "val": 10, "test": 12}
        assert subject.findings == []

    def test_its_own_splits_are_kept(self, look, picture_folder):
        folder = picture_folder({f"{split}/{label}": 20 for split in ("train", "test") for label in ("cat", "dog")})
        assert look(data__source="folder", data__path=str(folder)).splits == {"train": 32, "val": 8, "test": 40}

    def test_a_question_stops_and_names_the_parameter(self, look, picture_folder):
        folder = picture_folder({"color/cat": 1, "color/dog": 1, "grey/cat": 1, "grey/dog": 1})
        subject = look(data__source="folder", data__path=str(folder))
        assert "data.layout=flat" in texts(subject.findings, stops=True)
        assert not subject.is_known
        assert look(data__classes="parent").is_known

    def test_what_is_suspicious_is_a_finding_that_does_not_stop(self, look, picture_folder):
        folder = picture_folder({"cat": 25, "dog": 25})
        (folder / "bird").mkdir()
        subject = look(data__source="folder", data__path=str(folder))
        assert "bird" in texts(subject.findings, stops=False)
        assert subject.is_known

    def test_prunes_rules_are_applied(self, look, picture_folder):
        folder = picture_folder({"cat": 30, "dog": 40, "eel": 2, "fox": 25})
        subject = look(
            data__source="folder",
            data__path=str(folder),
            prune__merge_classes={"pet": ["cat", "dog"]},
            prune__max_images_per_class=50,
            prune__min_images_per_class=20,
        )
        assert subject.classes == {"fox": 25, "pet": 50}
        assert "after prune, 2 classes: fox 25, pet 50" in subject.lines

    @pytest.mark.parametrize(
        ("layout", "thin", "classes", "splits"),
        [
            ({"cat": 100, "dog": 50}, "all", {"cat": 20, "dog": 50}, {"test": 14, "val": 11, "train": 45}),
            ({"cat": 100, "dog": 50}, "train", {"cat": 40, "dog": 50}, {"test": 30, "val": 12, "train": 48}),
            (
                {"train/cat": 60, "train/dog": 40, "test/cat": 30, "test/dog": 10},
                "train",
                {"cat": 50, "dog": 50},
                {"test": 40, "val": 12, "train": 48},
            ),
        ],
        ids=["all", "drawn", "given"],
    )
    def test_a_cap_by_class_counts_where_it_counts_in_the_run(
        self, look, picture_folder, layout, thin, classes, splits
    ):
        subject = look(
            data__source="folder",
            data__path=str(picture_folder(layout)),
            prune__max_images_per_class={"cat": 20},
            prune__thin=thin,
        )
        assert subject.classes == classes
        assert subject.splits == splits

    @pytest.mark.parametrize(
        ("tree", "changes", "words"),
        [
            ({"train/ok": 9, "test/ok": 4, "test/bad": 4}, {}, "class 'bad' has no picture in train: expected"),
            ({"train/ok": 9, "train/bad": 9, "test/ok": 4}, {}, "class 'bad' has no picture in test: expected"),
            ({"ok": 9, "bad": 2}, {}, "class 'bad' has 2 picture(s) to divide: expected"),
            (
                {"train/a": 9, "train/b": 9, "test/c": 9, "test/d": 9},
                {},
                "class 'a' has no picture in test (and 3 more such)",
            ),
        ],
        ids=["train", "test", "too few", "other names"],
    )
    def test_a_class_that_will_lack_in_a_split_stops(self, look, picture_folder, tree, changes, words):
        subject = look(data__source="folder", data__path=str(picture_folder(tree)), **changes)
        assert words in texts(subject.findings, stops=True)

    def test_splits_drawn_anew_have_every_class(self, look, picture_folder):
        tree = {"train/ok": 9, "test/ok": 4, "test/bad": 4}
        anew = {"data__splits": {"train": "train", "test": "train"}}
        assert not texts(look(data__source="folder", data__path=str(picture_folder(tree)), **anew).findings, stops=True)

    def test_each_image_drawn_by_itself_needs_one_only(self, look, picture_folder):
        subject = look(
            data__source="folder", data__path=str(picture_folder({"ok": 9, "bad": 2})), split__method="independent"
        )
        assert not texts(subject.findings, stops=True)

    @pytest.mark.parametrize("kind", ["exclude", "relabel"])
    def test_files_of_corrections_are_looked_for(self, look, picture_folder, kind):
        folder = picture_folder({"cat": 25, "dog": 25})
        found = look(data__source="folder", data__path=str(folder), **{f"prune__{kind}": "no.csv"}).findings
        assert f"prune.{kind} 'no.csv' does not exist" in texts(found, stops=True)

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"prune__drop_classes": ["cow"]}, "no class 'cow'"),
            ({"prune__max_images_per_class": {"cow": 3}}, "no class 'cow'"),
            ({"prune__drop_classes": ["cat"]}, "two classes or more"),
        ],
    )
    def test_what_prune_would_refuse_stops(self, look, picture_folder, values, words):
        folder = picture_folder({"cat": 25, "dog": 25})
        subject = look(data__source="folder", data__path=str(folder), **values)
        assert words in texts(subject.findings, stops=True)
        assert not subject.is_known

    def test_small_and_unequal_classes_are_told(self, look, picture_folder):
        folder = picture_folder({"cat": 25, "dog": 260})
        assert "train.class_weight" in texts(look(data__source="folder", data__path=str(folder)).findings, stops=False)
        folder = picture_folder({"cat": 3, "dog": 25}, "few")
        assert "cat 3" in texts(look(data__path=str(folder)).findings, stops=False)

    def test_a_folder_that_may_not_be_read_is_one_line(self, look, picture_folder, monkeypatch):
        def fail(folder):
            raise PermissionError(13, "Permission denied", str(folder))

        monkeypatch.setattr("pipeline.sources.folder.list_folder", fail)
        folder = picture_folder({"cat": 1})
        assert "Permission denied" in texts(look(data__source="folder", data__path=str(folder)).findings, stops=True)


FILES = {f"{label}/{number}.jpg": b"x" for label in ("cat", "dog") for number in range(30)}


class TestArchive:
    @pytest.mark.parametrize("pack", [pack_zip, pack_tar])
    def test_a_local_one_is_listed(self, look, tmp_path, pack):
        pack(tmp_path / "a", FILES)
        subject = look(data__source="archive", data__path=str(tmp_path / "a"))
        assert subject.classes == {"cat": 30, "dog": 30}

    def test_a_large_tar_is_not(self, look, tmp_path, monkeypatch):
        monkeypatch.setattr("pipeline.doctor.subject._MAX_TAR_BYTES", 10)
        pack_tar(tmp_path / "a", FILES)
        subject = look(data__source="archive", data__path=str(tmp_path / "a"))
        assert "takes as long to list as to read" in subject.lines[-1]
        assert (subject.findings, subject.is_known) == ([], False)

    def test_a_file_that_is_none_stops(self, look, tmp_path):
        (tmp_path / "notes.txt").write_text("hello")
        assert texts(look(data__source="archive", data__path=str(tmp_path / "notes.txt")).findings, stops=True)

    @pytest.mark.parametrize("path", ["http://127.0.0.1:9/a.zip", "doi:1/2"])
    def test_one_elsewhere_is_not_fetched(self, look, path):
        subject = look(data__source="archive", data__path=path)
        assert "nothing was fetched" in subject.lines[-1]
        assert (subject.findings, subject.is_known) == ([], False)

    def test_kaggles_client_is_missed_now_and_not_later(self, look, monkeypatch):
        monkeypatch.setattr("pipeline.doctor.subject.find_spec", lambda _: None)
        assert "[kaggle]" in texts(look(data__source="archive", data__path="kaggle:a/b").findings, stops=True)


class TestOtherSources:
    def test_scenes_are_drawn(self, look):
        subject = look(sources__scenes__images_per_class=100)
        assert subject.classes == dict.fromkeys(["buildings", "forest", "glacier", "mountain", "sea"], 100)
        assert subject.splits == {"train": 320, "val": 80, "test": 100}

    def test_cifar10_brings_its_test_split(self, look):
        subject = look(data__source="cifar10")
        assert subject.splits == {"train": 40_000, "val": 10_000, "test": 10_000}
        assert len(subject.classes) == 10


def test_outside_pictures_must_be_there(look):
    assert "evaluate.outside_path" in texts(look(evaluate__outside_path="nothing").findings, stops=True)
    Path("outside").mkdir()
    assert texts(look(evaluate__outside_path="outside").findings, stops=True) == ""


def test_outside_pictures_have_names_that_dvc_can_store(look, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "K\udce4tzchen.png").touch()
    line = texts(look(evaluate__outside_path=str(tmp_path / "outside")).findings, stops=True)
    assert "evaluate.outside_path" in line
    assert "1 name(s) are not UTF-8, such as b'K\\xe4tzchen.png'" in line


def test_costs_of_classes_that_are_not_there_stop(look, picture_folder):
    folder = str(picture_folder({"cat": 25, "dog": 25}))
    found = look(data__source="folder", data__path=folder, evaluate__costs={"sheep": 3}).findings
    assert "evaluate.costs: no class 'sheep': expected one of cat, dog" in texts(found, stops=True)


def test_what_may_be_secret_in_an_address_is_not_shown(look):
    lines = look(data__source="archive", data__path="https://host/a.zip?code=s3cret").lines
    assert "source archive: https://host/a.zip?…" in lines


def test_warnings_of_a_source_are_findings_each_once(look, tmp_path):
    pack_tar(tmp_path / "a", {f"{label}/h\udcfcndchen{n}.jpg": b"x" for label in ("cat", "dog") for n in range(20)})
    with collect_warnings("pipeline.sources") as found:
        look(data__source="archive", data__path=str(tmp_path / "a"))
        look()
    assert len(found) == 1
    assert "data.encoding" in found[0].text


def test_what_was_downloaded_needs_no_source(look, picture_folder, tmp_path):
    folders = {"data__path": picture_folder({"cat": 2, "dog": 2}), "evaluate__outside_path": tmp_path / "strange"}
    picture_folder({"cow": 1}, "strange")
    look(data__source="folder", **{name: str(folder) for name, folder in folders.items()})
    locate()
    for folder in folders.values():
        folder.rename(f"{folder}.gone")
    subject = look()
    assert subject.findings == []
    assert "what was downloaded from it is used" in subject.lines[-1]
    assert "does not exist" in texts(look(data__layout="flat").findings, stops=True)


def test_what_params_yaml_says_of_other_pictures_is_told(project):
    assert describe_inherited(load_params(), {"data.path"}) == []
    project.set(data__classes="file", data__splits={"a.txt": "train"})
    (line,) = describe_inherited(load_params(), {"data.path"})
    assert "data.splits={'a.txt': 'train'}, data.classes=file" in line
    assert "data.splits" not in describe_inherited(load_params(), {"data.splits"})[0]
    project.set(data__classes="folders", data__splits={}, data__label_columns__path="file")
    assert "'path': 'file'" in describe_inherited(load_params(), set())[0]
