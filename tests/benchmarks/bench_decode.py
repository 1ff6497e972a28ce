"""Decoding by other libraries against Pillow as it is used here: milliseconds of processor time per megapixel, and pixels.

Run: python tests/benchmarks/bench_decode.py [--libraries FOLDER] [--turbojpeg FILE] [--rounds N]
FOLDER: of libraries that the project does not have, as `pip install --target FOLDER --no-deps simplejpeg PyTurboJPEG pyvips
pyvips-binary cffi opencv-python-headless` makes it; one that is missing is said. FILE: libturbojpeg.so.0, where the system has
none; PyTurboJPEG from 2 on needs libjpeg-turbo 3. Each has one thread.
JPEGs of 0.1, 2 and 12 megapixels, 4:2:0 and 4:4:4, in full and to 150 px by scaled decoding with the same resize after it; PNG
and WebP of 2 megapixels in full.
"""

import argparse
import io
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ["VIPS_CONCURRENCY"] = "1"

import numpy as np
from PIL import Image

from pipeline.data.image import decode_original, decode_pillow

SIDE = 150
SIZES = {"0.1 MP": (366, 273), "2 MP": (1632, 1225), "12 MP": (4032, 3024)}
LEAST = 0.1  # seconds of processor time that one reading takes
_FACTORS = (8, 4, 2, 1)

Decode = Callable[[bytes], np.ndarray]  # to uint8 (height, width, 3), RGB
Scaled = Callable[[bytes, int], np.ndarray]  # the same, each side divided by 1, 2, 4 or 8


class Library:
    """full: by format. scaled: of JPEGs; None if it can't."""

    def __init__(self, package: str, full: dict[str, Decode], scaled: Scaled | None = None) -> None:
        self.package, self.full, self.scaled = package, full, scaled

    def __str__(self) -> str:
        return f"{self.package} {version(self.package)}"


def use_simplejpeg() -> Library:
    import simplejpeg

    def scaled(data: bytes, factor: int) -> np.ndarray:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        least = {"min_height": -(-height // factor), "min_width": -(-width // factor)}
        return simplejpeg.decode_jpeg(data, "RGB", **least, min_factor=1)

    return Library("simplejpeg", {"JPEG": partial(simplejpeg.decode_jpeg, colorspace="RGB")}, scaled)


def use_turbojpeg(file: str | None) -> Library:
    import turbojpeg

    turbo = turbojpeg.TurboJPEG(file)

    def scaled(data: bytes, factor: int) -> np.ndarray:
        return turbo.decode(data, pixel_format=turbojpeg.TJPF_RGB, scaling_factor=(1, factor))

    return Library("PyTurboJPEG", {"JPEG": lambda data: scaled(data, 1)}, scaled)


def use_pyvips() -> Library:
    import pyvips

    def full(data: bytes, **options: Any) -> np.ndarray:
        return pyvips.Image.new_from_buffer(data, "", access="sequential", **options).numpy()

    formats = dict.fromkeys(("JPEG", "PNG", "WEBP"), full)
    return Library("pyvips", formats, lambda data, factor: full(data, shrink=factor))


def use_imagecodecs() -> Library:
    import imagecodecs

    formats = {
        "JPEG": imagecodecs.jpeg8_decode,
        "PNG": imagecodecs.png_decode,
        "WEBP": partial(imagecodecs.webp_decode, hasalpha=False),
    }
    return Library("imagecodecs", formats)


def use_opencv() -> Library:
    import cv2

    cv2.setNumThreads(1)
    flags = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
    flags[8] = cv2.IMREAD_REDUCED_COLOR_8

    def scaled(data: bytes, factor: int) -> np.ndarray:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags[factor] | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is None:
            raise ValueError("None")
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)

    return Library(
        "opencv-python-headless", dict.fromkeys(("JPEG", "PNG", "WEBP"), lambda data: scaled(data, 1)), scaled
    )


def find_libraries(turbojpeg: str | None) -> Iterator[Library]:
    """Those that can be imported; of the others, why not."""
    makers = (use_simplejpeg, partial(use_turbojpeg, turbojpeg), use_pyvips, use_imagecodecs, use_opencv)
    for make in makers:
        try:
            yield make()
        except Exception as error:
            print(f"{getattr(make, 'func', make).__name__}: not here ({type(error).__name__}: {error})")


def decode_plainly(data: bytes) -> Image.Image:
    """What Pillow itself takes, without this project's checks."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def decode_with(decode: Decode, data: bytes) -> Image.Image:
    """To an image of Pillow's too, as all that follows here takes one."""
    return Image.fromarray(decode(data))


def scale_plainly(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (2 * SIDE, 2 * SIDE))
    return resize(image)


def scale_with(library: Library, data: bytes, size: tuple[int, int]) -> Image.Image:
    """As `decode_pillow` has it done: the smallest scale with twice the pixels, and then Pillow's filter."""
    assert library.scaled is not None
    factor = next(factor for factor in _FACTORS if min(size) // factor >= 2 * SIDE or factor == 1)
    return resize(Image.fromarray(library.scaled(data, factor)))


def resize(image: Image.Image) -> Image.Image:
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)


def draw(size: tuple[int, int]) -> Image.Image:
    """Clouds of colour with sensor noise."""
    rng = np.random.default_rng(1)
    cloud = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).resize(size)
    grain = rng.normal(0, 6, (size[1], size[0], 3)).astype(np.int16)
    return Image.fromarray(np.clip(np.asarray(cloud, np.int16) + grain, 0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def measure(work: Callable[[], object], megapixels: float) -> float:
    """Milliseconds of processor time per megapixel, all threads together."""
    start, count = time.process_time(), 0
    while (taken := time.process_time() - start) < LEAST:
        work()
        count += 1
    return 1000 * taken / (count * megapixels)


def compare(
    what: str, name: str, theirs: Callable[[], Any], pillow: Callable[[], Any], area: float, rounds: int
) -> None:
    """Both alternately. Prints a line."""
    pairs = [(measure(theirs, area), measure(pillow, area)) for _ in range(rounds)]
    ratios = [other / mine for mine, other in pairs]
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    between = f"{min(ratios):.2f}-{max(ratios):.2f}"
    print(
        f"{what}, {name}: {other / mine:.2f}x ({between}) as fast as Pillow, {mine:.2f} against {other:.2f} ms/MP; "
        f"{describe_difference(theirs(), pillow())}",
        flush=True,
    )


def describe_difference(mine: Image.Image, other: Image.Image) -> str:
    pixels, others = np.asarray(mine), np.asarray(other)
    if pixels.shape != others.shape:
        return f"another shape: {pixels.shape}, {others.shape}"
    apart = np.abs(pixels.astype(np.int16) - others)
    return f"up to {apart.max()} off, {apart.mean():.3f} on average" if apart.any() else "equal pixels"


def bench_jpeg(libraries: list[Library], rounds: int) -> None:
    for name, size in SIZES.items():
        image, area = draw(size), size[0] * size[1] / 1e6
        for sampling in ("4:2:0", "4:4:4"):
            data = encode(image, "JPEG", quality=90, subsampling=sampling)
            full, small = partial(decode_plainly, data), partial(scale_plainly, data)
            whole = f"JPEG, {name}, {sampling}, in full"
            scaled = f"JPEG, {name}, {sampling}, to {SIDE} px"
            compare(whole, "as used here", partial(decode_original, data), full, area, rounds)
            here = partial(decode_pillow, data, image_size=SIDE, resize="stretch")
            compare(scaled, "as used here", here, small, area, rounds)
            for library in libraries:
                compare(whole, str(library), partial(decode_with, library.full["JPEG"], data), full, area, rounds)
                if library.scaled:
                    compare(scaled, str(library), partial(scale_with, library, data, size), small, area, rounds)


def bench_others(libraries: list[Library], rounds: int) -> None:
    size = SIZES["2 MP"]
    files = {"PNG": encode(draw(size), "PNG"), "WEBP": encode(draw(size), "WEBP", quality=90)}
    for kind, data in files.items():
        for library in libraries:
            if kind in library.full:
                work = partial(decode_with, library.full[kind], data), partial(decode_plainly, data)
                compare(f"{kind}, 2 MP, in full", str(library), *work, size[0] * size[1] / 1e6, rounds)


def show_odd_files(libraries: list[Library]) -> None:
    """What each makes of files that are damaged, or not RGB."""
    image = draw(SIZES["0.1 MP"])
    whole = encode(image, "JPEG", quality=90)
    middle = len(whole) // 2
    odd = {
        "cut off in the middle": whole[:middle],
        "a hundred bytes of it are zero": whole[:middle] + bytes(100) + whole[middle + 100 :],
        "without its end marker": whole[:-2],
        "CMYK": encode(image.convert("CMYK"), "JPEG"),
        "grey": encode(image.convert("L"), "JPEG"),
    }
    for what, data in odd.items():
        decoders = {"as used here": lambda data: np.asarray(decode_original(data))}
        decoders |= {str(library): library.full["JPEG"] for library in libraries}
        print(f"{what}: " + "; ".join(f"{name}: {try_out(decode, data)}" for name, decode in decoders.items()))


def try_out(decode: Decode, data: bytes) -> str:
    try:
        pixels = decode(data)
    except Exception as error:
        return f"{type(error).__name__} ({' '.join(str(error).split())[:60]})"
    return f"pixels {pixels.shape}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libraries", metavar="FOLDER")
    parser.add_argument("--turbojpeg", metavar="FILE")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.libraries:
        sys.path.append(arguments.libraries)  # behind the project's own
    features = import_module("PIL.features")
    print(f"Pillow {version('pillow')}, libjpeg-turbo {features.version('libjpeg_turbo')}")
    libraries = list(find_libraries(arguments.turbojpeg))
    show_odd_files(libraries)
    bench_jpeg(libraries, arguments.rounds)
    bench_others(libraries, arguments.rounds)


if __name__ == "__main__":
    main()
