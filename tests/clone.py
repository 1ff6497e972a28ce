"""A small copy of the project in a folder of its own, with git and DVC, in which the real pipeline runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

PROJECT = Path(__file__).parent.parent
_COPIED = (
    "stages",
    "pipeline",
    "dvc.yaml",
    "params.yaml",
    ".gitignore",
    ".dvcignore",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvc/plots",
    "data/watch/dvc.yaml",
    "data/watch/seen",
)

# Small enough for a test, large enough for every family (five halvings need 32 px) and every split.
SMALL = {
    "families": ["linear_svm", "underfit", "efficientnet_lite0"],
    "sources.scenes.images_per_class": 16,
    "sources.scenes.image_size": 32,
    "split.seed": 0,
    "train.max_epochs": 1,
    "recipes.linear_svm.max_iterations": 50,
    "recipes.efficientnet_lite0.input_size": 64,
}


def make_clone(folder: Path) -> Path:
    """Copies what git tracks of the pipeline into `folder`, sets small parameters, and commits."""
    for name in _COPIED:
        source, target = PROJECT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    run(["git", "init", "--quiet"], folder)
    commit(folder, "start")
    return folder


def commit(folder: Path, message: str) -> None:
    """Commits everything that is not ignored."""
    who = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    run(["git", "add", "--all"], folder)
    run(["git", *who, "commit", "--quiet", "--allow-empty", "-m", message], folder)


def run(command: list[str], folder: Path, *, expect: int = 0, **environment: str) -> str:
    """Runs a command in `folder` with this Python's environment first on the path; returns stdout and stderr."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@example.invalid"}
    own |= {"GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@example.invalid", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | own | environment, capture_output=True, text=True, timeout=600
    )
    output = done.stdout + done.stderr
    assert done.returncode == expect, f"{' '.join(command)} exited with {done.returncode}:\n{output[-4000:]}"
    return output


def audited(folder: Path) -> dict[str, str]:
    """Environment in which the files that stages open are noted in `folder`, see tests/audit."""
    return {"AUDIT": str(folder), "PYTHONPATH": str(PROJECT / "tests" / "audit")}


def draw_pictures(folder: Path, *, classes: list[str], count: int, start: int = 0, shade: int = 0) -> Path:
    """`count` different small pictures in each class folder, numbered from `start`."""
    for number, label in enumerate(classes):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for index in range(start, start + count):
            pixels = np.random.default_rng([number, index, shade]).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{index}.png")
    return folder


def set_small(folder: Path) -> None:
    """Writes the small parameters into params.yaml: `dvc repro` then starts at once, where `dvc exp run` prepares a branch."""
    file = folder / "params.yaml"
    params = yaml.safe_load(file.read_text())
    for name, value in SMALL.items():
        *sections, key = name.split(".")
        section = params
        for part in sections:
            section = section.setdefault(part, {})  # a recipe may leave it to its defaults
        section[key] = value
    file.write_text(yaml.safe_dump(params, allow_unicode=True))


def small_overrides(**more: object) -> list[str]:
    """`-S` options of `dvc exp run` for a small run; ++ as a recipe may leave a key to its defaults."""
    settings = {f"++{key}" if key.startswith("recipes.") else key: value for key, value in {**SMALL, **more}.items()}
    return [part for key, value in settings.items() for part in ("-S", f"{key}={_write(value)}")]


def _write(value: object) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)


def list_stages_run(output: str) -> list[str]:
    """Names of the stages that DVC says it ran, in order."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
