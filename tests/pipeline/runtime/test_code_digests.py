import json
from pathlib import Path

import pytest

from pipeline.runtime.code_digests import find_code_file, load_module_digests
from pipeline.runtime.errors import PipelineError


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_digests_are_those_of_the_verb_and_the_family():
    for verb, family in (("embed", "vgg16"), ("embed", "mobilenet"), ("search", "vgg16")):
        file = Path(f"data/code/{verb}/{family}.json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"modules": {f"stages.{verb}": family}, "templates": {}, "entries": []}))
    assert find_code_file("embed", "vgg16") == Path("data/code/embed/vgg16.json")
    assert load_module_digests("embed", "mobilenet") == {"stages.embed": "mobilenet"}
    assert load_module_digests("search", "vgg16") == {"stages.search": "vgg16"}


@pytest.mark.parametrize("load", [find_code_file, load_module_digests])
def test_a_missing_file_is_one_line_that_says_how_to_write_it(load):
    with pytest.raises(PipelineError) as caught:
        load("embed", "vgg16")
    assert str(caught.value) == (
        "data/code/embed/vgg16.json is not here: expected what the stage code writes; run `dvc repro embed@vgg16`"
    )
