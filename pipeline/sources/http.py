"""Downloads over http(s), with progress, bounds and a checksum; an interrupted download is resumed.

pooch, which resolves DOIs for us, starts an interrupted download from the beginning.
"""

import hashlib
import logging
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import platformdirs
import requests
from urllib3.exceptions import HTTPError as TransportError

from pipeline.config.address import refuse_secrets, show_address
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256, remove
from pipeline.sources.transfer import Limits, SlowError, TooLargeError, open_response, save_body

logger = logging.getLogger(__name__)

_ATTEMPTS = 5
_PROGRESS_BYTES = 1 << 16  # more than this, and the attempts are counted anew
_NAME_LENGTH = 80  # characters kept of a file name: file systems end at 255 bytes
USER_VARIABLE, PASSWORD_VARIABLE = "IMAGE_PIPELINE_USER", "IMAGE_PIPELINE_PASSWORD"
QUERY_VARIABLE = "IMAGE_PIPELINE_QUERY"  # a token or a signature, which must not be in params.yaml


def cache_folder() -> Path:
    """Where downloads are kept between runs, outside the project: IMAGE_PIPELINE_CACHE, or the user's cache folder."""
    if folder := os.environ.get("IMAGE_PIPELINE_CACHE"):
        return Path(folder).expanduser()
    return platformdirs.user_cache_path("image-classification-pipeline", appauthor=False)


def check_sha256(file: Path, expected: str | None, what: str) -> None:
    """Raises PipelineError if a file does not have the expected checksum; deletes nothing."""
    if expected is None:
        return
    received = compute_sha256(file)
    if received != expected.lower():
        raise PipelineError(
            f"{what} has the wrong checksum: expected sha256 {expected}, received {received}; the file is damaged or has "
            "changed at its source: if you trust the new one, set data.sha256 to the received checksum"
        )


def check_address(url: str) -> None:
    """Raises PipelineError if an address can't be one, or contains a secret, which DVC would write to dvc.lock."""
    try:
        refuse_secrets(url)
    except ValueError as error:
        raise PipelineError(f"data.path {show_address(url)}: expected {error}") from None
    _split(url)


def fetch(url: str, *, sha256: str | None, limits: Limits, may_log_in: bool = False) -> Path:
    """Downloads `url` into the cache folder and returns the file, complete and checked.

    sha256: 64 hex digits or None; a file that is there already is reused only if it has this checksum. may_log_in: whether
    user, password and query of the environment may be sent. Five attempts in a row may fail without getting on; each resumes
    where the last one stopped if the server allows. Raises PipelineError if the file can't be downloaded, is larger or slower
    than the limits, or has a different checksum.
    """
    target = cache_folder() / _name_file(url)
    if target.exists() and sha256 is not None and compute_sha256(target) == sha256.lower():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    login = _find_login() if may_log_in else None
    _Download(url, partial, limits, login, os.environ.get(QUERY_VARIABLE, "") if may_log_in else "").run()
    try:
        check_sha256(partial, sha256, show_address(url))
    except PipelineError:
        remove(partial)  # resuming from damaged bytes would fail every time
        raise
    partial.replace(target)
    if limits.cache_gb is not None:
        _prune_cache(target, limits.cache_gb)
    return target


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        labels = (parts.hostname or "").encode("idna").split(b".")
        _ = parts.port  # raises ValueError unless it is a number up to 65535
    except (ValueError, UnicodeError):  # whose text may quote a part of a password
        raise PipelineError(f"{show_address(url)} can't be downloaded (it is no address): check the address") from None
    if not labels[0]:
        raise PipelineError(f"{show_address(url)} can't be downloaded (it names no server): check the address")
    return parts


def _name_file(url: str) -> str:
    """The last part of the address, after a digest of the whole: two addresses never share a file."""
    name = re.sub(r"[^\w.-]", "_", unquote(Path(_split(url).path).name)) or "download"
    return f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name.encode()[-_NAME_LENGTH:].decode(errors='ignore')}"


def _add_query(url: str, query: str) -> str:
    """The address that is asked for: with the query of the environment behind its own."""
    query = query.strip().lstrip("?&")
    return f"{url.partition('#')[0]}{'&' if '?' in url else '?'}{query}" if query else url


def _find_login() -> tuple[str, str] | None:
    """User and password of the environment; None leaves it to requests, which reads ~/.netrc."""
    user, password = os.environ.get(USER_VARIABLE), os.environ.get(PASSWORD_VARIABLE)
    return (user.encode().decode("latin-1"), password.encode().decode("latin-1")) if user and password else None


def _prune_cache(newest: Path, max_gb: float) -> None:
    """Deletes the oldest downloads while all together are larger than one may be; never the newest."""
    files = [file for file in newest.parent.iterdir() if re.match(r"[0-9a-f]{12}-", file.name) and file.is_file()]
    total = sum(file.stat().st_size for file in files)
    for file in sorted(files, key=lambda file: file.stat().st_mtime):
        if total <= max_gb * 1e9:
            return
        if file != newest:
            total -= file.stat().st_size
            remove(file)
            logger.info("%s is deleted: all downloads may have sources.archive.max_download_gb = %s", file, max_gb)


@dataclass
class _Download:
    """One download, over as many attempts as it takes. The server's ETag is kept beside the bytes, so that two versions of a
    file are never mixed. resumes: whether the server is known to go on in the middle."""

    url: str
    partial: Path
    limits: Limits
    login: tuple[str, str] | None
    query: str = ""
    resumes: bool = False

    def __post_init__(self) -> None:
        self._tag_file = self.partial.with_name(self.partial.name + ".etag")

    def run(self) -> None:
        """Raises PipelineError if it fails; then keeps bytes only where the next run can go on from them."""
        failures, furthest = 0, 0
        while True:
            try:
                return self._attempt()
            except requests.HTTPError as error:
                self._refuse_status(error)
                failure: Exception = error
            except TooLargeError as error:
                self._forget()
                raise self._explain(f"({error})", "raise it if you want the file") from error
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                failure = error
            except (SlowError, TransportError) as error:
                failure = error
            except (requests.RequestException, ValueError) as error:  # an address or an answer against the rules
                raise self._explain(f"({type(error).__name__})", "check the address") from error
            have = self._count_kept()
            failures = 1 if have >= furthest + _PROGRESS_BYTES else failures + 1
            furthest = max(furthest, have)
            if failures >= _ATTEMPTS:
                raise self._give_up(failure) from failure
            time.sleep(min(0.2 * 2**failures, 5))

    def _attempt(self) -> None:
        have = self._count_kept() if self._tag_file.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": self._tag_file.read_text(encoding="latin-1")}
        url = _add_query(self.url, self.query)
        with open_response(url, headers=headers, login=self.login, timeout=self.limits.timeout) as response:
            if response.status_code == 416:  # nothing beyond what we have, or a different file: start over
                self._forget()
                raise requests.ConnectionError("the server refused the range")
            response.raise_for_status()
            self._check_answer(response, have)
            goes_on = response.status_code == 206
            self.resumes = goes_on or response.headers.get("Accept-Ranges", "").strip().lower() == "bytes"
            self._keep_tag(response)
            save_body(response, self.partial, have if goes_on else 0, self.limits)
        remove(self._tag_file)

    def _check_answer(self, response: requests.Response, have: int) -> None:
        """An answer of another part of the file than the one that was asked for would give a mixed file."""
        if response.status_code not in (200, 206):
            raise requests.HTTPError(response=response)
        begins = re.match(r"bytes (\d{1,19})-", response.headers.get("Content-Range", ""))
        if response.status_code == 206 and (not have or (begins and int(begins[1]) != have)):
            self._forget()
            raise requests.ConnectionError("the server sent another part of the file")

    def _keep_tag(self, response: requests.Response) -> None:
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
        remove(self._tag_file)
        if tag and not tag.startswith("W/"):  # a weak tag does not promise the same bytes
            self._tag_file.write_text(tag, encoding="latin-1")

    def _count_kept(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _forget(self) -> None:
        remove(self._tag_file)
        remove(self.partial)

    def _refuse_status(self, error: requests.HTTPError) -> None:
        status = error.response.status_code
        if status >= 500 or status == 429:
            return
        reason = " ".join((error.response.reason or "").split())
        advice = "check the address"
        if status in (401, 403, 407):
            advice = (
                f"if it needs a login, set {USER_VARIABLE} and {PASSWORD_VARIABLE}, or write it to ~/.netrc; if a token, "
                f"{QUERY_VARIABLE}"
            )
        raise PipelineError(f"{show_address(self.url)} answered {status} {reason}: {advice}") from error

    def _give_up(self, failure: Exception) -> PipelineError:
        reason = (
            str(failure) if isinstance(failure, SlowError) else f"{type(failure).__name__} after {_ATTEMPTS} attempts"
        )
        kept = ""
        if self.resumes and self._tag_file.exists() and self._count_kept():
            kept = f"; {self._count_kept():,} bytes are kept, and the next run resumes from there"
        elif not self._tag_file.exists() or not self.resumes:
            self._forget()
        return self._explain(f"({reason})", f"check the network and the address{kept}")

    def _explain(self, what: str, advice: str) -> PipelineError:
        return PipelineError(f"{show_address(self.url)} can't be downloaded {what}: {advice}")
