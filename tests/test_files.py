from pathlib import Path

import pytest

from stages.files import folder_aside, remove, write_aside


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
