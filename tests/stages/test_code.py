import json

import pytest

from pipeline.config.reader import load_params
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import CODE
from stages.code import code


@pytest.fixture
def written(project):
    """data/code of the project's own parameters."""
    project.set(families=["optimized", "efficientnet_lite0", "efficientnet_lite0_svm"])
    code()
    return CODE


def read(path: str) -> dict:
    return json.loads((CODE / path).read_text())


def test_a_family_with_the_name_of_the_source_is_refused(monkeypatch):
    params = load_params()
    same = params.model_copy(update={"families": [*params.families, params.data.source]})
    monkeypatch.setattr("stages.code.load_params", lambda: same)
    with pytest.raises(PipelineError, match=r"^a family and the source are both called 'scenes': "):
        code()


def test_every_verb_has_a_file_or_a_folder(written):
    names = {path.stem for path in written.iterdir()}
    assert {"check", "download", "train", "evaluate", "report", "predict"} <= names


def test_a_verb_that_builds_models_has_a_file_per_family(written):
    assert {path.stem for path in (written / "train").iterdir()} == set(load_params().families)
    assert "pipeline.models.studies.scenes" in read("train/optimized.json")["modules"]
    assert "pipeline.models.studies.scenes" not in read("train/efficientnet_lite0.json")["modules"]


def test_a_verb_that_reads_images_has_a_file_for_the_source_in_use(written):
    assert [path.name for path in (written / "download").iterdir()] == ["scenes.json"]
    modules = read("download/scenes.json")["modules"]
    assert "pipeline.sources.scenes.drawing" in modules
    assert "pipeline.sources.archive" not in modules


def test_families_on_one_backbone_embed_by_the_same_code(written):
    assert (written / "embed/efficientnet_lite0.json").read_bytes() == (
        written / "embed/efficientnet_lite0_svm.json"
    ).read_bytes()


def test_the_optimizers_count_for_what_trains_and_for_nothing_else(written):
    using = {
        file.relative_to(written).parts[0].removesuffix(".json")
        for file in written.rglob("*.json")
        if "pipeline.training.schedules" in json.loads(file.read_text())["modules"]
    }
    assert using == {"train", "crossval", "search", "plan"}  # the last measures what follows a cut


@pytest.mark.usefixtures("written")
def test_templates_count_for_the_pages_that_are_made_of_them():
    assert "report.html" in read("report.json")["templates"]
    assert "report.html" not in read("average.json")["templates"]


def test_the_same_code_gives_the_same_bytes(written):
    before = {file: file.read_bytes() for file in written.rglob("*.json")}
    code()
    assert {file: file.read_bytes() for file in written.rglob("*.json")} == before
