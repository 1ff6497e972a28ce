"""A zip or tar of class folders: a local file, an http(s) URL, a DOI, or a Kaggle data set.

Nothing is unpacked to disk: members are read one by one, so that a path in an archive never becomes a path on this machine. An
archive with an absolute path, with `..` or with a link that leads out of it is still refused: it was made with intent.
"""

import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Protocol

from pipeline.config.sources import ArchiveSettings
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import readable_name
from pipeline.sources.class_folders import TreeFile, read_tree
from pipeline.sources.folder import read_folder
from pipeline.sources.formats import MAX_IMAGE_BYTES
from pipeline.sources.http import check_sha256, fetch
from pipeline.sources.raw_image import RawImage

_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    OSError,
    NotImplementedError,
    RuntimeError,
)
_BOMB_FREE_BYTES = 100 << 20  # below, no ratio is suspicious: small archives of uniform images compress well


def _is_url(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def locate(path: str | None) -> Path | None:
    """The local archive, or None for one on the network. Raises PipelineError if there is no such file."""
    if not path:
        raise PipelineError(
            "data.source is archive, but data.path is null: expected a zip or tar file, http(s)://…, doi:… or kaggle:owner/name"
        )
    if _is_url(path) or path.startswith(("doi:", "kaggle:")):
        return None
    archive = Path(path).expanduser().absolute()
    if not archive.exists():
        raise PipelineError(
            f"data.path {path!r} does not exist: expected a zip or tar file, http(s)://…, doi:… or kaggle:…"
        )
    if archive.is_dir():
        raise PipelineError(f"data.path {path!r} is a folder: set data.source to folder")
    with archive.open("rb"):
        pass  # a lack of permission is reported now, not an hour later
    return archive


def read_images(*, path: str | None, sha256: str | None, settings: ArchiveSettings) -> Iterator[RawImage]:
    """Every file of the archive; those outside class folders come without data. See pipeline.sources.class_folders."""
    archive = locate(path)
    assert path is not None  # locate has refused it
    if path.startswith("kaggle:"):
        yield from read_folder(_fetch_kaggle(path.removeprefix("kaggle:")))
        return
    if archive is None:
        archive = _fetch_doi(path, sha256, settings.timeout) if path.startswith("doi:") else None
        archive = archive or fetch(path, sha256=sha256, timeout=settings.timeout)
    else:
        check_sha256(archive, sha256, f"archive {path!r}")
    yield from read_archive(archive, settings)


def read_archive(archive: Path, settings: ArchiveSettings) -> Iterator[RawImage]:
    """Every file of a local zip or tar. Raises PipelineError if it is damaged or not safe to read."""
    try:
        with closing(_open(archive)) as reader:
            members = reader.list_members()
            _check_members(members, archive, settings)
            tree = {file.path: file for file in read_tree(members, f"archive {archive.name!r}")}
            for name, data, reason in reader.read_members(tree):
                yield _make_image(tree[name], data, reason)
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, zipfile.BadZipFile):
            raise
        raise PipelineError(
            f"archive {archive.name!r} is damaged or protected ({type(error).__name__}: {error}): get it again"
        ) from error


def _make_image(file: TreeFile, data: bytes | None, reason: str) -> RawImage:
    return RawImage(
        name=readable_name(file.path),
        label=readable_name(file.label),
        source_split=file.source_split,
        data=None if file.reason or reason else data,
        reason=file.reason or reason,
    )


def _check_members(sizes: dict[str, int], archive: Path, settings: ArchiveSettings) -> None:
    for name in sizes:
        if name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts or name[1:3] == ":\\":
            raise PipelineError(
                f"archive {archive.name!r} contains the path {name!r}, which leads outside it: do not trust it"
            )
    unpacked, packed = sum(sizes.values()), archive.stat().st_size
    if unpacked > settings.max_unpacked_gb * 1e9:
        raise PipelineError(
            f"archive {archive.name!r} unpacks to {unpacked / 1e9:.1f} GB: expected at most "
            f"sources.archive.max_unpacked_gb = {settings.max_unpacked_gb}; raise it if you trust the archive"
        )
    if unpacked > max(settings.max_ratio * packed, _BOMB_FREE_BYTES):
        raise PipelineError(
            f"archive {archive.name!r} unpacks to {unpacked / packed:.0f} times its size: expected at most "
            f"sources.archive.max_ratio = {settings.max_ratio}; raise it if you trust the archive"
        )


class _Reader(Protocol):
    def list_members(self) -> dict[str, int]:
        """Unpacked size in bytes of every file, by name. Refuses links that lead out of the archive."""

    def read_members(self, tree: dict[str, TreeFile]) -> Iterator[tuple[str, bytes | None, str]]:
        """(name, bytes or None, reason for None) of each member in `tree`."""

    def close(self) -> None: ...


def _open(archive: Path) -> _Reader:
    if zipfile.is_zipfile(archive):
        return _ZipReader(archive)
    try:
        return _TarReader(archive)
    except tarfile.ReadError as error:
        raise PipelineError(
            f"archive {archive.name!r} is neither a zip nor a tar file: expected one of them"
        ) from error


class _ZipReader:
    def __init__(self, archive: Path) -> None:
        self._zip = zipfile.ZipFile(archive)
        self.close = self._zip.close

    def list_members(self) -> dict[str, int]:
        for member in self._zip.infolist():
            if stat.S_ISLNK(member.external_attr >> 16):
                target = self._zip.read(member).decode("utf-8", "replace") if member.file_size < 4096 else "?"
                _refuse_link(member.filename, target)
        return {member.filename: member.file_size for member in self._zip.infolist() if not member.is_dir()}

    def read_members(self, tree: dict[str, TreeFile]) -> Iterator[tuple[str, bytes | None, str]]:
        for name, file in tree.items():
            member = self._zip.getinfo(name)
            if file.reason or member.file_size > MAX_IMAGE_BYTES or stat.S_ISLNK(member.external_attr >> 16):
                yield name, None, _refusal(member.file_size, stat.S_ISLNK(member.external_attr >> 16))
                continue
            try:
                data, reason = self._zip.read(member), ""
            except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
                if (
                    isinstance(error, OSError) and error.errno is not None
                ):  # an error of the disk; those of bz2 have no errno
                    raise
                data, reason = None, "damaged in the archive"
            yield name, data, reason


class _TarReader:
    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._tar = tarfile.open(archive)  # noqa: SIM115 - closed with the reader
        self.close = self._tar.close

    def list_members(self) -> dict[str, int]:
        sizes = {}
        for member in self._tar:
            if member.issym() or member.islnk():
                _refuse_link(member.name, member.linkname)
            if not member.isdir():
                sizes[member.name] = member.size
        self._check_end()
        return sizes

    def _check_end(self) -> None:
        """tarfile does not notice a tar that is cut off between two files; compressed ones notice it themselves."""
        if isinstance(file := self._tar.fileobj, io.BufferedReader):
            file.seek(self._tar.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it ends before its end mark")

    def read_members(self, tree: dict[str, TreeFile]) -> Iterator[tuple[str, bytes | None, str]]:
        # In the archive's order: a compressed tar can only be read forwards.
        seen = set()
        with tarfile.open(self._archive) as tar:
            for member in tar:
                file = tree.get(member.name)
                if file is None or member.name in seen or member.isdir():
                    continue
                seen.add(member.name)
                if file.reason or not member.isfile() or member.size > MAX_IMAGE_BYTES:
                    yield member.name, None, _refusal(member.size, not member.isfile())
                    continue
                stream = tar.extractfile(member)
                yield member.name, stream.read() if stream else None, ""


def _refusal(size: int, is_link: bool) -> str:
    if is_link:
        return "a link in the archive: not followed"
    return f"too large: {size / 1e6:.0f} MB" if size > MAX_IMAGE_BYTES else ""


def _refuse_link(name: str, target: str) -> None:
    """A link inside the archive is harmless, as it is not followed; one that leads out of it was made with intent."""
    depth = 0
    for part in (PurePosixPath(name).parent / target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0 or target.startswith("/"):
            raise PipelineError(
                f"the archive's link {name!r} points to {target!r}, outside the archive: do not trust it"
            )


def _fetch_doi(path: str, sha256: str | None, timeout: float) -> Path:
    """Downloads doi:PREFIX/RECORD or doi:PREFIX/RECORD/FILE from Zenodo, figshare or Dataverse, whose APIs pooch knows."""
    from pooch.downloaders import doi_to_repository

    prefix, _, rest = path.removeprefix("doi:").partition("/")
    record, _, file_name = rest.partition("/")
    try:
        repository = doi_to_repository(f"{prefix}/{record}", timeout=timeout)
        file_name = file_name or _choose_file(_list_doi_files(repository), path)
        url = repository.download_url(file_name)
    except PipelineError:
        raise
    except Exception as error:  # pooch passes on what requests and its parsers raise
        raise PipelineError(
            f"{path} can't be resolved ({type(error).__name__}: {error}): check the DOI and the network"
        ) from error
    return fetch(url, sha256=sha256, timeout=timeout)


def _list_doi_files(repository: object) -> list[str]:
    import pooch

    registry = pooch.create(path=Path(), base_url="", registry=None)
    repository.populate_registry(registry)  # type: ignore[attr-defined]
    return sorted(registry.registry)


def _choose_file(names: list[str], path: str) -> str:
    archives = [name for name in names if name.lower().endswith((".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz"))]
    if len(archives) != 1:
        raise PipelineError(
            f"{path} has {len(archives)} archives: expected one; name it as {path}/FILE, one of {', '.join(names[:20])}"
        )
    return archives[0]


def _fetch_kaggle(name: str) -> Path:
    """The folder of a Kaggle data set, which kagglehub downloads, verifies, unpacks and caches."""
    try:
        import kagglehub
    except ImportError as error:
        raise PipelineError(
            f"data.path kaggle:{name} needs kagglehub: run `.venv/bin/pip install -e '.[kaggle]'`"
        ) from error
    try:
        return Path(kagglehub.dataset_download(name))
    except Exception as error:  # kagglehub raises a dozen types, none documented
        raise PipelineError(
            f"kaggle:{name} can't be downloaded ({type(error).__name__}: {error}): check name and login"
        ) from error
