"""Find prose that is hard to read, in documents, docstrings, comments, descriptions and help texts.

    python -m local.prose [PATH...]             check files and folders, or the whole repository
    python -m local.prose --subjects REVISIONS  check the subjects of commits, such as `main..HEAD`
    python -m local.prose --message FILE        check the message of one commit (the hook `commit-msg`)

The rules catch habits of this project, not every bad sentence. Text in backticks or double quotes is code or a
quotation, and is not checked.
"""

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import yaml

MOST_WORDS = 45
MOST_FINDINGS = 50
LONGEST_SUBJECT = 72
# Texts of others, and files that a program writes.
_SKIPPED = re.compile(r"(^|/)(node_modules|certificates)/|_pb2\.")
# Files whose comments start with these characters, and that have no other prose.
_COMMENTS = {".toml": "#", ".sh": "#", ".in": "#", "run": "#", "Makefile": "#", ".js": "//", ".mjs": "//"}
_DESCRIPTIONS = ("description", "summary", "Description", "title")
_HELP = ("help", "short_help", "description", "epilog")

_DONE = (
    r"(?:\w+ed|told|said|given|known|found|sent|made|done|written|shown|kept|held|meant|taken|left|due|missing|t?here)"
)
_VERBS = r"(?:holds?|is|are|has|have|had|does?|contains?|goes|go|can|may|must|will|needs?|gets?|comes?|come|lies?|lie)"
# Within a text: the pattern, and what to write instead.
WORDS = [
    (r"\b(?:tells|told|telling)\b(?! apart)", "data and software log, report, return, show, record or send"),
    (r"\btell\b(?! (?:apart|your?|us|[a-z ]{0,12}administrators?)\b)", "log, report, return, show, record or send"),
    (r"\b(?:says|said|saying)\b", "log, report, return, raise, contain, mean or name what it is"),
    (r"\b(?:say|to say) so\b|\bnothing to say\b", "name what is returned, raised, shown or sent"),
    (r"(?<!nobody )(?<!everybody )(?<!anybody )(?<!body who )(?<!person who )\bknows\b",
     "it has, holds, reads, accepts or supports something"),
    (r"\bwho(?:m|so)?ever\b", "name the subject: a caller that …, an account that …"),
    (rf"\bwhat (?:is|was|are|were|has been|had been) (?:not )?{_DONE}\b", "name the thing, as in: the stored value"),
    (r"\bone's\b", "name whose: the caller's, the account's, your"),
    (r"\bthe very one\b|\bno \w+ one\b", "name the thing instead of 'one'"),
    (rf"'s own {_VERBS}\b", "a noun is missing after 'own'"),
    (r"\b(?:is|are|was|were) (?:its|theirs?|ours)(?=[.,;:]|$)", "a noun is missing after the possessive"),
    (r"\bthere where\b|\bthere while\b", "present only if …, while …"),
    (r"(?:^|[.:;] )those of\b", "repeat the noun: the statistics of this table …"),
]  # fmt: skip
# At the start of a sentence that is no question.
STARTS = r"(?:What|Who|Whose|Whatever|Whom)\b"
# At the start of a docstring or a description.
TEXT_STARTS = [
    (r"Of (?:the|all|its|this|these|an?)\b", "name the thing before 'of'"),
    (r"(?:Tell|Say)\b", "Return, Log, Report, Raise, Show, Send …"),
]
# At the start of a function's docstring.
FUNCTION_STARTS = [
    (r"(?:The|An?|Whether|How|Where|When|Which|As|No|All|Its|Each|Every|These|That)\b", "begin with a verb: Return …"),
]


class Text(NamedTuple):
    """A piece of prose: its lines with their numbers.

    The kind is text, heading, docstring, function (the docstring of one) or description.
    """

    lines: list[tuple[int, str]]
    kind: str = "text"

    @property
    def joined(self) -> str:
        """The lines as one."""
        return " ".join(line.strip() for _number, line in self.lines)

    def line_at(self, offset: int) -> int:
        """Return the number of the line that holds a character of the joined text."""
        for number, line in self.lines:
            offset -= len(line.strip()) + 1
            if offset < 0:
                return number
        return self.lines[-1][0]


class Finding(NamedTuple):
    """A place, the words that are wrong there, and what to write instead."""

    line: int
    words: str
    advice: str


def texts_of(path: Path, content: str) -> Iterator[Text]:
    """Yield the prose of a file. A docstring of a test may have any form: it is a fact that the test proves."""
    if path.suffix == ".py":
        is_test = "tests" in path.parts
        yield from (text._replace(kind="text") if is_test else text for text in _python_texts(content))
    elif path.suffix == ".md":
        yield from _markdown_texts(content)
    elif path.suffix in (".yaml", ".yml"):
        yield from _yaml_texts(content)
    elif path.suffix == ".toml" and path.parent.name == "en":
        yield from _mail_texts(content)
    elif prefix := _COMMENTS.get(path.suffix or path.name):
        yield from _comment_texts(content, prefix)


def findings(text: Text) -> Iterator[Finding]:
    """Yield the findings in a text."""
    original, masked = text.joined, _masked(text.joined)
    matches = [(match, advice) for pattern, advice in WORDS for match in re.finditer(pattern, masked, re.IGNORECASE)]
    if text.kind not in ("text", "heading"):
        rules = TEXT_STARTS + (FUNCTION_STARTS if text.kind == "function" else [])
        matches += [(match, advice) for pattern, advice in rules if (match := re.match(pattern, masked))]
    for match, advice in matches:
        yield Finding(text.line_at(match.start()), original[match.start() : match.end()], advice)
    number, first = text.lines[0]
    if text.kind in ("docstring", "function") and ";" in _masked(first):
        yield Finding(number, first[:50], "no semicolon in the first line of a docstring")
    for start, end in _sentences(masked):
        beginning = original[start : start + 50]
        if text.kind != "heading" and re.match(STARTS, masked[start:end]) and not masked[:end].rstrip().endswith("?"):
            yield Finding(text.line_at(start), beginning, "a relative clause without a noun: name the subject")
        if (words := len(re.findall(r"\w[\w'’.-]*", masked[start:end]))) > MOST_WORDS:
            yield Finding(text.line_at(start), beginning, f"{words} words in a sentence, at most {MOST_WORDS}")


def subject_findings(subject: str) -> Iterator[Finding]:
    """Yield the findings in the subject of a commit."""
    if subject.startswith(("Merge ", "Revert ", "fixup! ", "squash! ")):
        return
    if len(subject) > LONGEST_SUBJECT:
        yield Finding(1, subject, f"{len(subject)} characters, at most {LONGEST_SUBJECT}")
    if ";" in subject:
        yield Finding(1, subject, "no semicolon: details belong in the body")
    yield from findings(Text([(1, subject)]))


def _masked(text: str) -> str:
    """Replace code, quotations and addresses by as many x."""
    return re.sub(
        r"``.+?``|`[^`]+`|\"[^\"]{1,300}\"|“[^”]{1,300}”|(?<=\])\([^) ]+\)|https?://\S+",
        lambda match: "x" * len(match[0]),
        text,
    )


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    ends = [match.end() for match in re.finditer(r"[.!?…:]?[.!?…][)'*]*\s+(?=[A-Z(*x\[])", text)]
    yield from pairwise([0, *ends, len(text)])


def _paragraphs(lines: Iterable[tuple[int, str]], kind: str) -> Iterator[Text]:
    """Split at empty lines and list items, and leave out indented code."""
    block: list[tuple[int, str]] = []
    listed = False
    for number, line in lines:
        item = re.match(r"\s*(?:[-*+]|\d+\.)\s+", line)
        code = line.startswith("    ") and not item and not listed
        if block and (not line.strip() or item or code):
            yield Text(block, kind)
            block, kind = [], "text"
        listed = bool(item) or (listed and bool(line.strip()))
        if line.strip() and not code:
            block.append((number, line[item.end() :] if item else line))
    if block:
        yield Text(block, kind)


def _python_texts(content: str) -> Iterator[Text]:
    tree = ast.parse(content)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstring_texts(node)
        elif isinstance(node, ast.keyword) and node.arg in _HELP:
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield Text([(part.lineno, part.value)], "description")
    comments = [
        (token.start[0], token.start[1], token.line[: token.start[1]].strip() == "", token.string)
        for token in tokenize.generate_tokens(io.StringIO(content).readline)
        if token.type == tokenize.COMMENT
    ]
    block: list[tuple[int, str]] = []
    before: tuple[int, int] | None = None
    for line, column, alone, comment in comments:
        if block and not (alone and before == (line - 1, column)):
            yield from _paragraphs(block, "text")
            block = []
        before = (line, column) if alone else None
        prose = re.sub(r"^#+:?!? ?", "", comment)
        prose = re.sub(r"^(?:noqa|type|fmt|pragma|ruff|mypy)\b:?\s*[^-]*(?:--?\s*|$)", "", prose)
        block.append((line, prose))
    yield from _paragraphs(block, "text")


def _docstring_texts(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Text]:
    kind = "docstring"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        decorators = {ast.unparse(each).split("(")[0].split(".")[-1] for each in node.decorator_list}
        # A property is described as an attribute, and click shows the docstring of a command.
        if not decorators & {"property", "cached_property", "command", "group"}:
            kind = "function"
    if docstring := ast.get_docstring(node):
        yield from _paragraphs(enumerate(docstring.splitlines(), start=node.body[0].lineno), kind)


def _markdown_texts(content: str) -> Iterator[Text]:
    block: list[tuple[int, str]] = []
    fenced = False
    for number, line in enumerate(content.splitlines(), start=1):
        fence = re.match(r"\s*(?:```|~~~)", line)
        if fenced or fence or re.match(r"\s*(?:\||#+ |<)", line):
            yield from _paragraphs(block, "text")
            block = []
        if fence:
            fenced = not fenced
        elif fenced or line.lstrip().startswith("<"):
            continue
        elif line.lstrip().startswith("|"):
            for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")):
                yield Text([(number, cell)])
        elif heading := re.match(r"#+ (.*)", line):
            yield Text([(number, heading[1])], "heading")
        else:
            block.append((number, line))
    yield from _paragraphs(block, "text")


def _yaml_texts(content: str) -> Iterator[Text]:
    yield from _comment_texts(content, "#")
    nodes = [node for node in yaml.compose_all(content, Loader=yaml.SafeLoader) if node]
    while nodes:
        node = nodes.pop()
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                nodes.append(value)
                if key.value in _DESCRIPTIONS and isinstance(value, yaml.ScalarNode):
                    first = value.start_mark.line + (2 if value.style in ("|", ">") else 1)
                    yield from _paragraphs(enumerate(value.value.splitlines(), start=first), "description")


def _mail_texts(content: str) -> Iterator[Text]:
    """Yield the values of a mail's texts, each line without its name and quotes."""
    lines = [re.sub(r'^(?:\w+ = "*|#)|"+$', "", line) for line in content.splitlines()]
    yield from _paragraphs(enumerate(lines, start=1), "text")


def _comment_texts(content: str, prefix: str) -> Iterator[Text]:
    """Yield comments, and what a Makefile prints as help."""
    block: list[tuple[int, str]] = []
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip().startswith(prefix):
            block.append((number, line.strip().lstrip(prefix).removeprefix(" ")))
            continue
        yield from _paragraphs(block, "text")
        block = []
        if trailing := re.search(rf"\s{prefix} ([^'\"]+)$", line):
            yield Text([(number, trailing[1])])
        elif echo := re.match(r'\t@echo "(.*)"', line):
            yield Text([(number, echo[1])])
    yield from _paragraphs(block, "text")


def _git(*arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.splitlines()


def check(paths: Iterable[str]) -> list[str]:
    """Return a line for each finding in these files."""
    lines = []
    for path in paths:
        if _SKIPPED.search(path) or not Path(path).is_file():
            continue
        if Path(path).suffix in (".py", ".md", ".yaml", ".yml") or (Path(path).suffix or Path(path).name) in _COMMENTS:
            found = {each for text in texts_of(Path(path), Path(path).read_text()) for each in findings(text)}
            lines += [f"{path}:{each.line}: {each.words!r}: {each.advice}" for each in sorted(found)]
    return lines


def main() -> int:
    """Print the findings. Return 1 when there are any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--subjects", metavar="REVISIONS")
    parser.add_argument("--message", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.subjects or options.message:
        if options.subjects:
            subjects = _git("log", "--format=%s", "--no-merges", options.subjects)
        else:
            subjects = options.message.read_text().splitlines()[:1]
        lines = [f"{each.words!r}: {each.advice}" for subject in subjects for each in subject_findings(subject)]
    else:
        lines = check(_git("ls-files", "--cached", "--others", "--exclude-standard", "--", *options.paths))
    for line in lines[:MOST_FINDINGS]:
        print(line)
    print(f"Findings in prose: {len(lines)}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
