"""Statements that are put together from parts (users/repository/statements.py)."""

import pytest

from users.repository.statements import ROW, Part, Statement, Unfit

CHANGED = Part("changed", "\n  UPDATE users SET role = %(role)s WHERE id = %(id)s RETURNING id", gives=("id",))
RECORDED = Part("recorded", "SELECT id, %(role)s FROM changed", needs={"changed": ("id",)})


def test_the_text_is_that_of_the_parts_in_their_order() -> None:
    statement = Statement("change", CHANGED, RECORDED, "SELECT id FROM changed")
    assert " ".join(statement.text.split()) == (
        "WITH /* users: change */ changed AS ( UPDATE users SET role = %(role)s WHERE id = %(id)s RETURNING id ),"
        " recorded AS ( SELECT id, %(role)s FROM changed ) SELECT id FROM changed"
    )
    assert (statement.name, statement.parameters) == ("change", frozenset({"role", "id"}))


def test_a_part_is_also_what_a_statement_does() -> None:
    statement = Statement("change", CHANGED, RECORDED)
    assert statement.text.endswith("\nSELECT id, %(role)s FROM changed")


def test_plain_sql_gets_its_name_after_the_first_word() -> None:
    """PostgreSQL 18 leaves a comment before the statement out of pg_stat_statements."""
    assert Statement("one", "\n    SELECT\n1").text == "SELECT /* users: one */ 1"


def test_a_materialized_part() -> None:
    part = Part("one", "SELECT 1 AS one", gives=("one",), materialized=True)
    assert "one AS MATERIALIZED (\n" in Statement("one", part, "TABLE one").text


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ((RECORDED, "SELECT 1"), "change: recorded needs changed"),
        ((RECORDED,), "change: recorded needs changed"),
        ((RECORDED, CHANGED, "SELECT 1"), "change: recorded needs changed"),
        ((CHANGED, CHANGED, "SELECT 1"), "change: changed cannot be a further part"),
        (("SELECT 1", "SELECT 2"), "change: a text cannot be a further part"),
        (
            (CHANGED, Part("named", "SELECT email FROM changed", needs={"changed": ("id", "email")}), "SELECT 1"),
            "change: named needs the columns id, email of changed",
        ),
    ],
)
def test_parts_that_do_not_fit(parts: tuple[Part | str, ...], reason: str) -> None:
    with pytest.raises(Unfit, match=f"^{reason}$"):
        Statement("change", *parts)


def test_a_whole_row_has_every_column() -> None:
    row = Part("changed", "UPDATE users SET role = 1 RETURNING *", gives=ROW)
    for columns in (("id", "email"), ROW):
        Statement("change", row, Part("named", "SELECT 1", needs={"changed": columns}), "SELECT 1")
    with pytest.raises(Unfit):
        Statement("change", CHANGED, Part("named", "SELECT 1", needs={"changed": ROW}), "SELECT 1")


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"role": 1}, r"change: missing parameters \['id'\], surplus parameters \[\]"),
        ({"role": 1, "id": "x", "at": None}, r"change: missing parameters \[\], surplus parameters \['at'\]"),
        ({"role": 1, "ID": "x"}, r"change: missing parameters \['id'\], surplus parameters \['ID'\]"),
    ],
)
def test_parameters_that_do_not_fit(parameters: dict[str, object], reason: str) -> None:
    statement = Statement("change", CHANGED, RECORDED)
    statement.check({"role": 1, "id": "x"})
    with pytest.raises(Unfit, match=f"^{reason}$"):
        statement.check(parameters)
