"""What DVC is told about its cache and remotes, and which links between cache and project work on this machine."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.machine import find_existing, is_same_disk

_LINKS = ("reflink", "hardlink", "symlink", "copy")  # reflink, copy: what DVC does if nothing is configured
_SECRET = re.compile(r"(?<=://)[^/@]*@|[?#].*")


@dataclass(frozen=True)
class DvcFacts:
    """cache: its folder, absolute. asked: cache.type, in order. working: those of them that work here; empty if that can't be
    tried. remotes: name to address, without logins. default_remote: where `dvc push` goes, or empty. needs_git: whether DVC
    refuses to work outside a git repository."""

    cache: Path
    asked: tuple[str, ...]
    working: tuple[str, ...]
    remotes: dict[str, str]
    default_remote: str
    needs_git: bool

    @property
    def link(self) -> str:
        """How DVC will connect outputs to the cache."""
        return self.working[0] if self.working else "unknown"

    @property
    def copies(self) -> int:
        """How often an output is on the project's disk and the cache's together."""
        return 1 if self.link in ("reflink", "hardlink", "symlink") else 2


def describe_dvc(project: Path) -> DvcFacts | None:
    """None if the folder is no DVC project. project: absolute. Reads DVC's configuration of all levels; to try links, it makes
    files in .dvc/tmp, and in a cache elsewhere, and removes them. Raises PipelineError for a configuration that DVC refuses."""
    from dvc.config import Config, ConfigError  # takes half a second

    if not (project / ".dvc").is_dir():
        return None
    try:
        config: dict[str, Any] = Config(str(project / ".dvc"))
    except ConfigError as error:
        raise PipelineError(
            f"DVC can't read its configuration ({error}): mend .dvc/config or .dvc/config.local"
        ) from error
    settings, remotes = config.get("cache", {}), config.get("remote", {})
    cache = _locate_cache(config, project)
    asked = tuple(settings.get("type") or ("reflink", "copy"))
    return DvcFacts(
        cache=cache,
        asked=asked,
        working=tuple(_try_links(asked, cache, project)),
        remotes={name: hide_secrets(str(remote.get("url", ""))) for name, remote in sorted(remotes.items())},
        default_remote=str(config.get("core", {}).get("remote", "")),
        needs_git=_needs_git(config),
    )


def needs_git(project: Path) -> bool:
    """Whether DVC is to work in a git repository only, as it does unless its configuration has core.no_scm."""
    from dvc.config import Config, ConfigError

    try:
        return _needs_git(Config(str(project / ".dvc")))
    except ConfigError:
        return True


def _needs_git(config: dict[str, Any]) -> bool:
    return not config.get("core", {}).get("no_scm", False)


def find_cache(project: Path) -> Path:
    """DVC's cache of a project, absolute. Raises PipelineError for a configuration that DVC refuses."""
    from dvc.config import Config, ConfigError

    try:
        return _locate_cache(Config(str(project / ".dvc")), project)
    except ConfigError as error:
        raise PipelineError(
            f"DVC can't read its configuration ({error}): mend .dvc/config or .dvc/config.local"
        ) from error


def _locate_cache(config: dict[str, Any], project: Path) -> Path:
    cache = Path(config.get("cache", {}).get("dir") or project / ".dvc" / "cache")
    return cache if cache.is_absolute() else project / ".dvc" / cache


def hide_secrets(address: str) -> str:
    """The address of a remote without login and query."""
    return _SECRET.sub("", address)


def _try_links(asked: tuple[str, ...], cache: Path, project: Path) -> list[str]:
    """DVC's own test, from the cache's file system to the project's."""
    from dvc.fs import LocalFileSystem
    from dvc_objects.fs.generic import test_links

    system = LocalFileSystem()
    try:
        with _make_scratch(project / ".dvc" / "tmp") as here, _make_scratch(_find_side(cache, project)) as there:
            # DVC makes the link beside the path that it gets.
            return list(
                test_links([name for name in asked if name in _LINKS], system, str(there), system, str(here / "x"))
            )
    except OSError:  # read-only, or full
        return []


def _find_side(cache: Path, project: Path) -> Path:
    """A folder on the cache's file system: one that git and DVC ignore, if the cache is on the project's."""
    return project / ".dvc" / "tmp" if is_same_disk(cache, project / ".dvc") else find_existing(cache)


@contextmanager
def _make_scratch(parent: Path) -> Iterator[Path]:
    """An empty folder that is gone afterwards, with `parent` if that was not there."""
    is_new = not parent.exists()
    parent.mkdir(exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix="doctor-") as folder:
            yield Path(folder)
    finally:
        if is_new:
            with suppress(OSError):  # somebody else uses it by now
                parent.rmdir()
