"""Keras' own networks, whose ImageNet weights Keras downloads, checks and keeps in its cache (~/.keras). Imports Keras."""

import warnings
from collections.abc import Callable

import keras
from keras import applications, layers

from pipeline.models.backbones.backbone import Backbone
from pipeline.runtime.errors import PipelineError


def _to_unit_range(x: keras.KerasTensor) -> keras.KerasTensor:
    """-1 to 1."""
    return layers.Rescaling(1 / 127.5, offset=-1.0)(x)


def _to_caffe(x: keras.KerasTensor) -> keras.KerasTensor:
    """BGR, centred on ImageNet's mean, 0–255 before: the VGG networks come from Caffe."""
    return layers.Normalization(mean=[103.939, 116.779, 123.68], variance=[1.0, 1.0, 1.0])(x[..., ::-1])


def _unchanged(x: keras.KerasTensor) -> keras.KerasTensor:
    """0 to 255: the network scales inside."""
    return x


def _application(
    builder: Callable[..., keras.Model],
    scale: Callable[[keras.KerasTensor], keras.KerasTensor],
    block_end: str,
) -> Backbone:
    """One of Keras' own networks. block_end: see `Backbone`."""

    def build(input_size: int) -> keras.Model:
        return builder(include_top=False, weights=None, input_shape=(input_size, input_size, 3))

    def load(model: keras.Model) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the weights are for another size, which no convolution minds
                published = builder(include_top=False, weights="imagenet", input_shape=model.input_shape[1:])
        except Exception as error:  # any network failure; a wrong checksum too
            raise PipelineError(
                f"the ImageNet weights of {builder.__name__} can't be downloaded ({type(error).__name__}: {error}): download "
                "them elsewhere and name the file in recipes.<family>.backbone.weights, or set that to none, or use the family "
                "efficientnet_lite0, which brings its own"
            ) from error
        model.set_weights(published.get_weights())

    return Backbone(build, load, scale, block_end)


MOBILENET = _application(applications.MobileNet, _to_unit_range, r"conv1_relu|conv_pw_\d+_relu")
VGG16 = _application(applications.VGG16, _to_caffe, r"block\d_pool")
RESNET50V2 = _application(applications.ResNet50V2, _to_unit_range, r"pool1_pool|conv\d_block\d_out")
INCEPTIONV3 = _application(applications.InceptionV3, _to_unit_range, r"max_pooling2d(_\d+)?|mixed\d+")
MOBILENETV3 = _application(applications.MobileNetV3Large, _unchanged, r"expanded_conv(_\d+)?_project_bn")
EFFICIENTNETV2B0 = _application(applications.EfficientNetV2B0, _unchanged, r"block\d[a-z]_project_bn")
