import re
import shlex
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from pipeline.config.sources import SOURCES
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.overrides import open_maps, quote_setting, rebase
from pipeline.sources.loader import load_source

PROJECT = Path(__file__).parents[3]
PATHS = [
    "/home/me/pictures",
    "/home/me/My Downloads/archive (1).zip",
    "/data/it's",
    '/data/a"b',
    "/data/a\\b",
    "/data/ends with\\",
    "/data/$HOME/${x}",
    "/data/a,b",
    "/data/a=b",
    "/data/~me",
    "/data/Käfer/猫",
    "/data/[x]{y}",
    "/data/#1 %20",
    "null",
    "https://host/animals.zip?x=1&y=2",
    "kaggle:owner/name",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_survives_shell_and_hydra(path, tmp_path):
    """As `dvc exp run` reads it: first for a sweep, then for the file."""
    option, setting = shlex.split(quote_setting("data.path", path))
    assert option == "-S"
    [swept] = get_hydra_sweeps({"params.yaml": [setting]})
    file = tmp_path / "params.yaml"
    file.write_text("data:\n  path: null\n")
    apply_overrides(file, list(swept["params.yaml"]))
    assert yaml.safe_load(file.read_text()) == {"data": {"path": path}}


# -S and what follows: words in the shell's single quotes, or one word that ends before punctuation.
_ADVICE = re.compile(r"""-S (?:'[^']*'|[^\s'`;,|)]*[^\s'`;,|).:])""")


def _list_advice() -> set[str]:
    """All that messages and pages say of parameters that name a file or a folder."""
    texts = [page.read_text() for page in [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]]
    for source in SOURCES:
        try:
            load_source(source).locate(None)
        except PipelineError as error:
            texts.append(str(error))
    found = {advice for text in texts for advice in _ADVICE.findall(text)}
    return {advice for advice in found if re.search(r"(path|labels|weights|root)=", advice)}


def test_whoever_copies_up_to_a_blank_gets_no_punctuation():
    with pytest.raises(PipelineError) as caught:
        load_source("folder").locate(None)
    assert re.findall(r"-S data.path=\S*", str(caught.value)) == ["-S data.path=/home/me/pictures"]


def test_there_is_advice():
    assert len(_list_advice()) > 6


@pytest.mark.parametrize("advice", sorted(_list_advice()))
def test_what_is_advised_can_be_typed(advice, tmp_path):
    option, setting = shlex.split(advice)
    assert option == "-S"
    file = tmp_path / "params.yaml"
    file.write_bytes((PROJECT / "params.yaml").read_bytes())
    [swept] = get_hydra_sweeps({"params.yaml": [setting]})
    apply_overrides(file, list(swept["params.yaml"]))
    assert yaml.safe_load(file.read_text()) != yaml.safe_load((PROJECT / "params.yaml").read_text())


class TestMaps:
    """-S name={key: value}, with keys that params.yaml does not list."""

    @pytest.mark.parametrize("before", [["-S"], ["--set-param"]])
    def test_it_gets_the_pluses_that_hydra_wants(self, before):
        setting = "data.splits={meta/train.txt: train, Meta: ignore}"
        assert open_maps(["exp", "run", *before, setting]) == ["exp", "run", *before, f"++{setting}"]

    @pytest.mark.parametrize("option", ["-S", "--set-param="])
    def test_also_in_one_word(self, option):
        assert open_maps([f"{option}evaluate.costs={{sea: 5}}"]) == [f"{option}++evaluate.costs={{sea: 5}}"]

    @pytest.mark.parametrize(
        "arguments",
        [
            ["-S", "+data.splits={a: train}"],
            ["-S", "++data.splits={a: train}"],
            ["-S", "~data.splits"],
            ["-S", "families=[a,b]"],
            ["-S", "data.path=/a={b}"],
            ["-n", "data.splits={a: train}"],
            ["exp", "run", "data.splits={a: train}"],
            ["-S"],
            [],
        ],
    )
    def test_everything_else_stays(self, arguments):
        assert open_maps(arguments) == arguments

    @pytest.mark.parametrize("setting", ["data.splits={train/val: val}", "train.augment={flip: none}"])
    def test_so_it_is_read_beside_what_is_there(self, setting, tmp_path):
        file = tmp_path / "params.yaml"
        file.write_bytes((PROJECT / "params.yaml").read_bytes())
        apply_overrides(file, open_maps(["-S", setting])[1:])
        before, after = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (PROJECT / "params.yaml", file))
        assert after["data"]["splits"] == ({"train/val": "val"} if "splits" in setting else {})
        assert after["train"]["augment"] == before["train"]["augment"] | ({"flip": "none"} if "flip" in setting else {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("../dvc.yaml:train@x", "dvc.yaml:train@x"),
        ("../dvc.yaml", "dvc.yaml"),
        ("../models/a.keras", "models/a.keras"),
        ("train@x", "train@x"),
        ("../nowhere.yaml:train", "../nowhere.yaml:train"),
        ("data.path=../dvc.yaml", "data.path=../dvc.yaml"),
        ("-f", "-f"),
    ],
)
def test_targets_are_called_as_from_the_project(text, expected, tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    for name in ("dvc.yaml", "models/a.keras"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path / "models")
    assert rebase(text, tmp_path) == expected


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ('prune.max_images_per_class={"10": 5}', "prune.max_images_per_class={10: 5}"),
        ("evaluate.costs={'sea ice': 5, \"b\" : 2}", "evaluate.costs={sea ice: 5, b: 2}"),
        ("prune.merge_classes={a: ['x y', \"z\"]}", "prune.merge_classes={a: ['x y', \"z\"]}"),
    ],
)
def test_keys_of_maps_lose_quotes_that_hydra_does_not_read(setting, expected):
    assert open_maps(["-S", setting]) == ["-S", f"++{expected}"]
