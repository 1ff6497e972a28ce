"""The page's own decoder in a browser, beside decode.py: the page needs no runtime for that."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipeline.data.image import decode_image
from pipeline.evaluation.conformal import SetRule
from pipeline.export.decode_script import load_decode_script, make_decode_script
from pipeline.export.try_page import make_facts, make_try_page
from pipeline.export.web_runtime import WebRuntime
from tests.pipeline.export.browser import needs_browser, open_browser
from tests.pipeline.export.contracts import make_contract

pytestmark = [pytest.mark.ci, needs_browser]

SIZE = 32
RANDOM = np.random.default_rng(7)
DECODE = """
const [data, given] = arguments, bytes = Uint8Array.from(atob(data), character => character.charCodeAt(0));
return decode(new File([bytes], "x"), {...facts, ...given}).then(pixels => [...pixels], error => error.message);
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder, contract = tmp_path_factory.mktemp("pixels"), make_contract(image_size=SIZE)
    facts = make_facts(contract, SetRule(0.95, 0.0), None, min_side=1, max_megapixels=50)
    page = folder / "try.html"
    page.write_bytes(make_try_page(contract, facts, "onnx", b"", WebRuntime(b"", b"")))
    with open_browser(folder / "profile") as browser:
        browser.open(page)
        browser.run("return loaded.catch(() => true)")
        yield browser


@pytest.fixture
def compare(browser, tmp_path):
    """(the page's pixels, decode.py's) of a file's bytes, or what the page says of them."""

    def compare(data: bytes, resize: str = "stretch"):
        given = browser.run(DECODE, base64.b64encode(data).decode(), {"size": SIZE, "resize": resize})
        if isinstance(given, str):
            return given
        file = tmp_path / "decode.py"
        file.write_text(make_decode_script(make_contract(image_size=SIZE, resize=resize)))
        return np.reshape(given, (SIZE, SIZE, 3)), load_decode_script(file).decode(data)[0]

    return compare


def make_picture(width: int, height: int) -> Image.Image:
    """Soft spots of all colours."""
    coarse = RANDOM.integers(0, 256, (height // 6 + 2, width // 6 + 2, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def save(picture: Image.Image, kind: str, **settings) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **settings)
    return file.getvalue()


@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize(
    "size", [(32, 32), (33, 32), (7, 9), (150, 101), (150, 269), (40, 50), (40, 60), (640, 333), (60, 900)]
)
def test_a_png_of_any_shape_has_the_same_pixels(compare, size, resize):
    mine, theirs = compare(save(make_picture(*size), "PNG"), resize)
    np.testing.assert_array_equal(mine, theirs)


def test_a_letterbox_of_less_than_a_line_is_a_line_as_predict_has_it(compare):
    data = save(make_picture(900, 3), "PNG")
    mine, _ = compare(data, "letterbox")
    np.testing.assert_array_equal(mine, decode_image(data, image_size=SIZE, resize="letterbox"))


def make_modes() -> dict[str, bytes]:
    picture = make_picture(90, 70)
    [alpha] = make_picture(90, 70).split()[:1]
    seen, clear, palette = picture.copy(), picture.copy(), picture.quantize(16)
    seen.putalpha(alpha)
    clear.putalpha(0)
    grey = Image.merge("LA", (picture.convert("L"), alpha))
    pictures = {"RGBA": seen, "transparent everywhere": clear, "LA": grey, "1": picture.convert("1"), "P": palette}
    made = {name: save(one, "PNG") for name, one in pictures.items()}
    made["P with a transparent colour"] = save(palette, "PNG", transparency=3)
    made["L with a transparent grey"] = save(picture.convert("L"), "PNG", transparency=100)
    exif = Image.Exif()
    exif[0x0112] = 6
    made["WebP that is turned"] = save(picture, "WEBP", lossless=True, exif=exif)
    return made | {
        "GIF": save(palette, "GIF"),
        "BMP": save(picture, "BMP"),
        "grey JPEG": save(picture.convert("L"), "JPEG"),
    }


@pytest.mark.parametrize("name", make_modes())
def test_transparency_palettes_and_other_formats_have_the_same_pixels(compare, name):
    mine, theirs = compare(make_modes()[name])
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_upright(compare, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    mine, theirs = compare(save(make_picture(61, 45), "JPEG", quality=95, exif=exif), "crop")
    np.testing.assert_allclose(mine, theirs, atol=2)  # the browser's decoder may be another one


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("size", [(200, 141), (403, 301), (1205, 801)])
def test_a_large_jpeg_is_decoded_smaller_as_libjpeg_does_it(compare, size, sampling):
    mine, theirs = compare(save(make_picture(*size), "JPEG", quality=90, subsampling=sampling))
    np.testing.assert_allclose(mine, theirs, atol=3)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"no picture", "not a picture that this page reads"),
        (save(make_picture(50, 50), "PNG")[:900], "damaged"),
        (save(Image.fromarray(np.zeros((9, 9), np.uint16)), "PNG"), "more than 8 bits per sample"),
        (save(make_picture(50, 50).convert("CMYK"), "JPEG"), "a CMYK picture"),
    ],
)
def test_what_can_not_be_used_is_said_in_one_line(compare, data, said):
    assert compare(data).startswith(said)
