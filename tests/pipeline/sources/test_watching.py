import hashlib
import json
from pathlib import Path

import pytest

from pipeline.sources import watching
from pipeline.sources.watching import (
    Seen,
    digest_content,
    digest_settings,
    is_absent,
    load_seen,
    load_watched,
    save_seen,
    watch,
)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat/1.png").write_bytes(b"1")
    return folder


class TestContent:
    @pytest.fixture(autouse=True)
    def inside(self, project):
        return project

    def test_it_is_of_names_and_bytes_and_no_time(self, pictures, tmp_path):
        digest = digest_content("source", pictures)
        copy = tmp_path / "copy"
        (copy / "cat").mkdir(parents=True)
        (copy / "cat/1.png").write_bytes(b"1")
        assert digest_content("labels", copy) == digest
        (copy / "cat/1.png").rename(copy / "cat/2.png")
        assert digest_content("labels", copy) != digest

    def test_it_is_the_digest_of_a_line_per_file_as_notes_in_git_have_it(self, pictures):
        (pictures / "cat.png").write_bytes(b"2")
        lines = b"".join(
            f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode()
            for name, content in (("cat.png", b"2"), ("cat/1.png", b"1"))
        )
        assert digest_content("source", pictures) == hashlib.sha256(lines).hexdigest()[:32]

    def test_files_that_nothing_has_touched_are_not_read_again(self, pictures, monkeypatch):
        digest = digest_content("source", pictures)
        monkeypatch.setattr(watching, "compute_sha256", lambda _: pytest.fail("was read again"))
        assert digest_content("source", pictures) == digest

    def test_many_files_are_read_on_all_cores_to_the_same_digest(self, pictures, monkeypatch):
        for number in range(5):
            (pictures / f"cat/{number}.png").write_bytes(b"%d" % number)
        alone = digest_content("source", pictures)
        monkeypatch.setattr(watching, "_FEW", 0)
        monkeypatch.setattr(watching, "_CHUNK", 2)
        assert digest_content("labels", pictures) == alone  # under another name: nothing is remembered

    def test_a_file_that_grew_is_read_again(self, pictures):
        digest = digest_content("source", pictures / "cat/1.png")
        (pictures / "cat/1.png").write_bytes(b"22")
        assert digest_content("source", pictures / "cat/1.png") != digest

    def test_a_damaged_note_of_the_last_reading_does_no_harm(self, pictures, project):
        digest = digest_content("source", pictures)
        (project.folder / "data/watch/here/source.json").write_text("[1")
        assert digest_content("source", pictures) == digest


class TestSeen:
    def test_what_is_saved_is_loaded(self, project):
        save_seen("source", Seen("a", "b"))
        assert load_seen("source") == Seen("a", "b")
        assert json.loads((project.folder / "data/watch/seen/source.json").read_text()) == {
            "settings": "a",
            "content": "b",
        }

    @pytest.mark.parametrize("text", [None, "", "<<<<<<< HEAD", "[]", '{"other": 1}'])
    def test_without_a_readable_file_nothing_was_seen(self, project, text):
        if text is not None:
            (project.folder / "data/watch/seen").mkdir(parents=True)
            (project.folder / "data/watch/seen/source.json").write_text(text)
        assert load_seen("source") == Seen()

    def test_those_in_git_are_what_a_fresh_project_writes(self, project):
        for name in ("source", "labels", "outside", "exclude", "relabel"):
            save_seen(name, Seen())
            written = (project.folder / f"data/watch/seen/{name}.json").read_text()
            assert (Path(__file__).parents[3] / f"data/watch/seen/{name}.json").read_text() == written

    def test_new_parameters_that_are_null_change_no_digest(self):
        assert digest_settings({"path": "a"}) == digest_settings({"path": "a", "new": None, "splits": {}})
        assert digest_settings({"path": "a"}) != digest_settings({"path": "b"})


@pytest.mark.parametrize(
    ("make", "absent"),
    [
        (lambda _: None, True),
        (lambda path: path.mkdir(), True),
        (lambda path: path.touch(), False),
        (lambda path: (path / "a").mkdir(parents=True), False),
        (lambda path: path.symlink_to(path.with_name("nothing")), True),
    ],
)
def test_absent_is_what_does_not_exist_or_is_empty(tmp_path, make, absent):
    make(tmp_path / "x")
    assert is_absent(tmp_path / "x") is absent


class TestWatched:
    def test_what_is_watched_is_listed(self, project, pictures):
        watch({"source": pictures})
        assert load_watched() == {"source": pictures}
        assert (project.folder / "data/watch/here/source").is_symlink()
        watch({})
        assert load_watched() == {}
        assert pictures.exists()

    def test_a_temporary_copy_of_the_project_leaves_it_alone(self, tmp_path, pictures, monkeypatch):
        copy = tmp_path / ".dvc/tmp/exps/tmp1"
        copy.mkdir(parents=True)
        monkeypatch.chdir(copy)
        watch({"source": pictures})
        assert list(copy.iterdir()) == []

    @pytest.mark.parametrize("text", ["", "watched:", "watched: [a]", "{"])
    def test_a_damaged_list_is_an_empty_one(self, project, text):
        (project.folder / "data/watch").mkdir(parents=True)
        (project.folder / "data/watch/params.yaml").write_text(text)
        assert load_watched() == {}
