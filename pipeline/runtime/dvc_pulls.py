"""`dvc repro --pull` where a stage depends on a folder in which several others have their outputs: data/evaluations has one of
each family.

DVC pulls what a stage misses by the name of the dependency: such a folder is no output, and DVC ends there, with "does not
exist as an output or a stage name". If one family was just evaluated, the folder is there, and DVC does not pull the others.
"""

from pathlib import Path
from typing import Any


def make_dvc_pull_parts() -> None:
    """From here on, DVC pulls all outputs that a stage depends on and that are not here, in this process. Imports DVC."""
    from dvc.stage import run

    run._pull_missing_deps = pull_missing


def pull_missing(stage: Any) -> None:
    """stage: DVC's. What nobody has pushed is an error of DVC's."""
    if names := list_missing(stage):
        stage.repo.pull(names)


def list_missing(stage: Any) -> list[str]:
    """Names of the outputs, relative to the working folder, that are, lie in or contain a dependency of the stage, and are not
    here."""
    wanted = [Path(dep.fs_path) for dep in stage.deps]
    return sorted(
        str(out)
        for out in stage.repo.index.outs
        if out.use_cache
        and out.hash_info
        and not out.exists
        and any(_overlap(Path(out.fs_path), dep) for dep in wanted)
    )


def _overlap(out: Path, dep: Path) -> bool:
    return out == dep or dep in out.parents or out in dep.parents
