"""Whether a preset can be used here. KerasHub itself is not imported: a package of its name stands for it."""

import pytest

from pipeline.models.backbones import presets
from pipeline.models.backbones.presets import check_preset_place, check_presets
from pipeline.runtime.errors import PipelineError

NAME = "recipes.dinov2.backbone.preset"


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(presets, "find_spec", lambda _: object())


def refusal(preset: str) -> str:
    with pytest.raises(PipelineError) as caught:
        check_preset_place(preset, NAME)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_the_extra_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setattr(presets, "find_spec", lambda _: None)
    assert refusal("dinov2_small") == (
        f"{NAME} is dinov2_small, but keras_hub can't be imported: expected the extra `hub`; run "
        "`pip install -c constraints.txt -e '.[hub]'`"
    )


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["dinov2_small", "hf://timm/resnet18.a1_in1k", "kaggle://keras/vit/keras/vit_base"])
def test_names_and_handles_are_believed(name):
    assert check_preset_place(name, NAME) is None


@pytest.mark.usefixtures("installed")
def test_a_folder_is_found_from_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_text("{}")
    assert check_preset_place("mine", NAME) == check_preset_place(str(tmp_path / "mine"), NAME) == tmp_path / "mine"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("preset", "received"), [("./none", "no folder"), ("some", "a folder without config.json")])
def test_a_folder_that_is_no_preset_is_refused(tmp_path, monkeypatch, preset, received):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some").mkdir()
    line = refusal(preset)
    assert line.startswith(f"{NAME}: {preset} is no preset: expected a name that KerasHub knows, ")
    assert line.endswith(f"received {received}")


def test_families_without_a_preset_need_no_extra(monkeypatch, project):
    from pipeline.config.reader import load_params

    monkeypatch.setattr(presets, "find_spec", lambda _: None)
    check_presets(load_params())
    project.set(families=["optimized", "dinov2_svm"])
    with pytest.raises(PipelineError, match=r"^recipes\.dinov2_svm\.backbone\.preset is dinov2_small, but"):
        check_presets(load_params())
