"""Paths that a user writes in params.yaml: from the home folder, absolute, or relative to the project."""

from pathlib import Path

_EXPERIMENTS = (".dvc", "tmp", "exps")  # where `dvc exp run --temp` and its queue put copies of the project


def find_project(folder: Path) -> Path:
    """The project that a folder is a temporary copy of, made by `dvc exp run --temp` or a queue; else the folder itself."""
    parts = folder.parts
    for start in range(len(parts) - 3, 0, -1):
        if parts[start : start + 3] == _EXPERIMENTS:
            return Path(*parts[:start])
    return folder


def resolve_path(path: str) -> Path:
    """The absolute path. A relative one starts from the project, in temporary copies of it too."""
    return find_project(Path.cwd()) / Path(path).expanduser()
