"""Durations of the local servers, which read the same texts as the service does."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.serving.durations import parse_duration
from users.parsers import go_duration

UNITS = ["h", "m", "s", "ms", "us", "µs", "μs", "ns"]
PARTS = st.tuples(st.sampled_from(["0", "1", "12", "1.5", "2.", ".25"]), st.sampled_from(UNITS)).map("".join)
TEXTS = st.builds(lambda sign, parts: sign + "".join(parts), st.sampled_from(["", "-", "+"]), st.lists(PARTS))
OTHERS = st.text(alphabet="0123456789.+-hmsunµd ", max_size=6)


@given(st.one_of(TEXTS, OTHERS))
def test_the_service_and_the_local_servers_read_the_same(text: str) -> None:
    try:
        expected = go_duration(text)
    except ValueError:
        with pytest.raises(ValueError, match="duration"):
            parse_duration(text)
    else:
        assert parse_duration(text) == timedelta(seconds=expected)


def test_what_go_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration("9999999h")
