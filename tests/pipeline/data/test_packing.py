from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.data import packing
from pipeline.data.packing import Packed, pack_images
from pipeline.sources.raw_image import RawImage

SIZES = [700, 0, 3000, 10, 512, 9, 2000, 1, 40]
LARGE = 1000  # bytes


@pytest.fixture
def listed(tmp_path) -> list[RawImage]:
    """Files that are still to be read, two of them large, one of no use, one gone since, and one grown."""
    for number, size in enumerate(SIZES):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]) * size)
    images = [
        RawImage(f"cat/{number}", "cat", "", None, "", path=f"{number}.png", folder=str(tmp_path), size=size)
        for number, size in enumerate(SIZES)
    ]
    (tmp_path / "4.png").unlink()
    (tmp_path / "5.png").write_bytes(b"x" * 5000)
    return [*images[:3], replace(images[3], reason="lies in no class folder"), *images[4:]]


@pytest.fixture
def small(monkeypatch) -> None:
    monkeypatch.setattr(packing, "_OPENING", 1)
    monkeypatch.setattr(packing, "_CHUNK", LARGE)
    monkeypatch.setattr(packing, "_LARGE", LARGE)


def read(images: list[RawImage]) -> Iterator[RawImage]:
    """The same with their bytes, one after the other."""
    for image in images:
        file = Path(image.folder) / image.path
        if image.reason or not file.exists():
            yield replace(image, folder="", reason=image.reason or "not readable: No such file or directory")
        else:
            yield replace(image, folder="", data=file.read_bytes())


def pack(images, *, stay: bool) -> dict[str, Packed]:
    return {image.name: packed for image, packed in pack_images(images, stay=stay)}


@pytest.mark.parametrize("stay", [False, True])
@pytest.mark.usefixtures("small")
def test_files_still_to_be_read_give_what_their_bytes_give(listed, stay):
    packed = pack(listed, stay=stay)
    assert packed == pack(read(listed), stay=stay)
    assert list(packed) == [image.name for image in listed]
    assert [image.size for image in packed.values()] == [700, 0, 3000, None, None, 5000, 2000, 1, 40]


@pytest.mark.usefixtures("small")
def test_all_cores_give_the_same_as_one(listed, monkeypatch):
    expected = pack(listed, stay=False)
    monkeypatch.setattr(packing, "_FEW", 0)
    monkeypatch.setattr("pipeline.runtime.processes.num_cores", lambda: 2)
    assert list(pack(listed, stay=False).items()) == list(expected.items())


@pytest.mark.parametrize(("stay", "sizes"), [(False, [[0, 1, 2], [3, 4]]), (True, [[0, 1], [2], [3, 4]])])
@pytest.mark.usefixtures("small")
def test_messages_to_workers_are_of_limited_size(stay, sizes):
    """Large files are not sent, but where only their digests come back."""
    images = [
        RawImage(str(number), "", "", None, folder="x", size=size)
        for number, size in enumerate([300, 600, 5000, 500, 1])
    ]
    assert [[int(image.name) for image in chunk] for chunk in packing._in_chunks(images, stay)] == sizes


def test_what_stays_where_it_is_has_no_bytes(listed):
    packed = pack(listed, stay=True)["cat/0"]
    assert (packed.header, packed.data) == (b"", b"")
    assert packed.reference.startswith("sha256:")
    assert packed.reference.endswith("/0.png")


def test_of_images_that_come_with_their_bytes_one_is_in_memory_at_a_time():
    taken = []

    def images() -> Iterator[RawImage]:
        for number in range(3):
            taken.append(number)
            yield RawImage(str(number), "", "", b"x")

    for number, _ in enumerate(pack_images(images(), stay=False)):
        assert len(taken) == number + 1
