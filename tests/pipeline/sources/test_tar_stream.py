from pathlib import Path

import pytest

from pipeline.sources.tar_stream import TarStream
from tests.pipeline.sources.packing import END_MARK, pax_entry, pax_record, tar_entry


def list_names(file: Path) -> list[bytes]:
    with TarStream(file) as stream:
        return [entry.name for entry in stream]


def change_header(entry: bytes, *, magic: bytes, prefix: bytes) -> bytes:
    """An entry with another format's mark and bytes where POSIX has the first part of a long name; its checksum is right."""
    header = bytearray(entry[:512])
    header[257 : 257 + len(magic)] = magic
    header[345 : 345 + len(prefix)] = prefix
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + entry[512:]


class TestPrefix:
    """Bytes 345 to 500 of a header, which each format uses in its own way."""

    TIMES = b"15027342160\x0015027342161\0"  # of access and of change, as `tar --format=gnu --listed-incremental` writes them

    def test_of_posix_is_the_first_part_of_a_long_name(self, tmp_path):
        entry = change_header(tar_entry(b"1.png", b"x"), magic=b"ustar\x0000", prefix=b"train/cat")
        (tmp_path / "a.tar").write_bytes(entry + END_MARK)
        assert list_names(tmp_path / "a.tar") == [b"train/cat/1.png"]

    @pytest.mark.parametrize("magic", [b"ustar  \0", bytes(8)], ids=["GNU", "v7"])
    @pytest.mark.parametrize(("name", "kind"), [(b"cat/1.png", b"0"), (b"cat/1.png", b"\0"), (b"cat/", b"5")])
    def test_of_other_formats_is_no_part_of_the_name(self, tmp_path, magic, name, kind):
        entry = change_header(tar_entry(name, kind=kind), magic=magic, prefix=self.TIMES)
        (tmp_path / "a.tar").write_bytes(entry + END_MARK)
        assert list_names(tmp_path / "a.tar") == [name]


class TestSparseName:
    """A sparse file of pax, in version 0.1 or 1.0, has its name in a record of its own."""

    @pytest.mark.parametrize("path", [b"", b"cat/GNUSparseFile.24817/1.png"], ids=["short", "long"])
    def test_is_that_of_the_file(self, tmp_path, path):
        records = pax_record(b"GNU.sparse.major", b"1") + pax_record(b"GNU.sparse.name", b"cat/1.png")
        records += pax_record(b"path", path) if path else b""
        entries = pax_entry(records) + tar_entry(b"cat/GNUSparseFile.24817/1.png", b"x") + tar_entry(b"dog/1.png", b"y")
        (tmp_path / "a.tar").write_bytes(entries + END_MARK)
        assert list_names(tmp_path / "a.tar") == [b"cat/1.png", b"dog/1.png"]

    def test_of_the_first_version_is_the_path(self, tmp_path):
        records = pax_record(b"GNU.sparse.size", b"9") + pax_record(b"path", b"cat/1.png")
        (tmp_path / "a.tar").write_bytes(pax_entry(records) + tar_entry(b"cat/long", b"x") + END_MARK)
        assert list_names(tmp_path / "a.tar") == [b"cat/1.png"]
