"""The `dvc` of this environment: DVC's own command, after what DVC can't be told in dvc.yaml. Everything else is DVC's.

- `python`, with which stages begin, is this environment's Python, activated or not.
- Before `dvc repro` and `dvc exp run` change anything, params.yaml is checked with the values of -S. DVC takes the lists that
  `matrix` iterates over before it runs any stage: a value that is no list ends in its own words, and one wrong name takes all
  models out of the workspace, with the value left in params.yaml.
- Within budget.minutes, `dvc exp run` makes a plan first, and runs with what it sets: see dvc_budget beside this file.
- What a DVC that was killed left half-written is mended first, and this one writes whole files: dvc_locks and dvc_writes beside
  this file. Before a run, unfinished files of dead ones are removed, and experiments of dead workers are queued again.
- `--pull` also finds the outputs in a folder that several stages share: dvc_pulls beside this file.
- Where the disk is full, one line says what to do.
- In a folder that is no git repository, a line says so; where the page for `dvc plots` is missing, it is written.

The check is that of the project in whose folder `dvc` runs, which may be another clone than the one that was installed.
"""

import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from pipeline.runtime.dvc_budget import ask_plan, describe_end, has_budget
from pipeline.runtime.dvc_facts import needs_git
from pipeline.runtime.dvc_locks import mend_locks
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.experiment_place import explain_torn, find_faults
from pipeline.runtime.git import explain_no_repository
from pipeline.runtime.lifetime import DVC_PID
from pipeline.runtime.logins import hide_logins
from pipeline.runtime.overrides import explain_grammar, open_maps, rebase
from pipeline.runtime.processes import prefer_own_programs

_MARKS = ("dvc.yaml", "stages/check.py")  # of a clone of this project
_RUNS = (("repro",), ("exp", "run"), ("experiments", "run"))
_QUEUE_START = ("queue", "start")
_OF_QUEUE = ("exp", "exec-run")  # as a worker of the queue runs an experiment
_BESIDE = ("--temp", "--queue", "--dry")  # beside the workspace
_MOST_CHECKED = 64  # combinations of -S a=1,2 -S b=3,4 that are checked; more would take seconds
_USAGE = 2  # exit status of a check that is older than its option --params
_INTERRUPTED = 130
_REFUSED = 255  # exit status, as where DVC fails


@dataclass(frozen=True)
class Variant:
    """A copy of params.yaml with other values, and, if DVC can't write these into params.yaml itself, why."""

    file: Path
    fault: str | None


def main() -> int:
    """Runs DVC with the command line; returns the exit status."""
    prefer_own_programs()
    start, planned = time.monotonic(), False
    sys.argv[1:] = open_maps(sys.argv[1:])
    command, overrides, folder = read_command(sys.argv[1:])
    if {"-h", "--help"} & {*sys.argv[1:]}:
        return run_dvc()
    project = find_project(folder)
    try:
        if project is not None:
            planned = prepare(project, command, overrides)
            if command in _RUNS and folder == Path():
                sys.argv[1:] = [rebase(text, project) for text in sys.argv[1:]]
                os.chdir(project)  # from a subfolder, DVC would look for dvc.yaml and params.yaml there
        if command in _RUNS[1:] and "--dry" in sys.argv:
            tolerate_missing()
        if project is not None and command:
            from pipeline.runtime.dvc_failures import expect_new_outputs
            from pipeline.runtime.dvc_pulls import make_dvc_pull_parts
            from pipeline.runtime.dvc_writes import make_dvc_write_whole

            make_dvc_write_whole()
            make_dvc_pull_parts()
            if command in _RUNS:
                expect_new_outputs()
        if command == _OF_QUEUE:
            from pipeline.runtime.experiment_queue import end_with_worker

            end_with_worker()
        status = run_dvc()
        if planned and project is not None and not status:
            print(describe_end(project, time.monotonic() - start), file=sys.stderr)
        if status and project is not None and command and command not in _RUNS:
            # Every command reads dvc.yaml: what is wrong in params.yaml may be what DVC has just stumbled over.
            ask_check(project, [project / "params.yaml"])
    except PipelineError as error:
        print(f"error: {hide_logins(str(error))}", file=sys.stderr)
        return _REFUSED
    except KeyboardInterrupt:  # before DVC itself, which says so
        print("error: interrupted before DVC began: nothing has changed", file=sys.stderr)
        return _INTERRUPTED
    except OSError as error:  # before DVC itself, which catches its own
        from pipeline.runtime.refusals import explain

        print(f"error: {explain(error) or error}", file=sys.stderr)
        return _REFUSED
    return status


def tolerate_missing() -> None:
    """`dvc exp run --dry` looks at a copy of the project without its data, and DVC fails on the first output that it misses."""
    from dvc.stage import cache

    can_hash = cache._can_hash
    cache._can_hash = lambda stage: all(dep.exists for dep in stage.deps) and can_hash(stage)
    sys.argv.append("--allow-missing")


def run_dvc() -> int:
    """DVC itself, on the command line of this process; its exit status."""
    from dvc.cli import main as dvc

    from pipeline.runtime.dvc_failures import advising

    os.environ[DVC_PID] = str(os.getpid())
    with advising():
        status: int = dvc()
    return status


def read_command(arguments: list[str]) -> tuple[tuple[str, ...], list[str], Path]:
    """(The command, such as exp and run; what -S says; the folder in which DVC will run.)"""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-S", "--set-param", action="append", nargs="?", default=[])  # without a value: DVC says it
    parser.add_argument("--cd", nargs="?", default=".")
    known, others = parser.parse_known_args(arguments)
    words = [word for word in others if not word.startswith("-")]
    command = tuple(words[:1] if words[:1] == ["repro"] else words[:2])
    return command, [override for override in known.set_param if override], Path(known.cd or ".")


def find_project(folder: Path) -> Path | None:
    """The clone of this project that holds a folder; None where that is another project of DVC's, or none."""
    folder = folder.resolve()
    return next(
        (place for place in (folder, *folder.parents) if all((place / mark).is_file() for mark in _MARKS)), None
    )


def prepare(project: Path, command: tuple[str, ...], overrides: list[str]) -> bool:
    """What comes before DVC. Whether a run in the workspace begins by a plan, which is added to this process's command line
    then. Raises PipelineError, with what to do, where DVC would fail or do harm."""
    if command and (missing := explain_no_repository(project)) and (command[0] == "exp" or needs_git(project)):
        raise PipelineError(missing)
    if command and not os.environ.get("DVC_STAGE"):
        for line in mend_locks(project):
            print(line, file=sys.stderr)
    if command[:1] == ("plots",) and not (project / ".cache" / "plots.html").exists():
        write = "from pipeline.report.plots_page import save_plots_page; save_plots_page()"
        subprocess.run([sys.executable, "-c", write], cwd=project, check=False)
    if command not in (*_RUNS, _QUEUE_START):
        return False
    if torn := explain_torn(project):
        raise PipelineError(torn)
    clear_away(project)
    if command not in _RUNS:
        return False
    is_beside = any(option in sys.argv for option in _BESIDE)
    if is_beside:
        from dvc.config import Config

        cache = Config(str(project / ".dvc")).get("cache", {}).get("dir") or project / ".dvc" / "cache"
        if faults := find_faults(project, Path(cache)):
            raise PipelineError(faults[0])
    planned = add_plan(project, overrides) if command in _RUNS[1:] else []
    check_variants(project, [*overrides, *planned])
    return bool(planned) and not is_beside


def add_plan(project: Path, overrides: list[str]) -> list[str]:
    """What a plan sets, if params.yaml with the values of -S has a budget; added to this process's command line."""
    params = project / "params.yaml"
    with TemporaryDirectory() as folder:
        sweep = expand_sweeps(params.name, overrides) or [[]]
        file = write_variant(params, sweep[0], Path(folder) / params.name).file
        if not has_budget(file):
            return []
        if len(sweep) > 1:
            raise PipelineError(
                f"a budget takes one set of parameters at a time: expected one value for each -S, received {len(sweep)} points"
            )
        planned = ask_plan(project, file, overrides)
    sys.argv += [word for setting in planned for word in ("-S", setting)]
    return planned


def check_variants(project: Path, overrides: list[str]) -> None:
    """Raises PipelineError for what is wrong in params.yaml with any of the values of -S."""
    params = project / "params.yaml"
    with TemporaryDirectory() as folder:
        variants = [
            write_variant(params, change, Path(folder) / f"{number}.yaml")
            for number, change in enumerate(expand_sweeps(params.name, overrides))
        ]
        ask_check(project, [variant.file for variant in variants] or [params])
    for fault in filter(None, [variant.fault for variant in variants]):
        raise PipelineError(fault)


def clear_away(project: Path) -> None:
    """What runs that were killed left behind. First the queue: what it calls Running needs its workspace."""
    from pipeline.runtime.experiment_queue import requeue_killed
    from pipeline.runtime.leftovers import remove_leftovers

    for clear in (requeue_killed, remove_leftovers):
        if line := clear(project):
            print(line, file=sys.stderr)


def ask_check(project: Path, files: list[Path]) -> None:
    """Raises PipelineError with what the project's own check says of these parameters, unless it takes them; passes on what it
    says besides."""
    command = [sys.executable, "-m", "stages.check", "--params", *map(str, files)]
    done = subprocess.run(command, cwd=project, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode not in (0, _USAGE):
        raise PipelineError(done.stderr.strip().removeprefix("error: "))
    print(done.stderr if done.returncode == 0 else "", end="", file=sys.stderr)


def expand_sweeps(name: str, overrides: list[str]) -> list[list[str]]:
    """What -S sets in the file of that name: one list for each point of a sweep such as train.dropout=0.1,0.2. Raises
    PipelineError for what DVC can't read."""
    from dvc.utils.cli_parse import to_path_overrides
    from dvc.utils.hydra import get_hydra_sweeps

    try:
        sweeps = get_hydra_sweeps(to_path_overrides(overrides))
    except Exception as error:  # Hydra's parser raises whatever type its generator does
        raise PipelineError(explain_grammar(overrides)) from error
    return [sweep[name] for sweep in islice(sweeps, _MOST_CHECKED) if name in sweep]


def write_variant(params: Path, overrides: list[str], file: Path) -> Variant:
    """A copy of params.yaml with the values that -S sets."""
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides
    from dvc.utils.serialize import EncodingError

    said = f"-S {' -S '.join(overrides)}"
    file.write_bytes(params.read_bytes())
    try:
        apply_overrides(file, overrides)
        yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except EncodingError:  # which the check says better
        return Variant(file, None)
    except DvcException as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0].rstrip(".")
        fault = f"{said}: {cause}: expected a key that params.yaml lists, or a plus before the key to add it, as -S +KEY=VALUE"
    except yaml.YAMLError:
        fault = f"{said}: DVC would leave params.yaml unreadable, with a comment in the wrong place: edit params.yaml instead"
    else:
        return Variant(file, None)
    force(params, overrides, file)
    return Variant(file, fault)


def force(params: Path, overrides: list[str], file: Path) -> None:
    """Writes the copy without comments and with keys that params.yaml does not list: the check knows which there may be, and
    which is the nearest."""
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides
    from dvc.utils.serialize import dump_yaml, load_yaml

    dump_yaml(file, load_yaml(params))
    with suppress(DvcException):
        apply_overrides(file, [text if text[0] in "+~" else f"++{text}" for text in overrides])


if __name__ == "__main__":
    sys.exit(main())
