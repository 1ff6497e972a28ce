from pathlib import Path

import pytest

from pipeline.config.families import BACKBONES, PRESETS
from pipeline.models.backbones.loader import build_backbone, unfreeze
from tests.pipeline.models.hostile_models import WEIGHTS, make_weights
from tests.pipeline.models.networks import (
    BLOCK_ENDS,
    EVERY_BACKBONE,
    build_once,
    check_same_weights,
    count_trainable,
    names_of,
    refusal,
    size_of,
    trainable_names,
    upstream_names,
    weighted_layers,
)

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory) -> dict[str, Path]:
    """Its weights as Keras saves them."""
    return save_weights(trained, tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def foreign_files(tmp_path_factory) -> dict[str, Path]:
    """The weights of another network, and of the same one with a quarter of the filters."""
    from keras.applications import MobileNet

    narrow = MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.25)
    models = {"another": build_once("efficientnet_lite0"), "narrower": narrow}
    saved = {name: save_weights(model, tmp_path_factory.mktemp("foreign")) for name, model in models.items()}
    return {f"{name}-{kind}": file for name, files in saved.items() for kind, file in files.items()}


def save_weights(model, folder: Path) -> dict[str, Path]:
    model.save_weights(folder / "net.weights.h5")
    model.save(folder / "net.keras")
    return {"h5": folder / "net.weights.h5", "keras": folder / "net.keras"}


def test_every_backbone_is_tested():
    assert set(BACKBONES) - set(PRESETS) == set(BLOCK_ENDS)


@pytest.mark.ci
class TestWithoutWeights:
    def test_the_random_ones_are_the_same_each_time(self, network):
        import keras

        keras.utils.set_random_seed(5)
        check_same_weights(build_backbone("mobilenet", 32, "none"), network("mobilenet"))

    @EVERY_BACKBONE
    def test_it_is_frozen_and_has_feature_maps_for_output(self, network, name):
        model = network(name)
        assert model.trainable_weights == []
        assert model.input_shape == (None, size_of(name), size_of(name), 3)
        assert len(model.output_shape) == 4


@pytest.mark.ci
class TestWeightsOfAFile:
    def check_unfit(self, file: Path) -> str:
        line = refusal(build_backbone, "mobilenet", 32, str(file))
        assert f"recipes.mobilenet.backbone.weights: {file} does not fit mobilenet without its top" in line
        assert "expected 3,228,864 numbers in 135 arrays" in line
        return line

    @pytest.mark.parametrize(("kind", "size"), [("h5", 32), ("h5", 64), ("keras", 64)])
    def test_exactly_these_are_loaded_whatever_the_size_of_images(self, trained, files, kind, size):
        loaded = build_backbone("mobilenet", size, str(files[kind]))
        check_same_weights(loaded, trained)
        assert loaded.trainable_weights == []

    def test_so_is_a_file_that_keras_has_published(self, trained, published_file, tmp_path):
        """Downloaded elsewhere, for example."""
        (tmp_path / "mobilenet_1_0_224_tf_no_top.h5").write_bytes(published_file)
        loaded = build_backbone("mobilenet", 32, str(tmp_path / "mobilenet_1_0_224_tf_no_top.h5"))
        check_same_weights(loaded, trained)

    @pytest.mark.filterwarnings("ignore:Skipping nested container")  # Keras', before it raises
    @pytest.mark.parametrize("kind", ["another-h5", "another-keras", "narrower-h5", "narrower-keras"])
    def test_another_networks_are_refused(self, foreign_files, kind):
        self.check_unfit(foreign_files[kind])

    def check_unreadable(self, file: Path) -> None:
        """Which says nothing of the network that it may fit."""
        line = refusal(build_backbone, "mobilenet", 32, str(file))
        assert line.startswith(f"recipes.mobilenet.backbone.weights: {file} can't be read")

    @pytest.mark.parametrize("name", ["net.weights.h5", "net.keras", "net.txt"])
    def test_a_text_is_refused(self, tmp_path, name):
        (tmp_path / name).write_text("weights, honestly\n" * 100)
        self.check_unreadable(tmp_path / name)

    @pytest.mark.parametrize("kind", ["h5", "keras"])
    def test_a_file_cut_short_is_refused(self, tmp_path, files, kind):
        data = files[kind].read_bytes()
        (tmp_path / files[kind].name).write_bytes(data[: len(data) // 2])
        self.check_unreadable(tmp_path / files[kind].name)

    def test_a_model_that_would_run_code_is_refused_before_it_does(self, tmp_path):
        import keras

        trace = tmp_path / "ran"
        runs_code = keras.layers.Lambda(eval(f"lambda x: (open({str(trace)!r}, 'w').close(), x)[1]"))
        inputs = keras.Input((4,))
        keras.Model(inputs, runs_code(inputs)).save(tmp_path / "net.keras")
        trace.unlink()
        line = refusal(build_backbone, "mobilenet", 32, str(tmp_path / "net.keras"))
        assert "net.keras is refused: it is built with 'keras.layers.Lambda'" in line
        assert not trace.exists()
        keras.models.load_model(tmp_path / "net.keras", safe_mode=False)
        assert trace.exists()  # it would have

    def test_weights_that_lie_in_another_file_are_refused(self, tmp_path):
        (tmp_path / "net.weights.h5").write_bytes(make_weights(WEIGHTS["a link to another file"]))
        line = refusal(build_backbone, "mobilenet", 32, str(tmp_path / "net.weights.h5"))
        assert "net.weights.h5 is refused: 'layers/dense/vars/2' in its weights is a link to elsewhere" in line

    @pytest.mark.parametrize("name", ["net.weights.h5", "net.keras"])
    def test_a_missing_file_is_one_line(self, tmp_path, name):
        line = refusal(build_backbone, "mobilenet", 32, str(tmp_path / name))
        assert f"recipes.mobilenet.backbone.weights: {tmp_path / name} is not here" in line
        assert "expected imagenet, none or a file of weights" in line


class TestUnfreezing:
    @EVERY_BACKBONE
    def test_all_is_all(self, network, name):
        model = network(name)
        unfreeze(name, model, "all")
        assert trainable_names(model) == names_of(weighted_layers(model))

    @pytest.mark.parametrize("count", [1, 2, 7, 54])
    @pytest.mark.parametrize("unit", ["", " layers"])
    def test_a_number_is_that_of_the_last_layers_with_weights(self, network, count, unit):
        model = network("mobilenet")
        unfreeze("mobilenet", model, f"{count}{unit}" if unit else count)
        assert trainable_names(model) == names_of(weighted_layers(model)[-count:])

    def test_only_their_weights_are_trained(self, network):
        model = network("vgg16")
        unfreeze("vgg16", model, 1)
        assert count_trainable(model) == 9 * 512 * 512 + 512

    @pytest.mark.parametrize("count", [1, 2, 4, 8])
    @EVERY_BACKBONE
    def test_blocks_are_those_of_the_networks_authors(self, network, name, count):
        """What comes after the last block counts to it."""
        model, count = network(name), min(count, len(BLOCK_ENDS[name]) - 1)
        unfreeze(name, model, f"{count} blocks")
        kept = upstream_names(model, BLOCK_ENDS[name][-1 - count])
        assert trainable_names(model) == names_of(weighted_layers(model)) - kept

    def test_one_block_may_be_said_in_the_singular(self, network):
        model = network("mobilenet")
        unfreeze("mobilenet", model, "1 block")
        assert trainable_names(model) == {"conv_dw_13", "conv_dw_13_bn", "conv_pw_13", "conv_pw_13_bn"}

    def test_two_blocks(self, network):
        model = network("vgg16")
        unfreeze("vgg16", model, "2 blocks")
        assert trainable_names(model) == {f"block{i}_conv{j}" for i in (4, 5) for j in (1, 2, 3)}

    def test_as_many_blocks_as_there_are_is_all(self, network):
        model = network("mobilenet")
        unfreeze("mobilenet", model, "14 blocks")
        assert trainable_names(model) == names_of(weighted_layers(model))

    def test_it_may_be_said_again(self, network):
        model = network("mobilenet")
        for which in ("all", 3, "2 blocks", 1):
            unfreeze("mobilenet", model, which)
        assert trainable_names(model) == names_of(weighted_layers(model)[-1:])

    @pytest.mark.parametrize(
        ("which", "said"),
        [
            (55, "mobilenet has 54 layers with weights: expected at most that many, received 55"),
            ("55 layers", "mobilenet has 54 layers with weights: expected at most that many, received 55 layers"),
            ("15 blocks", "mobilenet has 14 blocks: expected at most that many, received 15 blocks"),
        ],
    )
    def test_more_than_there_are_is_one_line_that_says_how_many_there_are(self, network, which, said):
        line = refusal(unfreeze, "mobilenet", network("mobilenet"), which)
        assert line == f"recipes.mobilenet.fine_tune.unfreeze: {said}"
        assert trainable_names(network("mobilenet")) == set()
