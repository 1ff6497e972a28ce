import hashlib
import json
from pathlib import Path

import pytest

from pipeline.verification.objects import Cache, compute_digests, join_digests

# As DVC has them: a file `a` that holds `1`, and the folder that holds it alone.
FILE = hashlib.md5(b"1", usedforsecurity=False).hexdigest()
LISTING = json.dumps([{"md5": FILE, "relpath": "a"}])
FOLDER = hashlib.md5(LISTING.encode(), usedforsecurity=False).hexdigest() + ".dir"


@pytest.fixture
def cache(tmp_path) -> Cache:
    for digest, text in ((FILE, "1"), (FOLDER, LISTING)):
        file = tmp_path / "cache/files/md5" / digest[:2] / digest[2:]
        file.parent.mkdir(parents=True)
        file.write_text(text)
    return Cache(tmp_path / "cache")


def test_digests_are_those_of_dvc(tmp_path):
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    folder = tmp_path / "out"
    for name in ("b/ä.txt", "a", "B", "b.csv", "z/0"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    system = LocalFileSystem()
    database = HashFileDB(system, str(tmp_path / "db"))
    _, _, found = build(database, str(folder), system, "md5")
    assert join_digests(compute_digests(folder), is_folder=True) == found.hash_info.value


def test_what_is_in_no_digest_of_dvc_is_in_none_here(tmp_path):
    for name in ("a", "b.pyc", "c.partial"):
        (tmp_path / name).write_text("1")
    assert compute_digests(tmp_path) == {"a": FILE}


def test_a_file_and_nothing(tmp_path):
    (tmp_path / "a").write_text("1")
    assert join_digests(compute_digests(tmp_path / "a"), is_folder=False) == FILE
    assert compute_digests(tmp_path / "b") == {}
    assert join_digests({}, is_folder=False) == ""


class TestCache:
    def test_files_and_folders_are_placed(self, cache, tmp_path):
        assert cache.place(FILE, tmp_path / "x/a.csv")
        assert (tmp_path / "x/a.csv").read_text() == "1"
        (tmp_path / "y").mkdir()
        (tmp_path / "y/old").write_text("gone")
        assert cache.place(FOLDER, tmp_path / "y")
        assert compute_digests(tmp_path / "y") == {"a": FILE}

    def test_what_is_missing_is_not_placed_in_part(self, cache, tmp_path):
        file = cache.find(FILE)
        assert isinstance(file, Path)
        file.unlink()
        assert not cache.place(FILE, tmp_path / "a")
        assert not cache.place(FOLDER, tmp_path / "y")
        assert not cache.place("0" * 32 + ".dir", tmp_path / "z")
        assert not [name for name in "ayz" if (tmp_path / name).exists()]

    def test_without_links_there_are_copies(self, cache, tmp_path, monkeypatch):
        def refuse(*_: Path) -> None:
            raise OSError

        monkeypatch.setattr("pipeline.verification.objects.os.link", refuse)
        assert cache.place(FOLDER, tmp_path / "y")
        assert (tmp_path / "y/a").read_text() == "1"
