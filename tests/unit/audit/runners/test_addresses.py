"""Addresses a runner may connect to: private ones are refused however they are written, and names are pinned."""

from __future__ import annotations

import ipaddress

import pytest

from audit.runners.addresses import is_public, resolve_target
from audit.runners.protocol import RunnerError

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.1.1", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "240.0.0.1",
    "255.255.255.255",
    "::1", "::", "fe80::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "2002:7f00:1::", "2001:db8::1", "198.18.0.1", "192.0.2.1",
]  # fmt: skip
METADATA = ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"]


def at(*addresses: str) -> object:
    return lambda host, port: list(addresses)


@pytest.mark.parametrize("address", PRIVATE + METADATA)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(RunnerError, match=r"private network|metadata"):
        resolve_target("https://model.example/v1", False, at(address))  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "8.8.8.8", "::ffff:8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert resolve_target("https://model.example/v1", False, at(address)).address == str(ipaddress.ip_address(address))  # type: ignore[arg-type]


@pytest.mark.parametrize("address", METADATA)
def test_metadata_is_refused_even_where_private_is_allowed(address: str) -> None:
    with pytest.raises(RunnerError, match="metadata"):
        resolve_target("http://model.example", True, at(address))  # type: ignore[arg-type]


def test_one_private_address_among_public_ones_is_enough() -> None:
    with pytest.raises(RunnerError, match="private network"):
        resolve_target("https://model.example/v1", False, at("8.8.8.8", "10.0.0.1"))  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_other_spellings_of_this_machine(host: str) -> None:
    with pytest.raises(RunnerError, match=r"private network|cannot be resolved"):
        resolve_target(f"http://{host}:8000/v1", False)
    if host != "[::ffff:127.0.0.1]":
        assert ipaddress.ip_address(resolve_target(f"http://{host}:8000/v1", True).address).is_loopback


def test_name_is_pinned_and_host_kept() -> None:
    target = resolve_target("https://model.example:8443/api/v1/", False, at("8.8.8.8"))  # type: ignore[arg-type]
    assert target.url("/x") == "https://8.8.8.8:8443/x"
    assert (target.host_header, target.path, target.name) == (
        "model.example:8443", "/api/v1", "https://model.example:8443/api/v1",
    )  # fmt: skip
    assert resolve_target("http://[2606:2800:220:1::1]", False).url("/") == "http://[2606:2800:220:1::1]:80/"
    assert resolve_target("https://model.example", False, at("8.8.8.8")).path == "/v1"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/", "file:///etc/passwd", "https://", "https://user:secret@h/", "https://h/?key=1", "https://h/#m", "https://h:99999/",
        "https://h\n.example/", "https://h h/", "https://" + "a" * 3_000, "https://[::1", "//h/v1",
    ],
)  # fmt: skip
def test_addresses_that_are_malformed(url: str) -> None:
    with pytest.raises(RunnerError) as failure:
        resolve_target(url, True, at("8.8.8.8"))  # type: ignore[arg-type]
    assert "secret" not in str(failure.value)


def test_name_without_address() -> None:
    with pytest.raises(RunnerError, match="resolved"):
        resolve_target("https://nothing.invalid/v1", True)
    with pytest.raises(RunnerError, match="no address"):
        resolve_target("https://model.example/v1", True, at())  # type: ignore[arg-type]
