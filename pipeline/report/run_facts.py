"""What there is to know of a run besides its metrics: data, versions, parameters, machine, commit.

What differs from run to run (clock, commit, hardware) is for metrics/run.js alone: DVC hashes the page.
"""

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from pipeline.config.reader import parse_yaml
from pipeline.config.recipes import list_ignored
from pipeline.config.sections import Budget, Params, Runtime
from pipeline.runtime.git import ask_git
from pipeline.runtime.last_digits import compute_digest, describe_last_digits
from pipeline.runtime.logins import hide_logins
from pipeline.runtime.machine import find_gpus
from pipeline.runtime.paths import MANIFEST, PARAMS
from pipeline.runtime.processes import num_cores
from pipeline.runtime.tensorflow import TrainingMode
from pipeline.runtime.timings import load_last_digits

_PACKAGES = ("tensorflow", "keras", "scikit-learn", "numpy", "pillow", "dvc", "dvclive")
_NEUTRAL = {"seed", "cache_gb", "shuffle_buffer"}  # parameters of train that no study publishes
_CODE = ("stages", "pipeline", "dvc.yaml")


def describe_settings(params: Params) -> dict[str, Any]:
    """What the page says of params.yaml: source, overrides, ignored, facts."""
    return {
        "source": params.data.source,
        "overrides": describe_overrides(params),
        "ignored": describe_ignored(params),
        "facts": describe_run(params.train.seed) | describe_budget(params.budget),
    }


def describe_run(seed: int) -> dict[str, str]:
    """What it takes to get the same metrics again, and what is the same on every machine that does."""
    return {
        "Data (SHA-256 of data/manifest.csv)": hashlib.sha256(MANIFEST.read_bytes()).hexdigest(),
        "Training seed": str(seed),
        "Versions": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def describe_budget(budget: Budget) -> dict[str, str]:
    """The time for which families and epochs were planned; nothing where there was none."""
    if budget.minutes is None:
        return {}
    return {
        "Time budget": f"{budget.minutes:g} minutes, {budget.preset}; plan {budget.plan}, which chose families and epochs"
    }


def describe_overrides(params: Params) -> dict[str, str]:
    """What `train` sets for all families, in place of what the studies have published."""
    found: dict[str, str] = {}
    for name, value in params.train.model_dump().items():
        entries = {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
        found |= {f"train.{key}": str(v) for key, v in entries.items() if v is not None and key not in _NEUTRAL}
    return found


def describe_ignored(params: Params) -> dict[str, list[str]]:
    """Of each family that has not all of what `train` sets, the names of the rest; empty where all families are alike."""
    ignored = {family: list_ignored(params, family) for family in params.families}
    return {family: names for family, names in ignored.items() if names} if not all(ignored.values()) else {}


def compute_key(digests: dict[str, str]) -> str:
    """Which models a page is about, 16 hex digits. digests: family to the SHA-256 of its model."""
    text = " ".join(f"{family} {digest}" for family, digest in sorted(digests.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_origin(digests: dict[str, str], runtime: Runtime) -> dict[str, str]:
    """The families, and where their metrics came from, if not from an environment like this one. digests: family to the SHA-256
    of its model."""
    devices = max(1, len(find_gpus())) if runtime.devices == "all" else runtime.devices
    mode, arithmetic = TrainingMode(runtime.precision, runtime.xla, devices), runtime.arithmetic
    here = describe_last_digits(**arithmetic, mode=mode)
    own = {compute_digest(here), compute_digest(describe_last_digits(**arithmetic))}  # evaluate has no such mode
    found = {family: load_last_digits(family, digest) for family, digest in digests.items()}
    others: dict[str, list[str]] = {}
    for family, said in found.items():
        for description in (text for key, text in said.items() if key not in own):
            others.setdefault(description, []).append(family)
    facts = {"Families": ", ".join(digests), "What decides last digits here": here}
    if others:
        listed = (f"{', '.join(families)}: {description}" for description, families in others.items())
        facts["Trained or evaluated where something else decided them"] = " | ".join(listed)
    if unknown := [family for family, said in found.items() if not said]:
        facts["Neither trained nor evaluated on this machine"] = ", ".join(unknown)
    return facts


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory, system."""
    return {
        "Processor": f"{read_processor()}, {num_cores()} cores",
        "Memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "System": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def read_processor() -> str:
    """The name of the processor, as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def describe_commit() -> dict[str, str]:
    """The commit that the run started from, and whether the code differs from it."""
    commit = ask_git("rev-parse", "HEAD")
    if commit is None:
        return {"Commit": "not in a git repository"}
    changed = ask_git("status", "--porcelain", "--untracked-files=no", "--", *_CODE) or ""
    return {"Commit": commit.strip() + (", with changed code" if changed.strip() else "")}


def find_changes() -> dict[str, str]:
    """Parameters whose values differ from those of the commit, as 'old → new'; of an experiment, what `-S` has set. Addresses
    are without what may be secret."""
    before = ask_git("show", f"HEAD:./{PARAMS}")
    if before is None:
        return {}
    old, new = flatten(parse_yaml(before)), flatten(parse_yaml(PARAMS.read_text(encoding="utf-8")))
    return {
        name: f"{_show(old.get(name))} → {_show(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    }


def flatten(content: Any, prefix: str = "") -> dict[str, Any]:
    """Parameters by their dotted names; a list or an empty section is a value."""
    if not isinstance(content, dict) or not content:
        return {prefix: content}
    parts = [flatten(value, f"{prefix}.{key}" if prefix else str(key)) for key, value in content.items()]
    return {name: value for part in parts for name, value in part.items()}


def _show(value: Any) -> str:
    return hide_logins(json.dumps(value, ensure_ascii=False, default=str))
