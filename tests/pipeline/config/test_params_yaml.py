"""params.yaml as delivered: what its readers rely on."""

import re
import shutil

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import parse_yaml

from pipeline.config.families import FAMILIES
from pipeline.config.nested import KeyPath, look_up, walk
from pipeline.config.reader import load_params
from pipeline.config.recipes import expand_recipes
from pipeline.config.search_rules import list_dimensions
from tests.conftest import ROOT

TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
CONTENT = yaml.safe_load(TEXT)
RECIPES = CONTENT["recipes"]


def find_lines(node: yaml.Node, path: KeyPath = ()) -> dict[KeyPath, int]:
    """The line, from 0, of each parameter's name. node: a mapping."""
    lines: dict[KeyPath, int] = {}
    for key, value in node.value:
        is_section = isinstance(value, yaml.MappingNode) and value.value
        here = (*path, key.value)
        lines |= find_lines(value, here) if is_section else {here: key.start_mark.line}
    return lines


def test_every_parameter_has_a_comment_where_its_name_comes_first_in_its_section():
    lines, seen = TEXT.splitlines(), set()
    families = {("recipes", name) for name in FAMILIES}  # those that list nothing
    for path, number in find_lines(yaml.compose(TEXT)).items():
        name = (path[0], path[-1])
        if name in seen | families or path[:2] == ("search", "space"):  # the space holds names of parameters
            continue
        seen.add(name)
        assert "#" in lines[number], f"no comment on {'.'.join(path)}: {lines[number].strip()!r}"


def test_it_is_short_and_has_no_anchors():
    assert len(TEXT.splitlines()) < 250
    assert not re.search(r"(?m)^[^#\n]*[:\s][&*]\w", TEXT), "-S through an anchor rewrites another family"


def test_dvc_can_read_what_an_override_makes_of_it(tmp_path):
    """It loses quotes, without which a URL in braces is no YAML 1.2."""
    file = tmp_path / "params.yaml"
    file.write_text(TEXT, encoding="utf-8")
    apply_overrides(file, ["train.seed=42"])
    assert parse_yaml(file.read_text(encoding="utf-8"), file) == CONTENT


def test_a_family_that_is_not_listed_has_nothing_of_its_own_and_takes_a_key_with_a_plus(tmp_path):
    unlisted = set(FAMILIES) - set(RECIPES)
    assert all(name.endswith("_svm") for name in unlisted)
    assert set(RECIPES) <= {"defaults", *FAMILIES}
    file = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", file)
    apply_overrides(file, [f"+recipes.{name}.C=0.5" for name in sorted(unlisted)])
    recipes = load_params(file).recipes
    assert {recipes[name].C for name in unlisted} == {0.5}


@pytest.mark.parametrize("family", FAMILIES)
def test_no_recipe_restates_what_it_has_anyway(family):
    without = expand_recipes({"recipes": RECIPES | {family: {}}})["recipes"][family]
    chosen = {("solver",)}  # listed where people choose it, so that -S takes no plus
    for path, value in walk(RECIPES.get(family, {})):
        assert path in chosen or look_up(without, path) != value, f"{family}: {'.'.join(path)} is {value!r} by default"


def test_cross_validation_and_search_are_off():
    params = load_params(ROOT / "params.yaml")
    assert params.crossval.families == params.search.families == []


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.kind != "linear"])
def test_every_network_has_something_to_vary_in_the_space(project, family):
    # at a size that is large enough for all
    project.set(families=[family], search__families=[family], preprocess__image_size=96)
    names = [dimension.name for dimension in list_dimensions(load_params(), family)]
    sizes = [f"recipes.searched_cnn.{name}" for name in ("blocks", "layers", "filters", "kernel", "head_units")]
    assert sorted(names) == sorted(
        ["train.learning_rate", "train.dropout", *(sizes if family == "searched_cnn" else [])]
    )
