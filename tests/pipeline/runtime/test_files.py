import hashlib
from pathlib import Path

import pytest

from pipeline.runtime.files import (
    compute_sha256,
    find_dvc_cache,
    folder_aside,
    folder_continued,
    read_key,
    remove,
    write_aside,
)


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


def test_a_new_folder_replaces_the_whole_old_one(tmp_path):
    for name in ("old", "new"):
        with folder_aside(tmp_path / "raw") as partial:
            (partial / name).touch()
    assert names(tmp_path / "raw") == ["new"]


@pytest.mark.parametrize("aside", [write_aside, folder_aside])
def test_leftovers_of_a_killed_run_are_deleted(tmp_path, aside):
    left = tmp_path / "raw.partial"
    left.mkdir()
    (left / "half").touch()
    with aside(tmp_path / "raw") as partial:
        assert not (partial / "half").exists()
        if aside is write_aside:
            partial.touch()
    assert names(tmp_path) == ["raw"]


def test_remove_accepts_files_folders_and_missing_paths(tmp_path):
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name in ("folder", "file", "nothing"):
        remove(tmp_path / name)
    assert names(tmp_path) == []


def test_removing_a_link_keeps_its_target(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "picture").touch()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    remove(tmp_path / "link")
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == ["picture"]


def test_the_checksum_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")  # the example of FIPS 180-2
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert compute_sha256(tmp_path / "file") == expected


@pytest.mark.parametrize("size", [0, 65_535, 65_536, 65_537, 200_000])
def test_the_checksum_is_that_of_all_bytes(tmp_path, size):
    (tmp_path / "file").write_bytes(bytes(size))
    assert compute_sha256(tmp_path / "file") == hashlib.sha256(bytes(size)).hexdigest()


class TestDvcCache:
    """DVC tells where it is."""

    @pytest.fixture(autouse=True)
    def _unasked(self):
        find_dvc_cache.cache_clear()
        yield
        find_dvc_cache.cache_clear()

    @pytest.fixture
    def answer(self, tmp_path, monkeypatch):
        """Puts a program called dvc first on the path, which records its arguments and prints an answer."""

        def write(text: str, status: int = 0) -> Path:
            program = tmp_path / "bin" / "dvc"
            program.parent.mkdir()
            program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n{text}\nexit {status}\n')
            program.chmod(0o755)
            monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
            return tmp_path / "asked"

        return write

    def test_it_is_the_answer_of_dvc_which_runs_once(self, answer):
        asked = answer("echo /srv/our cache")
        assert find_dvc_cache() == find_dvc_cache() == Path("/srv/our cache")
        assert asked.read_text() == "cache dir\n"

    def test_outside_a_repository_it_is_the_default(self, answer):
        answer("echo ERROR: you are not inside of a DVC repository >&2", status=253)
        assert find_dvc_cache() == Path(".dvc/cache")

    def test_without_dvc_it_is_the_default(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_dvc_cache() == Path(".dvc/cache")


def test_in_a_stage_that_dvc_runs_outputs_are_on_the_disk_before_they_have_their_name(tmp_path, monkeypatch):
    events: list[str] = []
    rename = Path.rename
    monkeypatch.setattr("pipeline.runtime.files.os.fsync", lambda _: events.append("on disk"))
    monkeypatch.setattr(Path, "rename", lambda path, to: (events.append("renamed"), rename(path, to))[1])

    def write() -> None:
        with folder_aside(tmp_path / "raw") as partial:
            (partial / "deep").mkdir()
            (partial / "deep" / "a").touch()
            (partial / "b").touch()

    monkeypatch.delenv("DVC_STAGE", raising=False)
    write()
    assert events == ["renamed"]
    monkeypatch.setenv("DVC_STAGE", "download")
    write()
    assert events == ["renamed", "on disk", "on disk", "renamed"]


def write_parts(target: Path, key: str | None, *names: str, fail: bool = False) -> list[str]:
    """Writes the parts that are missing; returns those that were there."""
    with folder_continued(target, key) as partial:
        there = [path.name for path in partial.iterdir() if path.name in names]
        for name in set(names) - set(there):
            with write_aside(partial / name) as part:
                part.write_text(name)
        if fail:
            (partial / "half.partial").touch()
            raise RuntimeError
    return sorted(there)


def test_parts_that_a_killed_run_has_finished_are_there_for_the_next(tmp_path):
    target = tmp_path / "tfrecords"
    with pytest.raises(RuntimeError):
        write_parts(target, "key", "a", "b", fail=True)
    assert read_key(tmp_path / "tfrecords.partial") == "key"
    assert not target.exists()
    assert write_parts(target, "key", "a", "b", "c") == ["a", "b"]
    assert names(target) == ["a", "b", "c"]
    assert names(tmp_path) == ["tfrecords"]


def test_parts_of_other_settings_are_removed(tmp_path):
    target = tmp_path / "tfrecords"
    with pytest.raises(RuntimeError):
        write_parts(target, "key", "a", fail=True)
    assert write_parts(target, "other", "a") == []
    assert names(target) == ["a"]


def test_without_a_key_nothing_is_kept(tmp_path):
    with pytest.raises(RuntimeError):
        write_parts(tmp_path / "tfrecords", None, "a", fail=True)
    assert names(tmp_path) == []
    assert write_parts(tmp_path / "tfrecords", None, "a") == []
    assert names(tmp_path) == ["tfrecords"]
