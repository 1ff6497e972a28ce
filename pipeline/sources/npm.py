"""Packages of npm as files: downloaded by the npm client, none of whose code is run, and kept for the next run."""

import subprocess
import tempfile
from pathlib import Path

from pipeline.runtime.errors import PipelineError
from pipeline.sources.http import cache_folder

_SECONDS = 1800


class NpmError(PipelineError):
    """Why a package can't be had, without a word of what it is for."""


class NoNpmError(NpmError):
    """npm is not installed."""


def pack_npm(package: str) -> Path:
    """The .tgz of a package, such as name@1.2.3, in the cache folder. The client compares it with the registry's digest. Raises
    NoNpmError, or NpmError where it can't be downloaded."""
    target = cache_folder() / f"{package.replace('/', '_')}.tgz"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = ["npm", "pack", package, "--ignore-scripts", "--silent", "--pack-destination", folder]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
        except FileNotFoundError as error:
            raise NoNpmError("npm is not installed: install Node.js") from error
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            last = (str(error.stderr or "").strip().splitlines() or ["no answer"])[-1]
            raise NpmError(f"`npm pack {package}`: {last}") from error
        next(Path(folder).glob("*.tgz")).replace(target)
    return target
