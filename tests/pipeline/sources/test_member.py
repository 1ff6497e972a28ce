import pytest

from pipeline.sources.member import decode_names


class TestNamesThatAreNotUtf8:
    def decode(self, name: str, encoding: str, pages: str) -> list[str]:
        return decode_names([name.encode(encoding)], encoding=None, fallback="cp437", what="archive 'a'", pages=pages)

    @pytest.mark.parametrize("pages", ["cp866 (Cyrillic)", "cp1251 (Cyrillic)"])
    def test_are_warned_of_with_the_code_pages_of_the_format(self, caplog, pages):
        self.decode("кот", "cp866", pages)
        assert "if that is wrong, set data.encoding to their code page, such as " + pages in caplog.text

    def test_need_no_warning_if_they_are(self, caplog):
        assert self.decode("кот", "utf-8", "cp866 (Cyrillic)") == ["кот"]
        assert caplog.text == ""
