"""Bodies are read as Go's encoding/json reads them (contract §1.2)."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from users.edge.body import Body
from users.errors import BadRequest


class Inner(Body):
    name: str = "none"


class Outer(Body):
    text: str = "none"
    inner: Inner = Inner()
    words: list[str] = Field(default_factory=list)
    data: dict[str, Any] = Field(default_factory=dict)
    moment: datetime | None = None
    kind: object = "none"

    @classmethod
    def takes_null(cls) -> frozenset[str]:
        return frozenset({"kind"})


def test_unknown_keys_are_ignored() -> None:
    assert Outer.parse('{"text":"a","other":{"deep":[1]},"zzz":null}').text == "a"


def test_keys_match_in_any_letter_case_at_every_depth() -> None:
    body = Outer.parse('{"TEXT":"a","iNNer":{"Name":"b"}}')
    assert (body.text, body.inner.name) == ("a", "b")


def test_of_duplicate_keys_the_last_wins_also_across_spellings() -> None:
    assert Outer.parse('{"text":"a","text":"b"}').text == "b"
    assert Outer.parse('{"text":"a","TEXT":"b"}').text == "b"
    assert Outer.parse('{"TEXT":"a","text":"b"}').text == "b"


def test_null_is_absent() -> None:
    body = Outer.parse('{"text":null,"inner":null,"words":null,"data":null,"moment":null}')
    assert body == Outer()
    assert Outer.parse("null") == Outer()


def test_null_is_a_value_where_the_model_says_so() -> None:
    assert Outer.parse('{"kind":null}').kind is None
    assert Outer.parse("{}").kind == "none"


@pytest.mark.parametrize("junk", [" trailing", "{}", "]", "\n\n\x01", '{"text":"b"}'])
def test_what_follows_the_first_value_is_ignored(junk: str) -> None:
    assert Outer.parse('{"text":"a"}' + junk).text == "a"


@pytest.mark.parametrize("space", [" ", "\t", "\r\n", " \n\t\r"])
def test_leading_json_white_space_is_skipped(space: str) -> None:
    assert Outer.parse(space + '{"text":"a"}').text == "a"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        '{"text":"a"',
        '{"text":}',
        "{'text':'a'}",
        "{text:1}",
        "[]",
        "[{}]",
        '"text"',
        "1",
        "true",
        "\ufeff{}",
        "\xa0{}",
        '{"data":{"a":NaN}}',
        '{"data":{"a":Infinity}}',
        '{"data":{"a":-Infinity}}',
        '{"data":{"a":01}}',
        '{"text":"a\nb"}',
        '{"text":"\\x"}',
        '{"text":5}',
        '{"text":true}',
        '{"text":["a"]}',
        '{"text":{}}',
        '{"inner":"a"}',
        '{"inner":[]}',
        '{"words":"a"}',
        '{"words":{"a":1}}',
        '{"words":[1]}',
        '{"data":[]}',
        '{"data":"a"}',
        '{"moment":"yesterday"}',
        '{"moment":{}}',
    ],
)
def test_what_is_not_json_of_the_right_types_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Outer.parse(text)
    assert (caught.value.code, caught.value.message) == (
        "malformed_body",
        "request body is not a valid JSON, expecting a valid JSON",
    )


@pytest.mark.parametrize("bad", ["\\u0000", "\\ud800", "\\udc00", "\\udc00\\ud800"])
@pytest.mark.parametrize(
    "form",
    ['{"text":"a%s"}', '{"unknown":"%s"}', '{"data":{"%s":1}}', '{"data":{"a":[{"b":"%s"}]}}', '{"words":["%s"]}'],
)
def test_text_that_postgresql_cannot_hold_is_refused_wherever_it_is(form: str, bad: str) -> None:
    with pytest.raises(BadRequest):
        Outer.parse(form % bad)


HALF = "request body holds half of a surrogate pair, which is no character"
DEEP = "request body is nested deeper than 100 levels"
LARGE = "request body holds a number beyond the range of a 64-bit float"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"text":"a\\u0000"}', "request body holds a NUL character, which cannot be stored"),
        ('{"data":{"\\u0000":1}}', "request body holds a NUL character, which cannot be stored"),
        ('{"text":"\\ud800"}', HALF),
        ('{"data":{"a":["\\udc00"]}}', HALF),
        ('{"data":' + '{"a":' * 101 + "1" + "}" * 102, DEEP),
        ("[" * 1001 + "]" * 1001, DEEP),
        ("[" * 200_000, DEEP),
        ('{"data":{"a":1e400}}', LARGE),
        ('{"data":{"a":-1e309}}', LARGE),
        ('{"data":{"a":' + "9" * 310 + "}}", LARGE),
        ('{"data":{"a":-' + "9" * 5000 + "}}", LARGE),
    ],
)
def test_what_is_json_but_not_kept_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Outer.parse(text)
    assert (caught.value.code, caught.value.message) == ("malformed_body", message)


def test_a_hundred_levels_are_taken() -> None:
    assert Outer.parse('{"data":' + '{"a":' * 98 + "[1]" + "}" * 99).data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e15", 1e15),
        ("1e16", 10**16),
        ("1e22", 10**22),
        ("-1e23", -(10**23)),
        ("1.7976931348623157e308", 17976931348623157 * 10**292),
        ("12345678901234567890", 12345678901234567890),
        ("5.439915897411125e+16", 54399158974111250),
        ("1e-300", 1e-300),
        ("1e-400", 0.0),
        ("-0.0", 0.0),
        ("1.0", 1.0),
        ("-" + "9" * 308, -int("9" * 308)),
    ],
)
def test_numbers_are_read_as_postgresql_gives_them_back(text: str, value: float) -> None:
    read = Outer.parse('{"data":{"a":' + text + "}}").data["a"]
    assert (repr(read), type(read)) == (repr(value), type(value))


@given(st.floats(min_value=1e16, allow_infinity=False) | st.floats(max_value=-1e16, allow_infinity=False))
def test_a_large_float_is_the_integer_of_the_same_digits(value: float) -> None:
    read = Outer.parse(json.dumps({"data": {"value": value}})).data["value"]
    assert isinstance(read, int)
    assert float(read) == value


def test_a_surrogate_pair_is_one_character() -> None:
    assert Outer.parse('{"text":"\\ud83d\\ude00"}').text == "😀"


@pytest.mark.parametrize("depth", [150, 450, 900, 1000, 5000, 200_000])
@pytest.mark.parametrize(("start", "end"), [('{"a":', "}"), ("[", "]")])
def test_deep_nesting_is_refused_known_or_unknown_key(depth: int, start: str, end: str) -> None:
    nested = start * depth + "1" + end * depth
    for text in ('{"data":{"x":' + nested + "}}", '{"unknown":' + nested + "}", nested):
        with pytest.raises(BadRequest):
            Outer.parse(text)


def test_nesting_that_people_use_is_taken() -> None:
    depth = 50
    body = Outer.parse('{"data":{"x":' + '{"a":' * depth + "1" + "}" * depth + "}}")
    assert json.dumps(body.data).count("{") == depth + 1


def test_times_are_read() -> None:
    assert Outer.parse('{"moment":"2026-01-02T03:04:05Z"}').moment == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(-1e15, 1e15)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_kept_as_it_is(value: Any) -> None:
    assert Outer.parse(json.dumps({"data": {"value": value}})).data == {"value": value}


@given(st.text())
def test_no_text_raises_anything_but_bad_request(text: str) -> None:
    with contextlib.suppress(BadRequest):
        Outer.parse(text)


@given(st.dictionaries(st.sampled_from(["text", "inner", "words", "data", "moment", "kind", "x"]), JSON))
def test_no_json_raises_anything_but_bad_request(value: Any) -> None:
    with contextlib.suppress(BadRequest):
        Outer.parse(json.dumps(value))
