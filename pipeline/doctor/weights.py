"""Whether the weights that families ask for are here: nothing is downloaded to find out."""

import os
from pathlib import Path

from pipeline.config.families import FAMILIES
from pipeline.config.recipes import resolve_family
from pipeline.config.sections import Params
from pipeline.config.teachers import list_trained
from pipeline.doctor.findings import Finding
from pipeline.models.backbones.presets import check_preset_place
from pipeline.runtime.errors import PipelineError
from pipeline.sources.local_paths import resolve_path

_PACKAGED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")  # weights come with packages
_FILES = {  # how the names begin that Keras gives them
    "mobilenet": "mobilenet_",
    "inceptionv3": "inception_v3_",
    "mobilenetv3": "weights_mobilenet_v3_large_",
    "efficientnetv2b0": "efficientnetv2-b0_",
}
_KERAS = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"


def find_missing_weights(params: Params, keras: Path = _KERAS) -> list[Finding]:
    """Weights that `embed` will download, and files that do not exist. keras: where Keras keeps what it has downloaded."""
    downloads, findings = [], []
    for family in list_trained(params):
        recipe, backbone = resolve_family(params, family), FAMILIES[family].backbone
        if recipe.backbone is None or backbone is None or recipe.backbone.weights == "none":
            continue
        weights, preset = recipe.backbone.weights, recipe.backbone.preset
        if preset is not None and weights == "imagenet":
            findings += _look_for_preset(preset, f"recipes.{family}.backbone.preset")
        elif weights == "imagenet":
            if backbone not in _PACKAGED and not _is_kept(backbone, keras.expanduser()):
                downloads.append(backbone)
        elif not resolve_path(weights).exists():
            text = f"recipes.{family}.backbone.weights: {weights} is not here: expected imagenet, none or a file of weights"
            findings.append(Finding(text, stops=True))
    if downloads:
        names = ", ".join(dict.fromkeys(downloads))
        findings.append(Finding(f"the ImageNet weights of {names} will be downloaded once: `embed` needs the network"))
    return findings


def _look_for_preset(preset: str, parameter: str) -> list[Finding]:
    try:
        folder = check_preset_place(preset, parameter)
    except PipelineError as error:
        return [Finding(str(error), stops=True)]
    text = f"{preset} comes from KerasHub's hubs unless it is on this machine: `embed` may need the network"
    return [] if folder else [Finding(text)]


def _is_kept(backbone: str, folder: Path) -> bool:
    return any(folder.glob(f"{_FILES.get(backbone, backbone)}*no*top*"))
