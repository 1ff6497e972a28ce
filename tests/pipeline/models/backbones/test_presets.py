"""Whether a preset can be used here. KerasHub itself is not imported: a package of its name stands for it."""

import json
from pathlib import Path

import pytest

from pipeline.models.backbones import presets
from pipeline.models.backbones.presets import check_assets, check_preset_place, check_presets
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


class TestAssets:
    """What a tower for text needs beside its network."""

    def write(self, folder: Path, network: str, tokenizer: str | None, *assets: str) -> Path:
        (folder / "assets/tokenizer").mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"class_name": network}))
        if tokenizer is not None:
            (folder / "tokenizer.json").write_text(json.dumps({"class_name": tokenizer}))
        for name in assets:
            (folder / "assets/tokenizer" / name).write_text("")
        return folder

    @pytest.mark.parametrize(
        ("network", "tokenizer", "assets"),
        [
            ("CLIPBackbone", "CLIPTokenizer", ["vocabulary.json", "merges.txt"]),
            ("SigLIPBackbone", "SigLIPTokenizer", ["vocabulary.spm"]),
            ("SigLIPBackbone", None, []),
            ("CLIPVisionEncoder", None, []),
            ("DINOV2Backbone", None, []),
            ("BertBackbone", "BertTokenizer", []),
        ],
    )
    def test_all_that_is_needed_is_there(self, tmp_path, network, tokenizer, assets):
        check_assets(self.write(tmp_path, network, tokenizer, *assets), NAME)

    @pytest.mark.parametrize(
        ("network", "tokenizer", "there", "missing"),
        [
            ("CLIPBackbone", "CLIPTokenizer", ["vocabulary.json"], "merges.txt"),
            ("SigLIPBackbone", "SigLIPTokenizer", [], "vocabulary.spm"),
        ],
    )
    def test_what_is_missing_is_named_before_anything_is_computed(self, tmp_path, network, tokenizer, there, missing):
        with pytest.raises(PipelineError) as caught:
            check_assets(self.write(tmp_path, network, tokenizer, *there), NAME)
        assert str(caught.value) == (
            f"{NAME}: the folder {tmp_path} has tokenizer.json, but no assets/tokenizer/{missing}: expected all that KerasHub "
            "saved; copy it again, or set evaluate.prompts to [] to do without the zero-shot row"
        )

    @pytest.mark.parametrize("text", ["{", "[]", "{}"])
    def test_a_damaged_one_is_left_for_those_who_open_it(self, tmp_path, text):
        self.write(tmp_path, "CLIPBackbone", "CLIPTokenizer")
        (tmp_path / "config.json").write_text(text)
        check_assets(tmp_path, NAME)

    @pytest.mark.usefixtures("installed")
    def test_they_are_asked_for_where_there_are_prompts(self, tmp_path, project):
        from pipeline.config.reader import load_params

        folder = self.write(tmp_path / "clip", "CLIPBackbone", "CLIPTokenizer")
        project.set(families=["siglip"], recipes__siglip__backbone__preset=str(folder))
        with pytest.raises(PipelineError, match=r"has tokenizer\.json, but no assets/tokenizer/vocabulary\.json"):
            check_presets(load_params())
        project.set(evaluate__prompts=[])
        check_presets(load_params())
