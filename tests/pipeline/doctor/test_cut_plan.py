import pytest

from pipeline.doctor.cut_plan import plan_cuts
from pipeline.runtime.errors import PipelineError


@pytest.mark.ci
@pytest.mark.usefixtures("tensorflow")
def test_its_bytes_are_those_that_embed_asks_for(project, monkeypatch, caplog):
    from dataclasses import replace

    from pipeline.config.reader import load_published_recipe
    from pipeline.data.embeddings import EmbeddingFacts
    from pipeline.doctor import cut_plan, steps
    from pipeline.models.backbones.loader import build_backbone
    from pipeline.models.tail import prepare_cut
    from tests.small_backbone import shrink_mobilenet

    shrink_mobilenet(monkeypatch)
    monkeypatch.setattr(steps, "_PER_FAMILY", 0.0)
    monkeypatch.setattr(cut_plan, "configure_tensorflow", lambda **_: None)  # this process has done so
    caplog.set_level("INFO")
    project.set(sources__scenes__images_per_class=2000, train__batch_size=2, sources__scenes__image_size=256)
    lines = plan_cuts("mobilenet_fine_tuned", {})
    facts = EmbeddingFacts("mobilenet", "", "", 0, "float32", 1, {"train": 6400, "val": 1600, "test": 2000}, cut=1)
    recipe = load_published_recipe("mobilenet_fine_tuned")
    network = build_backbone("mobilenet", 256)
    prepare_cut("mobilenet_fine_tuned", recipe, network, replace(facts, cut_shape=[128, 128, 8]))
    assert "of 14400 images and views: 3.77 GB" in caplog.text
    assert lines[0].startswith(
        "cuts of mobilenet_fine_tuned at 256 px: 6,400 training pictures, a view of each, and 1,600 "
    )
    assert "3.8 GB" in lines[2]
    assert lines[-1].startswith(
        "to choose another, such as the last: dvc exp run -S 'families=[mobilenet_fine_tuned]' -S "
    )
    assert lines[-1].endswith("'++recipes.mobilenet_fine_tuned.fine_tune.from=block 2'")


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("family", ["optimized", "efficientnet_lite0_svm", "dinov2"])
def test_a_family_without_blocks_to_fine_tune_is_refused(family):
    with pytest.raises(PipelineError, match=rf"^--cuts: {family} has no backbone in blocks: expected a family such as"):
        plan_cuts(family, {})


@pytest.mark.usefixtures("project")
def test_a_size_that_a_family_can_t_take_is_refused_though_it_is_not_among_families():
    with pytest.raises(PipelineError, match=r"received 64 px; raise recipes.inceptionv3_fine_tuned.input_size"):
        plan_cuts("inceptionv3_fine_tuned", {})


def test_pictures_that_only_a_download_can_count_are_said(project):
    project.set(data__source="archive", data__path="https://example.invalid/pictures.zip")
    with pytest.raises(PipelineError, match=r"^a table of cuts needs the number of pictures, which only a download"):
        plan_cuts("mobilenet_fine_tuned", {})
