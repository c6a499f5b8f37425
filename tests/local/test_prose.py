"""The prose check: the sentences that it was made for are caught, and their plain forms pass."""

from pathlib import Path

import pytest

from local import prose

ISSUE = [
    (
        "What imports make stays: looking for garbage in it is a twelfth of importing",
        "Objects made during import live for ever. Collecting them costs 8 % of the import time.",
    ),
    (
        "becomes the very one, for the exact index to refuse",
        "We write the existing spelling, so that the exact unique index rejects it.",
    ),
    (
        "uses up no wider one",
        "An attempt that a narrow limit refuses does not count against the wider limits.",
    ),
    ("which is how it says so", "Auth answers INTERNAL when the relation is missing."),
    (
        "a condition that the planner has no statistics of: those of this table are always of another time",
        (
            "The table's statistics are always stale, and a wrong estimate makes the planner scan the whole index."
            " CASE hides the condition from the estimator."
        ),
    ),
    (
        "What it says of one entry and may not say again, and the seconds to wait then, after each try.",
        "Error codes of single entries that are worth retrying, and the pauses in seconds between tries.",
    ),
    (
        "an idle server has nothing to say unasked, except when it hangs up. Its last words may come before the end",
        (
            "An idle server sends nothing, so readable data means that it is closing: first an error message, then end"
            " of file."
        ),
    ),
    ("There where `total` is an estimate.", "Present, and true, only if `total` is an estimate."),
    (
        "Of the functions and the layers; build with the same.",
        "CPU architecture of functions and layers. Must equal ARCHITECTURE of `make build`.",
    ),
    (
        "The service's own hold no password",
        "The service's own logs, metrics and spans contain no password",
    ),
    (
        "by which a CloudFront distribution proves that `CloudFront-Viewer-Address` is its.",
        "Shared secret that CloudFront sends as `X-Origin-Verify`. Only then is `CloudFront-Viewer-Address` trusted.",
    ),
]


@pytest.mark.parametrize(("bad", "plain"), ISSUE)
def test_the_sentences_of_the_issue_are_caught_and_their_plain_forms_pass(bad: str, plain: str) -> None:
    assert list(prose.findings(prose.Text([(1, bad)], "description")))
    assert not list(prose.findings(prose.Text([(1, plain)], "description")))


def test_subjects_of_commits_are_short_and_have_no_semicolon() -> None:
    bad = "Said once: what alarms' metrics share, what they are of; and nobody's parameter is gone"
    assert [each.advice[:12] for each in prose.subject_findings(bad)] == [
        "87 character",
        "no semicolon",
        "log, report,",
    ]
    assert not list(prose.subject_findings("Remove duplicated alarm metrics"))
    assert not list(
        prose.subject_findings("Merge what a hostile review told; and more of it, in more than 72 characters")
    )


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("a.py", '"""Write a row; whoever reads it."""\n\n\ndef count():\n    """The number."""\n', [1, 1, 5]),
        ("a.py", "x = 1  # what is due\n\n# One line\n# that tells of another\n", [1, 4]),
        ("a.py", '@property\ndef name(self):\n    """The name."""\n', []),
        ("a.py", 'add("--x", help="what is due")  # noqa: S101 -- said before\n', [1, 1]),
        ("tests/test_a.py", 'def test_a():\n    """The row is there; it tells all."""\n', [2]),
        ("README.md", "# What it costs\n\nWhat is it?\n\n```\ntold\n```\n\n- `told`, \"told\"\n- it\n  told\n", [11]),
        ("README.md", "| told | b |\n|---|---|\n| a | What b is |\n", [1, 3]),
        ("README.md", f"{'word ' * 46}.\n", [1]),
        ("a.yaml", "# told\na: {description: Who is asked}\nb:\n  summary: |\n    One\n    knows\n", [1, 2, 6]),
        ("Makefile", '# told\nhelp:\n\t@echo "make a  says it"\n', [1, 3]),
        ("en/a.toml", 'subject = "Who knows"\ntext = """\nIt tells.\n\nIt works.\n"""\n', [1, 1, 3]),
        ("a.json", '"told"', []),
    ],
)  # fmt: skip
def test_findings_have_the_line_of_their_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, lines: list[int]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(content)
    assert [int(line.split(":")[1]) for line in prose.check([name])] == lines
