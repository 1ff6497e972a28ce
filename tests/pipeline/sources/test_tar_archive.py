import math
from pathlib import Path

import pytest

from pipeline.sources.member import LINK, Bounds
from pipeline.sources.tar_archive import TarReader
from tests.pipeline.sources.packing import END_MARK, tar_entry


def read_reasons(file: Path) -> dict[str, str]:
    """Of each member, why it can't be used."""
    bounds = Bounds(what="archive", packed_bytes=file.stat().st_size, max_unpacked_gb=math.inf, max_ratio=math.inf)
    return {member.name: member.reason for member in TarReader(file, bounds=bounds, encoding=None).list_members()}


class TestHardLinks:
    """A hard link is another name of the entry before it, and can't be used for the same reason."""

    @pytest.mark.parametrize(
        ("kind", "target", "reason"),
        [
            (b"2", b"1.png", LINK),
            (b"S", b"", "stored as a sparse file: pack it again without --sparse"),
            (b"6", b"", "a named pipe in the archive: not read"),
        ],
    )
    def test_have_the_reason_of_what_they_link_to(self, tmp_path, kind, target, reason):
        entries = tar_entry(b"cat/1.png", b"x") + tar_entry(b"cat/2.png", kind=kind, target=target)
        entries += tar_entry(b"cat/3.png", kind=b"1", target=b"cat/2.png")
        entries += tar_entry(b"cat/4.png", kind=b"1", target=b"cat/3.png")
        (tmp_path / "a.tar").write_bytes(entries + END_MARK)
        others = dict.fromkeys(["cat/2.png", "cat/3.png", "cat/4.png"], reason)
        assert read_reasons(tmp_path / "a.tar") == {"cat/1.png": ""} | others

    @pytest.mark.parametrize("target", [b"cat/3.png", b"cow/1.png"], ids=["itself", "nothing"])
    def test_to_nothing_say_so(self, tmp_path, target):
        entries = tar_entry(b"cat/3.png", kind=b"1", target=target)
        entries += tar_entry(b"cat/4.png", kind=b"1", target=b"cat/3.png")
        (tmp_path / "a.tar").write_bytes(entries + END_MARK)
        missing = "a link to a file that the archive does not have"
        assert read_reasons(tmp_path / "a.tar") == dict.fromkeys(["cat/3.png", "cat/4.png"], missing)


def test_the_code_pages_that_are_advised_are_those_of_tars(tmp_path, caplog):
    (tmp_path / "a.tar").write_bytes(tar_entry("кот/1.png".encode("cp1251"), b"x") + END_MARK)
    read_reasons(tmp_path / "a.tar")
    assert "cp932 (Japanese), gbk (Chinese), cp1252 (Western) or cp1251 (Cyrillic)" in caplog.text
