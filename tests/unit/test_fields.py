"""The rules of single fields (contract §1.6.1, §1.7, §1.8; decisions.md 19)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users.errors import BadRequest
from users.fields import check_email, check_name, check_name_size, check_profile_picture, check_username


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
    check_name_size("é" * 512)
    for name in ("é" * 512 + "a", "a" * 1025):
        with pytest.raises(BadRequest, match=r"^invalid name size$") as caught:
            check_name_size(name)
        assert caught.value.code == "invalid_name_size"


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
