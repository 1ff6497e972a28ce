"""Builds any family's model. A family is a builder, one line in FAMILIES, and its published settings in params.yaml."""

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

import keras
from keras import layers

from pipeline.config.families import FAMILIES, check_family, check_image_size
from pipeline.config.reader import load_published_recipe
from pipeline.models.layers import make_input, resize
from pipeline.runtime.errors import PipelineError

_FLIPS = {name: name for name in ("horizontal", "vertical")} | {
    "both": "horizontal_and_vertical",
    "alternate": "horizontal",
}
_OF_BATCHES = ("erase", "randaugment", "mixup", "cutmix")  # of augment
_GIVEN = ("backbone", "image_size", "input_size", "num_classes")  # arguments of builders that are no settings


def build_model(
    family: str,
    *,
    image_size: int,
    num_classes: int,
    input_size: int | None = None,
    augment: Mapping[str, Any] | None = None,
    **settings: Any,
) -> keras.Model:
    """An uncompiled model; without settings, with the published architecture.

    family: a name in FAMILIES. image_size: pixels, each side. num_classes: 2 or more. input_size: pixels, each side, to
    which the model resizes its images first; None: no resizing. augment: flip, rotation and so on, as in
    `train.augment`: layers that change images during training; None: no such layers, as the pipeline augments its batches.
    A layer sees no epochs and no labels: `alternate` flips by chance, what is erased, mixed or drawn by RandAugment is refused.
    settings: `dropout`, `l2`, `width`, `head_units` (of the last dense layer before the softmax; 0: none), the family's
    `sizes`, `pool` of linear_svm, `solver` of linear machines, `weights` of a backbone (imagenet, a file, or none, which is
    the default). Those that the recipe has and the caller does not give are taken from this project's params.yaml, without
    what `train` overrides.

    The model takes float or uint8 RGB images (batch, image_size, image_size, 3), values 0 to 255, and returns
    probabilities, float32 (batch, num_classes). Raises PipelineError for an unknown family, an image too small for the
    architecture, fewer than two classes, and a setting that the family does not have.
    """
    check_family(family)
    size = input_size or image_size
    check_image_size(family, size, name="input_size" if input_size else "image_size")
    if num_classes < 2:
        raise PipelineError(f"{family} needs two classes or more to tell apart: received {num_classes}")
    builder = _load_builder(family)
    settings = _complete(family, builder, settings)
    if FAMILIES[family].backbone:
        settings |= {"backbone": FAMILIES[family].backbone, "image_size": image_size, "input_size": size}
    else:
        settings |= {"image_size": size}
    model = builder(num_classes=num_classes, **settings)
    _check_output(family, model, num_classes)
    if augment or model.input_shape[1] != image_size:
        model = put_in_front(model, image_size=image_size, augment=augment or {})
    model.name = family
    return model


def _check_output(family: str, model: keras.Model, num_classes: int) -> None:
    """Raises PipelineError for a builder whose model does not end in the classes' probabilities: it would train, and its
    answers would mean nothing."""
    last, shape = model.layers[-1], tuple(model.output_shape)[1:]
    ends = f"received {'×'.join(map(str, shape))} numbers an image" if shape != (num_classes,) else ""
    if isinstance(last, layers.Dense) and last.activation is keras.activations.linear:
        ends = ends or "received logits, as its last layer has no activation"
    if ends:
        raise PipelineError(
            f"{family}: {FAMILIES[family].builder} must give the probabilities of {num_classes} classes: {ends}; end it with "
            "softmax_head(x, num_classes) of pipeline.models.layers"
        )


def _load_builder(family: str) -> Callable[..., keras.Model]:
    module, _, function = FAMILIES[family].builder.partition(":")
    return getattr(import_module(module), function)


def _complete(family: str, builder: Callable[..., keras.Model], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, checked, and those from the published recipe that a builder asks for besides."""
    known = {name: parameter for name, parameter in signature(builder).parameters.items() if name not in _GIVEN}
    for name in settings:
        if name not in known:
            raise PipelineError(f"{family} has no setting {name!r}: expected {', '.join(known)}")
    missing = [name for name in known if known[name].default is Parameter.empty and name not in settings]
    published = load_published_recipe(family) if missing else None
    return {**settings, **{name: getattr(published, name) for name in missing}}


def put_in_front(model: keras.Model, *, image_size: int, augment: Mapping[str, Any]) -> keras.Model:
    """`model` for images of another size, which it resizes to its own, and augments while it trains.

    augment: flip, rotation and so on; see `train.augment` in params.yaml.
    """
    inputs = make_input(image_size)
    x = resize(_augment(inputs, augment), model.input_shape[1])
    return keras.Model(inputs, model(x), name=model.name)


def _augment(x: keras.KerasTensor, augment: Mapping[str, Any]) -> keras.KerasTensor:
    if refused := [name for name in _OF_BATCHES if augment.get(name)]:
        raise PipelineError(
            f"augment.{refused[0]} is what the pipeline does to its batches: expected 0 for layers of a model, received "
            f"{augment[refused[0]]}"
        )
    if augment.get("flip", "none") != "none":
        x = layers.RandomFlip(_FLIPS[augment["flip"]])(x)
    if augment.get("rotation"):
        x = layers.RandomRotation(augment["rotation"])(x)
    if augment.get("zoom"):
        x = layers.RandomZoom(augment["zoom"])(x)
    for name in ("shift", "translate"):
        if augment.get(name):
            x = layers.RandomTranslation(augment[name], augment[name])(x)
    if crop := augment.get("crop"):  # for which Keras has no layer that leaves images alone in prediction
        x = layers.RandomTranslation(crop / 2, crop / 2)(layers.RandomZoom((-crop, 0.0))(x))
    if augment.get("contrast"):
        x = layers.RandomContrast(augment["contrast"])(x)
    if augment.get("brightness"):
        x = layers.RandomBrightness(augment["brightness"])(x)
    return x
