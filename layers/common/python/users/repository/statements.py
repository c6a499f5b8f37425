"""Statements: SQL text with a name, put together from parts that declare what they need.

A part is one common table expression (CTE). It declares the CTEs and columns that it reads from the parts before it,
and the columns that it returns. A statement is a sequence of parts. The last one, a part or plain SQL, is the main
query:

    Statement("rename", CHANGED, INSERT_RECORDS, "SELECT id FROM changed")

is ``WITH /* users: rename */ changed AS (…), recorded AS (…) SELECT id FROM changed``. Building a statement refuses a
part whose need is not met, and two parts of one name. Most statements are built when their module is imported. The few
whose text depends on a request are built and kept when they are first used. ``database.query`` refuses missing and
surplus parameters. Parts are SQL as it is sent, so one can read them and try them in ``psql``.

The name is a comment in the text, for the logs of PostgreSQL, ``pg_stat_activity`` and ``pg_stat_statements``. It comes
after the first word, because PostgreSQL 18 leaves a comment before the statement out of ``pg_stat_statements``.
"""

from collections.abc import Mapping

Columns = tuple[str, ...]

# The columns of a part that returns whole rows of a table.
ROW: Columns = ("*",)


class Unfit(Exception):
    """Parts that do not fit together, or parameters that do not fit a statement."""


class Part:
    """The CTE ``name``. ``needs`` maps the CTEs that it reads to their columns, ``gives`` are those that it returns."""

    __slots__ = ("gives", "materialized", "name", "needs", "sql")

    def __init__(
        self,
        name: str,
        sql: str,
        *,
        needs: Mapping[str, Columns] | None = None,
        gives: Columns = (),
        materialized: bool = False,
    ) -> None:
        self.name, self.sql = name, sql
        self.needs, self.gives = needs or {}, gives
        self.materialized = materialized

    @property
    def cte(self) -> str:
        """The part as it is written behind WITH."""
        return f"{self.name} AS {'MATERIALIZED ' if self.materialized else ''}(\n        {self.sql.strip()}\n    )"


class Statement:
    """A text to send, its name, and the names of its parameters."""

    __slots__ = ("name", "parameters", "text")

    def __init__(self, name: str, *parts: Part | str) -> None:
        """Put parts together. The last one is the main query. Raise Unfit."""
        given: dict[str, Columns] = {}
        ctes = []
        for part in parts[:-1]:
            if not isinstance(part, Part) or part.name in given:
                raise Unfit(f"{name}: {part.name if isinstance(part, Part) else 'a text'} cannot be a further part")
            _check_needs(name, part, given)
            given[part.name] = part.gives
            ctes.append(part.cte)
        last = parts[-1]
        if isinstance(last, Part):
            _check_needs(name, last, given)
            last = last.sql
        sql = f"WITH {', '.join(ctes)}\n{last}" if ctes else last
        first_word, rest = sql.split(maxsplit=1)
        self.name = name
        self.text = f"{first_word} /* users: {name} */ {rest}"
        self.parameters = _parameters_of(sql)

    def check(self, parameters: Mapping[str, object]) -> None:
        """Raise Unfit unless ``parameters`` are exactly those of the text."""
        if parameters.keys() != self.parameters:
            missing, surplus = self.parameters - parameters.keys(), parameters.keys() - self.parameters
            raise Unfit(f"{self.name}: missing parameters {sorted(missing)}, surplus parameters {sorted(surplus)}")


class _Names(dict[str, str]):
    """The names of the placeholders of a text that is formatted with this."""

    def __missing__(self, name: str) -> str:
        self[name] = ""
        return ""


def _parameters_of(sql: str) -> frozenset[str]:
    names = _Names()
    sql % names  # psycopg's placeholders are those of this operator
    return frozenset(names)


def _check_needs(statement: str, part: Part, given: Mapping[str, Columns]) -> None:
    for cte, columns in part.needs.items():
        if cte not in given:
            raise Unfit(f"{statement}: {part.name} needs {cte}")
        if given[cte] != ROW and not set(columns) <= set(given[cte]):
            raise Unfit(f"{statement}: {part.name} needs the columns {', '.join(columns)} of {cte}")
