"""docs/security.md: every statement refers to its tests, and every numbered test is on the page."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "security.md"
# A table and a fuzzer test these statements, and their tests have no number.
WITHOUT_NUMBERED_TESTS = {35}


def rows() -> dict[int, list[Path]]:
    found = re.findall(r"^\| S(\d+) \|.*\| ([^|]*) \|$", PAGE.read_text(), re.MULTILINE)
    return {int(number): [PAGE.parent / link for link in re.findall(r"\]\(([^)]*)\)", cell)] for number, cell in found}


def numbers_of(path: Path) -> set[int]:
    return {int(number) for number in re.findall(r"def test_s(\d\d)_", path.read_text())}


def test_every_link_leads_to_tests_of_that_number():
    statements = rows()
    assert len(statements) >= 35
    for number, paths in statements.items():
        assert paths, number
        assert all(path.is_file() for path in paths), number
        assert number in WITHOUT_NUMBERED_TESTS or any(number in numbers_of(path) for path in paths), number


def test_every_numbered_test_is_on_the_page():
    statements = rows()
    tested = {number: path for path in (PROJECT / "tests").rglob("test_*.py") for number in numbers_of(path)}
    assert tested
    assert [f"S{number}: {path.name}" for number, path in tested.items() if number not in statements] == []
