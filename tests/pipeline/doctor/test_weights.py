import pytest

from pipeline.config.reader import load_params
from pipeline.doctor.weights import find_missing_weights

# As Keras names what it downloads.
FILES = {
    "mobilenet": "mobilenet_1_0_224_tf_no_top.h5",
    "vgg16": "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "resnet50v2": "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "inceptionv3": "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "mobilenetv3": "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
    "efficientnetv2b0": "efficientnetv2-b0_notop.h5",
}


@pytest.mark.parametrize("family", FILES)
def test_weights_that_keras_has_are_not_missed_and_others_are(project, tmp_path, family):
    project.set(families=[family], preprocess__image_size=96)
    for other in FILES.keys() - {family}:
        (tmp_path / FILES[other]).touch()
    [finding] = find_missing_weights(load_params(), tmp_path)
    assert finding.text.startswith(f"the ImageNet weights of {family} will be downloaded")
    assert not finding.stops
    (tmp_path / FILES[family]).touch()
    assert find_missing_weights(load_params(), tmp_path) == []


@pytest.mark.usefixtures("project")
def test_the_default_families_download_nothing(tmp_path):
    assert find_missing_weights(load_params(), tmp_path) == []


def test_a_file_that_is_not_there_stops(project, tmp_path):
    project.set(families=["vgg16"], recipes__vgg16={"backbone": {"weights": "w.weights.h5"}})
    [finding] = find_missing_weights(load_params(), tmp_path)
    assert finding.stops
    assert finding.text.startswith("recipes.vgg16.backbone.weights: w.weights.h5 is not here")
    (project.folder / "w.weights.h5").touch()
    assert find_missing_weights(load_params(), tmp_path) == []


def test_random_weights_need_nothing(project, tmp_path):
    project.set(families=["vgg16"], recipes__vgg16={"backbone": {"weights": "none"}})
    assert find_missing_weights(load_params(), tmp_path) == []
