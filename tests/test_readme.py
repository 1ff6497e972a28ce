"""What README says can be typed as it stands: every parameter that a command sets exists and takes the value."""

import copy
import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.reader import load_params

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
# In a code block or between backticks; a comment behind it belongs to people.
FOUND = re.findall(r"(?m)^(dvc exp run [^#\n]*)|`(dvc exp run [^`]*)`", TEXT)
COMMANDS = sorted({command.strip() for pair in FOUND for command in pair if command})


def apply(params: dict[str, Any], command: str) -> dict[str, Any]:
    """The parameters as the command's -S options leave them; of several values for a sweep, the first."""
    changed, words = copy.deepcopy(params), shlex.split(command)
    for option, setting in pairwise(words):
        if option != "-S":
            continue
        name, _, value = setting.partition("=")
        *path, last = name.lstrip("+~").split(".")
        section = changed
        for part in path:
            section = section.setdefault(part, {}) if name.startswith("+") else section[part]
        assert (last in section) != name.startswith("+"), f"{name}: there is such a parameter, or there is none"
        if name.startswith("~"):
            del section[last]
            continue
        section[last] = yaml.safe_load(value if value.startswith(("[", "{")) else value.split(",")[0])
    return changed


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 12


@pytest.mark.parametrize("command", [command for command in COMMANDS if "…" not in command])
def test_a_command_sets_parameters_that_exist_to_values_that_they_take(command: str, tmp_path: Path) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(apply(params, command)))
    load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", TEXT))))
def test_a_link_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"bench_\w+\.py", TEXT))))
def test_a_benchmark_that_is_named_is_there(name: str) -> None:
    assert (ROOT / "tests" / "benchmarks" / name).exists()
