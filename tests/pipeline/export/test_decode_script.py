"""decode.py gives exactly the pixels that training got, or refuses."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.image import decode_image
from pipeline.evaluation.temperature import apply_temperature
from pipeline.export.decode_script import DecodeScript, load_decode_script, make_decode_script
from tests.pipeline.data.hostile import make_chunk
from tests.pipeline.export.contracts import make_contract

SIZE = 32
RESIZES = ("stretch", "crop", "letterbox")


def draw(width: int = 70, height: int = 45) -> Image.Image:
    """Smooth colours with some noise: a shifted pixel or another filter shows."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 60, (height, width, 3))
    pixels = np.stack([columns * 2, rows * 3, (rows + columns) % 190], axis=2) + noise
    return Image.fromarray(pixels.astype(np.uint8))


def encode(image: Image.Image, kind: str = "PNG", orientation: int | None = None, **options) -> bytes:
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def see_through(everywhere: bool) -> Image.Image:
    image = draw().convert("RGBA")
    alpha = (
        np.zeros((45, 70), np.uint8) if everywhere else np.linspace(0, 255, 45 * 70).reshape(45, 70).astype(np.uint8)
    )
    image.putalpha(Image.fromarray(alpha))
    return image


def hide_grey(bits: int) -> bytes:
    """A PNG of so many bits, in which one shade is transparent."""
    header, rows = struct.pack(">IIBBBBB", 40, 30, bits, 0, 0, 0, 0), (b"\0" + bytes(range(5 * bits))) * 30
    chunks = ((b"IHDR", header), (b"tRNS", b"\0\1"), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(make_chunk(*chunk) for chunk in chunks)


PICTURES = {
    "png": encode(draw()),
    "exact size": encode(draw(SIZE, SIZE)),
    "smaller": encode(draw(12, 9)),
    "jpeg": encode(draw(), "JPEG", quality=80),
    "large jpeg, decoded at a smaller scale": encode(draw(640, 480), "JPEG"),
    "grey jpeg": encode(draw().convert("L"), "JPEG"),
    "cmyk jpeg": encode(draw().convert("CMYK"), "JPEG"),
    **{f"jpeg, orientation {n}": encode(draw(), "JPEG", n) for n in range(1, 9)},
    "png, orientation 6": encode(draw(), "PNG", 6),
    "webp": encode(draw(), "WEBP"),
    "bmp": encode(draw(), "BMP"),
    "gif": encode(draw().convert("P"), "GIF"),
    "animation": encode(draw(), "GIF", save_all=True, append_images=[draw(70, 45).rotate(90)]),
    "palette": encode(draw().convert("P")),
    "palette, transparent": encode(draw().convert("P"), transparency=3),
    "grey, transparent": encode(draw().convert("LA")),
    **{f"grey of {bits} bits, one transparent": hide_grey(bits) for bits in (1, 2, 4, 8)},
    "black and white": encode(draw().convert("1")),
    "transparent": encode(see_through(everywhere=False)),
    "transparent everywhere": encode(see_through(everywhere=True)),
    "ppm": encode(draw(), "PPM"),
    "ppm of seven bits": b"P6 80 50 127\n" + bytes(range(120)) * 100,
    "pbm": encode(draw().convert("1"), "PPM"),
    "pbm, plain": b"P1 10 10\n" + b"0 1 " * 50,
    "tall": encode(draw(20, 300)),
}
DEEP = {
    "16-bit grey": encode(Image.fromarray(np.arange(4000, dtype=np.uint16).reshape(50, 80) * 16)),
    "16-bit grey, one transparent": hide_grey(16),
    "float": encode(Image.fromarray(np.linspace(0, 1, 4000, dtype=np.float32).reshape(50, 80)), "TIFF"),
    "lab": encode(draw().convert("LAB"), "TIFF"),
    "16-bit ppm": b"P6 80 50 65535\n" + np.arange(12_000, dtype=">u2").tobytes(),
    "12-bit ppm": b"P6 80 50 4095\n" + (np.arange(12_000, dtype=">u2") % 4096).tobytes(),
}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> dict[str, DecodeScript]:
    folder = tmp_path_factory.mktemp("scripts")
    loaded = {}
    for resize in RESIZES:
        file = folder / f"{resize}.py"
        file.write_text(make_decode_script(make_contract(resize=resize, image_size=SIZE)), encoding="utf-8")
        loaded[resize] = load_decode_script(file)
    assert not list(folder.glob("__pycache__")), "nothing is left beside it"
    return loaded


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("name", PICTURES)
def test_it_gives_the_pixels_of_training(scripts, resize, name):
    decoded = scripts[resize].decode(PICTURES[name])
    assert (decoded.dtype, decoded.shape) == (np.float32, (1, SIZE, SIZE, 3))
    expected = decode_image(PICTURES[name], image_size=SIZE, resize=resize)
    np.testing.assert_array_equal(decoded[0].astype(np.uint8), expected)


@pytest.mark.parametrize("name", DEEP)
def test_what_it_would_decode_otherwise_it_refuses(scripts, name):
    decode_image(DEEP[name], image_size=SIZE, resize="stretch")
    with pytest.raises(ValueError, match="save the picture as RGB of 8 bits per sample first"):
        scripts["stretch"].decode(DEEP[name])


def test_a_png_of_16_bits_per_colour_is_refused_too(scripts):
    imagecodecs = pytest.importorskip("imagecodecs")
    data = imagecodecs.png_encode(np.random.default_rng(0).integers(0, 65536, (40, 50, 3), np.uint16))
    with pytest.raises(ValueError, match="8 bits per sample"):
        scripts["stretch"].decode(data)


def test_what_is_no_picture_is_refused(scripts):
    with pytest.raises(OSError, match="cannot identify"):
        scripts["stretch"].decode(b"no picture")


def test_probabilities_are_calibrated_as_everywhere(scripts):
    probabilities = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(
        scripts["crop"].calibrate(probabilities), apply_temperature(probabilities, 1.5), atol=1e-12
    )


def test_it_needs_numpy_and_pillow_only(tmp_path):
    file = tmp_path / "decode.py"
    file.write_text(make_decode_script(make_contract()), encoding="utf-8")
    program = (
        "import sys, decode; from pathlib import Path; "
        "print(decode.decode(Path('a.png').read_bytes()).shape, "
        "{m.split('.')[0] for m in sys.modules} & {'pipeline', 'tensorflow', 'scipy', 'pandas'})"
    )
    Path(tmp_path / "a.png").write_bytes(PICTURES["png"])
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 32, 32, 3) set()\n"
