import pytest

from pipeline.config.families import FAMILIES
from pipeline.config.lazy_modules import find_family_variant, find_source_variant
from pipeline.config.sources import SOURCES

TRAINS = {"pipeline.models.build", "pipeline.models.backbones.loader"}
EMBEDS = {"pipeline.models.backbones.loader"}


def test_a_verb_that_loads_a_source_runs_its_module():
    assert find_source_variant("archive", {"pipeline.sources.loader"}).modules == {"pipeline.sources.archive"}


def test_a_verb_that_loads_none_has_no_variants():
    assert find_source_variant("archive", {"pipeline.data.raw"}) is None
    assert find_family_variant("optimized", {"pipeline.data.raw"}) is None


def test_a_verb_that_builds_models_runs_the_familys_own_module_and_its_backbone():
    assert find_family_variant("optimized", TRAINS).modules == {"pipeline.models.studies.scenes"}
    assert "pipeline.models.backbones.keras_applications" in find_family_variant("vgg16", TRAINS).modules
    assert "pipeline.models.backbones.efficientnet_lite" in find_family_variant("efficientnet_lite0", TRAINS).modules


def test_families_on_one_backbone_have_one_variant_for_a_verb_that_embeds():
    assert find_family_variant("vgg16", EMBEDS) == find_family_variant("vgg16_svm", EMBEDS)
    assert find_family_variant("vgg16", EMBEDS) != find_family_variant("resnet50v2", EMBEDS)


def test_a_network_with_a_teacher_runs_what_the_teacher_runs():
    alone, taught = (find_family_variant("underfit", TRAINS, teacher) for teacher in (None, "vgg16"))
    assert taught.modules == alone.modules | find_family_variant("vgg16", TRAINS).modules
    assert taught.entries == alone.entries + find_family_variant("vgg16", TRAINS).entries
    # So that both find the same features: they are computed once.
    assert find_family_variant("underfit", EMBEDS, "vgg16") == find_family_variant("vgg16", EMBEDS)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_names_modules_that_exist(family):
    from importlib.util import find_spec

    assert all(find_spec(module) is not None for module in find_family_variant(family, TRAINS).modules)


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_names_a_module_that_exists(source):
    from importlib.util import find_spec

    assert all(find_spec(module) for module in find_source_variant(source, {"pipeline.sources.loader"}).modules)
