"""README, docs/ and CONTRIBUTING: every command can be typed as it is printed, and whatever they name exists."""

import copy
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.cli import parse_args

from pipeline.config.reader import load_params

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in DOCUMENTS}
# What a reader puts in place of what is printed.
PLACEHOLDERS = {
    "<name>": "overfit",
    "<family>": "efficientnet_lite0",
    "<verb>": "train",
    "<source>": "scenes",
    "FAMILY…": "overfit",
    "sha256=…": f"sha256={64 * 'a'}",
}
PROGRAMS = ("dvc ", "python ", "make ", "pip ")
BLOCK = re.compile(r"(?ms)^```\n(.*?)^```$")


def fill_in(text: str) -> str:
    for printed, example in PLACEHOLDERS.items():
        text = text.replace(printed, example)
    return text


def find_inline(text: str) -> list[str]:
    """What is between backticks, outside code blocks."""
    return [fill_in(code) for code in re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```$", "", text))]


def find_commands(text: str) -> list[str]:
    """Lines of code blocks, after a prompt if there is one, without the comment behind them; and what is between backticks."""
    lines = [line.removeprefix("$ ") for block in BLOCK.findall(text) for line in block.splitlines()]
    found = [re.sub(r"\s+#.*", "", fill_in(line)) for line in lines] + find_inline(text)
    return [command for command in found if command.startswith(PROGRAMS)]


def find_settings(text: str) -> list[str]:
    """Parts of `dvc exp run` commands between backticks: options alone, or name=value alone."""
    found = find_inline(text)
    options = [code for code in found if code.startswith(("-S ", "--queue "))]
    return options + [f"-S {shlex.quote(code)}" for code in found if re.match(r"[a-z_]+(\.\w+)+=", code)]


COMMANDS = sorted({command for text in TEXTS.values() for command in find_commands(text)})
EXPERIMENTS = [command for command in COMMANDS if command.startswith("dvc exp run")]
SETTINGS = sorted({setting for text in TEXTS.values() for setting in find_settings(text)})
INLINE = sorted({code for text in TEXTS.values() for code in find_inline(text)})


@cache
def read_params() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def apply(params: dict[str, Any], command: str) -> dict[str, Any]:
    """The parameters as the command's -S options leave them, by DVC's rules; of several values for a sweep, the first."""
    changed, words = copy.deepcopy(params), shlex.split(command)
    for option, setting in pairwise(words):
        if option != "-S":
            continue
        name, _, value = setting.partition("=")
        sign = name[: len(name) - len(name.lstrip("+~"))]
        *path, last = name.lstrip("+~").split(".")
        section = changed
        for part in path:
            section = section.setdefault(part, {}) if "+" in sign else section[part]
        if sign != "++":
            assert (last in section) == (sign != "+"), f"{name}: with a plus if it is new, without if it is there"
        if sign == "~":
            del section[last]
            continue
        section[last] = yaml.safe_load(value if value.startswith(("[", "{")) else value.split(",")[0])
    return changed


def test_there_are_commands() -> None:
    assert len(list_parameters()) > 15
    assert len(COMMANDS) > 50
    assert len(EXPERIMENTS) > 25
    assert len(SETTINGS) > 7


@pytest.mark.parametrize("command", [*EXPERIMENTS, *SETTINGS])
def test_a_command_sets_parameters_that_exist_to_values_that_they_take(command: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(apply(read_params(), command)))
    load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("dvc ")])
def test_dvc_knows_the_command(command: str) -> None:
    words = shlex.split(command)
    parsed = parse_args(words[1:])
    if words[1] == "repro":
        stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        assert {target.split("@")[0] for target in parsed.targets} <= set(stages)


@cache
def read_help(verb: str) -> str:
    done = subprocess.run([sys.executable, "-m", f"stages.{verb}", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.ci
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python ")])
def test_python_runs_a_file_or_a_verb_that_takes_these_options(command: str) -> None:
    _, *words = shlex.split(command)
    if words[0] != "-m":
        assert (ROOT / words[0]).exists()
        return
    package, _, verb = words[1].partition(".")
    assert package == "stages"
    for option in (word for word in words[2:] if word.startswith("-")):
        assert re.search(rf"(^|[\s\[]){option}\b", read_help(verb)), f"{verb} has no option {option}"
    assert len(words) == 2 or re.search(r"FAMILY|FILE|EXP|STUDY|STAGE", read_help(verb)), f"{verb} takes nothing"


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_has_the_target_and_the_variables(command: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in shlex.split(command)[1:]:
        name, equals, _ = word.partition("=")
        assert re.search(rf"(?m)^{name}\s*\?=" if equals else rf"(?m)^{name}:", makefile)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("pip install")])
def test_pip_installs_an_extra_that_the_project_has(command: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = re.findall(r"\.\[(\w+)\]", command)
    assert named
    assert set(named) <= set(extras)


def list_parameters() -> list[str]:
    dotted = [code for code in INLINE if re.fullmatch(r"[a-z_]+(\.\w+)+", code)]
    return [name for name in dotted if name.partition(".")[0] in read_params()]


@pytest.mark.parametrize("name", list_parameters())
def test_a_parameter_that_is_named_exists(name: str) -> None:
    """A family's own recipe and the defaults of its kind hold its parameters between them."""
    first, *rest = name.split(".")
    starts = [read_params()[first]]
    if first == "recipes" and rest[0] != "defaults":
        assert rest[0] in starts[0]
        starts, rest = [starts[0][rest[0]], *starts[0]["defaults"].values()], rest[1:]
    for part in rest:
        starts = [start[part] for start in starts if isinstance(start, dict) and part in start]
    assert starts


@pytest.mark.parametrize("path", [c for c in INLINE if re.fullmatch(r"(stages|pipeline|tests|docs|\.\w+)/[\w./-]*", c)])
def test_a_path_that_is_named_is_there(path: str) -> None:
    """Or a run makes it: a fresh clone has no cache yet, and git ignores what a run makes."""
    made_by_a_run = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False).returncode == 0
    assert made_by_a_run or (ROOT / path).exists()


def list_links() -> list[tuple[str, str]]:
    found = {(name, link) for name, text in TEXTS.items() for link in re.findall(r"\]\(([^)]+)\)", text)}
    return sorted(found)


def make_anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"(?m)^#+ (.*)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("name", "link"), list_links())
def test_a_link_leads_somewhere(name: str, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (ROOT / name).parent / path if path else ROOT / name
    assert target.exists()
    assert not anchor or anchor in make_anchors(target.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"bench_\w+\.py", "".join(TEXTS.values())))))
def test_a_benchmark_that_is_named_is_there(name: str) -> None:
    assert (ROOT / "tests" / "benchmarks" / name).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"IMAGE_PIPELINE_\w+", "".join(TEXTS.values())))))
def test_a_variable_that_is_named_is_read(name: str) -> None:
    assert any(f'"{name}"' in file.read_text(encoding="utf-8") for file in (ROOT / "pipeline").rglob("*.py"))


def test_readme_is_short_and_links_every_page() -> None:
    readme = TEXTS["README.md"]
    assert len(readme.split()) <= 1500
    assert all(f"]({name}" in readme for name in TEXTS if name.startswith("docs/"))


def read_tree() -> tuple[str, list[str]]:
    """CONTRIBUTING's tree: the text about stages/, and one line per room of pipeline/."""
    [tree] = [block for block in BLOCK.findall(TEXTS["CONTRIBUTING.md"]) if block.startswith("stages/")]
    verbs, _, rooms = tree.partition("pipeline/")
    return verbs, [line.strip() for line in rooms.splitlines()[1:]]


def test_the_tree_names_every_verb() -> None:
    there = {file.stem for file in (ROOT / "stages").glob("*.py")} - {"__init__"}
    words = set(re.findall(r"[a-z_]+", read_tree()[0].partition(":")[2]))
    assert there == words - {"and", "which", "people", "run"}


def test_the_tree_names_every_room_and_only_modules_that_exist() -> None:
    rooms = {line.split("/")[0]: line.rpartition(":")[2] for line in read_tree()[1]}
    folders = {folder.parent.name for folder in (ROOT / "pipeline").glob("*/__init__.py")}
    assert set(rooms) == folders
    for room, modules in rooms.items():
        named = re.findall(r"[a-z_0-9]+", modules)
        assert named
        for module in named:
            path = ROOT / "pipeline" / room / module
            assert path.is_dir() or path.with_suffix(".py").exists(), f"{room} has no {module}"
