"""What is in a model file from elsewhere, looked at before Keras builds anything of it. Keras itself is not imported.

Keras' safe mode refuses code that it knows of. Here only what is known to run none is let through: the layers of networks for
images, their initializers and regularizers, and plain arrays.
"""

import io
import json
import re
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_PRESET_CONFIGS = ("config.json", "image_converter.json")
_TEXT_CONFIGS = ("tokenizer.json", "preprocessor.json")
# Bytes that a member may unpack to.
_MEMBERS = {_CONFIG: 16 << 20, "metadata.json": 1 << 20, _WEIGHTS: 16 << 30, "contract.json": 16 << 20}
_MAX_RATIO = 100  # unpacked bytes / packed bytes; Keras packs nothing
_SMALL = 1 << 20  # bytes; below it the ratio says nothing
_MAX_DEPTH = 200  # of config.json; Keras reads it by recursion
_CLASS = r"[A-Z][A-Za-z0-9]*"
_LAYERS = (
    "(Activation|Add|Average|BatchNormalization|CenterCrop|Concatenate|Cropping2D|Dense|Dropout|ELU|Flatten|Identity|InputLayer"
    "|LayerNormalization|LeakyReLU|Maximum|Minimum|Multiply|Normalization|PReLU|Permute|ReLU|Rescaling|Reshape|Resizing|Softmax"
    "|SpatialDropout2D|Subtract|UnitNormalization|GroupNormalization|ZeroPadding2D|UpSampling2D"
    "|(Depthwise|Separable)?Conv2D|Conv2DTranspose|(Global)?(Average|Max)Pooling2D|Gaussian(Noise|Dropout)"
    "|Random(Brightness|Contrast|Crop|Flip|Rotation|Translation|Zoom))"
)
_ALLOWED = {
    "keras": "(DTypePolicy|Sequential|Functional)",
    "keras.layers": _LAYERS,
    "keras.initializers": _CLASS,
    "keras.regularizers": _CLASS,
    "keras.constraints": _CLASS,
    "keras.src.models.functional": "Functional",
    "keras.src.ops.numpy": _CLASS,
    "keras.src.ops.nn": _CLASS,
    "keras.src.ops.core": "Cast",
}
# Of KerasHub, an extra: networks for images, which are built from numbers alone, and how they scale pixels.
_HUB_MODULE = r"keras_hub\.src\.(models|layers\.preprocessing)(\.[a-z0-9_]+)+"
_HUB_CLASS = r"[A-Z][A-Za-z0-9]*(Backbone|VisionEncoder|TextEncoder|ImageConverter)"
_HUB_TEXT_CLASS = r"[A-Z][A-Za-z0-9]*(Tokenizer|Preprocessor|ImageConverter)"
_ASSETS = (
    "proto",
    "vocabulary",
    "merges",
)  # of a tokenizer: in files of their own, beside; here they could name any file
_PLAIN = ("__keras_tensor__", "__tensor__", "__numpy__", "__ellipsis__", "__slice__")


class RefusedError(ValueError):
    """Says in one line what in a file might run code, read other files or fill the memory."""


def check_model(file: Path) -> None:
    """Of a .keras file: its members, layers and arrays. Raises RefusedError, or what zipfile, json or h5py raise for a damaged
    file."""
    if not file.is_file():
        raise RefusedError("it is not a file")
    with zipfile.ZipFile(file) as archive:
        _check_members(archive)
        config = json.loads(archive.read(_CONFIG))
        _check_config(config, 0)
        _check_arrays(io.BytesIO(archive.read(_WEIGHTS)), archive.getinfo(_WEIGHTS).file_size)


def check_weights(file: Path) -> None:
    """Of a .weights.h5 or .h5 file: its arrays. Raises RefusedError, or what h5py raises for a damaged file."""
    with file.open("rb") as content:
        _check_arrays(content, file.stat().st_size)


def check_preset(folder: Path) -> None:
    """Of a preset of KerasHub: what it is built of, and its arrays. Errors: see `check_weights`."""
    for name in _PRESET_CONFIGS:
        if (folder / name).exists():
            _check_config(json.loads((folder / name).read_bytes()), 1)
    for file in sorted(folder.glob("*.h5")):
        check_weights(file)


def check_preset_texts(folder: Path) -> None:
    """Of a preset of KerasHub: what reads its texts is of KerasHub's own, and takes its words from files of the folder. Errors:
    see `check_weights`."""
    for name in _TEXT_CONFIGS:
        if (folder / name).exists():
            _check_config(json.loads((folder / name).read_bytes()), 1, _HUB_TEXT_CLASS)


def _check_members(archive: zipfile.ZipFile) -> None:
    seen = set()
    for member in archive.infolist():
        name, size = member.filename, member.file_size
        if name not in _MEMBERS:
            raise RefusedError(f"it has a member {name[:80]!a}: expected only {', '.join(_MEMBERS)}")
        if name in seen:
            raise RefusedError(f"{name} is in it twice")
        if size > _MEMBERS[name] or size > max(_SMALL, _MAX_RATIO * member.compress_size):
            raise RefusedError(f"{name} unpacks from {member.compress_size:,} to {size:,} bytes")
        seen.add(name)
    if missing := {_CONFIG, _WEIGHTS} - seen:
        raise RefusedError(f"it has no {min(missing)}")


def _check_config(part: Any, depth: int, hub_class: str = _HUB_CLASS) -> None:
    """hub_class: a pattern for what it may have of KerasHub."""
    if depth > _MAX_DEPTH:
        raise RefusedError(f"{_CONFIG} is nested more than {_MAX_DEPTH} levels deep")
    if isinstance(part, dict):
        if "class_name" in part:
            _check_class(part, hub_class)
        for key, value in part.items():
            if hub_class == _HUB_TEXT_CLASS and key in _ASSETS and value is not None:
                raise RefusedError(
                    f"its tokenizer takes {key} from {str(value)[:80]!a}: expected null, and files beside"
                )
            if depth or key != "compile_config":  # of the whole, of which Keras is told to make nothing
                _check_config(value, depth + 1, hub_class)
    elif isinstance(part, list):
        for value in part:
            _check_config(value, depth + 1, hub_class)


def _check_class(part: dict[str, Any], hub_class: str) -> None:
    module, name, registered = part.get("module"), part["class_name"], part.get("registered_name")
    if isinstance(name, str) and name in _PLAIN and module in (None, "builtins"):
        return
    pattern, names = _ALLOWED.get(module) if isinstance(module, str) else None, [None, name]
    if isinstance(module, str) and re.fullmatch(_HUB_MODULE, module):
        pattern = hub_class
        names.append(f"keras_hub>{name}")
        _require_hub()
    if pattern is None or not isinstance(name, str) or not re.fullmatch(pattern, name) or registered not in names:
        said = ".".join(str(word) for word in (module, name, registered) if word is not None)
        raise RefusedError(
            f"it is built with {said[:80]!a}: expected only layers of Keras that run no code of the file's own"
        )


def _require_hub() -> None:
    if find_spec("keras_hub") is None:
        raise RefusedError(
            "it has a network of KerasHub, which is not installed: run `pip install -c constraints.txt -e '.[hub]'`"
        )


def _check_arrays(content: Any, size: int) -> None:
    """content: a file-like object of HDF5. size: its bytes."""
    total = 0
    with h5py.File(content, "r") as file:

        def find_fault(name: str, link: Any) -> str | None:
            """What is no plain array; ends the walk. An error may not pass through h5py's."""
            nonlocal total
            if not isinstance(link, h5py.HardLink):
                return f"{name[:80]!a} in its weights is a link to elsewhere"
            entry = file[name]
            if not isinstance(entry, h5py.Dataset):
                return None
            total += entry.nbytes
            if entry.external or entry.is_virtual:
                return f"{name[:80]!a} in its weights lies in another file"
            return None if entry.dtype.kind in "fiub" else f"{name[:80]!a} in its weights is not of numbers"

        fault = file.visititems_links(find_fault)
    if fault is not None:
        raise RefusedError(fault)
    if total > max(_SMALL, _MAX_RATIO * size):
        raise RefusedError(f"its weights unpack from {size:,} to {total:,} bytes")
