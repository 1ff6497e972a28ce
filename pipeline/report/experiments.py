"""Experiments as DVC keeps them: files in git under refs/exps, outputs in DVC's cache.

DVC's own functions say which experiments there are and read its cache, without its lock, even while a queue is at work; git
reads the files. dvc.api does not serve: for 200 experiments `exp_show` takes 80 s and turns null and lists into text; `read`
parses all of dvc.yaml and dvc.lock for each file, 0.09 s for one in git and 0.6 s for one in the cache, against 0.0003 s and
0.05 s here. DVC's own file system of a commit lists all of its files first, 0.005 s for each commit.
"""

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.report.experiment_files import SUMMARY, parse_section, parse_summary, parse_whole
from pipeline.report.held_out_sets import HeldOut, HeldOutReader, find_digest
from pipeline.report.stale_results import find_staleness
from pipeline.report.tables import CURVE_COLUMNS
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.git import read_blobs
from pipeline.runtime.paths import CROSSVAL_METRICS, METRICS, PARAMS

if TYPE_CHECKING:  # DVC takes 0.3 s to import: inside functions, for what compares experiments alone
    from dvc.repo import Repo
    from dvc.scm import Git

WORKSPACE = "workspace"
_LOCK = Path("dvc.lock")
_SECTION = re.compile(r"^(?=\w)", re.MULTILINE)


@dataclass(frozen=True)
class Experiment:
    """What one run of the pipeline has left in git. revision: None for the workspace. params: by their dotted names.
    summary: one row per family. folds: family to the metrics of each of its folds. held_out: what they are of."""

    name: str
    revision: str | None
    params: dict[str, Any]
    summary: pd.DataFrame
    folds: dict[str, pd.DataFrame] = field(default_factory=dict)
    held_out: HeldOut = field(default_factory=HeldOut)


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
        self._files: dict[tuple[Path, str], str | None] = {}
        self._sections: dict[str, dict[str, Any]] = {}
        self._held_out = HeldOutReader(self._find_cached)

    def list(self, names: list[str], *, everywhere: bool = False) -> list[tuple[str, str | None]]:
        """(name, revision) of experiments, commits, branches or tags; the revision of the workspace is None. Without names:
        all experiments on HEAD, sorted, then the workspace. everywhere: those on other commits too; where a name is on several,
        that of the commit follows it. Raises PipelineError for a name that git does not know."""
        from dvc.repo.experiments.utils import exp_refs

        refs = list(exp_refs(self._git))
        head = self._resolve("HEAD")
        on_head = {ref.name: self._git.get_ref(str(ref)) for ref in refs if ref.baseline_sha == head}
        if not names:
            more = _name_apart((ref.name, ref.baseline_sha, self._git.get_ref(str(ref))) for ref in refs)
            return [*sorted((more if everywhere else on_head).items()), (WORKSPACE, None)]
        # Experiments on other commits may have the same name: the one on HEAD is meant.
        known = {ref.name: self._git.get_ref(str(ref)) for ref in refs} | on_head
        return [(name, None if name == WORKSPACE else self._find(name, known)) for name in names]

    def _find(self, name: str, known: dict[str, str]) -> str:
        revision = known.get(name) or self._resolve(name)
        if revision is None and name in self.find_failed():
            raise PipelineError(f"{name} failed in the queue, and has no results: `dvc queue logs {name}` says why")
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

    def count_elsewhere(self) -> int:
        """How many experiments are on other commits than HEAD."""
        return len(self.list([], everywhere=True)) - len(self.list([]))

    def find_failed(self, *, everywhere: bool = True) -> dict[str, str]:
        """Name to baseline of the queue's experiments that failed, sorted; not everywhere: of those on HEAD."""
        from dvc.repo.experiments.refs import CELERY_FAILED_STASH
        from dvc.repo.experiments.stash import ExpStash
        from dvc.repo.experiments.utils import exp_refs

        head, done = self._resolve("HEAD"), {(ref.name, ref.baseline_sha) for ref in exp_refs(self._git)}
        entries = ExpStash(self._git, CELERY_FAILED_STASH).stash_revs.items()
        failed = {entry.name or revision[:7]: entry.baseline_rev for revision, entry in entries}
        return {n: base for n, base in sorted(failed.items()) if (n, base) not in done and (everywhere or base == head)}

    def fetch(self, revisions: Iterable[str]) -> None:
        """Reads at once what `load` needs of many commits."""
        wanted = list(revisions)
        for path in (SUMMARY, PARAMS, _LOCK):
            self._fetch(path, wanted)

    def load(self, name: str, revision: str | None) -> Experiment | None:
        """None if the experiment has no summary or no parameters. Raises PipelineError if they can't be read, or don't belong
        together."""
        summary, params = self._read(SUMMARY, revision), self._read(PARAMS, revision)
        if summary is None or params is None:
            return None
        values = self._parse_params(params)
        families = values.get("crossval.families")
        tables = {
            str(family): self._read(CROSSVAL_METRICS / str(family) / "folds.csv", revision)
            for family in (families if isinstance(families, list) else [])
        }
        folds = {family: pd.read_csv(io.StringIO(text)) for family, text in tables.items() if text is not None}
        results = parse_summary(summary)
        trained = [family for family in results["family"] if family != ENSEMBLE]
        lock = self._read(_LOCK, revision) or ""
        if why := find_staleness(lock, values, trained):
            raise PipelineError(why)
        held_out = self._held_out.read(lock, trained, Path.cwd() if revision is None else None)
        return Experiment(name, revision, values, results, folds, held_out)

    def _parse_params(self, text: str) -> dict[str, Any]:
        """Parameters by their dotted names. Experiments have most sections in common, and parsing takes longest: each section
        is parsed once. Where it is no file of sections alone, such as one with anchors, all of it is parsed."""
        parts = [part for part in _SECTION.split(text) if part]
        try:
            for part in parts:
                if part not in self._sections:
                    self._sections[part] = parse_section(part)
        except (ValueError, yaml.YAMLError):
            return parse_whole(text)
        return {name: value for part in parts for name, value in self._sections[part].items()} or parse_whole(text)

    def load_curves(self, experiment: Experiment) -> pd.DataFrame:
        """CURVE_COLUMNS of all families; empty if neither the workspace nor DVC's cache has them."""
        table = self._load_output(experiment.revision, "report", METRICS / "plots", "curves.csv")
        is_known = table is not None and set(CURVE_COLUMNS) <= set(table.columns)
        return table if table is not None and is_known else pd.DataFrame(columns=CURVE_COLUMNS)

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
        digest = find_digest(self._read(_LOCK, revision) or "", folder, stage)
        return self._load_cached(digest, name) if digest else None

    def _load_cached(self, digest: str, name: str) -> pd.DataFrame | None:
        """A table in a folder with this digest; None if the cache lacks the folder or the table."""
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        cache = self._repo.cache.local
        try:
            _, hash_info = Tree.load(cache, HashInfo("md5", digest)).get((name,)) or (None, None)
        except FileNotFoundError:
            return None
        file = self._find_cached(hash_info.value) if hash_info and hash_info.value else None
        return pd.read_csv(file) if file else None

    def _find_cached(self, digest: str) -> Path | None:
        """The file with this digest; None if the cache lacks it."""
        file = Path(self._repo.cache.local.oid_to_path(digest))
        return file if file.is_file() else None

    @cached_property
    def _repo(self) -> "Repo":
        """Opened at the first look into the cache: it takes 0.2 s."""
        from dvc.repo import Repo

        return self._stack.enter_context(Repo())

    def _read(self, path: Path, revision: str | None) -> str | None:
        """The text of a file of the project; None if there is no such file."""
        if revision is None:
            return path.read_text(encoding="utf-8") if path.exists() else None
        if (path, revision) not in self._files:
            self._fetch(path, [revision])
        return self._files[path, revision]

    def _fetch(self, path: Path, revisions: Iterable[str]) -> None:
        # The project may be in a folder of the repository.
        folder = Path.cwd().resolve().relative_to(Path(self._git.root_dir).resolve())
        wanted = list(revisions)
        blobs = read_blobs(wanted, (folder / path).as_posix())
        for revision in wanted:
            blob = blobs.get(revision)
            self._files[path, revision] = None if blob is None else blob.decode("utf-8", "replace")


def _name_apart(found: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Name to revision. found: (name, baseline, revision); names that occur on several baselines get that of theirs."""
    listed = list(found)
    counts = Counter(name for name, _, _ in listed)
    return {name if counts[name] == 1 else f"{name} on {base[:7]}": revision for name, base, revision in listed}
