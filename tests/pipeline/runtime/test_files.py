from pathlib import Path

import pytest

from pipeline.runtime.files import find_dvc_cache, folder_aside, remove, write_aside


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_under_its_name_only_when_complete(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with write_aside(target) as partial:
        partial.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"
    assert names(target.parent) == ["table.csv"]


def test_a_folder_appears_under_its_name_only_when_complete(tmp_path):
    target = tmp_path / "new" / "raw"
    with folder_aside(target) as partial:
        (partial / "a").write_text("half")
        assert not target.exists()
    assert names(target) == ["a"]
    assert names(target.parent) == ["raw"]


def write_half_a_file(target: Path) -> None:
    with write_aside(target) as partial:
        partial.write_text("half")
        raise RuntimeError


def write_half_a_folder(target: Path) -> None:
    with folder_aside(target) as partial:
        (partial / "new").touch()
        raise RuntimeError


def test_a_failing_block_keeps_the_old_file_and_leaves_no_other(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError):
        write_half_a_file(target)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_a_failing_block_keeps_the_old_folder_and_leaves_no_other(tmp_path):
    target = tmp_path / "raw"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(RuntimeError):
        write_half_a_folder(target)
    assert names(tmp_path) == ["raw"]
    assert names(target) == ["old"]


def test_a_new_folder_replaces_all_of_the_old_one(tmp_path):
    for name in ("old", "new"):
        with folder_aside(tmp_path / "raw") as partial:
            (partial / name).touch()
    assert names(tmp_path / "raw") == ["new"]


@pytest.mark.parametrize("aside", [write_aside, folder_aside])
def test_what_a_killed_run_left_behind_is_cleared(tmp_path, aside):
    left = tmp_path / "raw.partial"
    left.mkdir()
    (left / "half").touch()
    with aside(tmp_path / "raw") as partial:
        assert not (partial / "half").exists()
        if aside is write_aside:
            partial.touch()
    assert names(tmp_path) == ["raw"]


def test_removing_takes_files_folders_and_what_is_not_there(tmp_path):
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name in ("folder", "file", "nothing"):
        remove(tmp_path / name)
    assert names(tmp_path) == []


def test_removing_a_link_keeps_what_it_points_to(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "picture").touch()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    remove(tmp_path / "link")
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == ["picture"]


class TestDvcCache:
    """DVC is asked where it is."""

    @pytest.fixture(autouse=True)
    def _unasked(self):
        find_dvc_cache.cache_clear()
        yield
        find_dvc_cache.cache_clear()

    @pytest.fixture
    def say(self, tmp_path, monkeypatch):
        """Puts a program called dvc before all others, which notes what it is asked and gives an answer."""

        def write(answer: str, status: int = 0) -> Path:
            program = tmp_path / "bin" / "dvc"
            program.parent.mkdir()
            program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n{answer}\nexit {status}\n')
            program.chmod(0o755)
            monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
            return tmp_path / "asked"

        return write

    def test_its_answer_is_taken_and_asked_for_once(self, say):
        asked = say("echo /srv/our cache")
        assert find_dvc_cache() == find_dvc_cache() == Path("/srv/our cache")
        assert asked.read_text() == "cache dir\n"

    def test_outside_of_a_repository_of_its_own_it_is_where_it_would_be(self, say):
        say("echo ERROR: you are not inside of a DVC repository >&2", status=253)
        assert find_dvc_cache() == Path(".dvc/cache")

    def test_so_it_is_where_there_is_no_dvc(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_dvc_cache() == Path(".dvc/cache")
