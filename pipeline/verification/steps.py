"""The stages of dvc.yaml as DVC reads them, with what dvc.lock says of each."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.messages import suggest
from pipeline.runtime.errors import PipelineError

if TYPE_CHECKING:  # DVC takes 0.3 s to import
    from dvc.stage import PipelineStage


@dataclass(frozen=True)
class Out:
    """digest: in dvc.lock; None if the stage has never run. is_kept: whether it stays while the stage runs. is_cached: whether
    DVC's cache has it; otherwise git."""

    path: str
    digest: str | None
    is_kept: bool
    is_cached: bool


@dataclass(frozen=True)
class Step:
    """A stage. name: such as train@overfit. deps: path to digest in dvc.lock; parameters are no paths. changed: what is no
    longer as in dvc.lock of the command and the parameters, in words."""

    name: str
    commands: tuple[str, ...]
    deps: dict[str, str | None]
    outs: tuple[Out, ...]
    changed: tuple[str, ...]


def load_steps(project: Path) -> list[Step]:
    """In the order of dvc.yaml. Raises PipelineError where DVC can't read it."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

    try:
        with Repo(str(project)) as repo:
            stages = [stage for stage in repo.index.stages if isinstance(stage, PipelineStage)]
            # of other files: what DVC watches on this machine alone
            return [_read_step(stage) for stage in stages if stage.path_in_repo == "dvc.yaml"]
    except DvcException as error:
        raise PipelineError(f"DVC can't read dvc.yaml ({error}): `dvc status` says more") from error


def _read_step(stage: "PipelineStage") -> Step:
    from dvc.dependency import ParamsDependency

    files = [dep for dep in stage.deps if not isinstance(dep, ParamsDependency)]
    params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
    commands = stage.cmd if isinstance(stage.cmd, list) else [stage.cmd]
    return Step(
        name=str(stage.name),  # its addressing starts from the current folder
        commands=tuple(commands),
        deps={dep.def_path: dep.hash_info.value if dep.hash_info else None for dep in files},
        outs=tuple(
            Out(out.def_path, out.hash_info.value if out.hash_info else None, bool(out.persist), bool(out.use_cache))
            for out in stage.outs
        ),
        changed=(
            *(["its command"] if stage.cmd_changed else []),
            *(["params.yaml"] if any(dep.status() for dep in params) else []),
        ),
    )


def choose_steps(steps: list[Step], names: Iterable[str]) -> list[Step]:
    """Those that are named, or, of a matrix, all that a name without @ stands for; without names, all. Raises PipelineError for
    a name that is no stage's."""
    wanted = list(names)
    known = list(dict.fromkeys(part for step in steps for part in (step.name.partition("@")[0], step.name)))
    for name in wanted:
        if name not in known:
            raise PipelineError(f"there is no stage {name!r} in dvc.yaml: {suggest(name, known)}")
    return [step for step in steps if not wanted or {step.name, step.name.partition("@")[0]} & {*wanted}]
