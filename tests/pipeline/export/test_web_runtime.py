import io
import tarfile

import pytest

from pipeline.export.web_runtime import PACKAGE, load_web_runtime, read_web_runtime
from pipeline.runtime.errors import PipelineError


def test_a_file_that_is_not_the_pinned_one_is_refused_before_it_is_read(tmp_path):
    file = tmp_path / "runtime.tgz"
    file.write_bytes(b"something else")
    with pytest.raises(
        PipelineError, match=rf"is not {PACKAGE}, or damaged: expected sha256 \w{{64}}, received \w{{64}}; "
    ):
        load_web_runtime(file)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PipelineError, match=rf"--runtime .* is not here: expected what `npm pack {PACKAGE}` downloads"):
        load_web_runtime(tmp_path / "none.tgz")


def test_without_npm_the_message_says_what_to_bring(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGE_PIPELINE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        PipelineError, match=rf"npm is not installed: .* `npm pack {PACKAGE}`, and name the file with --runtime"
    ):
        load_web_runtime(None)


@pytest.mark.parametrize("content", [b"", b"no tar"])
def test_what_is_no_package_is_refused(tmp_path, content):
    file = tmp_path / "runtime.tgz"
    file.write_bytes(content)
    with pytest.raises(PipelineError, match="can't be read"):
        read_web_runtime(file)


def test_a_package_without_its_files_is_refused(tmp_path):
    file = tmp_path / "runtime.tgz"
    with tarfile.open(file, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("package/other"), io.BytesIO())
    with pytest.raises(PipelineError, match="can't be read"):
        read_web_runtime(file)


@pytest.mark.network
def test_npm_has_the_pinned_one():
    runtime = load_web_runtime(None)
    assert runtime.runtime.startswith(b"\0asm")
    assert b"InferenceSession" in runtime.script
