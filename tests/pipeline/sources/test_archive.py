import gzip
import hashlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from requests.adapters import HTTPAdapter

from pipeline.config.sources import ArchiveSettings
from pipeline.runtime.errors import PipelineError
from pipeline.sources.archive import locate, read_images
from pipeline.sources.raw_image import RawImage
from pipeline.sources.reading import AS_FOUND
from pipeline.sources.tar_stream import TarStream
from tests.pipeline.sources.hostile_archives import CORPUS
from tests.pipeline.sources.packing import (
    CATS_AND_DOGS,
    END_MARK,
    Files,
    add_zip_link,
    overwrite,
    pack_tar,
    pack_zip,
    pack_zip_link,
    raw_zip,
    tar_entry,
    zip_bytes,
)

SETTINGS = ArchiveSettings(
    image_size=32,
    drop_classes=[],
    merge_classes={},
    max_images_per_class=None,
    min_images_per_class=None,
    max_unpacked_gb=1.0,
    max_ratio=100.0,
    max_download_gb=1.0,
    min_rate=0.0,
    timeout=5.0,
)

PACKERS: dict[str, Callable[[Path, Files], Path]] = {
    "zip": pack_zip,
    "stored.zip": lambda file, files: pack_zip(file, files, zipfile.ZIP_STORED),
    "bz2.zip": lambda file, files: pack_zip(file, files, zipfile.ZIP_BZIP2),
    "lzma.zip": lambda file, files: pack_zip(file, files, zipfile.ZIP_LZMA),
    "tar": pack_tar,
    "tar.gz": lambda file, files: pack_tar(file, files, "w:gz"),
    "tar.bz2": lambda file, files: pack_tar(file, files, "w:bz2"),
    "tar.xz": lambda file, files: pack_tar(file, files, "w:xz"),
}
every_kind = pytest.mark.parametrize("kind", PACKERS)
zip_and_tar = pytest.mark.parametrize("kind", ["zip", "tar"])


def read(path: Any, sha256: str | None = None, reading: Any = AS_FOUND, **settings: Any) -> dict[str, RawImage]:
    changed = SETTINGS.model_copy(update=settings)
    images = read_images(path=str(path), sha256=sha256, settings=changed, reading=reading)
    return {image.name: image for image in images}


def contents(path: Any, **options: Any) -> dict[str, bytes | None]:
    return {name: image.data for name, image in read(path, **options).items()}


def refusal(path: Any, **options: Any) -> str:
    with pytest.raises(PipelineError) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@every_kind
def test_every_format_is_read(tmp_path, kind):
    packed = PACKERS[kind](tmp_path / f"pictures.{kind}", CATS_AND_DOGS)
    assert contents(packed) == CATS_AND_DOGS
    assert {image.label for image in read(packed).values()} == {"cat", "dog"}


@every_kind
def test_the_content_decides_the_format_not_the_extension(tmp_path, kind):
    assert contents(PACKERS[kind](tmp_path / "download", CATS_AND_DOGS)) == CATS_AND_DOGS


@zip_and_tar
def test_the_order_is_reproducible(tmp_path, kind):
    packed = PACKERS[kind](tmp_path / "pictures", dict(reversed(CATS_AND_DOGS.items())))
    assert list(read(packed)) == list(read(packed))


@zip_and_tar
def test_splits_classes_and_stray_files_are_those_of_a_folder(tmp_path, kind):
    files = {
        "intel/seg_train/seg_train/sea/1.jpg": b"1",
        "intel/seg_test/seg_test/sea/2.JPG": b"2",
        "intel/about.txt": b"3",
    }
    images = read(PACKERS[kind](tmp_path / "intel", files))
    assert [(i.label, i.source_split, i.data) for _, i in sorted(images.items())] == [
        ("", "", None),
        ("sea", "test", b"2"),
        ("sea", "train", b"1"),
    ]
    assert images["intel/about.txt"].reason == "lies in no class folder"


@zip_and_tar
@pytest.mark.parametrize("name", ["polar bear", "Käfer", "猫", "bear, brown", "v1.0"])
def test_class_names_may_be_any_text(tmp_path, kind, name):
    images = read(PACKERS[kind](tmp_path / "pictures", {f"{name}/1.png": b"1", "dog/1.png": b"2"}))
    assert {image.label for image in images.values()} == {name, "dog"}


def test_a_tar_of_the_current_folder(tmp_path):
    packed = pack_tar(tmp_path / "dot.tar", {f"./{name}": data for name, data in CATS_AND_DOGS.items()})
    assert {image.label for image in read(packed).values()} == {"cat", "dog"}


@zip_and_tar
def test_of_two_files_with_one_name_the_last_is_used_and_the_other_is_refused_with_a_warning(tmp_path, kind, caplog):
    packed = PACKERS[kind](tmp_path / "a", CATS_AND_DOGS)
    if kind == "tar":
        with tarfile.open(packed, "a") as tar:
            member = tarfile.TarInfo("cat/1.png")
            member.size = 3
            tar.addfile(member, io.BytesIO(b"new"))
    else:
        with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(packed, "a") as archive:
            archive.writestr("cat/1.png", b"new")
    images = list(read_images(path=str(packed), sha256=None, settings=SETTINGS))
    assert len({image.name for image in images}) == len(images) == 4
    assert {image.name: image.data for image in images if not image.reason} == CATS_AND_DOGS | {"cat/1.png": b"new"}
    (refused,) = [image for image in images if image.reason]
    assert (refused.name, refused.label) == ("cat/1.png#1", "cat")
    assert refused.reason == "replaced by a later file of the same name in the archive"
    assert "1 file(s) without a name of their own, such as 'cat/1.png'" in caplog.text


class TestNames:
    """What a zip does not say of its names."""

    def test_that_are_utf8_are_read_as_such(self, tmp_path):
        (tmp_path / "a.zip").write_bytes(raw_zip([("猫/1.png".encode(), b"1"), (b"dog/1.png", b"2")]))
        assert set(read(tmp_path / "a.zip")) == {"猫/1.png", "dog/1.png"}

    @pytest.mark.parametrize(
        ("encoding", "names"), [("cp932", ("猫", "表")), ("cp1251", ("кот", "пёс")), ("cp1252", ("Käfer", "Öl"))]
    )
    @pytest.mark.parametrize("kind", ["zip", "tar"])
    def test_are_read_by_the_code_page_that_data_encoding_names(self, tmp_path, kind, encoding, names):
        members = [(f"{name}/1.png".encode(encoding), b"x") for name in names]
        packed = raw_zip(members) if kind == "zip" else b"".join(tar_entry(*member) for member in members) + END_MARK
        (tmp_path / "a").write_bytes(packed)
        images = read(tmp_path / "a", reading=AS_FOUND.model_copy(update={"encoding": encoding}))
        assert {image.label for image in images.values()} == set(names)

    def test_that_are_not_utf8_are_read_with_a_warning_that_names_the_parameter(self, tmp_path, caplog):
        (tmp_path / "a.zip").write_bytes(raw_zip([("猫/1.png".encode("cp932"), b"1"), (b"dog/1.png", b"2")]))
        assert len(read(tmp_path / "a.zip")) == 2
        assert "set data.encoding" in caplog.text

    def test_in_ascii_need_no_warning(self, tmp_path, caplog):
        read(pack_zip(tmp_path / "a.zip", CATS_AND_DOGS))
        assert caplog.text == ""

    def test_that_the_code_page_can_not_hold_are_refused(self, tmp_path):
        (tmp_path / "a.zip").write_bytes(raw_zip([(b"cat\x81/1.png", b"1"), (b"dog/1.png", b"2")]))
        line = refusal(tmp_path / "a.zip", reading=AS_FOUND.model_copy(update={"encoding": "cp932"}))
        assert "can't be read as data.encoding = cp932" in line

    def test_in_a_tar_that_differ_in_one_byte_stay_apart(self, tmp_path, caplog):
        entries = [tar_entry(name, name) for name in (b"k\xe4fer/1.png", b"k\xf6fer/1.png", b"k\xf6fer/\xe4.png")]
        (tmp_path / "a.tar").write_bytes(b"".join(entries) + END_MARK)
        images = read(tmp_path / "a.tar")
        assert {image.label for image in images.values()} == {r"k\xe4fer", r"k\xf6fer"}
        assert set(images) == {r"k\xe4fer/1.png", r"k\xf6fer/1.png", r"k\xf6fer/\xe4.png"}
        assert "set data.encoding" in caplog.text

    def test_of_a_tar_have_backslashes_as_separators_only_if_none_has_a_slash(self, tmp_path):
        windows = tar_entry(b"cat\\1.png", b"1") + tar_entry(b"dog\\1.png", b"2") + END_MARK
        linux = tar_entry(b"cat/\\1.png", b"1") + tar_entry(b"dog/1.png", b"2") + END_MARK
        (tmp_path / "windows.tar").write_bytes(windows)
        (tmp_path / "linux.tar").write_bytes(linux)
        assert set(read(tmp_path / "windows.tar")) == {"cat/1.png", "dog/1.png"}
        assert set(read(tmp_path / "linux.tar")) == {"cat/\\1.png", "dog/1.png"}


class TestHardLinks:
    """A hard link in a tar is one more file with the same bytes."""

    def test_are_read_as_files_whatever_their_order_and_packing(self, tmp_path):
        entries = tar_entry(b"./a.png", b"one") + tar_entry(b"./cat/1.png", kind=b"1", target=b"./a.png")
        entries += tar_entry(b"./dog/1.png", b"two") + tar_entry(b"./dog/2.png", kind=b"1", target=b"./cat/1.png")
        (tmp_path / "a.tgz").write_bytes(gzip.compress(entries + END_MARK))
        used = {name: data for name, data in contents(tmp_path / "a.tgz").items() if data is not None}
        assert sorted(used.values()) == [b"one", b"one", b"two"]


def test_tars_that_were_joined_are_all_read_with_a_warning(tmp_path, caplog):
    first, second = (pack_tar(tmp_path / f"{name}.tar", {f"{name}/1.png": name.encode()}) for name in ("cat", "dog"))
    (tmp_path / "both.tar").write_bytes(first.read_bytes() + second.read_bytes())
    assert {image.label for image in read(tmp_path / "both.tar").values()} == {"cat", "dog"}
    assert "archive 'both.tar' is 2 tars joined to one: all are read" in caplog.text


def test_bytes_after_the_end_of_a_tar_are_warned_of(tmp_path, caplog):
    packed = pack_tar(tmp_path / "a.tar", CATS_AND_DOGS)
    packed.write_bytes(packed.read_bytes() + b"more" * 1000)
    assert contents(packed) == CATS_AND_DOGS
    assert "other bytes after its end mark" in caplog.text


def test_a_damaged_file_among_others_is_warned_of(tmp_path, caplog):
    data = overwrite(zip_bytes(CATS_AND_DOGS), b"PK\1\2", 16, b"\0\0", only=0)
    (tmp_path / "a.zip").write_bytes(data)
    assert sum(data is not None for data in contents(tmp_path / "a.zip").values()) == 2
    assert "has 1 damaged file(s) of 3" in caplog.text


def test_without_the_extra_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(CORPUS["tar: zstd"][1]())
    assert contents(tmp_path / "a") == CATS_AND_DOGS
    monkeypatch.setitem(sys.modules, "backports", None)
    assert "pip install -e '.[archives]'" in refusal(tmp_path / "a")


class TestUnsafe:
    """Archives that are made with intent are refused before any file is read."""

    @zip_and_tar
    @pytest.mark.parametrize(
        "name", ["/etc/1.png", "../cat/1.png", "cat/../../1.png", "C:\\cat\\1.png", "..\\cat\\1.png"]
    )
    def test_a_path_out_of_the_archive(self, tmp_path, kind, name):
        line = refusal(PACKERS[kind](tmp_path / "bad", CATS_AND_DOGS | {name: b"x"}))
        assert repr(name) in line
        assert "do not trust it" in line

    @pytest.mark.parametrize("target", ["/etc/passwd", "../../secret.png", "../../../etc"])
    def test_a_link_out_of_the_archive(self, tmp_path, target):
        for packed in (
            pack_tar(tmp_path / "bad.tar", CATS_AND_DOGS, links={"cat/link.png": target}),
            pack_zip_link(tmp_path / "bad.zip", CATS_AND_DOGS, "cat/link.png", target),
        ):
            line = refusal(packed)
            assert "'cat/link.png'" in line
            assert "outside the archive" in line

    def test_a_hard_link_out_of_the_archive(self, tmp_path):
        packed = pack_tar(tmp_path / "bad.tar", CATS_AND_DOGS, links={"cat/x.png": "/etc/passwd"}, kind=tarfile.LNKTYPE)
        assert "outside the archive" in refusal(packed)

    @pytest.mark.parametrize("target", ["1.png", "../dog/1.png"])
    def test_a_link_inside_the_archive_is_not_followed_and_not_refused(self, tmp_path, target):
        for packed in (
            pack_tar(tmp_path / "fine.tar", CATS_AND_DOGS, links={"cat/link.png": target}),
            pack_zip_link(tmp_path / "fine.zip", CATS_AND_DOGS, "cat/link.png", target),
        ):
            images = read(packed)
            assert len(images) == 4
            assert images["cat/link.png"].data is None
            assert "a link" in images["cat/link.png"].reason

    @pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE])
    def test_a_device_is_not_read(self, tmp_path, kind):
        packed = pack_tar(tmp_path / "odd.tar", CATS_AND_DOGS, links={"cat/odd.png": ""}, kind=kind)
        assert read(packed)["cat/odd.png"].data is None

    @every_kind
    def test_more_bytes_than_allowed(self, tmp_path, kind):
        line = refusal(
            PACKERS[kind](tmp_path / "big", CATS_AND_DOGS | {"cat/3.png": b"x" * 2000}), max_unpacked_gb=1e-6
        )
        assert "sources.archive.max_unpacked_gb = 1e-06" in line

    @pytest.mark.parametrize("kind", ["zip", "tar.gz"])
    def test_a_bomb(self, tmp_path, kind):
        zeros = bytes(60 << 20)
        line = refusal(PACKERS[kind](tmp_path / "bomb", {"cat/1.png": zeros, "dog/1.png": zeros}))
        assert "sources.archive.max_ratio = 100.0" in line

    @pytest.mark.parametrize("kind", ["zip", "tar.gz"])
    def test_a_small_archive_may_have_any_compression_ratio(self, tmp_path, kind):
        assert len(read(PACKERS[kind](tmp_path / "tight", {"cat/1.png": bytes(1 << 20), "dog/1.png": b"1"}))) == 2


class TestDamage:
    """A damaged archive is refused; a damaged file in a zip is only one damaged file."""

    @pytest.mark.parametrize("kind", [kind for kind in PACKERS if kind not in ("stored.zip", "bz2.zip", "lzma.zip")])
    @pytest.mark.parametrize("part", [0.3, 0.8])
    def test_a_truncated_archive_is_refused(self, tmp_path, kind, part):
        packed = PACKERS[kind](tmp_path / "half", {f"{n}/1.png": _noise(n, 20_000) for n in ("cat", "dog")})
        data = packed.read_bytes()
        packed.write_bytes(data[: int(len(data) * part)])
        line = refusal(packed)
        assert "archive 'half' is damaged" in line or "archive 'half' begins as a zip, and its end is missing" in line

    @pytest.mark.parametrize("size", [1024, 1024 + 100, 2048, 2048 + 512, 2048 + 600])
    def test_a_tar_that_is_cut_off_between_two_files_is_refused(self, tmp_path, size):
        packed = pack_tar(tmp_path / "half.tar", CATS_AND_DOGS)
        packed.write_bytes(packed.read_bytes()[:size])
        assert "archive 'half.tar' is damaged" in refusal(packed)

    def test_a_tar_with_a_damaged_header_is_refused(self, tmp_path):
        packed = pack_tar(tmp_path / "bad.tar", CATS_AND_DOGS)
        data = bytearray(packed.read_bytes())
        data[1024 + 3] ^= 1
        packed.write_bytes(data)
        assert "archive 'bad.tar' is damaged" in refusal(packed)

    @pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "tar.xz"])
    def test_a_compressed_tar_with_wrong_bytes_in_the_middle_is_refused(self, tmp_path, kind):
        packed = PACKERS[kind](tmp_path / "bad", {f"{n}/1.png": _noise(n, 20_000) for n in ("cat", "dog")})
        data = bytearray(packed.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
        packed.write_bytes(data)
        assert "archive 'bad' is" in refusal(packed)

    @pytest.mark.parametrize("kind", ["zip", "stored.zip", "lzma.zip", "bz2.zip"])
    def test_a_damaged_file_in_a_zip_has_a_reason_and_the_others_are_read(self, tmp_path, kind):
        packed = PACKERS[kind](tmp_path / "bad.zip", {f"{n}/1.png": _noise(n, 5000) for n in ("cat", "dog", "eel")})
        with zipfile.ZipFile(packed) as archive:
            offset = archive.getinfo("dog/1.png").header_offset
        data = bytearray(packed.read_bytes())
        data[offset + 2000 : offset + 2050] = bytes(50)
        packed.write_bytes(data)
        images = read(packed)
        assert images["cat/1.png"].data == _noise("cat", 5000)
        assert images["eel/1.png"].data == _noise("eel", 5000)
        assert (images["dog/1.png"].data, images["dog/1.png"].reason) == (None, "damaged in the archive")

    def test_a_zip_with_a_password_is_refused(self, tmp_path):
        packed = pack_zip(tmp_path / "locked.zip", CATS_AND_DOGS, zipfile.ZIP_STORED)
        data = bytearray(packed.read_bytes())
        for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            position = data.find(signature)
            while position >= 0:
                data[position + flags] |= 1
                position = data.find(signature, position + 1)
        packed.write_bytes(data)
        line = refusal(packed)
        assert "protected" in line
        assert "password required" in line

    @pytest.mark.parametrize("data", [b"", b"a text", b"Rar!\x1a\x07\0", b"\x1f\x8b", bytes(100)])
    def test_other_files_are_refused(self, tmp_path, data):
        (tmp_path / "file.zip").write_bytes(data)
        assert "archive 'file.zip' is" in refusal(tmp_path / "file.zip")

    @zip_and_tar
    def test_an_empty_archive_is_refused(self, tmp_path, kind):
        assert "contains no files" in refusal(PACKERS[kind](tmp_path / "empty", {}))


def _noise(name: str, size: int) -> bytes:
    return b"".join(hashlib.sha256(f"{name}{i}".encode()).digest() for i in range(size // 32))


class TestPath:
    """What data.path may be."""

    @pytest.mark.parametrize("path", [None, ""])
    def test_no_path_is_refused(self, path):
        with pytest.raises(PipelineError, match=r"data\.path is null: expected a zip or tar file"):
            locate(path)

    def test_a_path_that_does_not_exist_is_refused(self, tmp_path):
        with pytest.raises(PipelineError, match="does not exist"):
            locate(str(tmp_path / "no.zip"))

    def test_a_folder_is_refused_with_a_hint(self, tmp_path):
        with pytest.raises(PipelineError, match=r"set data\.source to folder"):
            locate(str(tmp_path))

    @pytest.mark.parametrize(
        "path", ["http://127.0.0.1/a.zip", "https://127.0.0.1/a.zip", "doi:10.5281/x.1", "kaggle:a/b"]
    )
    def test_an_address_is_not_watched(self, path):
        assert locate(path) is None

    def test_a_local_archive_is_watched(self, tmp_path):
        assert locate(str(pack_zip(tmp_path / "a.zip", CATS_AND_DOGS))) == tmp_path / "a.zip"

    def test_the_checksum_of_a_local_archive_is_checked(self, tmp_path):
        packed = pack_zip(tmp_path / "a.zip", CATS_AND_DOGS)
        right = hashlib.sha256(packed.read_bytes()).hexdigest()
        assert contents(packed, sha256=right) == CATS_AND_DOGS
        assert "wrong checksum" in refusal(packed, sha256="0" * 64)
        assert packed.exists()


@pytest.mark.usefixtures("cache", "pauses")
class TestAddress:
    @pytest.fixture
    def url(self, server, tmp_path) -> str:
        server.files["/pictures.tar.gz"] = PACKERS["tar.gz"](tmp_path / "pictures", CATS_AND_DOGS).read_bytes()
        return f"{server.url}/pictures.tar.gz"

    def test_is_downloaded_and_read(self, url):
        assert contents(url) == CATS_AND_DOGS

    def test_is_resumed_after_a_broken_connection(self, url, server):
        server.drop_after = [50]
        assert contents(url) == CATS_AND_DOGS

    def test_has_its_checksum_checked(self, url, server):
        right = hashlib.sha256(server.files["/pictures.tar.gz"]).hexdigest()
        assert contents(url, sha256=right) == CATS_AND_DOGS
        assert "wrong checksum" in refusal(url, sha256="0" * 64)

    def test_that_does_not_exist_is_refused(self, server):
        assert "answered 404" in refusal(f"{server.url}/other.zip")

    def test_of_a_web_page_is_refused(self, server):
        server.files["/login"] = b"<html>please log in</html>"
        line = refusal(f"{server.url}/login")
        assert "is a web page (HTML), not an archive" in line
        assert "IMAGE_PIPELINE_PASSWORD" in line

    def test_of_a_server_that_is_down_is_refused(self, dead_url):
        assert "can't be downloaded" in refusal(f"{dead_url}/a.zip")


@pytest.mark.usefixtures("cache", "pauses")
class TestDoi:
    """The real requests that resolve a DOI, redirected to this machine: https://HOST/PATH is sent to /HOST/PATH."""

    @pytest.fixture
    def zenodo(self, server, monkeypatch, tmp_path):
        send = HTTPAdapter.send

        def send_here(adapter, request, **options):
            meant = urlsplit(request.url)
            if meant.hostname == "127.0.0.1":
                return send(adapter, request, **options)
            sent = request.copy()
            sent.url = f"{server.url}/{meant.hostname}{meant.path}"
            response = send(adapter, sent, **options)
            response.url, response.request = request.url, request
            return response

        monkeypatch.setattr(HTTPAdapter, "send", send_here)
        server.redirects["/doi.org/10.5281/zenodo.7"] = "https://zenodo.org/records/7"
        server.files["/zenodo.org/records/7"] = b"a page"
        server.files["/files/cats.zip"] = pack_zip(tmp_path / "cats.zip", CATS_AND_DOGS).read_bytes()
        self.publish(server, "cats.zip", "readme.txt")
        return server

    def publish(self, server, *names: str) -> None:
        files = [
            f'{{"key": "{name}", "checksum": "md5:0", "links": {{"self": "{server.url}/files/{name}"}}}}'
            for name in names
        ]
        server.files["/zenodo.org/api/records/7"] = f'{{"id": 7, "files": [{", ".join(files)}]}}'.encode()

    @pytest.mark.usefixtures("zenodo")
    def test_leads_to_the_only_archive_of_the_record(self):
        assert contents("doi:10.5281/zenodo.7") == CATS_AND_DOGS

    def test_may_name_the_file(self, zenodo):
        self.publish(zenodo, "cats.zip", "dogs.zip")
        assert contents("doi:10.5281/zenodo.7/cats.zip") == CATS_AND_DOGS

    def test_must_name_the_file_if_there_are_several(self, zenodo):
        self.publish(zenodo, "cats.zip", "dogs.tar.gz")
        line = refusal("doi:10.5281/zenodo.7")
        assert "has 2 archives" in line
        assert "cats.zip, dogs.tar.gz" in line

    def test_without_an_archive_is_refused(self, zenodo):
        self.publish(zenodo, "readme.txt")
        assert "has 0 archives" in refusal("doi:10.5281/zenodo.7")

    @pytest.mark.usefixtures("zenodo")
    def test_with_a_file_that_is_not_in_the_record_is_refused(self):
        assert "'lions.zip' not found" in refusal("doi:10.5281/zenodo.7/lions.zip")

    @pytest.mark.usefixtures("zenodo")
    def test_has_its_checksum_checked(self):
        assert "wrong checksum" in refusal("doi:10.5281/zenodo.7", sha256="0" * 64)

    @pytest.mark.usefixtures("zenodo")
    def test_that_does_not_exist_is_refused(self):
        line = refusal("doi:10.5281/zenodo.8")
        assert "doi:10.5281/zenodo.8 can't be resolved" in line
        assert "404" in line

    def test_of_an_unknown_repository_is_refused(self, zenodo):
        zenodo.redirects["/doi.org/10.1/journal"] = "https://journal.example/article"
        zenodo.files["/journal.example/article"] = b"a page"
        assert "can't be resolved" in refusal("doi:10.1/journal")

    def test_of_a_server_that_never_answers_fails_after_the_timeout(self, zenodo):
        zenodo.hangs = True
        assert "can't be resolved (ReadTimeout" in refusal("doi:10.5281/zenodo.7", timeout=0.1)


class TestKaggle:
    def test_without_kagglehub_says_how_to_install_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "kagglehub", None)
        assert "pip install -e '.[kaggle]'" in refusal("kaggle:owner/name")

    @pytest.fixture
    def hub(self, monkeypatch) -> ModuleType:
        """Replaces kagglehub, which would ask for a login."""
        module = ModuleType("kagglehub")
        monkeypatch.setitem(sys.modules, "kagglehub", module)
        return module

    def test_reads_the_folder_that_kagglehub_unpacked(self, hub, picture_folder):
        folder = picture_folder(CATS_AND_DOGS)
        hub.dataset_download = {"owner/name": str(folder)}.__getitem__
        listed = read("kaggle:owner/name")
        assert {
            image.name: (Path(image.folder) / image.path).read_bytes() for image in listed.values()
        } == CATS_AND_DOGS

    def test_names_the_data_set_that_can_not_be_downloaded(self, hub):
        def fail(_: str) -> None:
            raise RuntimeError("403 Client Error")

        hub.dataset_download = fail
        line = refusal("kaggle:owner/name")
        assert "kaggle:owner/name can't be downloaded" in line
        assert "403" in line


@zip_and_tar
def test_archives_in_an_archive_are_named(tmp_path, kind):
    archive = PACKERS[kind](tmp_path / f"x.{kind}", {"cat.zip": b"PK", "README.md": b"x"})
    assert "has no image, but 1 archive(s), such as 'cat.zip'" in refusal(archive)


def test_a_link_has_its_own_reason_where_it_is_no_class_either(tmp_path):
    archive = pack_zip_link(tmp_path / "x.zip", CATS_AND_DOGS, "eel", "cat")
    assert read(archive)["eel"].reason == "a link in the archive: not followed"


class TestLinks:
    """Splits or classes of links to pictures elsewhere in an archive: links are not followed, which must be said."""

    PICTURES: ClassVar[Files] = {
        f"images/{label}{n}.jpg": f"{label}{n}".encode() for label in ("cat", "dog") for n in (1, 2)
    }
    LINKS: ClassVar[dict[str, str]] = {
        f"{split}/{label}/{n}.jpg": f"../../images/{label}{n}.jpg"
        for split, n in (("train", 1), ("test", 2))
        for label in ("cat", "dog")
    }
    WARNING = "has 4 link(s) to pictures or folders, such as 'train/cat/1.jpg', which are not followed: if they matter, unpack"

    def pack(self, file: Path, kind: str) -> Path:
        if kind == "tar":
            return pack_tar(file, self.PICTURES, links=self.LINKS)
        pack_zip(file, self.PICTURES)
        for name, target in self.LINKS.items():
            add_zip_link(file, name, target)
        return file

    @zip_and_tar
    def test_are_told_of_before_a_question_about_the_tree(self, tmp_path, caplog, kind):
        packed = self.pack(tmp_path / "a", kind)
        assert "images" in refusal(packed)
        assert self.WARNING in caplog.text

    @zip_and_tar
    def test_are_told_of_where_they_are_all_there_is(self, tmp_path, kind):
        packed = self.pack(tmp_path / "a", kind)
        line = refusal(packed, reading=AS_FOUND.model_copy(update={"splits": {"images": "ignore"}}))
        assert "has no picture that can be read: 4 of 4 files are links, such as 'test/cat/2.jpg'" in line
        assert "unpack it and set data.source to folder" in line

    def test_of_a_zip_are_told_of_before_it_is_read(self, tmp_path, caplog):
        packed = self.pack(tmp_path / "a", "zip")
        locate(str(packed), AS_FOUND.model_copy(update={"splits": {"images": "ignore"}}))
        assert self.WARNING in caplog.text

    @pytest.mark.parametrize(("name", "is_told"), [("eel", True), ("cat/3.png", True), ("cat/notes.txt", False)])
    def test_are_told_of_if_they_may_be_to_pictures_or_folders(self, tmp_path, caplog, name, is_told):
        read(pack_tar(tmp_path / "a.tar", CATS_AND_DOGS, links={name: "dog"}))
        assert (f"has 1 link(s) to pictures or folders, such as {name!r}" in caplog.text) == is_told


class TestTablesThatAreLinks:
    """They name what holds labels or splits, but their bytes are elsewhere in the archive, or nowhere."""

    FILES: ClassVar[Files] = CATS_AND_DOGS | {"meta/labels.csv": b"path,label\ncat/1.png,cat\n"}
    LINKS: ClassVar[dict[str, str]] = {
        "labels.csv": "meta/labels.csv",
        "train.txt": "meta/labels.csv",
        "test.txt": "nothing",
    }
    KINDS = pytest.mark.parametrize("kind", ["zip", "link", "hard link", "device"])

    def pack(self, folder: Path, kind: str) -> Path:
        if kind == "zip":
            packed = pack_zip(folder / "a.zip", self.FILES)
            for name, target in self.LINKS.items():
                add_zip_link(packed, name, target)
            return packed
        kinds = {"link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
        targets = dict.fromkeys(self.LINKS, "nothing") if kind == "hard link" else self.LINKS
        return pack_tar(folder / "a.tar", self.FILES, links=targets, kind=kinds[kind])

    @KINDS
    def test_cost_nothing_where_nobody_asked_for_them(self, tmp_path, kind):
        images = read(self.pack(tmp_path, kind))
        assert {name for name, image in images.items() if image.data is not None} == set(CATS_AND_DOGS)

    @KINDS
    def test_are_one_line_where_a_person_named_them(self, tmp_path, kind):
        packed = self.pack(tmp_path, kind)
        for said in ({"labels": "labels.csv"}, {"splits": {"train.txt": "train"}}):
            line = refusal(packed, reading=AS_FOUND.model_copy(update=said))
            name = "train.txt" if "splits" in said else "labels.csv"
            assert f"{name!r} can't be read: a" in line
            assert ("unpack it and set data.source to folder" in line) == (kind in ("zip", "link"))

    def test_a_table_may_be_larger_than_a_picture(self, tmp_path, monkeypatch):
        monkeypatch.setattr("pipeline.sources.member.MAX_IMAGE_BYTES", 8)
        for pack in (pack_zip, pack_tar):
            packed = pack(tmp_path / "a", {"cat.png": b"cat", "dog.png": b"dog", "l.csv": b"path,label\ncat,x\ndog,y"})
            images = read(packed, reading=AS_FOUND.model_copy(update={"labels": "l.csv"}))
            assert {name: image.label for name, image in images.items() if image.data} == {
                "cat.png": "x",
                "dog.png": "y",
            }


class TestManyTables:
    """In a tar each pass is over the whole archive, which may be packed and large: the headers, all texts, the pictures."""

    TEXTS: ClassVar[Files] = {
        f"{split}{n}.txt": b"cat/1.png\ndog/1.png\n" for split in ("train", "test") for n in (1, 2)
    }
    TABLES: ClassVar[Files] = {f"{name}.csv": b"path,label\ncat/1.png,cat\n" for name in ("labels", "extra")}

    @pytest.fixture
    def passes(self, monkeypatch) -> list[Path]:
        passed = []

        class Counted(TarStream):
            def __init__(self, archive: Path, *args: Any) -> None:
                passed.append(archive)
                super().__init__(archive, *args)

        monkeypatch.setattr("pipeline.sources.tar_archive.TarStream", Counted)
        return passed

    def test_are_read_in_one_pass(self, tmp_path, passes):
        read(pack_tar(tmp_path / "a.tar.gz", CATS_AND_DOGS | self.TEXTS | self.TABLES, "w:gz"))
        assert len(passes) == 3

    def test_those_that_do_not_fit_the_memory_one_by_one(self, tmp_path, passes, monkeypatch):
        monkeypatch.setattr("pipeline.sources.archive._ALL_TEXTS", 1)
        read(pack_tar(tmp_path / "a.tar.gz", CATS_AND_DOGS | self.TEXTS | self.TABLES, "w:gz"))
        assert len(passes) >= 2 + len(self.TEXTS | self.TABLES)

    def test_mean_the_same_in_every_format(self, tmp_path):
        lists = AS_FOUND.model_copy(update={"splits": {"train1.txt": "train", "bad.txt": "ignore"}})
        files = CATS_AND_DOGS | self.TEXTS | {"bad.txt": b"dog/1.png"} | {"train1.txt": b"cat/1.png\ncat/2.png"}
        for kind, pack in PACKERS.items():
            images = read(pack(tmp_path / kind, files), reading=lists)
            assert {name for name, image in images.items() if image.source_split == "train"} == {
                "cat/1.png",
                "cat/2.png",
            }
