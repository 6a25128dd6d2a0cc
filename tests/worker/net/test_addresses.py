"""Which addresses may be dialled and which texts are addresses at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InputRejected
from worker.net import parse
from worker.net.addresses import is_allowed
from worker.net.urls import redirect

PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"]
NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.255.255",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "168.63.129.16", "100.100.100.200",
    "::", "::1", "::10.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::127.0.0.1",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1",
    "3fff::1", "4000::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
    "2606:4700::5efe:127.0.0.1", "2606:4700::200:5efe:10.0.0.1", "2606:4700::1%eth0", "not an address", "", "8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_all_others_are_not(address: str) -> None:
    assert not is_allowed(address)


def test_allow_private_opens_home_but_never_metadata() -> None:
    assert all(
        is_allowed(home, allow_private=True) for home in ("127.0.0.1", "10.1.2.3", "192.168.0.9", "::1", "fd00::1")
    )
    shut = ("169.254.169.254", "0.0.0.0", "fe80::1", "::ffff:127.0.0.1", "224.0.0.1")
    assert not any(is_allowed(address, allow_private=True) for address in shut)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://2130706433/", "url_blocked"),
        ("http://0x7f000001/", "url_blocked"),
        ("http://0x7f.1/", "url_blocked"),
        ("http://0177.0.0.1/", "url_blocked"),
        ("http://127.1/", "url_blocked"),
        ("http://127.0.0.1./", "url_blocked"),
        ("http://1.2.3.4.5/", "url_blocked"),
        ("http://user@shop.example/", "url_blocked"),
        ("http://user:pass@shop.example/", "url_blocked"),
        ("http://shop.example:6379/", "url_blocked"),
        ("http://shop.example:22/", "url_blocked"),
        ("http://shop.example:99999/", "url_invalid"),
        ("http://shop.example:x/", "url_invalid"),
        ("file:///etc/passwd", "url_blocked"),
        ("ftp://shop.example/a.jpg", "url_blocked"),
        ("gopher://shop.example:70/", "url_blocked"),
        ("data:image/png;base64,AAAA", "url_blocked"),
        ("javascript:alert(1)", "url_blocked"),
        ("//shop.example/a.jpg", "url_blocked"),
        ("shop.example/a.jpg", "url_blocked"),
        ("", "url_blocked"),
        ("http://", "url_invalid"),
        ("http:///a.jpg", "url_invalid"),
        ("http://shop.example\\@evil.example/", "url_invalid"),
        ("http://shop.example/\t", "url_invalid"),
        ("http://shop\n.example/", "url_invalid"),
        ("http://shop.example/a b.jpg", "url_invalid"),
        ("http://shop.example/\x00", "url_invalid"),
        ("http://ｅxample.com/", "url_invalid"),
        ("http://münchen.example/", "url_invalid"),
        ("http://[fe80::1%25eth0]/", "url_blocked"),
        ("http://[::1/", "url_invalid"),
        ("http://[not::an::address]/", "url_invalid"),
        ("http://-shop.example/", "url_invalid"),
        ("http://shop..example/", "url_invalid"),
        ("http://" + "a" * 64 + ".example/", "url_invalid"),
        ("http://shop.example/" + "a" * 2048, "url_invalid"),
    ],
)
def test_odd_addresses_are_refused(url: str, code: str) -> None:
    with pytest.raises(InputRejected) as refused:
        parse(url)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("HTTPS://Shop.Example/A.jpg?x=1&y=%20#part", "https://shop.example/A.jpg?x=1&y=%20"),
        ("http://shop.example:8080", "http://shop.example:8080/"),
        ("https://shop.example:443/ä.jpg", "https://shop.example/%C3%A4.jpg"),
        ("https://xn--mnchen-3ya.example/", "https://xn--mnchen-3ya.example/"),
        ("http://[2606:4700:4700::1111]/x", "http://[2606:4700:4700::1111]/x"),
        ("http://8.8.8.8/x", "http://8.8.8.8/x"),
    ],
)
def test_ordinary_addresses_are_kept(url: str, clean: str) -> None:
    assert parse(url).url == clean


def test_a_redirect_is_checked_like_an_address() -> None:
    base = parse("https://shop.example/a/b.jpg")
    assert redirect(base, "../c.jpg").url == "https://shop.example/c.jpg"
    assert redirect(base, "//cdn.example/c.jpg").url == "https://cdn.example/c.jpg"
    for location in ("file:///etc/passwd", "http://127.1/", "http://x@shop.example/", "http://[", "https:\\\\evil"):
        with pytest.raises(InputRejected):
            redirect(base, location)


@given(st.text(max_size=60))
def test_any_text_is_refused_or_becomes_a_plain_address(text: str) -> None:
    for url in (text, f"http://{text}", f"https://shop.example/{text}"):
        try:
            target = parse(url)
        except InputRejected:
            continue
        assert parse(target.url) == target
        assert target.url.isascii()
