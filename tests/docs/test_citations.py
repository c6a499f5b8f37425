"""Every citation in the repository resolves: of the contract, a decision, a statement of security, or a page.

The forms are ``contract §1.6.2``, ``contract §4.3, §9 B3``, ``decisions 26``, ``decisions 6, 12``, ``S13``, ``S1–S3``
and ``operations.md#health``. A citation in another form is reported as well, so that a search finds all of them.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.docs.test_links import anchors
from tests.service import ROOT

DOCS = ROOT / "docs"
CONTRACT = DOCS / "contract.md"

_NOT_OURS = {".git", ".venv", ".local", ".aws-sam", "node_modules", "__pycache__"}
_NOT_PROSE = {".pem", ".svg", ".png", ".gz", ".txt", ".json", ".binpb", ".pyc"}

# A blank, or a line break and what a comment begins its next line with.
_GAP = r"\s+(?:(?:#|//|--)\s*)?"
_NEXT = rf"(?:,{_GAP}|–|{_GAP}and{_GAP}|{_GAP}or{_GAP})"
_SECTION = r"§(\d+(?:\.\d+)*(?: [SB]\d+)?)"
_CONTRACT = re.compile(rf"[Cc]ontract{_GAP}{_SECTION}(?:{_NEXT}{_SECTION})*")
_DECISIONS = re.compile(rf"[Dd]ecisions{_GAP}\d+(?:{_NEXT}\d+)*\b")
_STATEMENT = re.compile(r"\bS(\d{1,2})\b")
_PAGE = re.compile(r"(?<![\w./-])(?:docs/)?([A-Za-z][\w-]*\.md)\b(?:#([\w-]+))?")
# A second defect that lacks its section would be taken for a statement of security.
_DEFECT_ALONE = re.compile(rf"§9 [SB]\d+(?:,{_GAP}|{_GAP}and{_GAP})[SB]\d+")
# Forms that look like a citation and are none.
_OTHER_FORMS = re.compile(
    rf"(?<!RFC 8410 )§\d[\w.]*|[Dd]ecisions\.md,?{_GAP}\d+|[Dd]ecision{_GAP}\d+|[Ss]ecurity\.md,?{_GAP}S\d+"
)
# The rows by which contract.md defines its defects.
_DEFECT = re.compile(r"^\| ([SB]\d+) \|", re.MULTILINE)


@dataclass(frozen=True)
class Known:
    """Everything that a citation may name."""

    sections: set[str]
    decisions: set[str]
    statements: set[str]
    pages: dict[str, set[str]] = field(default_factory=dict)


def known() -> Known:
    contract = CONTRACT.read_text()
    sections = re.findall(r"^#+ (\d+(?:\.\d+)*)\.? ", contract, re.MULTILINE)
    pages = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(ROOT / "local").rglob("*.md")]
    return Known(
        sections={*sections, *(f"9 {number}" for number in _DEFECT.findall(contract))},
        decisions=set(re.findall(r"^### (\d+)\. ", (DOCS / "decisions.md").read_text(), re.MULTILINE)),
        statements=set(re.findall(r"^\| S(\d+) \|", (DOCS / "security.md").read_text(), re.MULTILINE)),
        pages={page.name: anchors(page) for page in pages},
    )


def files() -> Iterator[Path]:
    """The text files of the repository, but this one, which holds wrong citations."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in _NOT_OURS and not name.endswith("_cache")]
        paths = [Path(folder) / name for name in names]
        yield from (path for path in paths if path.suffix not in _NOT_PROSE and path != Path(__file__))


def citations(text: str, *, in_contract: bool = False) -> Iterator[tuple[int, str, str]]:
    """The line, the kind and the number of each citation. contract.md cites itself by ``§1.2`` alone."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    def found(pattern: re.Pattern[str], kind: str, number: str) -> Iterator[tuple[int, str, str]]:
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield from ((line, kind, each) for each in re.findall(number, match[0]))

    if in_contract:
        text = _DEFECT.sub(blank, text)
    for pattern, kind, number in (
        (_DEFECT_ALONE, "another form", r"(?s).+"),
        (re.compile(_SECTION) if in_contract else _CONTRACT, "contract", _SECTION),
        (_DECISIONS, "decisions", r"\d+"),
        (_OTHER_FORMS, "another form", r"(?s).+"),
        (_STATEMENT, "S", r"\d+"),
        (_PAGE, "page", r"[A-Za-z][\w-]*\.md(?:#[\w-]+)?"),
    ):
        yield from found(pattern, kind, number)
        text = pattern.sub(blank, text)


def resolves(kind: str, number: str, to: Known) -> bool:
    if kind == "page":
        page, _, anchor = number.partition("#")
        return page in to.pages and (not anchor or anchor in to.pages[page])
    return number in {"contract": to.sections, "decisions": to.decisions, "S": to.statements}.get(kind, set())


def test_every_citation_resolves() -> None:
    to = known()
    seen: list[str] = []
    lost: list[str] = []
    for path in files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for line, kind, number in citations(text, in_contract=path == CONTRACT):
            seen.append(kind)
            if not resolves(kind, number, to):
                lost.append(f"{path.relative_to(ROOT)}:{line}: {kind} {number}")
    assert lost == []
    assert min(Counter(seen)[kind] for kind in ("contract", "decisions", "S", "page")) > 50


KNOWN = Known(
    sections={"1.6.2", "4.3", "9", "9 B3"},
    decisions={"6", "12"},
    statements={"1", "3", "13"},
    pages={"operations.md": {"health"}},
)


def unresolved(text: str, **options: bool) -> list[str]:
    found = citations(text, **options)
    return [f"{line}: {kind} {number}" for line, kind, number in found if not resolves(kind, number, KNOWN)]


@pytest.mark.parametrize(
    "text",
    [
        "(contract §1.6.2, §4.3; decisions 6, 12; S1–S3, S13)",
        "Contract §9 B3 and §4.3.",
        "# by contract\n# §4.3, and\n# decisions\n# 6 and 12",
        "decisions 6–12; see operations.md and docs/operations.md#health",
        "RFC 8410 §7, a key in S3, noqa: S105, SHA-256, contracts, 12 decisions",
    ],
)
def test_citations_that_resolve(text: str) -> None:
    assert unresolved(text) == []


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("\n(contract §1.6.9, §4.3)", ["2: contract 1.6.9"]),
        ("contract §4.3,\n    §4.4", ["1: contract 4.4"]),
        ("contract §9 B4", ["1: contract 9 B4"]),
        ("decisions 6, 13", ["1: decisions 13"]),
        ("decisions 6–13", ["1: decisions 13"]),
        ("S1–S4", ["1: S 4"]),
        ("S2", ["1: S 2"]),
        ("architecture.md, operations.md#wealth", ["1: page architecture.md", "1: page operations.md#wealth"]),
        ("the contract's §4.3", ["1: another form §4.3"]),
        ("decisions.md 6; security.md S1", ["1: another form decisions.md 6", "1: another form security.md S1"]),
        ("decision 6", ["1: another form decision 6"]),
        ("contract §9 B3, B4", ["1: another form §9 B3, B4"]),
    ],
)
def test_citations_that_do_not_resolve(text: str, reported: list[str]) -> None:
    assert unresolved(text) == reported


def test_the_contract_cites_itself_without_its_name() -> None:
    assert unresolved("| S7 | a defect |\n| B9 | as §4.3 and §9 B3 |", in_contract=True) == []
    assert unresolved("as §4.4", in_contract=True) == ["1: contract 4.4"]
