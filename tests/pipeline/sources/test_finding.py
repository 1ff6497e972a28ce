from pathlib import Path

import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.finding import Finder, is_forgiven
from pipeline.sources.watching import Seen, digest_settings, load_seen, load_watched, save_seen

SETTINGS = {"path": "x", "layout": "auto"}


def refuse() -> Path:
    raise PipelineError("it is not here")


@pytest.fixture(autouse=True)
def inside(project):
    """A project in which a source was read under SETTINGS."""
    for name in ("source", "labels"):
        save_seen(name, Seen(digest_settings(SETTINGS), "digest"))
    return project


def test_what_was_read_before_may_be_gone(caplog):
    found = Finder().find("source", "gone", SETTINGS, refuse)
    assert (found.target, found.seen.content) == (None, "digest")
    assert "source 'gone' is not on this machine: what was read from it is still used" in caplog.text


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        ("gone", SETTINGS | {"layout": "flat"}),
        (None, SETTINGS),
        ("https://host/a.zip", SETTINGS),
        ("kaggle:a/b", SETTINGS),
    ],
)
def test_anything_else_is_asked_for_again(path, settings):
    assert not is_forgiven("source", path, settings)
    with pytest.raises(PipelineError, match="it is not here"):
        Finder().find("source", path, settings, refuse)


def test_what_is_here_and_wrong_is_not_forgiven(tmp_path):
    (tmp_path / "here").touch()
    with pytest.raises(PipelineError, match="it is not here"):
        Finder().find("source", str(tmp_path / "here"), SETTINGS, refuse)


def test_labels_may_lie_in_a_source_that_is_gone():
    assert Finder().find("labels", "labels.csv", SETTINGS, lambda: None).seen.content == "digest"
    assert Finder().find("labels", None, SETTINGS, lambda: None).seen == Seen()


def test_nothing_is_written_before_everything_is_found(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    finder = Finder()
    finder.find("source", str(tmp_path / "a"), SETTINGS, lambda: tmp_path / "a")
    assert load_seen("source").content == "digest"
    finder.finish()
    assert load_seen("source").content != "digest"
    assert load_watched() == {"source": tmp_path / "a"}
