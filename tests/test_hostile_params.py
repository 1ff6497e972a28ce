"""params.yaml runs nothing, whatever it says and however DVC is called. A payload that ran would leave the file `ran`."""

import json
import subprocess
import sys
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
import yaml

from pipeline.config.reader import check_params, load_params, read_params
from pipeline.runtime.errors import PipelineError
from tests.clone import make_clone, run

PAYLOADS = (
    *(
        "0; touch ran;",
        "$(touch ran)",
        "`touch ran`",
        "x\ntouch ran\n",
        "x && touch ran",
        "x | touch ran #",
        "x & touch ran",
    ),
    *(
        "'; touch ran; '",
        '"; touch ran; "',
        "x > ran",
        "--help; touch ran",
        "${families}; touch ran",
        "../../x; touch ran",
    ),
)
TAGS = (
    "!!python/object/apply:os.system ['touch ran']",
    "!!python/object/new:os.system ['touch ran']",
    "!!python/object/apply:subprocess.Popen [[touch, ran]]",
    "!!python/name:os.system",
    "!!python/module:os",
    "!!python/tuple [1, 2]",
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clone(tmp_path_factory.mktemp("hostile") / "clone")


def set_params(folder: Path, families: list, folds: list) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["families"] = families
    params["crossval"] |= {"families": families, "folds": folds}
    params["search"]["families"] = families
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def test_no_command_of_dvcs_holds_a_value_of_params_yaml(clone):
    set_params(clone, [*PAYLOADS], [*PAYLOADS, 1])
    watched = dict.fromkeys(PAYLOADS, "/")
    (clone / "data" / "watch" / "params.yaml").write_text(yaml.safe_dump({"watched": watched}))
    script = "import json; from dvc.repo import Repo; print(json.dumps({s.name: s.cmd for s in Repo().index.stages}))"
    commands = json.loads(subprocess.check_output([sys.executable, "-c", script], cwd=clone))
    assert len(commands) > len(PAYLOADS) ** 2
    assert {
        name: command for name, command in commands.items() if command != f"python -m stages.{name.split('@')[0]}"
    } == {}


@pytest.mark.ci
def test_nothing_runs_where_dvc_is_told_to_skip_the_check(clone):
    """Not `dvc`, which checks first, but DVC's own command, on one stage alone and by force."""
    set_params(clone, ["linear_svm"], ["0; touch ran;"])
    (clone / "data" / "watch" / "params.yaml").write_text(yaml.safe_dump({"watched": {"x; touch ran;": "/nowhere"}}))
    for folder in ("data/embeddings/linear_svm", "data/watch/here/x; touch ran;"):
        (clone / folder).mkdir(parents=True)
    targets = ["crossval", "data/watch/dvc.yaml:watch"]
    said = run([sys.executable, "-m", "dvc", "repro", "-f", "-k", "-s", *targets], clone, expect=255)
    assert "argument FOLD: invalid int value: '0; touch ran;'" in said
    assert "argument NAME: invalid choice: 'x; touch ran;'" in said
    assert [*clone.rglob("ran")] == []


@pytest.mark.parametrize("name", ["families", "crossval.families", "search.families", "crossval.folds", "data.source"])
def test_the_check_takes_only_names_that_it_knows(name):
    *sections, key = name.split(".")
    for payload in PAYLOADS:
        params = read_params()
        section = reduce(getitem, sections, params)
        section[key] = payload if name == "data.source" else [payload]
        with pytest.raises(PipelineError, match=name):
            check_params(params)


@pytest.mark.parametrize("tag", TAGS)
def test_yaml_makes_no_objects(tmp_path, monkeypatch, tag):
    file = tmp_path / "params.yaml"
    file.write_text(f"data: {tag}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match="is not valid YAML"):
        load_params(file)
    assert [*tmp_path.iterdir()] == [file]
