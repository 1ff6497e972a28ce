"""What DVC writes is at any moment the file as it was, or as it is to be."""

import json
import os
from pathlib import Path

import pytest

from pipeline.runtime.dvc_writes import make_dvc_write_whole, replace_whole


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC as the environment's `dvc` makes it, for one test."""
    from dvc import rwlock
    from dvc.utils.serialize import _common, _json, _yaml

    monkeypatch.setattr(rwlock, "_edit_rwlock", rwlock._edit_rwlock)
    for module in (_common, _json, _yaml):
        monkeypatch.setattr(module, "_dump_data", module._dump_data)
    make_dvc_write_whole()
    make_dvc_write_whole()  # once is enough


def test_a_file_keeps_its_mode_and_a_link_its_target(tmp_path):
    (tmp_path / "real").write_text("before")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    replace_whole(tmp_path / "link", b"after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "after"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    assert list_names(tmp_path) == ["link", "real"]


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Killed(BaseException):
    """In the middle of a write."""


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_dvc_killed_while_it_writes_leaves_the_file_as_it_was(tmp_path, monkeypatch, kind):
    import dvc.utils.serialize as serialize

    dump, modify = getattr(serialize, f"dump_{kind}"), getattr(serialize, f"modify_{kind}")
    file = tmp_path / "dvc.lock"
    dump(file, {"stages": {"code": {"cmd": "x"}}})
    before = file.read_bytes()
    assert b"stages" in before

    def kill(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("pipeline.runtime.files.Path.replace", kill)
    with pytest.raises(Killed), modify(file) as content:
        content["stages"]["check"] = {"cmd": "y"}
    assert file.read_bytes() == before
    assert list_names(tmp_path) == ["dvc.lock"]


@pytest.mark.usefixtures("whole")
def test_dvc_writes_the_same_bytes_as_without(tmp_path):
    from dvc.utils.serialize import dump_yaml, dumps_yaml, load_yaml

    content = load_yaml("dvc.lock")
    dump_yaml(tmp_path / "dvc.lock", content)
    assert (tmp_path / "dvc.lock").read_text() == dumps_yaml(content)


@pytest.mark.usefixtures("whole")
def test_the_list_of_users_is_whole_while_dvc_holds_it_and_after(tmp_path):
    from dvc.fs import localfs
    from dvc.rwlock import rwlock

    file = tmp_path / "rwlock"
    with rwlock(str(tmp_path), localfs, "dvc repro", ["/a"], ["/b"], False):
        assert json.loads(file.read_text())["write"]["/b"] == {"pid": os.getpid(), "cmd": "dvc repro"}
    assert "/b" not in file.read_text()
    assert list_names(tmp_path) == ["rwlock", "rwlock.lock"]


@pytest.mark.usefixtures("whole")
def test_a_text_that_is_not_ascii_stays_as_it_is(tmp_path):
    from dvc.utils.serialize import dump_yaml

    dump_yaml(tmp_path / "a.yaml", {"path": "Bücher"})
    assert Path(tmp_path / "a.yaml").read_text(encoding="utf-8") == "path: Bücher\n"
