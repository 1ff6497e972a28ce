"""decode.py, which stands beside exported models: from a file's bytes to what the model takes, in NumPy and Pillow alone.

It gives the pixels that `pipeline.data.image` gives, for files that Pillow reads whole in 8 bits per sample; others it refuses.
The parity gate uses it, so that it is tested with every export.
"""

import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.export.contract import ExportContract

DECODE_FILE = "decode.py"

_FIT = {
    "stretch": "image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, reducing_gap=2.0)",
    "crop": "image = ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BILINEAR)",
    "letterbox": "image = ImageOps.pad(image, (SIZE, SIZE), Image.Resampling.BILINEAR)",
}
_SCRIPT = '''"""From a picture's bytes to the input of the models in this folder, as in training. Needs NumPy and Pillow.

probabilities = calibrate(run_the_model(decode(Path("picture.jpg").read_bytes())))
"""

import io

import numpy as np
from PIL import Image{more}

SIZE = {size}  # pixels, each side
TEMPERATURE = {temperature}  # fitted on validation images
_TURNS = {{2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}}  # EXIF orientation to Pillow's operation that turns it upright


def decode(data: bytes) -> np.ndarray:
    """float32 (1, SIZE, SIZE, 3): RGB, 0 to 255. Raises ValueError for what is no picture of 8 bits per sample."""
    image = Image.open(io.BytesIO(data))
    image.draft(image.mode, (2 * SIZE, 2 * SIZE))  # JPEG: decodes no more than it takes
    is_deep = any(";16" in str(tile) or (tile[0] == "ppm" and tile[3][1] > 255) for tile in image.tile)
    key = image.info.get("transparency")
    for bits, step in (("'L;2'", 85), ("'L;4'", 17)):  # Pillow scales such grey of a PNG to 255, but not what is transparent
        if bits in str(image.tile) and isinstance(key, int):
            image.info["transparency"] = (key & 255 // step) * step
    image.load()
    if is_deep or image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise ValueError(f"{{image.format}}, {{image.mode}}: save the picture as RGB of 8 bits per sample first")
    turn = _TURNS.get(image.getexif().get(0x0112))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (0, 0):  # what is transparent everywhere keeps its colours
            image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    image = image.convert("RGB")
    image = image if turn is None else image.transpose(turn)
    if image.size != (SIZE, SIZE):
        {fit}
    return np.asarray(image, np.float32)[None]


def calibrate(probabilities: np.ndarray) -> np.ndarray:
    """The same classes in the same order, with probabilities that mean what they say. (n, classes), as the model gives them."""
    powers = np.clip(np.asarray(probabilities, np.float64), 1e-7, 1.0) ** (1 / TEMPERATURE)
    return powers / powers.sum(axis=1, keepdims=True)
'''


@dataclass(frozen=True)
class DecodeScript:
    """The functions of a decode.py."""

    decode: Callable[[bytes], np.ndarray]
    calibrate: Callable[[np.ndarray], np.ndarray]


def make_decode_script(contract: ExportContract) -> str:
    """The text of decode.py for models with this contract."""
    fit = _FIT[contract.resize]
    return _SCRIPT.format(
        more=", ImageOps" if "ImageOps" in fit else "",
        size=contract.image_size,
        temperature=repr(contract.temperature),
        fit=fit,
    )


def load_decode_script(file: Path) -> DecodeScript:
    """Runs a decode.py that this program wrote, without leaving compiled code beside it."""
    names = runpy.run_path(str(file))
    return DecodeScript(names["decode"], names["calibrate"])
