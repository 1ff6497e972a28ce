import pytest

from pipeline.config.hosts import AllowedHost, parse_entry
from pipeline.config.reader import load_params
from tests.pipeline.config.conftest import refusal


class TestEntries:
    @pytest.mark.parametrize(
        ("entry", "name", "below", "port"),
        [
            ("Images.Example.com", "images.example.com", False, None),
            ("images.example.com:8080", "images.example.com", False, 8080),
            ("*.example.com", "example.com", True, None),
            ("10.0.0.5", "10.0.0.5", False, None),
            ("10.0.0.5:81", "10.0.0.5", False, 81),
            ("0:0::1", "::1", False, None),
            ("[0:0::1]:8080", "::1", False, 8080),
        ],
    )
    def test_a_host_may_have_a_port_and_stand_for_those_below_it(self, entry, name, below, port):
        assert parse_entry(entry) == AllowedHost(name, below, port)

    def test_with_a_slash_it_is_a_network(self):
        assert str(parse_entry("10.0.0.0/8")) == "10.0.0.0/8"

    @pytest.mark.parametrize(
        "entry",
        [
            *("", "*", "*.", "a..b", "a b", "a@b", "a*.b", "bücher.de", "https://a", "a/", "a/b", "10.0.0.1/8"),
            *("a:", "a:0", "a:65536", "a:80:80", "[::1", "[1.2.3.4]", "[::x]", "::1]:80"),
        ],
    )
    def test_all_else_is_refused_with_examples(self, change, entry):
        line = refusal(change("serve.url_hosts", ["good.com", entry]))
        assert "serve.url_hosts" in line
        assert "expected hosts such as images.example.com" in line

    def test_by_default_there_is_none_also_where_params_yaml_is_older(self, change):
        from tests.pipeline.config.conftest import ABSENT

        assert load_params(change("serve.url_hosts", ABSENT)).serve.url_hosts == []


class TestMatching:
    @pytest.mark.parametrize(
        ("entry", "scheme", "name", "port"),
        [
            ("a.com", "http", "a.com", None),
            ("a.com", "https", "a.com", 443),
            ("a.com:8080", "https", "a.com", 8080),
            ("a.com:443", "https", "a.com", None),
            ("*.a.com", "https", "x.y.a.com", None),
        ],
    )
    def test_the_host_and_its_usual_port_or_the_one_that_is_listed(self, entry, scheme, name, port):
        host = parse_entry(entry)
        assert isinstance(host, AllowedHost)
        assert host.matches(scheme, name, port)

    @pytest.mark.parametrize(
        ("entry", "scheme", "name", "port"),
        [
            ("a.com", "http", "b.a.com", None),
            ("a.com", "http", "a.com.b", None),
            ("a.com", "http", "a.com.", None),
            ("a.com", "http", "a.com", 8080),
            ("a.com", "http", "a.com", 443),
            ("a.com", "http", "a.com", 0),
            ("a.com:8080", "http", "a.com", None),
            ("*.a.com", "http", "a.com", None),
            ("*.a.com", "http", "ba.com", None),
            ("*.a.com", "http", "%00.a.com", None),
            ("*.a.com", "http", ".a.com", None),
        ],
    )
    def test_nothing_that_only_looks_like_it(self, entry, scheme, name, port):
        host = parse_entry(entry)
        assert isinstance(host, AllowedHost)
        assert not host.matches(scheme, name, port)
