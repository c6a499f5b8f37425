"""A cursor decodes to the encoded values, and no other text is a cursor (S49)."""

import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users.errors import BadRequest
from users.rules.cursor import Cursor, Place

PLACE = Place(operation="list_users", order="email", descending=True)
CURSOR = Cursor(value="ada@example.com", id="4f2b5b0a-6f0e-4c0e-9a34-0b9a3f1f7d11")
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@pytest.fixture(autouse=True)
def secret_key(configure: Callable[..., None]) -> None:
    configure(MG_USERS_SECRET_KEY="0123456789abcdef0123456789abcdef")


def assert_refused(text: str, place: Place = PLACE) -> None:
    with pytest.raises(BadRequest) as caught:
        Cursor.decode(text, place)
    assert (caught.value.code, caught.value.message) == ("invalid_cursor", "invalid cursor")


@given(st.builds(Cursor, value=TEXT, id=TEXT))
def test_any_cursor_comes_back(cursor: Cursor) -> None:
    text = cursor.encode(PLACE)
    assert Cursor.decode(text, PLACE) == cursor
    assert quote(text, safe="") == text, "a cursor needs no escaping in a URL"


def test_each_cursor_is_another_text() -> None:
    assert CURSOR.encode(PLACE) != CURSOR.encode(PLACE)


def test_the_length_does_not_tell_the_length_of_the_value() -> None:
    texts = [replace(CURSOR, value="x" * length).encode(PLACE) for length in (0, 1, 30, 100)]
    assert len({len(text) for text in texts}) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(PLACE, operation="search_users"),
        replace(PLACE, order="username"),
        replace(PLACE, descending=False),
    ],
)
def test_a_cursor_of_another_list_is_refused(other: Place) -> None:
    assert_refused(CURSOR.encode(other))


def test_a_cursor_of_another_key_is_refused(configure: Callable[..., None]) -> None:
    text = CURSOR.encode(PLACE)
    configure(MG_USERS_SECRET_KEY="fedcba9876543210fedcba9876543210")
    assert_refused(text)


def test_a_cursor_with_any_character_changed_is_refused() -> None:
    text = CURSOR.encode(PLACE)
    for position, character in enumerate(text):
        assert_refused(text[:position] + ("A" if character != "A" else "B") + text[position + 1 :])


def test_another_spelling_of_the_same_bytes_is_refused() -> None:
    """Base64 decoders skip foreign characters, and the spare bits of the last character."""
    text = CURSOR.encode(PLACE)
    padding = "=" * (-len(text) % 4)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    raw = base64.urlsafe_b64decode(text + padding)
    spellings = [text[:-1] + last for last in alphabet if last != text[-1]]
    same = [other for other in spellings if base64.urlsafe_b64decode(other + padding) == raw]
    assert same
    for other in (*same, text + "!", f"{text[:8]}\n{text[8:]}", text + padding, text + "="):
        assert_refused(other)


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "é",
        "!!!!",
        encoded([]),
        encoded(["email", True, "a", "b"]),
        encoded(["updated_at", True, "2026-06-26 10:11:12.3456+00", "4f2b5b0a-6f0e-4c0e-9a34-0b9a3f1f7d11"]),
        *(base64.urlsafe_b64encode(b"x" * length).decode().rstrip("=") for length in (1, 24, 40, 41, 296, 6000)),
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    assert_refused(text)


@given(st.text())
def test_no_cursor_raises_anything_but_bad_request(text: str) -> None:
    with contextlib.suppress(BadRequest):
        Cursor.decode(text, PLACE)
