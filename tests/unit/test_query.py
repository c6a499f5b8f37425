"""Query strings are parsed as by Go's URL.Query, and single values as contract §3.1 describes."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users.errors import BadRequest
from users.rules.query_string import Query

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def assert_invalid(caught: pytest.ExceptionInfo[BadRequest]) -> None:
    assert (caught.value.code, caught.value.message) == ("invalid_query", "invalid query parameters")


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("a=x", "x"),
        ("a=x+y", "x y"),
        ("a=x%20y", "x y"),
        ("a=x%2By", "x+y"),
        ("a=x=y", "x=y"),
        ("a=", ""),
        ("a", ""),
        ("%61=x", "x"),
        ("a=%C3%A9", "é"),
        ("&&a=x&&", "x"),
        ("b=1&a=x", "x"),
        ("a=x&b=%zz", "x"),
        ("a=x&A=y", "x"),
        ("a=x&a;b=y", "x"),
        ("a=x&a=y;z", "x"),
        ("a=%zz&a=x", "x"),
        ("a=%4&a=x", "x"),
        ("a=x%25", "x%"),
    ],
)
def test_text(raw: str, value: str) -> None:
    assert Query(raw).text("a") == value


@pytest.mark.parametrize("raw", ["", "b=1", "a=%", "a=%g0", "a=1;", ";a=1", "A=1"])
def test_an_absent_or_dropped_key_is_the_default(raw: str) -> None:
    assert Query(raw).text("a", "default") == "default"


@pytest.mark.parametrize("raw", ["a=1&a=1", "a&a", "a=1&%61=2", "a=%00", "a=%ff", "a=%C3", "a=%ED%A0%80"])
def test_repeated_and_unstorable_values_are_refused(raw: str) -> None:
    for read in (Query(raw).text, Query(raw).flag, Query(raw).json_object, Query(raw).moment):
        with pytest.raises(BadRequest) as caught:
            read("a")
        assert_invalid(caught)
    with pytest.raises(BadRequest):
        Query(raw).number("a", 0)


@given(TEXT)
def test_any_text_comes_back(text: str) -> None:
    for encoded in (quote(text, safe=""), quote_plus(text)):
        assert Query(f"a={encoded}").text("a") == text


@given(st.text())
def test_no_query_string_raises_at_parsing(raw: str) -> None:
    Query(raw)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("10", 10), ("007", 7), (str(2**63 - 1), 2**63 - 1)])
def test_numbers(text: str, number: int) -> None:
    assert Query(f"n={text}").number("n", 5) == number


def test_an_absent_number_is_the_default() -> None:
    assert Query("").number("n", 5) == 5


@pytest.mark.parametrize(
    "text",
    ["", "%2B1", "-1", "+1", "1+", "1.0", "1e3", "0x10", "1_0", "%D9%A1", "%C2%B2", str(2**63), "9" * 5000, "a"],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Query(f"n={text}").number("n", 5)
    assert_invalid(caught)


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_truths(text: str) -> None:
    assert Query(f"f={text}").flag("f") is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_falsehoods(text: str) -> None:
    assert Query(f"f={text}").flag("f") is False


def test_an_absent_flag_is_none() -> None:
    assert Query("").flag("f") is None


@pytest.mark.parametrize("text", ["", "yes", "no", "tRUE", "on", "2", "true+"])
def test_what_is_no_boolean_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Query(f"f={text}").flag("f")
    assert_invalid(caught)


@pytest.mark.parametrize(
    ("text", "value"), [("null", {}), ("{}", {}), ('{"a":1}', {"a": 1}), (' {"a":[]} ', {"a": []})]
)
def test_json_objects(text: str, value: Any) -> None:
    assert Query(urlencode({"m": text})).json_object("m") == value


def test_an_absent_json_object_is_empty() -> None:
    assert Query("").json_object("m") == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        '"a"',
        "true",
        "{",
        "{} x",
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":1e400}',
        '{"a":"\\u0000"}',
        '{"\\u0000":1}',
        '{"a":"\\ud800"}',
        '{"a":' + "9" * 5000 + "}",
        *('{"a":' * depth + "1" + "}" * depth for depth in (900, 950, 960, 970, 980, 990, 1000, 3000)),
    ],
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Query(urlencode({"m": text})).json_object("m")
    assert_invalid(caught)


@given(st.dictionaries(TEXT, st.integers() | TEXT.filter(lambda text: "\\" not in text) | st.booleans() | st.none()))
def test_any_json_object_comes_back(value: Any) -> None:
    if not any("\\" in key for key in value):
        assert Query(urlencode({"m": json.dumps(value)})).json_object("m") == value


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.5Z", datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)),
        ("2026-01-02T03:04:05%2B02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05-02:30", datetime(2026, 1, 2, 5, 34, 5, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times(text: str, moment: datetime) -> None:
    assert Query(f"t={text}").moment("t") == moment


@pytest.mark.parametrize("raw", ["", "t", "t="])
def test_an_absent_or_empty_time_is_none(raw: str) -> None:
    assert Query(raw).moment("t") is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02+03:04:05Z",
        "2026-01-02T03:04:05z",
        "2026-01-02t03:04:05Z",
        "2026-01-02T03:04Z",
        "2026-01-02T03:04:05+02:00",  # an unescaped plus is a space
        "2026-01-02T03:04:05%2B0200",
        "2026-02-30T00:00:00Z",
        "2026-01-02T25:00:00Z",
        "2026-01-02T03:04:60Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05%2B24:00",
        "0001-01-01T00:00:00%2B01:00",
        "9999-12-31T23:59:59-01:00",
        "0000-01-01T00:00:00Z",
        "1700000000",
        "%D9%A2026-01-02T03:04:05Z",
        "2026-W01-1T03:04:05Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Query(f"t={text}").moment("t")
    assert_invalid(caught)


ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES))  # noqa: DTZ001 -- bounds
def test_any_time_comes_back(moment: datetime) -> None:
    text = moment.isoformat()
    assert Query(urlencode({"t": text})).moment("t") == moment
