import hashlib
import sys
from dataclasses import replace

import numpy as np
import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.http import cache_folder, check_sha256, fetch
from pipeline.sources.transfer import Limits

BODY = np.random.default_rng(0).bytes(3_000_000)  # three chunks
SHA256 = hashlib.sha256(BODY).hexdigest()

LIMITS = Limits(max_gb=1.0, min_rate=0.0, timeout=5.0)

pytestmark = pytest.mark.usefixtures("cache", "pauses")


@pytest.fixture
def url(server) -> str:
    server.files["/cats.zip"] = BODY
    return f"{server.url}/cats.zip"


def refusal(url: str, *, sha256: str | None = None, limits: Limits = LIMITS) -> str:
    with pytest.raises(PipelineError) as caught:
        fetch(url, sha256=sha256, limits=limits)
    line = str(caught.value)
    assert "\n" not in line
    assert url in line
    return line


def ranges(server) -> list[str | None]:
    return [asked for _, _, asked in server.requests]


def left_behind(cache) -> list[str]:
    return sorted(file.name.partition("-")[2] for file in cache.iterdir())


@pytest.mark.parametrize("sha256", [None, SHA256, SHA256.upper()])
def test_a_download_is_complete_and_leaves_no_other_file(url, cache, sha256):
    file = fetch(url, sha256=sha256, limits=LIMITS)
    assert file.read_bytes() == BODY
    assert file.name.endswith("-cats.zip")
    assert left_behind(cache) == ["cats.zip"]


def test_a_file_with_the_right_checksum_is_not_downloaded_again(url, server):
    first = fetch(url, sha256=SHA256, limits=LIMITS)
    assert fetch(url, sha256=SHA256, limits=LIMITS) == first
    assert len(server.requests) == 1


def test_without_a_checksum_it_is_downloaded_again(url, server):
    fetch(url, sha256=None, limits=LIMITS)
    server.files["/cats.zip"] = b"newer"
    assert fetch(url, sha256=None, limits=LIMITS).read_bytes() == b"newer"


def test_two_addresses_with_the_same_file_name_do_not_collide(server):
    server.files |= {"/a/data.zip": b"a", "/b/data.zip": b"b"}
    fetched = [fetch(f"{server.url}/{name}/data.zip", sha256=None, limits=LIMITS) for name in "ab"]
    assert [file.read_bytes() for file in fetched] == [b"a", b"b"]


@pytest.mark.parametrize("path", ["/", "/a%20b%2F..%2Fc.zip", "/cats.zip?token=a/b"])
def test_every_address_gives_a_file_in_the_cache(server, cache, path):
    from urllib.parse import urlparse

    server.files[urlparse(path).path] = b"bytes"
    assert fetch(f"{server.url}{path}", sha256=None, limits=LIMITS).parent == cache


@pytest.mark.usefixtures("url")
def test_a_redirect_is_followed(server):
    server.redirects["/latest"] = "/cats.zip"
    assert fetch(f"{server.url}/latest", sha256=SHA256, limits=LIMITS).read_bytes() == BODY


def test_a_wrong_checksum_is_reported_with_both_and_leaves_no_file(url, cache):
    line = refusal(url, sha256="0" * 64)
    assert "0" * 64 in line
    assert SHA256 in line
    assert left_behind(cache) == []


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_client_error_is_not_retried(url, server, status, cache):
    server.statuses = [status] * 5
    assert f"answered {status}" in refusal(url)
    assert len(server.requests) == 1
    assert left_behind(cache) == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_error_is_retried_after_increasing_pauses(url, server, status, pauses):
    server.statuses = [status] * 4
    assert fetch(url, sha256=SHA256, limits=LIMITS).read_bytes() == BODY
    assert pauses == sorted(pauses)
    assert len(pauses) == 4
    assert sum(pauses) < 30


def test_a_permanent_server_error_fails_after_five_attempts(url, server):
    server.statuses = [503] * 9
    assert "after 5 attempts" in refusal(url)
    assert len(server.requests) == 5


def test_a_server_that_is_down_fails_after_five_attempts(dead_url, cache):
    line = refusal(f"{dead_url}/cats.zip")
    assert "ConnectionError after 5 attempts" in line
    assert "check the network" in line
    assert left_behind(cache) == []


def test_a_server_that_never_answers_fails_after_the_timeout(url, server):
    server.hangs = True
    assert "after 5 attempts" in refusal(url, limits=replace(LIMITS, timeout=0.05))


@pytest.mark.parametrize("url", ["http://", "http://:80/x", "https://[half/x.zip"])
def test_an_invalid_address_is_refused(url):
    assert "check the address" in refusal(url)


def test_a_circular_redirect_is_refused(server):
    server.redirects["/a"] = "/a"
    assert "TooManyRedirects" in refusal(f"{server.url}/a")


class TestBrokenConnections:
    """The server stops halfway."""

    def test_the_download_is_resumed(self, url, server, cache):
        server.drop_after = [2_500_000]
        assert fetch(url, sha256=None, limits=LIMITS).read_bytes() == BODY
        assert ranges(server) == [None, "bytes=2500000-"]
        assert left_behind(cache) == ["cats.zip"]

    def test_the_download_is_resumed_several_times(self, url, server):
        server.drop_after = [1_100_000, 1_100_000]
        assert fetch(url, sha256=None, limits=LIMITS).read_bytes() == BODY
        assert ranges(server) == [None, "bytes=1100000-", "bytes=2200000-"]

    def test_it_starts_over_if_the_server_has_no_ranges(self, url, server):
        server.allows_ranges = False
        server.drop_after = [2_500_000, 1_500_000]
        assert fetch(url, sha256=None, limits=LIMITS).read_bytes() == BODY
        assert len(server.requests) == 3

    def test_whatever_bytes_are_in_the_etag(self, url, server):
        server.etag = '"ä"'
        server.drop_after = [2_500_000]
        assert fetch(url, sha256=None, limits=LIMITS).read_bytes() == BODY
        assert ranges(server) == [None, "bytes=2500000-"]

    def test_it_starts_over_without_an_etag(self, url, server):
        server.etag = None
        server.drop_after = [2_500_000]
        assert fetch(url, sha256=None, limits=LIMITS).read_bytes() == BODY
        assert ranges(server) == [None, None]

    def test_it_starts_over_with_a_weak_etag(self, url, server):
        server.etag = 'W/"1"'
        server.drop_after = [2_500_000]
        assert fetch(url, sha256=None, limits=LIMITS).read_bytes() == BODY
        assert ranges(server) == [None, None]

    def test_two_versions_of_a_file_are_never_mixed(self, url, server, monkeypatch):
        newer = np.random.default_rng(1).bytes(2_900_000)

        def publish(_: float) -> None:
            server.files["/cats.zip"], server.etag = newer, '"2"'

        monkeypatch.setattr("pipeline.sources.http.time.sleep", publish)
        server.drop_after = [2_500_000]
        assert fetch(url, sha256=None, limits=LIMITS).read_bytes() == newer
        assert ranges(server) == [None, "bytes=2500000-"]

    def test_the_next_run_resumes_a_failed_download(self, url, server):
        server.drop_after = [1_100_000] + [0] * 4
        line = refusal(url)
        assert "1,100,000 bytes are kept" in line
        assert fetch(url, sha256=SHA256, limits=LIMITS).read_bytes() == BODY
        assert ranges(server)[-1] == "bytes=1100000-"

    def test_a_file_that_has_become_shorter_is_downloaded_from_the_beginning(self, url, server):
        server.drop_after = [2_500_000] + [0] * 4
        refusal(url)
        server.files["/cats.zip"] = BODY[:1000]
        assert fetch(url, sha256=None, limits=LIMITS).read_bytes() == BODY[:1000]

    def test_an_empty_file_can_be_downloaded(self, server):
        server.files["/none.zip"] = b""
        assert fetch(f"{server.url}/none.zip", sha256=None, limits=LIMITS).read_bytes() == b""


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems keep caches elsewhere")


class TestCacheFolder:
    def test_is_the_folder_in_the_variable(self, cache):
        assert cache_folder() == cache

    @on_linux
    def test_is_otherwise_in_the_users_cache_folder(self, monkeypatch, tmp_path):
        monkeypatch.delenv("IMAGE_PIPELINE_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_folder() == tmp_path / "image-classification-pipeline"

    @on_linux
    def test_is_otherwise_in_the_home_folder(self, monkeypatch, tmp_path):
        for name in ("IMAGE_PIPELINE_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert cache_folder() == tmp_path / ".cache" / "image-classification-pipeline"


class TestChecksum:
    @pytest.mark.parametrize("expected", [None, SHA256, SHA256.upper()])
    def test_passes_in_upper_or_lower_case_and_if_none_is_given(self, tmp_path, expected):
        (tmp_path / "file").write_bytes(BODY)
        check_sha256(tmp_path / "file", expected, "it")

    def test_fails_with_both_checksums_and_keeps_the_file(self, tmp_path):
        (tmp_path / "file").write_bytes(b"other")
        with pytest.raises(PipelineError, match=f"it has the wrong checksum: expected sha256 {SHA256}, received"):
            check_sha256(tmp_path / "file", SHA256, "it")
        assert (tmp_path / "file").exists()
