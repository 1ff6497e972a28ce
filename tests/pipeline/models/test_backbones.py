import gc
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.runtime.errors import PipelineError

SMALLEST = {"inceptionv3": 75}  # pixels; the others' is 32
# The names of the layers with which blocks end, as the networks' authors have blocks.
RESNET_BLOCKS, EFFICIENTNET_BLOCKS = (3, 4, 6, 3), (1, 2, 2, 3, 5, 8)
BLOCK_ENDS = {
    "mobilenet": ["conv1_relu", *(f"conv_pw_{i}_relu" for i in range(1, 14))],
    "vgg16": [f"block{i}_pool" for i in range(1, 6)],
    "resnet50v2": [
        "pool1_pool",
        *(f"conv{i}_block{j + 1}_out" for i, n in enumerate(RESNET_BLOCKS, 2) for j in range(n)),
    ],
    "inceptionv3": [f"mixed{i}" for i in range(11)],
    "mobilenetv3": ["expanded_conv_project_bn", *(f"expanded_conv_{i}_project_bn" for i in range(1, 15))],
    "efficientnetv2b0": [
        f"block{i}{'abcdefgh'[j]}_project_bn" for i, n in enumerate(EFFICIENTNET_BLOCKS, 1) for j in range(n)
    ],
    "efficientnet_lite0": [f"_blocks_{i}__bn2" for i in range(16)],
}
EVERY_BACKBONE = pytest.mark.parametrize("name", BLOCK_ENDS)


@pytest.fixture(scope="module")
def backbones(tensorflow):  # noqa: ARG001 - must be configured before the module imports it
    from pipeline.models import backbones

    return backbones


@pytest.fixture(scope="module")
def build_once(backbones) -> Callable[[str], Any]:
    """Networks that all tests share, without ImageNet's weights, at their smallest size."""
    return cache(lambda name: backbones.build_backbone(name, size_of(name)))


@pytest.fixture
def network(build_once) -> Iterator[Callable[[str], Any]]:
    """One of the shared networks, frozen again afterwards."""
    lent = []

    def lend(name: str) -> Any:
        lent.append(build_once(name))
        return lent[-1]

    yield lend
    for model in lent:
        model.trainable = True  # all layers, whatever each was set to
        model.trainable = False


@pytest.fixture(scope="module")
def trained(backbones):
    """A mobilenet with weights that no other has."""
    model = backbones.build_backbone("mobilenet", 32)
    generator = np.random.default_rng(0)
    model.set_weights([generator.random(weights.shape, np.float32) for weights in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory) -> dict[str, Path]:
    """Its weights as Keras saves them."""
    return save_weights(trained, tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def foreign_files(build_once, tmp_path_factory) -> dict[str, Path]:
    """The weights of another network, and of the same one with a quarter of the filters."""
    from keras.applications import MobileNet

    narrow = MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.25)
    models = {"another": build_once("efficientnet_lite0"), "narrower": narrow}
    saved = {name: save_weights(model, tmp_path_factory.mktemp("foreign")) for name, model in models.items()}
    return {f"{name}-{kind}": file for name, files in saved.items() for kind, file in files.items()}


@pytest.fixture(scope="module")
def published_file(trained, tmp_path_factory) -> bytes:
    """Its weights in the old format, in which Keras publishes them."""
    from keras.src.legacy.saving.legacy_h5_format import save_model_to_hdf5

    file = tmp_path_factory.mktemp("published") / "net.h5"
    save_model_to_hdf5(trained, str(file))
    return file.read_bytes()


def save_weights(model, folder: Path) -> dict[str, Path]:
    model.save_weights(folder / "net.weights.h5")
    model.save(folder / "net.keras")
    return {"h5": folder / "net.weights.h5", "keras": folder / "net.keras"}


def size_of(name: str) -> int:
    return SMALLEST.get(name, 32)


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(PipelineError) as caught:
        call(*arguments, **options)
    line = str(caught.value)
    assert "\n" not in line
    return line


def noise(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3)).astype(np.float32)


def predict(model, images: np.ndarray, *, training: bool = False) -> np.ndarray:
    return model(images, training=training).numpy()


def count_trainable(model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def check_same_weights(model, other) -> None:
    for mine, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def weighted_layers(model) -> list:
    return [layer for layer in model.layers if layer.weights]


def names_of(layers) -> set[str]:
    return {layer.name for layer in layers}


def trainable_names(model) -> set[str]:
    """Of the layers of which something changes in training."""
    return {layer.name for layer in model.layers if layer.trainable_weights}


def upstream_names(model, name: str) -> set[str]:
    """A layer and all those from which something flows into it."""
    found, left = set(), [model.get_layer(name)]
    while left:
        layer = left.pop()
        if layer.name in found:
            continue
        found.add(layer.name)
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        left += [tensor._keras_history.operation for tensor in inputs if tensor is not layer.output]
    return found


class TestCounts:
    @pytest.mark.parametrize(("name", "trainable"), [("mobilenet", 6_150), ("vgg16", 3_078), ("resnet50v2", 12_294)])
    def test_with_six_classes_only_the_published_number_of_parameters_is_trained(
        self, backbones, network, name, trainable
    ):
        model = backbones.build_transfer(backbone=name, image_size=32, num_classes=6, network=network(name))
        assert count_trainable(model) == trainable
        assert model.count_params() == trainable + network(name).count_params()

    def test_inception_has_a_hidden_layer_and_is_then_trained_as_a_whole(self, backbones, network):
        backbone = network("inceptionv3")
        model = backbones.build_transfer(backbone="inceptionv3", image_size=75, num_classes=10, network=backbone)
        assert count_trainable(model) == 2_108_426
        backbones.unfreeze("inceptionv3", backbone, "all")
        assert count_trainable(model) == 23_876_778


class TestScale:
    """What each network does to 0–255 pixels, against what its authors do."""

    def scale(self, backbones, name: str) -> np.ndarray:
        import keras

        inputs = keras.Input((32, 32, 3))
        return predict(keras.Model(inputs, backbones.load_backbone(name).scale(inputs)), noise(4))

    @pytest.mark.parametrize(
        ("name", "module"),
        [
            ("mobilenet", "mobilenet"),
            ("vgg16", "vgg16"),
            ("resnet50v2", "resnet_v2"),
            ("inceptionv3", "inception_v3"),
            ("mobilenetv3", "mobilenet_v3"),
            ("efficientnetv2b0", "efficientnet_v2"),
        ],
    )
    def test_it_is_what_keras_says(self, backbones, name, module):
        import keras

        expected = getattr(keras.applications, module).preprocess_input(noise(4))
        np.testing.assert_allclose(self.scale(backbones, name), expected, rtol=1e-6, atol=1e-4)

    def test_colours_of_vgg_are_reversed_and_centred(self, backbones):
        expected = noise(4)[..., ::-1] - np.array([103.939, 116.779, 123.68])
        np.testing.assert_allclose(self.scale(backbones, "vgg16"), expected, rtol=1e-6, atol=1e-4)

    @pytest.mark.parametrize("name", ["mobilenetv3", "efficientnetv2b0"])
    def test_the_newer_ones_scale_by_themselves(self, backbones, network, name):
        np.testing.assert_array_equal(self.scale(backbones, name), noise(4))
        assert "Rescaling" in {type(layer).__name__ for layer in network(name).layers}

    def test_lite_is_as_its_authors_do(self, backbones):
        np.testing.assert_allclose(self.scale(backbones, "efficientnet_lite0"), (noise(4) - 127) / 128, atol=1e-6)

    def test_every_backbone_has_been_compared(self, backbones):
        assert set(backbones.BACKBONES) == set(BLOCK_ENDS)


class TestWithoutWeights:
    def test_the_random_ones_are_the_same_each_time(self, backbones, network):
        import keras

        keras.utils.set_random_seed(5)
        check_same_weights(backbones.build_backbone("mobilenet", 32, "none"), network("mobilenet"))

    @EVERY_BACKBONE
    def test_it_is_frozen_and_has_feature_maps_for_output(self, network, name):
        model = network(name)
        assert model.trainable_weights == []
        assert model.input_shape == (None, size_of(name), size_of(name), 3)
        assert len(model.output_shape) == 4


class TestWeightsOfAFile:
    def check_unfit(self, backbones, file: Path) -> str:
        line = refusal(backbones.build_backbone, "mobilenet", 32, str(file))
        assert f"recipes.mobilenet.backbone.weights: {file} does not fit mobilenet without its top" in line
        assert "expected 3,228,864 numbers in 135 arrays" in line
        return line

    @pytest.mark.parametrize(("kind", "size"), [("h5", 32), ("h5", 64), ("keras", 64)])
    def test_exactly_these_are_loaded_whatever_the_size_of_images(self, backbones, trained, files, kind, size):
        loaded = backbones.build_backbone("mobilenet", size, str(files[kind]))
        check_same_weights(loaded, trained)
        assert loaded.trainable_weights == []

    def test_so_is_a_file_that_keras_has_published(self, backbones, trained, published_file, tmp_path):
        """Downloaded elsewhere, for example."""
        (tmp_path / "mobilenet_1_0_224_tf_no_top.h5").write_bytes(published_file)
        loaded = backbones.build_backbone("mobilenet", 32, str(tmp_path / "mobilenet_1_0_224_tf_no_top.h5"))
        check_same_weights(loaded, trained)

    @pytest.mark.filterwarnings("ignore:Skipping nested container")  # Keras', before it raises
    @pytest.mark.parametrize("kind", ["another-h5", "another-keras", "narrower-h5", "narrower-keras"])
    def test_another_networks_are_refused(self, backbones, foreign_files, kind):
        self.check_unfit(backbones, foreign_files[kind])

    @pytest.mark.parametrize("name", ["net.weights.h5", "net.keras", "net.txt"])
    def test_a_text_is_refused(self, backbones, tmp_path, name):
        (tmp_path / name).write_text("weights, honestly\n" * 100)
        self.check_unfit(backbones, tmp_path / name)

    @pytest.mark.parametrize("kind", ["h5", "keras"])
    def test_a_file_cut_short_is_refused(self, backbones, tmp_path, files, kind):
        data = files[kind].read_bytes()
        (tmp_path / files[kind].name).write_bytes(data[: len(data) // 2])
        self.check_unfit(backbones, tmp_path / files[kind].name)

    def test_a_model_that_would_run_code_is_refused_before_it_does(self, backbones, tmp_path):
        import keras

        trace = tmp_path / "ran"
        runs_code = keras.layers.Lambda(eval(f"lambda x: (open({str(trace)!r}, 'w').close(), x)[1]"))
        inputs = keras.Input((4,))
        keras.Model(inputs, runs_code(inputs)).save(tmp_path / "net.keras")
        trace.unlink()
        self.check_unfit(backbones, tmp_path / "net.keras")
        assert not trace.exists()
        keras.models.load_model(tmp_path / "net.keras", safe_mode=False)
        assert trace.exists()  # it would have

    @pytest.mark.parametrize("name", ["net.weights.h5", "net.keras"])
    def test_a_missing_file_is_one_line(self, backbones, tmp_path, name):
        line = refusal(backbones.build_backbone, "mobilenet", 32, str(tmp_path / name))
        assert f"recipes.mobilenet.backbone.weights: {tmp_path / name} is not here" in line
        assert "expected imagenet, none or a file of weights" in line


class TestWeightsOfImageNet:
    """As mobilenet gets them: Keras downloads a file, here from this machine, and keeps it in its folder."""

    # At a size for which there are no weights of its own it takes those for 224 pixels.
    EVERY_SIZE = pytest.mark.parametrize(("size", "trained_at"), [(128, 128), (32, 224)])

    @pytest.fixture(autouse=True)
    def keras_home(self, backbones, tmp_path, monkeypatch) -> Path:  # noqa: ARG002 - imports Keras
        folder = tmp_path / "keras"
        folder.mkdir()  # or else it takes /tmp/.keras
        monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(folder))
        monkeypatch.setenv("no_proxy", "*")
        return folder

    @pytest.fixture
    def set_url(self, monkeypatch) -> Callable[[str], None]:
        return lambda url: monkeypatch.setattr("keras.src.applications.mobilenet.BASE_WEIGHT_PATH", f"{url}/")

    def check_refused(self, backbones, size: int = 128) -> str:
        with warnings.catch_warnings():
            # Keras leaves a connection open where a download fails: else whatever test runs when it is collected hears of it.
            warnings.simplefilter("ignore", ResourceWarning)
            line = refusal(backbones.build_backbone, "mobilenet", size, "imagenet")
            gc.collect()
        assert "the ImageNet weights of MobileNet can't be had" in line
        return line

    @EVERY_SIZE
    def test_a_download_gives_exactly_these(
        self, backbones, server, set_url, published_file, trained, size, trained_at
    ):
        set_url(server.url)
        server.files[f"/mobilenet_1_0_{trained_at}_tf_no_top.h5"] = published_file
        loaded = backbones.build_backbone("mobilenet", size, "imagenet")
        check_same_weights(loaded, trained)
        assert loaded.trainable_weights == []

    def test_what_has_been_downloaded_once_is_not_downloaded_again(
        self, backbones, server, set_url, published_file, trained
    ):
        set_url(server.url)
        server.files["/mobilenet_1_0_128_tf_no_top.h5"] = published_file
        backbones.build_backbone("mobilenet", 128, "imagenet")
        server.files.clear()
        check_same_weights(backbones.build_backbone("mobilenet", 128, "imagenet"), trained)
        assert len(server.requests) == 1

    @EVERY_SIZE
    def test_out_of_reach_the_line_offers_a_file_none_and_lite(self, backbones, set_url, dead_url, size, trained_at):
        set_url(dead_url)
        line = self.check_refused(backbones, size)
        assert f"{dead_url}/mobilenet_1_0_{trained_at}_tf_no_top.h5" in line
        assert "name the file in recipes.<family>.backbone.weights" in line
        assert "or set that to none" in line
        assert "efficientnet_lite0, which brings its own" in line

    def test_a_server_that_refuses_is_one_line_that_says_so(self, backbones, server, set_url):
        set_url(server.url)
        server.statuses = [403]
        assert "403" in self.check_refused(backbones)

    def test_a_download_that_breaks_off_is_one_line_and_is_not_kept(
        self, backbones, server, set_url, keras_home, published_file
    ):
        set_url(server.url)
        server.files["/mobilenet_1_0_128_tf_no_top.h5"] = published_file
        server.drop_after = [len(published_file) // 2]
        self.check_refused(backbones)
        assert [path for path in keras_home.rglob("*") if path.is_file()] == []

    def test_a_download_of_something_else_is_one_line(self, backbones, server, set_url):
        set_url(server.url)
        server.files["/mobilenet_1_0_128_tf_no_top.h5"] = b"<html>sign in</html>"
        self.check_refused(backbones)

    def test_lite_needs_no_download(self, backbones, network, monkeypatch):
        monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", None)
        loaded = backbones.build_backbone("efficientnet_lite0", 32, "imagenet")
        assert loaded.trainable_weights == []
        random = network("efficientnet_lite0")
        assert backbones.compute_weights_digest(loaded) != backbones.compute_weights_digest(random)


class TestUnfreezing:
    @EVERY_BACKBONE
    def test_all_is_all(self, backbones, network, name):
        model = network(name)
        backbones.unfreeze(name, model, "all")
        assert trainable_names(model) == names_of(weighted_layers(model))

    @pytest.mark.parametrize("count", [1, 2, 7, 54])
    @pytest.mark.parametrize("unit", ["", " layers"])
    def test_a_number_is_that_of_the_last_layers_with_weights(self, backbones, network, count, unit):
        model = network("mobilenet")
        backbones.unfreeze("mobilenet", model, f"{count}{unit}" if unit else count)
        assert trainable_names(model) == names_of(weighted_layers(model)[-count:])

    def test_only_their_weights_are_trained(self, backbones, network):
        model = network("vgg16")
        backbones.unfreeze("vgg16", model, 1)
        assert count_trainable(model) == 9 * 512 * 512 + 512

    @pytest.mark.parametrize("count", [1, 2, 4, 8])
    @EVERY_BACKBONE
    def test_blocks_are_those_of_the_networks_authors(self, backbones, network, name, count):
        """What comes after the last block counts to it."""
        model, count = network(name), min(count, len(BLOCK_ENDS[name]) - 1)
        backbones.unfreeze(name, model, f"{count} blocks")
        kept = upstream_names(model, BLOCK_ENDS[name][-1 - count])
        assert trainable_names(model) == names_of(weighted_layers(model)) - kept

    def test_one_block_may_be_said_in_the_singular(self, backbones, network):
        model = network("mobilenet")
        backbones.unfreeze("mobilenet", model, "1 block")
        assert trainable_names(model) == {"conv_dw_13", "conv_dw_13_bn", "conv_pw_13", "conv_pw_13_bn"}

    def test_two_blocks(self, backbones, network):
        model = network("vgg16")
        backbones.unfreeze("vgg16", model, "2 blocks")
        assert trainable_names(model) == {f"block{i}_conv{j}" for i in (4, 5) for j in (1, 2, 3)}

    def test_as_many_blocks_as_there_are_is_all(self, backbones, network):
        model = network("mobilenet")
        backbones.unfreeze("mobilenet", model, "14 blocks")
        assert trainable_names(model) == names_of(weighted_layers(model))

    def test_it_may_be_said_again(self, backbones, network):
        model = network("mobilenet")
        for which in ("all", 3, "2 blocks", 1):
            backbones.unfreeze("mobilenet", model, which)
        assert trainable_names(model) == names_of(weighted_layers(model)[-1:])

    @pytest.mark.parametrize(
        ("which", "said"),
        [
            (55, "mobilenet has 54 layers with weights: expected at most so many, received 55"),
            ("55 layers", "mobilenet has 54 layers with weights: expected at most so many, received 55 layers"),
            ("15 blocks", "mobilenet has 14 blocks: expected at most so many, received 15 blocks"),
        ],
    )
    def test_more_than_there_are_is_one_line_that_says_how_many_there_are(self, backbones, network, which, said):
        line = refusal(backbones.unfreeze, "mobilenet", network("mobilenet"), which)
        assert line == f"recipes.mobilenet.fine_tune.unfreeze: {said}"
        assert trainable_names(network("mobilenet")) == set()


class TestTraining:
    """A backbone does in training what it does in predicting, fine-tuned or not: batch normalization keeps the statistics
    of ImageNet, and nothing is dropped."""

    @pytest.fixture
    def model(self, backbones, network) -> Iterator[Any]:
        """Of which all weights are trainable."""
        backbone = network("mobilenet")
        weights = backbone.get_weights()
        backbones.unfreeze("mobilenet", backbone, "all")
        yield backbones.build_transfer(backbone="mobilenet", image_size=32, num_classes=3, network=backbone)
        backbone.set_weights(weights)

    def statistics(self, model) -> list[np.ndarray]:
        moving = [weight for weight in model.non_trainable_weights if "moving" in weight.path]
        assert len(moving) == 54
        return [weight.numpy() for weight in moving]

    def count_kept(self, model, before: list[np.ndarray]) -> int:
        return sum(np.array_equal(old, new) for old, new in zip(before, self.statistics(model), strict=True))

    @EVERY_BACKBONE
    def test_a_frozen_one_gives_the_same_features_in_both(self, backbones, network, name):
        model = backbones.make_feature_model(name, network(name), image_size=size_of(name), input_size=size_of(name))
        images = noise(4, size_of(name))
        np.testing.assert_allclose(predict(model, images, training=True), predict(model, images), rtol=1e-4, atol=1e-6)

    def test_so_does_one_that_is_fine_tuned(self, model):
        np.testing.assert_allclose(predict(model, noise(8), training=True), predict(model, noise(8)), atol=1e-6)

    def test_fine_tuning_keeps_the_statistics(self, model):
        before = self.statistics(model)
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)  # compiling takes longer
        model.fit(noise(8), np.arange(8) % 3, verbose=0)
        assert self.count_kept(model, before) == 54

    def test_left_to_itself_the_network_would_change_them(self, model, network):  # noqa: ARG002 - unfreezes it
        before = self.statistics(network("mobilenet"))
        predict(network("mobilenet"), noise(8), training=True)
        assert self.count_kept(network("mobilenet"), before) == 0

    def test_what_batch_normalization_learns_is_trained(self, model):
        for part in ("gamma", "beta"):
            assert len([weight for weight in model.trainable_weights if weight.path.endswith(part)]) == 27


class TestTransfer:
    @pytest.fixture
    def build(self, backbones, network) -> Callable[..., Any]:
        def build(name: str = "mobilenet", *, image_size: int = 32, **settings) -> Any:
            settings = {"num_classes": 3, "network": network(name), "input_size": size_of(name)} | settings
            return backbones.build_transfer(backbone=name, image_size=image_size, **settings)

        return build

    def units(self, model) -> list[int]:
        return [layer.units for layer in model.layers if type(layer).__name__ == "Dense"]

    @pytest.mark.parametrize("image_size", [20, 40])
    def test_images_are_resized_inside(self, build, image_size):
        model = build(image_size=image_size)
        assert model.input_shape == (None, image_size, image_size, 3)
        assert predict(model, noise(2, image_size)).shape == (2, 3)

    @pytest.mark.parametrize("image_size", [20, 40])
    def test_one_colour_stays_that_colour_when_resized(self, backbones, network, image_size):
        backbone, colour = network("mobilenet"), np.array([200, 30, 90], np.float32)
        sizes = {size: backbones.make_feature_model("mobilenet", backbone, image_size=size, input_size=32)
                 for size in (32, image_size)}  # fmt: skip
        features = [predict(model, np.broadcast_to(colour, (1, size, size, 3))) for size, model in sizes.items()]
        np.testing.assert_allclose(features[0], features[1], rtol=1e-3, atol=1e-5)

    def test_images_that_shrink_are_averaged(self, backbones, network):
        """Fine stripes of black and white turn grey; looked at only here and there, they would be black."""
        backbone = network("mobilenet")
        features = {size: backbones.make_feature_model("mobilenet", backbone, image_size=size, input_size=32)
                    for size in (128, 32)}  # fmt: skip
        stripes = np.broadcast_to(np.where(np.isin(np.arange(128) % 4, (1, 2)), 0, 255)[:, None], (1, 128, 128, 3))
        grey, black = (predict(features[32], np.full((1, 32, 32, 3), value, np.float32)) for value in (127.5, 0))
        predicted = predict(features[128], stripes.astype(np.float32))
        assert np.abs(predicted - grey).max() < np.abs(predicted - black).max() / 5

    def test_images_of_the_right_size_are_not_resized(self, build):
        assert "Resizing" not in {type(layer).__name__ for layer in build().layers}

    def test_without_an_input_size_it_is_that_of_the_images(self, build):
        assert build(input_size=None).input_shape == (None, 32, 32, 3)

    def test_it_is_features_and_then_a_head(self, backbones, network, build):
        whole = build(head_units=5)
        features = backbones.make_feature_model("mobilenet", network("mobilenet"), image_size=32, input_size=32)
        head = backbones.build_head("mobilenet", features.output_shape[1], num_classes=3, head_units=5)
        head.set_weights(
            [weight for name in ("hidden", "probabilities") for weight in whole.get_layer(name).get_weights()]
        )
        pooled = predict(features, noise(4))
        assert pooled.dtype == np.float32
        np.testing.assert_allclose(predict(head, pooled), predict(whole, noise(4)), atol=1e-6)

    @pytest.mark.parametrize(
        ("name", "settings", "units"),
        [
            ("mobilenet", {}, [3]),
            ("mobilenet", {"head_units": None}, [3]),
            ("mobilenet", {"head_units": 7}, [7, 3]),
            ("inceptionv3", {}, [1024, 3]),
            ("inceptionv3", {"head_units": 7}, [7, 3]),
            ("inceptionv3", {"head_units": 0}, [3]),
            ("efficientnet_lite0", {}, [512, 3]),
            ("efficientnet_lite0", {"width": 0.5}, [256, 3]),
            ("efficientnet_lite0", {"head_units": 10, "width": 2.0}, [20, 3]),
            ("efficientnet_lite0", {"width": 1e-6}, [1, 3]),
            ("mobilenet", {"width": 2.0}, [3]),
        ],
    )
    def test_the_hidden_layer_is_the_published_one_or_another(self, backbones, build, name, settings, units):
        image_size = size_of(name)
        assert self.units(build(name, image_size=image_size, **settings)) == units
        head = backbones.build_head(name, 16, num_classes=3, **settings)
        assert self.units(head) == units

    def test_the_head_can_drop_features_and_be_penalised(self, build):
        model = build("efficientnet_lite0", dropout=0.25, l2=0.01)
        (dropout,) = (layer for layer in model.layers if type(layer).__name__ == "Dropout")
        assert dropout.rate == 0.25
        assert float(model.get_layer("hidden").kernel_regularizer.l2) == pytest.approx(0.01)

    def test_without_either_there_is_neither(self, build):
        model = build("efficientnet_lite0")
        assert "Dropout" not in {type(layer).__name__ for layer in model.layers}
        assert model.get_layer("hidden").kernel_regularizer is None


class TestDigest:
    def test_it_is_a_sha256(self, backbones, network):
        digest = backbones.compute_weights_digest(network("mobilenet"))
        assert len(digest) == 64
        assert set(digest) <= set("0123456789abcdef")

    def test_the_same_weights_have_the_same(self, backbones, network):
        first = backbones.compute_weights_digest(network("mobilenet"))
        assert backbones.compute_weights_digest(network("mobilenet")) == first

    @pytest.mark.parametrize("place", [0, 60, -1])
    def test_one_other_number_gives_another(self, backbones, network, place):
        model = network("mobilenet")
        weights, before = model.get_weights(), backbones.compute_weights_digest(model)
        changed = [array.copy() for array in weights]
        changed[place].flat[-1] += 1e-3
        model.set_weights(changed)
        after = backbones.compute_weights_digest(model)
        model.set_weights(weights)
        assert after != before
        assert backbones.compute_weights_digest(model) == before
