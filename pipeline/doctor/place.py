"""Where the project is: git, DVC, the Python environment. What would stop DVC before the first stage, or spoil a queue."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.doctor.findings import Finding
from pipeline.runtime.dvc_facts import DvcFacts
from pipeline.runtime.environment import Environment, describe_environment
from pipeline.runtime.experiment_place import NO_IDENTITY, find_faults, has_identity
from pipeline.runtime.git import ask_git, explain_no_repository
from pipeline.runtime.paths import PARAMS

_SHOWN = 4  # packages in one line


@dataclass
class Place:
    """sections: lines by heading."""

    sections: dict[str, list[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def describe_place(project: Path, dvc: DvcFacts | None) -> Place:
    """project: absolute; the process is in it. dvc: None if it is no DVC project."""
    place = Place()
    for heading, (lines, findings) in {
        "dvc": _describe_dvc(dvc, project),
        "git": _describe_git(project, dvc),
        "python": _describe_environment(describe_environment(project)),
    }.items():
        place.sections[heading] = lines
        place.findings += findings
    return place


def _describe_dvc(facts: DvcFacts | None, project: Path) -> tuple[list[str], list[Finding]]:
    if facts is None:
        return ["no DVC project here"], [
            Finding("there is no .dvc folder here: run in a clone of the project", stops=True)
        ]
    cache = facts.cache.relative_to(project) if facts.cache.is_relative_to(project) else facts.cache
    asked = ", ".join(facts.asked)
    lines = [f"cache {cache}, linked by {facts.link}" + (f" (asked for: {asked})" if len(facts.asked) > 1 else "")]
    remotes = [f"{name} {address}" for name, address in facts.remotes.items()]
    default = f"; default: {facts.default_remote}" if facts.default_remote else ""
    lines.append(f"remote: {', '.join(remotes)}{default}" if remotes else "no remote: `dvc push` has nowhere to go")
    findings = []
    if not facts.working:
        findings.append(
            Finding(f"links could not be tried in .dvc and {cache}: may this user write there?", stops=True)
        )
    elif facts.copies > 1:
        findings.append(
            Finding(
                f"DVC copies between cache and project ({asked} asked for): each output is on disk twice; a cache on the "
                "project's disk (`dvc cache dir --local PATH`) or cache.type symlink avoids that"
            )
        )
    return lines, findings


def _describe_git(project: Path, dvc: DvcFacts | None) -> tuple[list[str], list[Finding]]:
    needs_git = dvc is None or dvc.needs_git
    if missing := explain_no_repository(project):
        text = "DVC works in a git repository only" if needs_git else "experiments need a git repository"
        return ["no git repository"], [Finding(f"{text}: {missing}", stops=needs_git)]
    head = (ask_git("rev-parse", "--short", "HEAD") or "").strip()
    if not head:
        text = "the git repository has no commit, which experiments start from: `git add --all`, `git commit -m start`"
        return ["no commit"], [Finding(text, stops=True)]
    has_name = has_identity(project)
    changed = (ask_git("status", "--porcelain", "--untracked-files=no", "--", str(PARAMS)) or "").strip()
    line = f"commit {head}; " + ("identity set" if has_name else "no identity")
    faults = find_faults(project, dvc.cache) if dvc is not None else []
    if not has_name:
        faults = list(dict.fromkeys([NO_IDENTITY, *faults]))
    findings = [Finding(fault) for fault in faults]
    if changed:
        line += f"; {PARAMS} differs from the commit"
    return [line], findings


def _describe_environment(facts: Environment) -> tuple[list[str], list[Finding]]:
    findings = []
    lines = [f"Python {facts.python}, {facts.num_pinned} packages as pinned in constraints.txt"]
    if not facts.takes_python:
        text = (
            f"Python {facts.python} is not one that the project takes ({facts.allowed}): run `make venv` with another"
        )
        findings.append(Finding(text, stops=True))
    if facts.missing:
        text = f"packages that the project needs are missing or too old: {', '.join(facts.missing[:_SHOWN])}; run `make venv`"
        findings.append(Finding(text, stops=True))
    if facts.others:
        shown = ", ".join(f"{name} {found} (pinned {pinned})" for name, pinned, found in facts.others[:_SHOWN])
        more = f" and {len(facts.others) - _SHOWN} more" if len(facts.others) > _SHOWN else ""
        lines.append(f"in another version: {shown}{more}")
        findings.append(
            Finding(
                "results may differ from the published ones: for the pinned versions, run `pip install -c constraints.txt -e .`"
            )
        )
    return lines, findings
