"""The mails: subject, text and HTML of each, from the templates beside this file."""

from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from string import Template

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A rendered mail."""

    subject: str
    text: str
    html: str


def render(name: str, values: dict[str, str], language: str = "en") -> Mail:
    """The mail ``name`` with its ``$values`` put in, escaped in the HTML part.

    The text template's first line is the subject; what values hold of line breaks becomes spaces, so that nobody's
    name writes a header or a paragraph.
    """
    plain = {key: " ".join(value.split()) for key, value in values.items()}
    subject, _, text = _template(language, f"{name}.txt").substitute(plain).partition("\n")
    html = _template(language, f"{name}.html").substitute({key: escape(value) for key, value in plain.items()})
    return Mail(subject=subject, text=text.lstrip("\n"), html=html)


@cache
def _template(language: str, file: str) -> Template:
    return Template((_FOLDER / language / file).read_text(encoding="utf-8"))
