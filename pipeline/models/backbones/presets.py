"""Whether presets of KerasHub, which is an extra, can be used here, before any work. Imports neither Keras nor KerasHub."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

from pipeline.config.recipes import resolve_family
from pipeline.config.sections import Params
from pipeline.config.teachers import list_trained
from pipeline.runtime.errors import PipelineError
from pipeline.sources.local_paths import resolve_path

_CONFIG = "config.json"  # each preset has one
# Networks that compare images with texts, and what those who read their texts keep beside tokenizer.json.
TEXT_NETWORKS = ("CLIPBackbone", "MetaCLIP2Backbone", "SigLIPBackbone")
TOKENIZER = "tokenizer.json"
_ASSETS = {
    "CLIPTokenizer": ("vocabulary.json", "merges.txt"),
    "MetaCLIP2Tokenizer": ("vocabulary.spm",),
    "SigLIPTokenizer": ("vocabulary.spm",),
}
INSTALL = "`pip install -c constraints.txt -e '.[hub]'`"


def check_presets(params: Params) -> None:
    """Raises PipelineError, one line, where a family's preset needs a package that is not installed, or names a folder that is
    none, or one that lacks what its texts are read with. A name on a hub is believed: `embed` finds out."""
    for family in list_trained(params):
        backbone = resolve_family(params, family).backbone
        if backbone is not None and backbone.preset is not None:
            folder = check_preset_place(backbone.preset, f"recipes.{family}.backbone.preset")
            if folder is not None and params.evaluate.prompts and backbone.weights == "imagenet":
                check_assets(folder, f"recipes.{family}.backbone.preset")


def check_assets(folder: Path, parameter: str) -> None:
    """Raises PipelineError for a preset that compares images with texts, has a tokenizer, and lacks a file of it. Without any
    tokenizer, there is no zero-shot row, and nothing to refuse."""
    assets = _ASSETS.get(_read_class(folder / TOKENIZER), ()) if _read_class(folder / _CONFIG) in TEXT_NETWORKS else ()
    missing = [f"assets/tokenizer/{name}" for name in assets if not (folder / "assets" / "tokenizer" / name).is_file()]
    if missing:
        raise PipelineError(
            f"{parameter}: the folder {folder} has {TOKENIZER}, but no {missing[0]}: expected all that KerasHub saved; copy it "
            "again, or set evaluate.prompts to [] to do without the zero-shot row"
        )


def _read_class(file: Path) -> str:
    """Of what a file says is to be built; empty where there is no such file. What is damaged is refused where it is opened."""
    try:
        return str(json.loads(file.read_bytes())["class_name"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def check_preset_place(preset: str, parameter: str) -> Path | None:
    """The folder that a preset is; None for a name on a hub. parameter: the one that names it. Errors: see `check_presets`."""
    if find_spec("keras_hub") is None:
        raise PipelineError(
            f"{parameter} is {preset}, but keras_hub can't be imported: expected the extra `hub`; run {INSTALL}"
        )
    if not means_folder(preset):
        return None
    folder = resolve_path(preset)
    if not (folder / _CONFIG).is_file():
        found = "no folder" if not folder.is_dir() else f"a folder without {_CONFIG}"
        raise PipelineError(
            f"{parameter}: {preset} is no preset: expected a name that KerasHub knows, a handle such as hf://…, or a folder as "
            f"its save_to_preset writes it, received {found}"
        )
    return folder


def means_folder(preset: str) -> bool:
    """A path: with a slash or a dot in it, or the name of a folder that is there; not a handle such as hf://owner/name."""
    if re.match(r"[a-z]+://", preset):
        return False
    return "/" in preset or "\\" in preset or preset.startswith((".", "~")) or resolve_path(preset).is_dir()
