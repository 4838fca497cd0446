"""Which addresses a runner may connect to: a service must not be turned against its own network (server-side request forgery).

A host is resolved once, every address it resolves to is judged, and the connection goes to the address that was judged, so a
name that resolves to something else a second later changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from audit.runners.protocol import RunnerError

MAX_ADDRESS_CHARS = 2048
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_METADATA = tuple(ipaddress.ip_address(text) for text in ("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200"))


@dataclass(frozen=True)
class Target:
    """Where requests go: the scheme and host as given, the address connected to, and the base path (ends in no slash)."""

    scheme: str
    host: str
    port: int
    address: str
    path: str

    @property
    def name(self) -> str:
        """The address as a person wrote it."""
        default = {"http": 80, "https": 443}[self.scheme]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if self.port == default else f':{self.port}'}{self.path}"

    @property
    def host_header(self) -> str:
        """Host and port as the Host header has them."""
        return self.name.split("://", 1)[1].split("/", 1)[0]

    def url(self, path: str) -> str:
        """`path` below the host at the resolved address."""
        return f"{self.scheme}://{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}{path}"


def system_resolve(host: str, port: int) -> list[str]:
    """Every address the system gives for a host. Raises OSError, UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]).split("%")[0] for entry in found))


def resolve_target(url: str, allow_private: bool, resolve: Resolve = system_resolve) -> Target:
    """The target of an http(s) address. Without a path, `/v1` is meant.

    Raises RunnerError for anything else than host, port and path, for a host that does not resolve, and, unless
    `allow_private`, when any of its addresses is not public. Addresses that serve cloud metadata are refused always.
    """
    scheme, host, port, path = _split(url)
    try:
        texts = resolve(host, port)
        addresses = [ipaddress.ip_address(text) for text in texts]
    except (OSError, UnicodeError, ValueError):
        raise RunnerError(f"the host {host[:100]} cannot be resolved; check the address") from None
    if not addresses:
        raise RunnerError(f"the host {host[:100]} has no address; check it")
    for address in addresses:
        if any(form in _METADATA for form in _forms(address)):
            raise RunnerError(f"the host {host[:100]} is a metadata service, not a model")
        if not allow_private and not is_public(address):
            raise RunnerError(f"the host {host[:100]} lies in a private network, which is not allowed here; use a public address")
    return Target(scheme, host, port, str(addresses[0]), path)


def is_public(address: Address) -> bool:
    """Whether an address, and every IPv4 address it carries inside, belongs to the public internet."""
    return all(form.is_global and not form.is_multicast and not form.is_reserved for form in _forms(address))


def _forms(address: Address) -> list[Address]:
    """An address and the IPv4 addresses that IPv6 transition schemes put into it (mapped, 6to4, Teredo, NAT64)."""
    forms: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return [address.ipv4_mapped]
        if address in _NAT64:
            return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
        if address.sixtofour is not None:
            forms.append(address.sixtofour)
        if address.teredo is not None:
            forms += address.teredo
    return forms


def _split(url: str) -> tuple[str, str, int, str]:
    try:
        if len(url) > MAX_ADDRESS_CHARS or not url.isprintable() or " " in url:
            raise ValueError
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise RunnerError("this is not an http(s) address; write it as https://HOST/v1#MODEL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise RunnerError("this is not an http(s) address; write it as https://HOST/v1#MODEL")
    if parts.username is not None or parts.password is not None:
        raise RunnerError("an address must not carry a user name or password; give the API key apart from it")
    if parts.query or parts.fragment:
        raise RunnerError("an address has a host, a port and a path only; write it as https://HOST/v1#MODEL")
    path = parts.path.rstrip("/") or "/v1"
    return parts.scheme, host, port or {"http": 80, "https": 443}[parts.scheme], path
