"""The canonical spelling of an address (decisions 33): UTS 46 for the domain, NFC for the local part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users.errors import BadRequest
from users.rules.email_addresses import canonical_email, canonical_or_typed


@pytest.mark.parametrize(
    "domain",
    [
        "example.com", "EXAMPLE.com", "ｅxample.com", "𝐞xample.com", "ⓔxample.com", "ℯxample.com", "Ｅxample.com",
        "example。com", "example．com", "example｡com",
    ],
)  # fmt: skip
def test_spellings_of_one_domain(domain: str) -> None:
    assert canonical_email(f"Ada@{domain}") == "Ada@example.com"


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("a@b", "a@b"),
        ("Ada@Example.COM", "Ada@example.com"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@BÜCHER.example", "a@xn--bcher-kva.example"),
        ("a@bu\u0308cher.example", "a@xn--bcher-kva.example"),
        ("a@XN--Bcher-KVA.example", "a@xn--bcher-kva.example"),
        ("a@faß.example", "a@xn--fa-hia.example"),
        ("a@βόλος.example", "a@xn--nxasmm1c.example"),
        ("日本@例え.jp", "日本@xn--r8jz45g.jp"),
        ("jo\u0308rg@x.y", "jörg@x.y"),
        ("a@a_b.example", "a@a_b.example"),
    ],
)
def test_the_one_spelling(typed: str, address: str) -> None:
    assert canonical_email(typed) == address


@pytest.mark.parametrize(
    "typed",
    [
        "", "ada", "a@example。", "a@。example", "a@\u037e.com", "a\u037eb@x.y", "a@💩.example", "a@ü_b.example",
        f"a@{'ü' * 64}.example", "a@exam\u00adple.com", "a@xn--bcher-kva.example\u200d", "a@b＠c",
    ],
)  # fmt: skip
def test_what_is_no_address(typed: str) -> None:
    with pytest.raises(BadRequest):
        canonical_email(typed)
    assert canonical_or_typed(typed) == typed


def test_a_canonical_address_fits_its_column() -> None:
    typed = f"{'x' * 200}@{'ü' * 40}.example"
    with pytest.raises(BadRequest) as caught:
        canonical_email(typed)
    assert caught.value.code == "email_too_long"


def test_a_long_text_is_no_address_to_look_for() -> None:
    assert canonical_or_typed(f"a@{'ü' * 300}") == f"a@{'ü' * 300}"


@given(st.text(st.one_of(st.characters(), st.sampled_from("aA@.。ｅßü\u0308\u037e-_")), max_size=20))
def test_the_canonical_spelling_is_its_own(typed: str) -> None:
    try:
        address = canonical_email(typed)
    except BadRequest:
        return
    assert canonical_email(address) == address
    assert address.rpartition("@")[2].isascii()
    assert address.rpartition("@")[2] == address.rpartition("@")[2].lower()
