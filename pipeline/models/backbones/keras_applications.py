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
    """BGR, centred on ImageNet's mean: the VGG networks come from Caffe."""
    return layers.Normalization(mean=[103.939, 116.779, 123.68], variance=[1.0, 1.0, 1.0])(x[..., ::-1])


def _unchanged(x: keras.KerasTensor) -> keras.KerasTensor:
    """The network scales by itself."""
    return x


def _application(
    builder: Callable[..., keras.Model],
    scale: Callable[[keras.KerasTensor], keras.KerasTensor],
    block_end: str,
    head_units: int = 0,
) -> Backbone:
    """One of Keras' own, whose ImageNet weights Keras downloads, checks and keeps in its cache (~/.keras)."""

    def build(input_size: int) -> keras.Model:
        return builder(include_top=False, weights=None, input_shape=(input_size, input_size, 3))

    def load(model: keras.Model) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the size is not the one of the weights: no convolution minds
                published = builder(include_top=False, weights="imagenet", input_shape=model.input_shape[1:])
        except Exception as error:  # whatever the network makes it stumble over; a wrong checksum too
            raise PipelineError(
                f"the ImageNet weights of {builder.__name__} can't be had ({type(error).__name__}: {error}): download them "
                "elsewhere and name the file in recipes.<family>.backbone.weights, or set that to none, or take the family "
                "efficientnet_lite0, which brings its own"
            ) from error
        model.set_weights(published.get_weights())

    return Backbone(build, load, scale, block_end, head_units)


MOBILENET = _application(applications.MobileNet, _to_unit_range, r"conv1_relu|conv_pw_\d+_relu")
VGG16 = _application(applications.VGG16, _to_caffe, r"block\d_pool")
RESNET50V2 = _application(applications.ResNet50V2, _to_unit_range, r"pool1_pool|conv\d_block\d_out")
INCEPTIONV3 = _application(applications.InceptionV3, _to_unit_range, r"max_pooling2d(_\d+)?|mixed\d+", 1024)
MOBILENETV3 = _application(applications.MobileNetV3Large, _unchanged, r"expanded_conv(_\d+)?_project_bn")
EFFICIENTNETV2B0 = _application(applications.EfficientNetV2B0, _unchanged, r"block\d[a-z]_project_bn")
