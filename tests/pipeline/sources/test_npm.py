import shutil

import pytest

from pipeline.sources.npm import NoNpmError, NpmError, pack_npm


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGE_PIPELINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_downloaded_once_is_not_asked_for_again(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    cache.mkdir()
    (cache / "some_name@1.2.3.tgz").write_bytes(b"packed")
    assert pack_npm("some/name@1.2.3") == cache / "some_name@1.2.3.tgz"


def test_without_npm_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoNpmError, match=r"npm is not installed: install Node\.js"):
        pack_npm("name@1.2.3")


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_what_npm_says_is_passed_on_and_nothing_is_left(cache, tmp_path):
    with pytest.raises(NpmError, match=r"`npm pack .*nothing`: "):
        pack_npm(str(tmp_path / "nothing"))
    assert list(cache.iterdir()) == []
