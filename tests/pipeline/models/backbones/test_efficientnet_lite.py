import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from pipeline.runtime.errors import PipelineError

PALACE, DAISY, HONEYCOMB = 698, 985, 599  # of ImageNet's 1,000 classes
DAHLIA = (DAISY, DAISY, HONEYCOMB)  # what Lite0, 1 and 2 take one for: ImageNet has none
SIDE = 224  # pixels
NUMBERS = (0, 1, 2)
WHOLE, PART = (4_694_024, 5_470_344, 6_150_168), (3_413_024, 4_189_344, 4_869_168)  # parameters


@pytest.fixture(scope="module")
def lite(tensorflow):  # noqa: ARG001 - must be configured before the module imports it
    from pipeline.models.backbones import efficientnet_lite

    return efficientnet_lite


class Recorder(dict):
    """Remembers which of its values were asked for."""

    def __init__(self, values: dict) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> np.ndarray:
        self.asked.add(key)
        return super().__getitem__(key)


@pytest.fixture(
    scope="module", params=[0, pytest.param(1, marks=pytest.mark.ci), pytest.param(2, marks=pytest.mark.ci)]
)
def number(request) -> int:
    """Lite0, Lite1 or Lite2."""
    return request.param


@pytest.fixture(scope="module")
def variant(lite, number):
    return (lite.LITE0, lite.LITE1, lite.LITE2)[number]


@pytest.fixture(scope="module")
def published(lite, variant) -> Recorder:
    """The tensors of the published file, and which of them `whole` was made from."""
    return Recorder(lite.load_torch_tensors(lite.find_weights_file(variant)))


@pytest.fixture(scope="module")
def whole(lite, variant, published):
    """The whole network, for ImageNet's classes, with its weights."""
    model = lite.build_efficientnet_lite(variant, input_size=SIDE, num_classes=1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lite, "load_torch_tensors", lambda _: published)
        lite.load_imagenet_weights(variant, model)
    return model


@pytest.fixture(scope="module")
def part(lite, variant):
    """The convolutional part for small images, with its weights."""
    model = lite.build_efficientnet_lite(variant, input_size=32)
    lite.load_imagenet_weights(variant, model)
    return model


@pytest.fixture
def weights_copy(lite, tmp_path: Path) -> Path:
    return Path(shutil.copy(lite.find_weights_file(lite.LITE0), tmp_path / "copy.pth"))


def read_picture(name: str) -> np.ndarray:
    """The middle of one of scikit-learn's two pictures, scaled as the network's authors do, (224, 224, 3)."""
    picture = Image.fromarray(load_sample_image(name))
    width, height = picture.size
    side = min(picture.size)
    left, top = (width - side) // 2, (height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return (np.asarray(square, np.float32) - 127) / 128


def refusal(call, *arguments) -> str:
    with pytest.raises(PipelineError) as caught:
        call(*arguments)
    line = str(caught.value)
    assert "\n" not in line
    return line


class TestNetwork:
    def test_the_whole_has_the_published_number_of_parameters(self, whole, number):
        assert whole.count_params() == WHOLE[number]

    def test_so_has_the_convolutional_part(self, part, number):
        assert part.count_params() == PART[number]

    def test_the_whole_gives_a_figure_for_each_class(self, whole):
        assert whole.output_shape == (None, 1000)

    def test_the_part_gives_maps_of_features_a_thirty_second_as_large(self, part):
        assert part.input_shape == (None, 32, 32, 3)
        assert part.output_shape == (None, 1, 1, 1280)

    def test_it_has_no_squeeze_and_excite_and_no_swish(self, whole):
        kinds = {type(layer).__name__ for layer in whole.layers}
        assert kinds == {
            *("InputLayer", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "ReLU", "Add"),
            *("GlobalAveragePooling2D", "Dense"),
        }

    def test_blocks_are_added_to_their_input_unless_they_begin_a_row(self, whole, number):
        blocks, rows = (16, 21, 21)[number], 7
        assert len([layer for layer in whole.layers if type(layer).__name__ == "DepthwiseConv2D"]) == blocks
        assert len([layer for layer in whole.layers if type(layer).__name__ == "Add"]) == blocks - rows


class TestImageNetWeights:
    def test_photographs_are_recognized(self, whole, number):
        pictures = np.stack([read_picture("china.jpg"), read_picture("flower.jpg")])
        palace, flower = whole(pictures, training=False).numpy()
        assert palace.argmax() == PALACE
        assert DAHLIA[number] in flower.argsort()[-5:]

    def test_without_them_nothing_is_recognized(self, lite):
        model = lite.build_efficientnet_lite(lite.LITE0, input_size=SIDE, num_classes=1000)
        pictures = np.stack([read_picture("china.jpg"), read_picture("flower.jpg")])
        assert model(pictures, training=False).numpy().argmax(axis=1).tolist() != [PALACE, DAISY]

    def test_every_tensor_of_the_file_is_used_but_counts_of_batches(self, whole, published):
        unused = set(published) - published.asked
        assert unused == {name for name in published if name.endswith(".num_batches_tracked")}
        assert len(unused) == len([layer for layer in whole.layers if type(layer).__name__ == "BatchNormalization"])

    def test_every_number_of_the_file_is_in_the_network(self, whole, published):
        assert sum(published[name].size for name in published.asked) == whole.count_params()

    def test_the_part_has_the_weights_of_the_whole_whatever_its_size(self, part, whole):
        for layer in part.layers:
            for mine, theirs in zip(layer.get_weights(), whole.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(mine, theirs)


class TestWeightsFile:
    def test_the_installed_one_is_whole(self, lite, variant):
        lite.check_digest(variant, lite.find_weights_file(variant))

    def test_a_copy_is_as_good(self, lite, weights_copy):
        lite.check_digest(lite.LITE0, weights_copy)

    @pytest.mark.parametrize("place", [0, 10_000_000, -1])
    def test_one_changed_byte_is_noticed(self, lite, weights_copy, place):
        data = bytearray(weights_copy.read_bytes())
        data[place] ^= 1
        weights_copy.write_bytes(data)
        self.check_refused(lite, weights_copy)

    @pytest.mark.parametrize("missing", [1, 10_000_000])
    def test_missing_bytes_are_noticed(self, lite, weights_copy, missing):
        weights_copy.write_bytes(weights_copy.read_bytes()[:-missing])
        self.check_refused(lite, weights_copy)

    def test_an_empty_file_is_noticed(self, lite, tmp_path):
        (tmp_path / "empty.pth").touch()
        self.check_refused(lite, tmp_path / "empty.pth")

    def check_refused(self, lite, file: Path) -> None:
        line = refusal(lite.check_digest, lite.LITE0, file)
        assert f"{file} is not the published file: expected SHA-256 579344248a93" in line
        assert f"reinstall {lite.LITE0.package}" in line

    def test_a_missing_file_is_noticed(self, lite, tmp_path):
        line = refusal(lite.check_digest, lite.LITE0, tmp_path / "none.pth")
        assert f"{tmp_path / 'none.pth'} is not here" in line
        assert lite.LITE0.package in line


class TestPackage:
    """`files` is what tells which files were installed."""

    def test_without_it_the_line_says_how_to_install_it(self, lite, monkeypatch):
        def raise_not_found(name: str) -> None:
            raise PackageNotFoundError(name)

        monkeypatch.setattr(lite, "files", raise_not_found)
        self.check_not_whole(lite, refusal(lite.load_imagenet_weights, lite.LITE0, None))

    @pytest.mark.parametrize("listed", [[], None, ["__init__.py", "efficientnet-lite1.pth"]])
    def test_without_its_file_the_line_says_the_same(self, lite, monkeypatch, listed):
        entries = listed and [SimpleNamespace(name=name, locate=lambda: Path("elsewhere")) for name in listed]
        monkeypatch.setattr(lite, "files", lambda _: entries)
        self.check_not_whole(lite, refusal(lite.find_weights_file, lite.LITE0))

    def check_not_whole(self, lite, line: str) -> None:
        assert f"the package {lite.LITE0.package} is not installed completely" in line
        assert "make venv" in line
        assert "recipes.efficientnet_lite0.backbone.weights" in line

    @pytest.mark.parametrize(("data", "said"), [(None, "is not here"), (b"weights", "is not the published file")])
    def test_a_listed_file_is_looked_at_before_it_is_read(self, lite, monkeypatch, tmp_path, data, said):
        file = tmp_path / "efficientnet-lite0-57934424.pth"
        if data is not None:
            file.write_bytes(data)
        monkeypatch.setattr(lite, "files", lambda _: [SimpleNamespace(name=file.name, locate=lambda: file)])
        line = refusal(lite.find_weights_file, lite.LITE0)
        assert str(file) in line
        assert said in line
