import gc
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from pipeline.models.backbones.backbone import compute_weights_digest
from pipeline.models.backbones.loader import build_backbone, load_backbone
from tests.pipeline.models.networks import check_same_weights, noise, predict, refusal

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.mark.ci
class TestScale:
    """What each network does to 0–255 pixels, against what its authors do."""

    def scale(self, name: str) -> np.ndarray:
        import keras

        inputs = keras.Input((32, 32, 3))
        return predict(keras.Model(inputs, load_backbone(name).scale(inputs)), noise(4))

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
    def test_it_is_what_keras_says(self, name, module):
        import keras

        expected = getattr(keras.applications, module).preprocess_input(noise(4))
        np.testing.assert_allclose(self.scale(name), expected, rtol=1e-6, atol=1e-4)

    def test_colours_of_vgg_are_reversed_and_centred(self):
        expected = noise(4)[..., ::-1] - np.array([103.939, 116.779, 123.68])
        np.testing.assert_allclose(self.scale("vgg16"), expected, rtol=1e-6, atol=1e-4)

    @pytest.mark.parametrize("name", ["mobilenetv3", "efficientnetv2b0"])
    def test_the_newer_ones_scale_by_themselves(self, network, name):
        np.testing.assert_array_equal(self.scale(name), noise(4))
        assert "Rescaling" in {type(layer).__name__ for layer in network(name).layers}

    def test_lite_is_as_its_authors_do(self):
        np.testing.assert_allclose(self.scale("efficientnet_lite0"), (noise(4) - 127) / 128, atol=1e-6)


@pytest.mark.ci
class TestWeightsOfImageNet:
    """As mobilenet gets them: Keras downloads a file, here from this machine, and keeps it in its folder."""

    # At a size for which there are no weights of its own it takes those for 224 pixels.
    EVERY_SIZE = pytest.mark.parametrize(("size", "trained_at"), [(128, 128), (32, 224)])

    @pytest.fixture(autouse=True)
    def keras_home(self, tmp_path, monkeypatch) -> Path:
        folder = tmp_path / "keras"
        folder.mkdir()  # or else it takes /tmp/.keras
        monkeypatch.setattr(import_module("keras.src.backend.config"), "_KERAS_DIR", str(folder))
        monkeypatch.setenv("no_proxy", "*")
        return folder

    @pytest.fixture
    def set_url(self, monkeypatch) -> Callable[[str], None]:
        mobilenet = import_module("keras.src.applications.mobilenet")
        return lambda url: monkeypatch.setattr(mobilenet, "BASE_WEIGHT_PATH", f"{url}/")

    def check_refused(self, size: int = 128) -> str:
        with warnings.catch_warnings():
            # Keras leaves a connection open where a download fails: else whatever test runs when it is collected hears of it.
            warnings.simplefilter("ignore", ResourceWarning)
            line = refusal(build_backbone, "mobilenet", size, "imagenet")
            gc.collect()
        assert "the ImageNet weights of MobileNet can't be downloaded" in line
        return line

    @EVERY_SIZE
    def test_a_download_gives_exactly_these(self, server, set_url, published_file, trained, size, trained_at):
        set_url(server.url)
        server.files[f"/mobilenet_1_0_{trained_at}_tf_no_top.h5"] = published_file
        loaded = build_backbone("mobilenet", size, "imagenet")
        check_same_weights(loaded, trained)
        assert loaded.trainable_weights == []

    def test_what_has_been_downloaded_once_is_not_downloaded_again(self, server, set_url, published_file, trained):
        set_url(server.url)
        server.files["/mobilenet_1_0_128_tf_no_top.h5"] = published_file
        build_backbone("mobilenet", 128, "imagenet")
        server.files.clear()
        check_same_weights(build_backbone("mobilenet", 128, "imagenet"), trained)
        assert len(server.requests) == 1

    @EVERY_SIZE
    def test_out_of_reach_the_line_offers_a_file_none_and_lite(self, set_url, dead_url, size, trained_at):
        set_url(dead_url)
        line = self.check_refused(size)
        assert f"{dead_url}/mobilenet_1_0_{trained_at}_tf_no_top.h5" in line
        assert "name the file in recipes.<family>.backbone.weights" in line
        assert "or set that to none" in line
        assert "efficientnet_lite0, which brings its own" in line

    def test_a_server_that_refuses_is_one_line_that_says_so(self, server, set_url):
        set_url(server.url)
        server.statuses = [403]
        assert "403" in self.check_refused()

    def test_a_download_that_breaks_off_is_one_line_and_is_not_kept(self, server, set_url, keras_home, published_file):
        set_url(server.url)
        server.files["/mobilenet_1_0_128_tf_no_top.h5"] = published_file
        server.drop_after = [len(published_file) // 2]
        self.check_refused()
        assert [path for path in keras_home.rglob("*") if path.is_file()] == []

    def test_a_download_of_something_else_is_one_line(self, server, set_url):
        set_url(server.url)
        server.files["/mobilenet_1_0_128_tf_no_top.h5"] = b"<html>sign in</html>"
        self.check_refused()

    def test_lite_needs_no_download(self, network, monkeypatch):
        monkeypatch.setattr(import_module("keras.src.utils.file_utils"), "urlretrieve", None)
        loaded = build_backbone("efficientnet_lite0", 32, "imagenet")
        assert loaded.trainable_weights == []
        random = network("efficientnet_lite0")
        assert compute_weights_digest(loaded) != compute_weights_digest(random)
