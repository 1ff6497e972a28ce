"""The entries of serve.url_hosts: from whom the server may fetch pictures, as text and parsed."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
_ENTRY = re.compile(rf"(?:(?P<below>\*\.)?(?P<name>{_NAME})|\[(?P<address>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{{1,5}}))?")
_EXPECTED = (
    "hosts such as images.example.com, images.example.com:8080, *.example.com, 10.0.0.5 or [::1]:8080, in ASCII, or a network "
    "such as 10.0.0.0/8, in which their addresses may be"
)


@dataclass(frozen=True)
class AllowedHost:
    """name: of a host, in lower case, or an address as `ipaddress` writes it. below: meant are the names that end in `.name`,
    and not itself. port: None: the one that is usual for http or https."""

    name: str
    below: bool = False
    port: int | None = None

    def matches(self, scheme: str, name: str, port: int | None) -> bool:
        """scheme: http or https. name: as `write_host` gives it. port: None: the usual one."""
        usual = {"http": 80, "https": 443}[scheme]
        if (usual if port is None else port) != (self.port or usual):
            return False
        if self.below:
            return name.endswith(f".{self.name}") and re.fullmatch(_NAME, name) is not None
        return name == self.name


def write_host(name: str) -> str:
    """A host so that it can be compared: in lower case; an address, which may be without its brackets, in its shortest form."""
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return name.lower()


def parse_entry(entry: str) -> AllowedHost | Network:
    """Raises ValueError, which says what is expected."""
    if "/" in entry:
        try:
            return ipaddress.ip_network(entry)
        except ValueError:
            raise ValueError(_EXPECTED) from None
    try:
        return AllowedHost(str(ipaddress.ip_address(entry)))  # one of IPv6 without brackets
    except ValueError:
        found = _ENTRY.fullmatch(entry.lower())
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port is not None and not 0 < port < 1 << 16):
        raise ValueError(_EXPECTED)
    if found["address"] and ":" not in write_host(found["address"]):
        raise ValueError(_EXPECTED)
    return AllowedHost(write_host(found["name"] or found["address"]), found["below"] is not None, port)


def _check(entry: str) -> str:
    parse_entry(entry)
    return entry


Host = Annotated[str, AfterValidator(_check)]
