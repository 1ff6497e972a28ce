"""Downloads over http(s), with progress and a checksum; an interrupted download is resumed.

pooch, which resolves DOIs for us, starts an interrupted download from the beginning.
"""

import hashlib
import os
import re
import time
from pathlib import Path
from urllib.parse import unquote, urlparse

import platformdirs
import requests

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256, remove
from pipeline.runtime.progress import progress_bar

_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 5


def cache_folder() -> Path:
    """Where downloads are kept between runs, outside the project: IMAGE_PIPELINE_CACHE, or the user's cache folder."""
    if folder := os.environ.get("IMAGE_PIPELINE_CACHE"):
        return Path(folder).expanduser()
    return platformdirs.user_cache_path("image-classification-pipeline", appauthor=False)


def check_sha256(file: Path, expected: str | None, what: str) -> None:
    """Raises PipelineError if a file does not have the expected checksum; deletes nothing."""
    received = compute_sha256(file)
    if expected is not None and received != expected.lower():
        raise PipelineError(
            f"{what} has the wrong checksum: expected sha256 {expected}, received {received}; the file is damaged or has "
            "changed at its source: if you trust the new one, set data.sha256 to the received checksum"
        )


def fetch(url: str, *, sha256: str | None, timeout: float) -> Path:
    """Downloads `url` into the cache folder and returns the file, complete and checked.

    sha256: 64 hex digits or None; a file that is there already is reused only if it has this checksum. timeout: seconds
    without an answer after which an attempt fails. Makes five attempts, each resuming where the last one stopped if the server
    allows. Raises PipelineError if the file can't be downloaded or has a different checksum.
    """
    target = cache_folder() / _name_file(url)
    if target.exists() and sha256 is not None and compute_sha256(target) == sha256.lower():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    _download(url, partial, timeout)
    try:
        check_sha256(partial, sha256, url)
    except PipelineError:
        remove(partial)  # resuming from damaged bytes would fail every time
        raise
    partial.replace(target)
    return target


def _name_file(url: str) -> str:
    """The last part of the address, after a digest of the whole: two addresses never share a file."""
    try:
        name = re.sub(r"[^\w.-]", "_", unquote(Path(urlparse(url).path).name)) or "download"
    except ValueError as error:
        raise PipelineError(f"{url} can't be downloaded ({error}): check the address") from error
    return f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"


def _download(url: str, partial: Path, timeout: float) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _continue_download(url, partial, timeout)
        except requests.HTTPError as error:
            status = error.response.status_code
            if status < 500 and status != 429:
                raise PipelineError(f"{url} answered {status} {error.response.reason}: check the address") from error
            failure: Exception = error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            failure = error
        except requests.RequestException as error:
            raise PipelineError(f"{url} can't be downloaded ({type(error).__name__}): check the address") from error
        if attempt < _ATTEMPTS:
            time.sleep(min(0.2 * 2**attempt, 5))
    reason = f"{type(failure).__name__} after {_ATTEMPTS} attempts"
    kept = (
        f"; {partial.stat().st_size:,} bytes are kept, and the next run resumes from there" if partial.exists() else ""
    )
    raise PipelineError(f"{url} can't be downloaded ({reason}): check the network and the address{kept}")


def _continue_download(url: str, partial: Path, timeout: float) -> None:
    """One attempt. The server's ETag is kept beside the bytes, so that two versions of a file are never mixed."""
    tag_file = partial.with_name(partial.name + ".etag")
    have = partial.stat().st_size if partial.exists() and tag_file.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag_file.read_text()}
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if response.status_code == 416:  # nothing beyond what we have, or a different file: start over
            remove(tag_file)
            raise requests.ConnectionError("the server refused the range")
        response.raise_for_status()
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
        remove(tag_file)
        if tag and not tag.startswith("W/"):  # a weak tag does not promise the same bytes
            tag_file.write_text(tag)
        _save_body(response, partial, have if response.status_code == 206 else 0)
    remove(tag_file)


def _save_body(response: requests.Response, partial: Path, have: int) -> None:
    """Writes the body after the first `have` bytes of a file. Raises ConnectionError if it is shorter than announced."""
    total = int(response.headers.get("Content-Length", 0)) + have
    progress = progress_bar(desc="download", total=total or None, initial=have, unit="B", unit_scale=True)
    with partial.open("ab" if have else "wb") as file, progress:
        for chunk in response.iter_content(_CHUNK_BYTES):
            file.write(chunk)
            progress.update(len(chunk))
    if total and partial.stat().st_size != total:
        raise requests.ConnectionError(f"received {partial.stat().st_size} of {total} bytes")
