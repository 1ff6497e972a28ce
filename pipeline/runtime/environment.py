"""The Python environment, held against what the project asks for (pyproject.toml) and was measured with (constraints.txt)."""

import platform
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version


@dataclass(frozen=True)
class Environment:
    """python: its version. allowed: the versions that the project takes, as `>=3.11,<3.14`. missing: packages that it needs and
    that are not installed, or not in a version that it takes. num_pinned: packages installed as pinned. others: (name, pinned,
    installed) of those installed in another version."""

    python: str
    allowed: str
    missing: tuple[str, ...]
    num_pinned: int
    others: tuple[tuple[str, str, str], ...]

    @property
    def takes_python(self) -> bool:
        """Whether the project takes this Python."""
        return Version(self.python) in SpecifierSet(self.allowed)


def describe_environment(folder: Path) -> Environment:
    """folder: the project's, which holds both files; one that is missing asks for nothing."""
    project = _read_project(folder / "pyproject.toml")
    needs = [Requirement(line) for line in project.get("dependencies", [])]
    pins = _read_pins(folder / "constraints.txt")
    installed = {name: found for name in pins if (found := _find_version(name)) is not None}
    return Environment(
        python=platform.python_version(),
        allowed=str(project.get("requires-python", "")),
        missing=tuple(str(need) for need in needs if not _is_met(need)),
        num_pinned=sum(pins[name] == found for name, found in installed.items()),
        others=tuple((name, pins[name], found) for name, found in installed.items() if pins[name] != found),
    )


def _read_project(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    except FileNotFoundError:
        return {}


def _read_pins(file: Path) -> dict[str, str]:
    """Package to version. Packages that are pinned and not installed belong to an extra, or to another system."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = [line.partition("#")[0].strip().split("==") for line in lines]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _is_met(need: Requirement) -> bool:
    if need.marker is not None and not need.marker.evaluate():
        return True
    found = _find_version(need.name)
    return found is not None and need.specifier.contains(found, prereleases=True)


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
