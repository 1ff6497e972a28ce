import math
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.member import Bounds
from pipeline.sources.zip_archive import DAMAGED, ZipReader
from tests.pipeline.sources.packing import CATS_AND_DOGS, overwrite, pack_zip_link, raw_zip

PICTURE = b"picture" * 50


def read_all(file: Path, encoding: str | None = None) -> dict[str, bytes | str]:
    """The bytes of each member by its name, or the reason why there are none."""
    bounds = Bounds(what="archive", packed_bytes=file.stat().st_size, max_unpacked_gb=math.inf, max_ratio=math.inf)
    with closing(ZipReader(file, bounds=bounds, encoding=encoding)) as reader:
        members = reader.list_members()
        found: dict[str, bytes | str] = {member.name: member.reason for member in members}
        for index, data, reason in reader.read_members([n for n, member in enumerate(members) if not member.reason]):
            found[members[index].name] = reason if data is None else data
    return found


class TestTwoSpellings:
    """A zip has each name twice: in its directory, which counts, and in a header before the file's bytes."""

    def write(self, file: Path, local: bytes, directory: bytes, *, flags: tuple[int, int] = (0, 0)) -> Path:
        """One picture under both names, which are equally long. flags: of each header, 0x800 for UTF-8."""
        data = raw_zip([(local, PICTURE)])
        overwrite(data, b"PK\1\2", 46, directory)
        overwrite(data, b"PK\3\4", 6, flags[0].to_bytes(2, "little"))
        overwrite(data, b"PK\1\2", 8, flags[1].to_bytes(2, "little"))
        file.write_bytes(data)
        return file

    @pytest.mark.parametrize(("local", "directory"), [(b"cat\\1.png", b"cat/1.png"), (b"cat/1.png", b"cat\\1.png")])
    def test_may_differ_in_the_slash(self, tmp_path, local, directory):
        assert read_all(self.write(tmp_path / "a.zip", local, directory)) == {"cat/1.png": PICTURE}

    @pytest.mark.parametrize("flags", [(0x800, 0), (0, 0x800)])
    @pytest.mark.parametrize("encoding", [None, "utf-8"])
    def test_may_differ_in_the_mark_of_utf8(self, tmp_path, flags, encoding):
        name = "Käfer/1.png".encode()
        assert read_all(self.write(tmp_path / "a.zip", name, name, flags=flags), encoding) == {"Käfer/1.png": PICTURE}

    def test_may_be_in_a_code_page_before_the_bytes_and_in_utf8_in_the_directory(self, tmp_path):
        local, directory = "кот/1.png".encode("cp866"), "кот/1.png".encode()
        data = raw_zip([(local, PICTURE)])
        entry, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
        changed = data[entry:end].replace(local, directory)
        changed[8:10], changed[28] = b"\0\x08", len(directory)
        tail = data[end:]
        tail[12] = len(changed)
        (tmp_path / "a.zip").write_bytes(data[:entry] + changed + tail)
        assert read_all(tmp_path / "a.zip", "cp866") == {"кот/1.png": PICTURE}

    def test_that_are_two_names_are_damage(self, tmp_path):
        file = self.write(tmp_path / "a.zip", b"cat/1.png", b"cow/1.png")
        assert read_all(file) == {"cow/1.png": DAMAGED}

    def test_change_nothing_about_the_checksum(self, tmp_path):
        file = self.write(tmp_path / "a.zip", b"cat\\1.png", b"cat/1.png")
        file.write_bytes(file.read_bytes().replace(b"picture", b"Picture", 1))
        assert read_all(file) == {"cat/1.png": DAMAGED}

    def test_need_a_header_before_the_bytes(self, tmp_path):
        file = self.write(tmp_path / "a.zip", b"cat/1.png", b"cat/1.png")
        file.write_bytes(file.read_bytes().replace(b"PK\3\4", b"PK\3\5", 1))
        with zipfile.ZipFile(file) as packed, pytest.raises(zipfile.BadZipFile, match="magic"):
            packed.read("cat/1.png")
        assert read_all(file) == {"cat/1.png": DAMAGED}


class TestCodePages:
    """Windows and DOS pack names in the page of their command line: the advice for Cyrillic, followed, gives the names."""

    def test_that_are_advised_are_those_of_zips(self, tmp_path, caplog):
        (tmp_path / "a.zip").write_bytes(raw_zip([("кот/1.png".encode("cp866"), PICTURE)]))
        read_all(tmp_path / "a.zip")
        assert "cp932 (Japanese), gbk (Chinese), cp850 (Western) or cp866 (Cyrillic)" in caplog.text
        assert read_all(tmp_path / "a.zip", "cp866") == {"кот/1.png": PICTURE}


class TestLinks:
    """A link's target is the content of its member, which may be as unreadable as that of any other."""

    @pytest.fixture
    def linked(self, tmp_path) -> Path:
        """Three pictures, and after them a link to the first."""
        return pack_zip_link(tmp_path / "a.zip", CATS_AND_DOGS, "dog/2.png", "../cat/1.png")

    def overwrite(self, file: Path, fields: dict[bytes, int], value: bytes, *, only: int | None) -> None:
        data = bytearray(file.read_bytes())
        for signature, offset in fields.items():
            overwrite(data, signature, offset, value, only=only)
        file.write_bytes(data)

    def test_that_are_damaged_cost_only_themselves(self, linked):
        linked.write_bytes(linked.read_bytes().replace(b"../cat/1.png", b"../cat/7.png"))
        assert read_all(linked) == CATS_AND_DOGS | {"dog/2.png": DAMAGED}

    @pytest.mark.parametrize(
        ("fields", "value", "reason"),
        [
            ({b"PK\3\4": 6, b"PK\1\2": 8}, b"\1", "protected by a password"),
            ({b"PK\3\4": 8, b"PK\1\2": 10}, b"\6", "compressed with Implode, which is not read"),
        ],
    )
    def test_whose_target_can_not_be_read_cost_only_themselves(self, linked, fields, value, reason):
        self.overwrite(linked, fields, value, only=3)
        assert read_all(linked) == CATS_AND_DOGS | {"dog/2.png": reason}

    @pytest.mark.parametrize(
        ("fields", "value", "line"),
        [
            ({b"PK\3\4": 6, b"PK\1\2": 8}, b"\1", r"is protected \(password required\)"),
            ({b"PK\3\4": 8, b"PK\1\2": 10}, b"\6", "is compressed with Implode"),
        ],
    )
    def test_do_not_hide_what_all_members_have_in_common(self, linked, fields, value, line):
        self.overwrite(linked, fields, value, only=None)
        with pytest.raises(PipelineError, match=line):
            read_all(linked)
