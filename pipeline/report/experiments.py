"""Experiments as DVC keeps them: files in git under refs/exps, outputs in DVC's cache.

Both are read by DVC's own functions, and without its lock, even while a queue is at work. dvc.api does not serve: for
200 experiments `exp_show` takes 80 s and turns null and lists into text; `read` parses all of dvc.yaml and dvc.lock for each
file, 0.09 s for one in git and 0.6 s for one in the cache, against 0.004 s and 0.05 s here.
"""

import io
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.config.reader import parse_yaml
from pipeline.report.run_facts import flatten
from pipeline.report.tables import CURVE_COLUMNS
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import CROSSVAL_METRICS, METRICS, PARAMS
from pipeline.runtime.progress import progress_bar

if TYPE_CHECKING:  # DVC takes 0.3 s to import: inside functions, for what compares experiments alone
    from dvc.repo import Repo
    from dvc.scm import Git
    from scmrepo.fs import GitFileSystem

WORKSPACE = "workspace"
SUMMARY = METRICS / "summary.csv"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Experiment:
    """What one run of the pipeline has left in git. revision: None for the workspace. params: by their dotted names.
    summary: one row per family. folds: family to the metrics of each of its folds."""

    name: str
    revision: str | None
    params: dict[str, Any]
    summary: pd.DataFrame
    folds: dict[str, pd.DataFrame] = field(default_factory=dict)


@contextmanager
def open_experiments() -> Iterator["ExperimentStore"]:
    """The experiments of the project in the current folder. Raises PipelineError outside a git repository."""
    from dvc.scm import SCM, SCMError

    try:
        git = SCM(str(Path.cwd()))
    except SCMError as error:
        raise PipelineError(
            "this is not a git repository: expected a clone of the project; run in the folder of dvc.yaml"
        ) from error
    with ExitStack() as stack:
        stack.callback(git.close)
        yield ExperimentStore(git, stack)


class ExperimentStore:
    """Lists and loads experiments; `open_experiments` makes one."""

    def __init__(self, git: "Git", stack: ExitStack) -> None:
        self._git, self._stack = git, stack
        # By revision, as most are read more than once.
        self._trees: dict[str, GitFileSystem] = {}
        self._locks: dict[str, dict[str, Any]] = {}

    def list(self, names: list[str]) -> list[tuple[str, str | None]]:
        """(name, revision) of experiments, commits, branches or tags; the revision of the workspace is None. Without names:
        all experiments on HEAD, sorted, then the workspace. Raises PipelineError for a name that git does not know."""
        from dvc.repo.experiments.utils import exp_refs

        refs = list(exp_refs(self._git))
        head = self._resolve("HEAD")
        on_head = {ref.name: self._git.get_ref(str(ref)) for ref in refs if ref.baseline_sha == head}
        if not names:
            return [*sorted(on_head.items()), (WORKSPACE, None)]
        # Experiments on other commits may have the same name: the one on HEAD is meant.
        known = {ref.name: self._git.get_ref(str(ref)) for ref in refs} | on_head
        return [(name, None if name == WORKSPACE else self._find(name, known)) for name in names]

    def _find(self, name: str, known: dict[str, str]) -> str:
        revision = known.get(name) or self._resolve(name)
        if revision is None:
            some = ", ".join(sorted(known)[:8]) or "none yet"
            raise PipelineError(f"there is no experiment or commit {name!r}: expected one of {some}")
        return revision

    def _resolve(self, name: str) -> str | None:
        from dvc.scm import RevError, resolve_rev

        try:
            return resolve_rev(self._git, f"{name}^{{commit}}")  # refuses what names a file or folder in a commit
        except RevError:
            return None

    def load(self, name: str, revision: str | None) -> Experiment | None:
        """None if the experiment has no summary or no parameters."""
        summary, params = self._read(SUMMARY, revision), self._read(PARAMS, revision)
        if summary is None or params is None:
            return None
        content = parse_yaml(params)
        tables = {
            family: self._read(CROSSVAL_METRICS / family / "folds.csv", revision)
            for family in content.get("crossval", {}).get("families", [])
        }
        folds = {family: pd.read_csv(io.StringIO(text)) for family, text in tables.items() if text is not None}
        return Experiment(name, revision, flatten(content), pd.read_csv(io.StringIO(summary)), folds)

    def load_curves(self, experiment: Experiment) -> pd.DataFrame:
        """CURVE_COLUMNS of all families; empty if neither the workspace nor DVC's cache has them."""
        table = self._load_output(experiment.revision, "report", METRICS / "plots", "curves.csv")
        return pd.DataFrame(columns=CURVE_COLUMNS) if table is None else table

    def load_mean_curves(self, experiment: Experiment) -> dict[str, pd.DataFrame]:
        """Family to its curves averaged over the folds (split, epoch, accuracy, loss), where DVC has them."""
        tables = {
            family: self._load_output(
                experiment.revision, f"average@{family}", CROSSVAL_METRICS / family / "plots", "mean.csv"
            )
            for family in experiment.folds
        }
        return {family: table for family, table in tables.items() if table is not None}

    def _load_output(self, revision: str | None, stage: str, folder: Path, name: str) -> pd.DataFrame | None:
        """A table in a folder that a stage writes; None if neither the workspace nor the cache has it."""
        if revision is None:
            file = folder / name
            return pd.read_csv(file) if file.exists() else None
        outs = self._load_lock(revision).get(stage, {}).get("outs", [])
        digest = next((out["md5"] for out in outs if out["path"] == folder.as_posix()), None)
        return self._load_cached(digest, name) if digest else None

    def _load_lock(self, revision: str) -> dict[str, Any]:
        """Stage to what dvc.lock says of it."""
        if revision not in self._locks:
            text = self._read(Path("dvc.lock"), revision)
            self._locks[revision] = parse_yaml(text)["stages"] if text else {}
        return self._locks[revision]

    def _load_cached(self, digest: str, name: str) -> pd.DataFrame | None:
        """A table in a folder with this digest; None if the cache lacks the folder or the table."""
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        cache = self._repo.cache.local
        try:
            _, hash_info = Tree.load(cache, HashInfo("md5", digest)).get((name,)) or (None, None)
            return pd.read_csv(cache.oid_to_path(hash_info.value)) if hash_info else None
        except FileNotFoundError:
            return None

    @cached_property
    def _repo(self) -> "Repo":
        """Opened at the first look into the cache: it takes 0.2 s."""
        from dvc.repo import Repo

        return self._stack.enter_context(Repo())

    def _read(self, path: Path, revision: str | None) -> str | None:
        """The text of a file of the project; None if there is no such file."""
        try:
            if revision is None:
                return path.read_text(encoding="utf-8")
            # The project may be in a folder of the repository.
            folder = Path.cwd().resolve().relative_to(Path(self._git.root_dir).resolve())
            return self._open_tree(revision).read_text((folder / path).as_posix(), encoding="utf-8")
        except FileNotFoundError:
            return None

    def _open_tree(self, revision: str) -> "GitFileSystem":
        if revision not in self._trees:
            self._trees[revision] = self._git.get_fs(revision)
        return self._trees[revision]


def load_experiments(store: ExperimentStore, names: list[str]) -> list[Experiment]:
    """Those that `store.list(names)` lists; one without results is left out, with a warning. Raises PipelineError if none is
    left."""
    found = []
    for name, revision in progress_bar(store.list(names), desc="compare", unit=" experiments", disable=None):
        experiment = store.load(name, revision)
        if experiment is None:
            logger.warning("%s: left out, it has no %s", name, SUMMARY)
        else:
            found.append(experiment)
    if not found:
        raise PipelineError(
            f"there is nothing to compare: expected experiments with {SUMMARY}; make some with `dvc exp run -S …`"
        )
    return found
