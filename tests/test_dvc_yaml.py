"""dvc.yaml tells the truth: what a stage imports, opens and reads is what it declares, no less and no more.

Every stage has run for real in a small copy of the project; each file that any of its processes opened is noted (tests/audit).
Data is held against deps and outs, code against the file below data/code that the stage depends on, parameters against the
source of each verb.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.clone import PROJECT, audited, run

VERBS = (
    *("code", "check", "locate", "download", "prune", "split", "preprocess", "examine", "embed", "train", "evaluate"),
    *("crossval", "average", "search", "choose", "export", "report"),
)
# One of each kind of training.
FAMILIES = ("linear_svm", "underfit", "efficientnet_lite0")
CROSSVAL = ("efficientnet_lite0",)
FOLD, SAME = 1, 2  # the second is a copy of the first, as it is another number alone
SEARCHED = ("underfit",)
SEARCH = {"trials": 1, "space": {"train": {"learning_rate": [0.001, 0.01]}}}
# What DVC's own library, Keras' writer of zips or any Python program opens, and is no input of ours.
_EVERYBODY = {
    ".git",
    ".gitignore",
    ".dvc",
    ".dvcignore",
    "dvc.yaml",
    "dvc.lock",
    "params.yaml",
    "assets",
}
# What only other settings need: what `locate` says of folders.
_FOR_OTHER_SETTINGS = {"data/located/scenes", "data/located/labels", "data/corrections", "data/outside"}
_FOR_OTHER_SETTINGS_OF = {
    "split": {"data/raw"},  # opened where split.group is near
    "report": {"models/exported"},  # likewise, where there is something in it
    # Where export.formats is not empty: see test_an_export_opens_what_it_declares_and_nothing_else.
    "export": {"data/chosen.json", "data/manifest.csv", "data/raw", "data/tfrecords", "models/<family>.keras"},
}
# Opened only to refuse what is no model of the evaluations: a dep on all models would be one on those of other families too.
_ONLY_TO_REFUSE = {"report": ("models/",)}
# Deps that speak for what a stage does not open under this name: code, and parameters.
_SPEAKING = ("data/code/", "data/settings/")
# The sections of params.yaml behind the properties that Params computes.
_PROPERTIES = {
    "source_settings": {"data", "sources"},
    "image_size": {"preprocess", "data", "sources"},
    "max_images_per_class": {"prune", "data", "sources"},
    "caps_name": {"prune", "data", "sources"},
    "tta": {"recipes", "train"},  # noted beside these, in the files that `check` makes of them
}


def resolve_stages(folder: Path) -> dict[str, dict]:
    """Stages with all ${…} filled in, by DVC itself."""
    script = (
        "import json; from dvc.repo import Repo; "
        "print(json.dumps({s.addressing: {'cmd': s.cmd, 'deps': [d.def_path for d in s.deps if not hasattr(d, 'params')], "
        "'outs': [o.def_path for o in s.outs]} for s in Repo().index.stages}))"
    )
    output = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(output.stdout)


@pytest.fixture(scope="module")
def stages(finished_clone: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """Each stage's declaration, and `opened`: the files of the project that it opened, relative, without `code`."""
    folder = finished_clone(tmp_path_factory.mktemp("audited") / "clone")
    audit = folder.with_name("clone.audit")
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["crossval"] |= {"families": list(CROSSVAL), "folds": [FOLD, SAME]}
    params["search"] |= {"families": list(SEARCHED), **SEARCH}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    stages = resolve_stages(folder)
    # What the default run leaves out, and the report again, which has more to open now.
    (audit / "report").unlink()
    more = [name for name in STAGES if name.split("@")[0] in ("crossval", "average", "search", "report")]
    for name in sorted(more, key=lambda name: VERBS.index(name.split("@")[0])):
        run(stages[name]["cmd"].split(), folder, **audited(audit), DVC_STAGE=name)
        if name.startswith("crossval@"):
            made = folder / stages[name]["outs"][0]
            shutil.copytree(made, made.with_name(str(SAME)))
    assert set(stages) - set(STAGES) == {f"crossval@{family}-{SAME}" for family in CROSSVAL}
    for name in STAGES:
        stage = stages[name]
        log = audit / name.replace("@", " ")
        opened = _project_files(log, folder)
        stage["code"] = {path for path in opened if path.startswith(_CODE)}
        stage["opened"] = opened if name == "code" else opened - stage["code"]
        declared = next((dep for dep in stage["deps"] if dep.startswith("data/code/")), None)
        stage["fingerprint"] = json.loads((folder / declared).read_text()) if declared else None
    return stages


_CODE = ("pipeline/", "stages/")
_COMPILED = re.compile(r"__pycache__/(\w+)\..*")  # Python reads it in place of the source


def _name_module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _project_files(log: Path, folder: Path) -> set[str]:
    opened = set()
    for line in log.read_text().splitlines():
        path = Path(_COMPILED.sub(r"\1.py", line))
        passing = any(part in _EVERYBODY or ".partial" in part or part.startswith(".fold-") for part in path.parts)
        # What is gone again was a stage's own: a fold's folder, which is deleted by names relative to it.
        if not passing and (folder / path).is_file():
            opened.add(path.as_posix())
    return opened


def _covers(declared: list[str], path: str) -> bool:
    return any(path == name or path.startswith(f"{name}/") for name in declared)


_MATRIX = ("embed", "train", "evaluate", "export")
STAGES = [
    *(v for v in VERBS if v not in (*_MATRIX, "crossval", "average", "search")),
    *(f"{v}@{f}" for v in _MATRIX for f in FAMILIES),
    *(f"crossval@{f}-{FOLD}" for f in CROSSVAL),
    *(f"average@{f}" for f in CROSSVAL),
    *(f"search@{f}" for f in SEARCHED),
]


@pytest.mark.ci
@pytest.mark.parametrize("stage", STAGES)
def test_deps_and_outs_cover_every_file_that_a_stage_opens(stages: dict[str, dict], stage: str) -> None:
    declared = stages[stage]["deps"] + stages[stage]["outs"]
    # Clock readings are written on purpose where DVC does not look: they differ between runs.
    clock = ("timings", "metrics/run.js", ".cache/plots.html")  # the last is the same always, and no output
    undeclared = {p for p in stages[stage]["opened"] if not _covers(declared, p) and not any(c in p for c in clock)}
    if stage.startswith("embed@"):
        # Another family's features, taken over instead of computed anew: the same bytes either way.
        undeclared = {p for p in undeclared if not p.startswith("data/embeddings/")}
    assert {path for path in undeclared if not path.startswith(_ONLY_TO_REFUSE.get(stage, ()))} == set()


@pytest.mark.ci
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "code"])
def test_the_fingerprint_covers_all_code_that_a_stage_runs(stages: dict[str, dict], stage: str) -> None:
    fingerprint = stages[stage]["fingerprint"]
    modules = {_name_module(path) for path in stages[stage]["code"] if path.endswith(".py")}
    assert f"stages.{stage.split('@')[0]}" in modules, "the audit has seen something"
    assert modules - set(fingerprint["modules"]) == set()
    templates = {Path(path).name for path in stages[stage]["code"] if not path.endswith(".py")}
    assert templates - set(fingerprint["templates"]) == set()


@pytest.mark.ci
def test_an_export_opens_what_it_declares_and_nothing_else(
    finished_clone: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Which the default run, that exports nothing, does not show."""
    folder = finished_clone(tmp_path / "audited")
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["export"] |= {"formats": ["savedmodel"], "families": ["underfit"]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    name, audit = "export@underfit", tmp_path / "audit"
    audit.mkdir()
    stage = resolve_stages(folder)[name]
    run(stage["cmd"].split(), folder, **audited(audit), DVC_STAGE=name)
    opened = _project_files(audit / "export underfit", folder)
    data = {path for path in opened if not path.startswith(_CODE) and "timings" not in path}
    assert {path for path in data if not _covers(stage["deps"] + stage["outs"], path)} == set()
    deps = [dep for dep in stage["deps"] if not dep.startswith(_SPEAKING)]
    assert [dep for dep in deps if not any(_covers([dep], path) for path in data)] == ["data/chosen.json"]


@pytest.mark.ci
@pytest.mark.parametrize("verb", VERBS)
def test_every_dep_is_opened(stages: dict[str, dict], verb: str) -> None:
    """By one item of a matrix, at least: what only some kinds of family need is a dep of all."""
    idle: set[str] | None = None
    for stage in (name for name in STAGES if name.split("@")[0] == verb):
        family = stage.partition("@")[2].split("-")[0]
        opened = stages[stage]["opened"]
        deps = [dep for dep in stages[stage]["deps"] if not dep.startswith(_SPEAKING)]
        unopened = {dep for dep in deps if not any(_covers([dep], path) for path in opened)}
        unopened = {dep.replace(f"/{family}", "/<family>") if family else dep for dep in unopened}
        idle = unopened if idle is None else idle & unopened
    assert idle is not None
    assert idle - _FOR_OTHER_SETTINGS - _FOR_OTHER_SETTINGS_OF.get(verb, set()) == set()


def _read_sections(verb: str) -> set[str]:
    """Top-level sections of params.yaml that a verb's source takes from what load_params() returned, and those that every
    function takes which it calls, directly or not."""
    module = f"stages.{verb}"
    seen: set[tuple[str, str]] = set()
    waiting = [(module, name) for name in _find_functions(module)]
    sections: set[str] = set()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        body = _find_functions(place[0])[place[1]]
        sections |= _find_sections(body)
        waiting += _find_calls(body, place[0])
    return sections


# Of params.yaml, which check the whole file: what they read is no stage's own.
_READERS = {"load_params", "check_params", "read_params"}


@cache
def _parse(module: str) -> ast.Module:
    file = PROJECT / f"{module.replace('.', '/')}.py"
    return ast.parse((file if file.exists() else file.with_suffix("") / "__init__.py").read_text())


@cache
def _find_functions(module: str) -> dict[str, ast.AST]:
    """Of a module, by name; methods by that of their class."""
    return {node.name: node for node in _parse(module).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def _find_calls(body: ast.AST, module: str) -> list[tuple[str, str]]:
    """(module, function) of all that is named in a function, but for the reader, which checks the whole file."""
    names = {node.id for node in ast.walk(body) if isinstance(node, ast.Name)} - _READERS
    imports = [node for node in ast.walk(_parse(module)) if isinstance(node, ast.ImportFrom)]
    imported = {
        (node.module, alias.name)
        for node in imports
        for alias in node.names
        if node.module and node.module.startswith(("pipeline.", "stages.")) and (alias.asname or alias.name) in names
    }
    found = imported | {(module, name) for name in names}
    return [(origin, name) for origin, name in sorted(found) if name in _find_functions(origin)]


def _find_sections(tree: ast.AST) -> set[str]:
    sections: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        from_name = isinstance(owner, ast.Name) and owner.id == "params"
        from_call = isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "load_params"
        if (from_name or from_call) and not node.attr.startswith("model_"):
            sections |= _PROPERTIES.get(node.attr, {node.attr})
    return sections


def _declared_sections(verb: str) -> set[str]:
    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    sections = {str(param).split(".")[0] for param in stages[verb].get("params", [])}
    # What a family trains or embeds with is a file that `check` makes of these two sections.
    if any(dep.startswith(("data/settings/train/", "data/settings/embed/")) for dep in stages[verb].get("deps", [])):
        sections |= {"recipes", "train"}
    return sections


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "check"])
def test_params_are_those_that_the_stage_reads(verb: str) -> None:
    assert _declared_sections(verb) == _read_sections(verb)


def test_check_depends_on_all_of_params_yaml() -> None:
    assert yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]["check"]["params"] == [{"params.yaml": None}]


@pytest.mark.ci
def test_every_stage_waits_until_the_parameters_are_checked(stages: dict[str, dict]) -> None:
    """So that no stage's old output is deleted for a mistake in params.yaml."""
    behind = {"code", "check"}
    for _ in stages:
        made = [out for name in behind - {"code"} for out in stages[name]["outs"]]
        behind |= {
            name
            for name, stage in stages.items()
            if any(_covers(made, dep) or _covers([dep], out) for dep in stage["deps"] for out in made)
        }
    assert behind == set(stages)


def test_every_stage_is_the_module_of_its_name() -> None:
    for name, stage in yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"].items():
        assert stage["cmd"] == f"python -m stages.{name}"


def test_what_the_model_registry_lists_are_outputs_of_the_default_run() -> None:
    content = yaml.safe_load((PROJECT / "dvc.yaml").read_text())
    families = yaml.safe_load((PROJECT / "params.yaml").read_text())["families"]
    made = [out for verb in ("train", "export") for out in content["stages"][verb]["outs"]]
    outputs = {out.replace("${item.family}", family) for out in made for family in families}
    assert {artifact["path"] for artifact in content["artifacts"].values()} <= outputs
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*[a-z0-9]", name) for name in content["artifacts"]), "as DVC allows"


_HELP = """
import runpy, sys
for verb in sys.argv[1].split(","):
    if verb == "|":
        print("imported:", {"tensorflow", "faiss"} & set(sys.modules))
        continue
    sys.argv = [f"stages.{verb}", "--help"]
    try:
        runpy.run_module(f"stages.{verb}", run_name="__main__")
    except SystemExit as end:
        assert not end.code, verb
"""


def test_every_verb_has_help_and_those_that_need_no_tensorflow_do_not_import_it() -> None:
    """Nor faiss, which only near copies need."""
    first = ("code", "check", "locate", "download", "prune", "split", "preprocess", "report")
    verbs = sorted(file.stem for file in (PROJECT / "stages").glob("*.py") if file.stem != "__init__")
    assert set(verbs) > set(VERBS)
    output = run([sys.executable, "-c", _HELP, ",".join([*first, "|", *sorted(set(verbs) - set(first))])], PROJECT)
    assert [verb for verb in verbs if f"usage: python -m stages.{verb}" not in output] == []
    assert "imported: set()" in output
