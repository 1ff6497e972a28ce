"""Runs stages again in a copy of the project and compares what they write with dvc.lock."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.runtime.files import remove
from pipeline.verification.conditions import Conditions
from pipeline.verification.differences import describe_first_difference
from pipeline.verification.objects import FOLDER_SUFFIX, Cache, compute_digests, join_digests
from pipeline.verification.steps import Out, Step

_EARLY = ("code", "check")  # turn code and parameters into files that say which other stages these concern
_WORKERS = re.compile(r"(num_workers: *)(null|\d+)")


@dataclass(frozen=True)
class Verdict:
    """fault: what is wrong, in words; None where all bytes agree. is_compared: whether the stage could be judged at all."""

    name: str
    seconds: float
    fault: str | None
    is_compared: bool = True


@dataclass
class Rerun:
    """project: whose outputs outside DVC's cache are compared with. scratch: the copy. cache: the project's, read only."""

    project: Path
    scratch: Path
    cache: Cache
    conditions: Conditions
    _absent: set[str] = field(default_factory=set)

    def run_all(self, steps: list[Step], chosen: list[Step]) -> Iterator[Verdict]:
        """A verdict on each of the chosen. Every stage starts from what dvc.lock says that those before it have written."""
        for step in steps:
            for out in step.outs:
                self._restore(out)
        stale = {step.name: self._find_stale(step) for step in steps if step.name in _EARLY}
        for step in steps:
            if stale.get(step.name):
                self._run(step)
        stale |= {step.name: self._find_stale(step) for step in chosen if step.name not in _EARLY}
        self._set_workers()
        for step in chosen:
            yield self._judge(step, stale[step.name])

    def _restore(self, out: Out) -> None:
        """What dvc.lock has of an output; git's are as the copy has them."""
        if out.is_cached:
            if out.digest is None or not self.cache.place(out.digest, self.scratch / out.path):
                self._absent.add(out.path)
        elif (self.project / out.path).is_file():
            (self.scratch / out.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.project / out.path, self.scratch / out.path)

    def _find_stale(self, step: Step) -> str | None:
        """Why a stage would run anyway, or can't, in words; None if dvc.lock is of what it would read now."""
        if any(out.digest is None for out in step.outs):
            return "it has not run yet: run `dvc repro`"
        if lost := [path for path in step.deps if any(_overlap(path, other) for other in self._absent)]:
            return f"{lost[0]}, which it reads, is not in DVC's cache: run `dvc fetch` or `dvc repro`"
        changed = [*step.changed, *(path for path, digest in step.deps.items() if self._digest(path) != digest)]
        return f"{changed[0]} has changed since it ran: run `dvc repro` first" if changed else None

    def _digest(self, path: str) -> str:
        target = self.scratch / path
        return join_digests(compute_digests(target), is_folder=target.is_dir())

    def _set_workers(self) -> None:
        """Another preprocess.num_workers, after the parameters were compared."""
        params = self.scratch / "params.yaml"
        text = params.read_text(encoding="utf-8")
        params.write_text(_WORKERS.sub(rf"\g<1>{self.conditions.workers}", text, count=1), encoding="utf-8")

    def _judge(self, step: Step, stale: str | None) -> Verdict:
        if stale:
            return Verdict(step.name, 0.0, stale, is_compared=False)
        for out in step.outs:
            if not out.is_kept:
                remove(self.scratch / out.path)  # as DVC does
        start = time.perf_counter()
        fault = self._run(step) or next(filter(None, map(self._compare, step.outs)), None)
        seconds = time.perf_counter() - start
        if fault:
            for out in step.outs:
                remove(self.scratch / out.path)
                self._restore(out)
        return Verdict(step.name, seconds, fault)

    def _run(self, step: Step) -> str | None:
        """What went wrong, in words."""
        environment = self.conditions.make_environment() | {"DVC_STAGE": step.name, "DVC_ROOT": str(self.scratch)}
        for command in step.commands:
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=self.scratch,
                env=environment,
                umask=self.conditions.umask,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
            if done.returncode:
                said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["without a word"]
                return f"it failed (exit status {done.returncode}): {said[-1]}"
        return None

    def _compare(self, out: Out) -> str | None:
        """The first difference between an output and dvc.lock, in words."""
        assert out.digest is not None
        target, is_folder = self.scratch / out.path, out.digest.endswith(FOLDER_SUFFIX)
        if target.is_dir() != is_folder or not target.exists():
            return f"{out.path} is not written"
        mine = compute_digests(target)
        if join_digests(mine, is_folder=is_folder) == out.digest:
            return None
        theirs = self.cache.list_files(out.digest)
        if theirs is None:
            return f"{out.path} differs; what it was is not in DVC's cache"
        name = min(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
        path = f"{out.path}/{name}" if name else out.path
        if name not in mine or name not in theirs:
            return f"{path} is {'missing' if name not in mine else 'new'}"
        before = self._find_before(path, theirs[name], out)
        if before is None:
            return f"{path} differs; what it was is not in {'DVC’s cache' if out.is_cached else 'the workspace'}"
        return f"{path}: {describe_first_difference(self.scratch / path, before, Path(path).suffix)}"

    def _find_before(self, path: str, digest: str, out: Out) -> Path | None:
        if out.is_cached:
            return self.cache.find(digest)
        file = self.project / path
        return file if compute_digests(file).get("") == digest else None


def _overlap(path: str, other: str) -> bool:
    one, two = Path(path), Path(other)
    return one == two or one.is_relative_to(two) or two.is_relative_to(one)


def describe_verdict(verdict: Verdict) -> str:
    """One line."""
    if not verdict.is_compared:
        return f"{verdict.name}: not compared: {verdict.fault}"
    taken = f"({verdict.seconds:.1f} s)"
    return f"{verdict.name}: {verdict.fault} {taken}" if verdict.fault else f"{verdict.name}: agrees {taken}"


def summarize(verdicts: Iterable[Verdict]) -> str:
    """One line over all of them."""
    found = list(verdicts)
    agree = sum(verdict.fault is None for verdict in found)
    skipped = sum(not verdict.is_compared for verdict in found)
    more = f"; {skipped} not compared" if skipped else ""
    return f"{agree} of {len(found)} stage{'s' if len(found) > 1 else ''} agree{more}"
