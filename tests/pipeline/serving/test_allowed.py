import pytest

from pipeline.serving.allowed import AllowList

PRIVATE = [
    *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),  # noqa: S104
    *("224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"),  # addresses of IPv4 inside
]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_may_not_lead_into_this_network(address):
    assert not AllowList(["a.com", "*.b.com"]).has_address(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8"])
def test_it_may_lead_where_everybody_gets(address):
    assert AllowList(["a.com"]).has_address(address)


def test_an_address_that_is_listed_or_in_a_listed_network_may_be_private():
    allowed = AllowList(["a.com", "127.0.0.1:8080", "[::1]:80", "10.0.0.0/8"])
    assert all(map(allowed.has_address, ["127.0.0.1", "::1", "10.1.2.3", "::ffff:10.1.2.3"]))
    assert not any(map(allowed.has_address, ["127.0.0.2", "192.168.1.1", "fe80::1"]))


def test_a_network_is_no_host():
    assert AllowList(["10.0.0.0/8"]).find_host("http", "10.0.0.1", None) is None


def test_an_address_is_the_same_however_it_is_written():
    allowed = AllowList(["[0:0::1]:80"])
    assert allowed.find_host("http", "0:0:0::1", None) == allowed.find_host("http", "::1", 80) is not None
