from pathlib import Path

import pytest

from pipeline.sources.watching import Seen, load_seen, save_seen
from pipeline.sources.watching import watch as watch_folders
from stages.watch import watch


@pytest.fixture
def pictures(project, picture_folder) -> Path:  # noqa: ARG001
    """A folder that is watched; what was seen in it is something else."""
    folder = picture_folder({"cat": 1})
    watch_folders({"source": folder})
    save_seen("source", Seen("settings", "before"))
    return folder


@pytest.mark.usefixtures("pictures")
def test_what_is_there_now_is_written():
    watch("source")
    seen = load_seen("source")
    assert seen.settings == "settings"
    assert seen.content != "before"


def test_what_is_gone_leaves_what_was_seen(pictures, caplog):
    pictures.rename(pictures.with_name("elsewhere"))
    watch("source")
    assert load_seen("source") == Seen("settings", "before")
    assert "is gone: what was read from it is still used" in caplog.text


@pytest.mark.usefixtures("project")
def test_what_nobody_watches_is_gone_too():
    watch("labels")
    assert load_seen("labels") == Seen()
    assert Path("data/watch/seen/labels.json").exists()
