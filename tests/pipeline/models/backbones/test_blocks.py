import numpy as np
import pytest

from pipeline.config.families import BACKBONES, BLOCKS
from pipeline.models.backbones.backbone import compute_weights_digest
from pipeline.models.backbones.blocks import list_block_outputs, tap_blocks
from pipeline.models.backbones.loader import load_backbone
from tests.pipeline.models.networks import EVERY_BACKBONE, noise, refusal, size_of

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.mark.ci
class TestBlocks:
    @EVERY_BACKBONE
    def test_there_are_as_many_as_are_declared(self, network, name):
        assert len(list_block_outputs(load_backbone(name), network(name))) == BLOCKS[name]

    def test_every_backbone_declares_them(self):
        assert set(BLOCKS) == set(BACKBONES)

    @pytest.mark.parametrize(
        ("name", "ends"),
        [
            ("efficientnet_lite0", {1: "_blocks_0__bn2", 3: "_blocks_2__add", 16: "_blocks_15__bn2"}),
            ("mobilenetv3", {1: "expanded_conv_add", 2: "expanded_conv_1_project_bn"}),
            ("efficientnetv2b0", {1: "block1a_project_activation", 3: "block2b_add"}),
            ("inceptionv3", {5: "mixed2", 6: "mixed3", 12: "mixed9"}),
            ("resnet50v2", {2: "conv2_block1_out", 17: "conv5_block3_out"}),
        ],
    )
    def test_they_end_after_their_shortcuts_and_branches(self, network, name, ends):
        outputs = list_block_outputs(load_backbone(name), network(name))
        found = {number: outputs[number - 1]._keras_history.operation.name for number in ends}
        assert found == ends

    @pytest.mark.parametrize(("name", "last"), [("mobilenet", "conv_pw_12_relu"), ("vgg16", "block4_pool")])
    def test_one_that_ends_the_network_is_not_among_them(self, network, name, last):
        outputs = list_block_outputs(load_backbone(name), network(name))
        assert outputs[-1]._keras_history.operation.name == last


class TestTaps:
    def tap(self, network, name: str, blocks: list[int]):
        return tap_blocks(name, load_backbone(name), network(name), blocks)

    def test_without_blocks_it_is_the_network_itself(self, network):
        assert self.tap(network, "mobilenet", []) is network("mobilenet")

    def test_it_gives_the_networks_output_and_those_of_the_blocks(self, network):
        import keras

        whole, images = network("mobilenet"), noise(2) / 255
        last, first, third = self.tap(network, "mobilenet", [1, 3])(images)
        np.testing.assert_allclose(last, whole(images), rtol=1e-5, atol=1e-6)
        for output, layer in ((first, "conv1_relu"), (third, "conv_pw_2_relu")):
            expected = keras.Model(whole.input, whole.get_layer(layer).output)(images)
            np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)

    @EVERY_BACKBONE
    def test_it_has_the_same_weights_in_the_same_order(self, network, name):
        tapped = self.tap(network, name, [1, BLOCKS[name]])
        assert tapped.input_shape[1] == size_of(name)
        assert compute_weights_digest(tapped) == compute_weights_digest(network(name))

    @pytest.mark.parametrize(("blocks", "wrong"), [([14], 14), ([1, 99, 200], 99)])
    def test_a_block_that_does_not_exist_is_refused_with_those_that_do(self, network, blocks, wrong):
        line = refusal(self.tap, network, "mobilenet", blocks)
        assert line == (
            f"recipes.mobilenet.features: mobilenet has no block {wrong}: expected numbers from 1, the first, to 13, received "
            f"{', '.join(map(str, blocks))}"
        )
