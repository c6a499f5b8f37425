"""The rules of single fields (contract §1.6.1, §1.7, §1.8; decisions 19)."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users.errors import BadRequest
from users.models import User
from users.rules.fields import (
    check_description,
    check_email,
    check_name,
    check_name_size,
    check_profile_picture,
    check_sizes,
    check_username,
    metadata_bytes,
)


@pytest.mark.parametrize("username", ["a", "A1", "0", "a-b_c", "a-_-b", "a_", "a-", "x" * 32])
def test_usernames(username: str) -> None:
    check_username(username)


@pytest.mark.parametrize(
    "username",
    ["_a", "-a", "a b", "a.b", "a__b", "a--b", "a---", "x" * 33, "é", "a\n", "a\0", "a@b", "a@example.com", "İ", "１"],
)
def test_bad_usernames(username: str) -> None:
    with pytest.raises(BadRequest, match=r"^invalid username$") as caught:
        check_username(username)
    assert caught.value.code == "invalid_username"


def test_no_username() -> None:
    with pytest.raises(BadRequest, match=r"^missing username$"):
        check_username("")


@pytest.mark.parametrize(
    "email",
    ["a@b", "A@B.C", "ü@x.y", "a.b+c@x.y", "o'neil@x.ie", "a@bücher.example", "!#$%&'*+/=?^_`{|}~-@x", "日本@例え.jp"],
)
def test_emails(email: str) -> None:
    check_email(email)


@pytest.mark.parametrize(
    "email",
    [
        "admin",
        "@b",
        "a@",
        "a@b.",
        "a@.b",
        ".a@b",
        "a.@b",
        "a..b@x.y",
        "a@b..c",
        "a b@c",
        " a@b",
        "a@b ",
        "a@b\n",
        "a@b\r\nBcc: x@y",
        "a@b,c@d",
        "a@b@c",
        "a@b;c@d",
        "John <a@b.c>",
        "<a@b>",
        "a@b (c)",
        "group: a@b;",
        '"q q"@x.y',
        "a@[127.0.0.1]",
        "a\\b@c",
        "a\u202e@b",
        "a\u200b@b",
        "a\xa0b@c",
        "a\u2028@b",
        "a\x7f@b",
        "a\0@b",
    ],
)
def test_bad_emails(email: str) -> None:
    with pytest.raises(BadRequest, match=r"^invalid email$") as caught:
        check_email(email)
    assert caught.value.code == "invalid_email"


def test_no_email() -> None:
    with pytest.raises(BadRequest, match=r"^missing email$"):
        check_email("")


def test_an_email_fits_its_column() -> None:
    check_email("a" * 250 + "@b.c")
    with pytest.raises(BadRequest, match=r"^email is longer than 254 characters$") as caught:
        check_email("a" * 251 + "@b.c")
    assert caught.value.code == "email_too_long"


@given(st.text())
def test_an_accepted_email_is_one_line_with_one_address(email: str) -> None:
    try:
        check_email(email)
    except BadRequest:
        return
    assert email.count("@") == 1
    assert not set(email) & set(' \t\r\n<>,;:"()[]\\\0')


def test_names() -> None:
    check_name("A" * 254, "first name")
    check_name("é" * 254, "first name")
    with pytest.raises(BadRequest, match=r"^missing last name$") as caught:
        check_name("", "last name")
    assert caught.value.code == "missing_last_name"
    with pytest.raises(BadRequest, match=r"^first name is longer than 254 characters$") as caught:
        check_name("A" * 255, "first name")
    assert caught.value.code == "first_name_too_long"


@pytest.mark.parametrize("name", ["O’Brien-Müller", "佐藤 さくら", "दीपिका", "J. R. R.", "a\u0301", "😀"])
def test_names_of_all_scripts(name: str) -> None:
    check_name(name, "first name")


@pytest.mark.parametrize(
    "name",
    ["a\0b", "a\nb", "a\tb", "a\x7f", "a\x85", "\u202elave", "a\u200bb", "\ufeffa", "\ue000", "a\u2028b", "a\u2029b"],
)
def test_no_name_has_characters_that_nobody_sees(name: str) -> None:
    with pytest.raises(BadRequest, match=r"^first name has control or format characters$") as caught:
        check_name(name, "first name")
    assert caught.value.code == "invalid_first_name"


def test_the_name_size_counts_bytes() -> None:
    check_name_size("é" * 512, "username")
    for name in ("é" * 512 + "a", "a" * 1025):
        with pytest.raises(BadRequest, match=r"^invalid name size$") as caught:
            check_name_size(name, "username")
        assert caught.value.code == "invalid_name_size"
        assert caught.value.details == (("username", "invalid_name_size", "username is longer than 1024 bytes"),)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "foo",
        "//x",
        "http://x/a b",
        "https://example.com/p.png?x=1#y",
        "http://[::1]:80/",
        "HTTPS://x",
        "http://x:80/",
        "http://x:/",
        "?a:b",
        "#a:b",
        "a/b:c",
        "http://x/%41",
        "http://ü.example/",
    ],
)
def test_pictures(url: str) -> None:
    check_profile_picture(url)


@pytest.mark.parametrize(
    "url",
    [
        "\x00",
        "a\nb",
        "a\x7f",
        "http://x/%zz",
        "%",
        "a%4",
        ":foo",
        "1http://x",
        "http://[::1",
        "http://::1]/",
        "http://a b/",
        "http://x:port/",
        "http://x:-1/",
        "a:b",
        "mailto:a@b",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "\xa0javascript:alert(1)",
        "java%73cript:alert(1)",
        "java\nscript:alert(1)",
        "javascript://example.com/%0aalert(1)",
        "data:image/svg+xml,<svg onload='alert(1)'/>",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://example.com/1",
    ],
)
def test_bad_pictures(url: str) -> None:
    with pytest.raises(BadRequest, match=r"^invalid profile picture url$") as caught:
        check_profile_picture(url)
    assert caught.value.code == "invalid_profile_picture"


@given(st.text())
def test_no_picture_raises_anything_but_bad_request(url: str) -> None:
    with contextlib.suppress(BadRequest):
        check_profile_picture(url)


KIBIBYTES_64 = 64 * 1024


def filled(size: int, character: str = "x") -> dict[str, Any]:
    """Return the largest metadata of this character that has at most ``size`` bytes of JSON."""
    width = len(json.dumps(character, ensure_ascii=False).encode()) - 2
    return {"a": character * ((size - len('{"a":""}')) // width)}


@pytest.mark.parametrize("name", ["metadata", "private_metadata"])
@pytest.mark.parametrize("character", ["x", "é", "😀", "\x01", '"', "\\"])
def test_metadata_of_64_kibibytes_is_taken_and_of_more_refused(name: str, character: str) -> None:
    largest = filled(KIBIBYTES_64, character)
    check_sizes({name: largest})
    with pytest.raises(BadRequest, match=rf"^{name} is larger than 65536 bytes$") as caught:
        check_sizes({name: {"a": largest["a"] + character}})
    assert caught.value.code == f"{name}_too_large"


@pytest.mark.parametrize(
    ("number", "digits"),
    [(1, 1), (0.5, 3), (1e-5, 7), (5e-324, 326), (-2.5e-300, 304), (10**308, 309), (1e15, 18), (True, 4)],
)
def test_a_number_counts_with_all_its_digits(number: float, digits: int) -> None:
    assert metadata_bytes({"a": [number, {"b": number}]}) == len('{"a":[,{"b":}]}') + 2 * digits


def test_numbers_that_are_long_where_they_are_stored_are_refused() -> None:
    with pytest.raises(BadRequest):
        check_sizes({"metadata": {"a": [1e-300] * 220}})
    check_sizes({"metadata": {"a": [1e-300] * 200}})


def test_tags() -> None:
    check_sizes({"tags": ["é" * 64] * 100})
    with pytest.raises(BadRequest, match=r"^there are more than 100 tags$") as caught:
        check_sizes({"tags": [""] * 101})
    assert caught.value.code == "too_many_tags"
    with pytest.raises(BadRequest, match=r"^a tag is longer than 64 characters$") as caught:
        check_sizes({"tags": ["a", "x" * 65]})
    assert caught.value.code == "tag_too_long"


def test_a_picture_of_two_kibibytes() -> None:
    check_sizes({"profile_picture": "é" * 1024})
    with pytest.raises(BadRequest, match=r"^profile picture url is longer than 2048 bytes$") as caught:
        check_sizes({"profile_picture": "é" * 1024 + "x"})
    assert caught.value.code == "profile_picture_too_long"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metadata", filled(1_000_000)),
        ("private_metadata", filled(1_000_000)),
        ("tags", ["x" * 4000] * 500),
        ("profile_picture", "x" * 100_000),
    ],
)
def test_a_larger_value_that_is_stored_already_is_no_change(name: str, value: Any) -> None:
    check_sizes({name: value, "first_name": "Ada"}, User(id="a", **{name: value}))
    with pytest.raises(BadRequest):
        check_sizes({name: value}, User(id="a"))


def test_descriptions() -> None:
    check_description("é" * 255)
    with pytest.raises(BadRequest, match=r"^description is longer than 255 characters$") as caught:
        check_description("x" * 256)
    assert caught.value.code == "description_too_long"
