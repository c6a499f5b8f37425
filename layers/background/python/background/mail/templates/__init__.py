"""The mails: subject, text and HTML of each mail, in every language that has a folder here.

``<language>/<mail>.toml`` contains a mail's subject, its text, and the label of its button. The subject is also the
heading. ``<language>/frame.toml`` contains the texts that all mails of the language share. The text part and the HTML
part have the same paragraphs. All mails share the ``.html`` files. To add a language, add a folder with the same files.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from textwrap import fill

from background.mail.templates.names import shown_name
from users.rules import locales
from users.rules.contrast import readable_on
from users.settings import settings

_FOLDER = Path(__file__).parent
_FALLBACK = "en"
_LINE_LENGTH = 72
_LINK = "$link"  # a paragraph: the address in the text part; in the HTML part a button, with the address at the end

LANGUAGES = frozenset(path.parent.name for path in _FOLDER.glob("*/frame.toml"))
MAILS = frozenset(path.stem for path in (_FOLDER / _FALLBACK).glob("*.toml")) - {"frame"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A rendered mail."""

    subject: str
    text: str
    html: str
    language: str


def language_of(locale: str | None) -> str:
    """Return the language of a locale such as ``de``, ``de-DE`` or ``de_AT.UTF-8``, or English if it has no folder."""
    return locales.language_of(locale or "", LANGUAGES) or _FALLBACK


def render(
    name: str,
    language: str,
    *,
    user: str = "",
    at: datetime | None = None,
    address: str = "",
    state: str = "",
    **values: str | datetime,
) -> Mail:
    """Render the mail ``name`` of ``MAILS``. ``user`` is the name of the receiver.

    ``at`` and ``address`` are the time and the network address of the change. If they are known, a sentence of the
    language's frame follows the first paragraph and contains them. ``state`` is the key of a word in the template for
    the state of the account. ``values`` are the other values of the template.

    ``user`` is untrusted. It becomes one line without links, and is escaped in the HTML part. The service makes the
    other values.
    """
    template, frame = _read(f"{language}/{name}.toml"), _read(f"{language}/frame.toml")
    shown = {key: _shown(value, frame["date"]) for key, value in values.items()}
    shown |= {"product": _one_line(settings().product_name), "user": shown_name(user)}
    shown |= {"at": _shown(at, frame["date"]) if at else "", "address": _one_line(address)}
    shown |= {"state": template.get(state, ""), "app_url": settings().app_url, "contact": settings().contact_address}
    greeting = frame["greeting" if shown["user"] else "greeting_unnamed"]
    paragraphs = [greeting, *(_one_line(paragraph) for paragraph in template["text"].strip().split("\n\n"))]
    if at:
        paragraphs.insert(2, frame["happened_from" if address else "happened"])
    return Mail(
        subject=template["subject"],
        text=_text(paragraphs, frame, shown),
        html=_html(paragraphs, template, frame, {key: escape(value) for key, value in shown.items()}, language),
        language=language,
    )


def _shown(value: str | datetime, date_format: str) -> str:
    return value if isinstance(value, str) else value.astimezone(UTC).strftime(date_format)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _text(paragraphs: list[str], frame: Mapping[str, str], values: Mapping[str, str]) -> str:
    filled = [Template(paragraph).substitute(values) for paragraph in paragraphs]
    wrapped = [fill(text, _LINE_LENGTH, break_long_words=False, break_on_hyphens=False) for text in filled]
    footer = "\n".join(Template(line).substitute(values) for line in _footer(frame, values))
    return "\n\n".join([*wrapped, f"-- \n{footer}\n"])


def _footer(frame: Mapping[str, str], values: Mapping[str, str]) -> list[str]:
    """Return the lines below a mail: the sender, and the application and contact that the operator has set."""
    lines = {"footer": "product", "app": "app_url", "contact": "contact"}
    return [frame[line] for line, needed in lines.items() if values[needed]]


def _html(
    paragraphs: list[str],
    template: Mapping[str, str],
    frame: Mapping[str, str],
    values: Mapping[str, str],
    language: str,
) -> str:
    """Return the HTML part. ``values`` are escaped. This function escapes the texts of the templates."""
    color = settings().product_color
    shared = {**values, "color": color, "ink": readable_on(color), "lang": language}
    texts = {key: Template(escape(text, quote=False)).substitute(values) for key, text in {**frame, **template}.items()}
    blocks = [
        _layout("button.html").substitute(shared, label=texts["button"]).strip()
        if paragraph == _LINK
        else f'<p style="margin:0 0 16px">{Template(escape(paragraph, quote=False)).substitute(values)}</p>'
        for paragraph in paragraphs
    ]
    if _LINK in paragraphs:
        blocks.append(_layout("address.html").substitute(shared, hint=texts["link_hint"]).strip())
    footer = "<br>\n".join(
        Template(escape(line, quote=False)).substitute({**values, **_links(values)}) for line in _footer(frame, values)
    )
    return _layout("layout.html").substitute(
        shared, subject=texts["subject"], footer=footer, brand=_brand(values["product"]), content="\n".join(blocks)
    )


def _links(values: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses in a footer as links. ``values`` are escaped."""
    anchor = '<a class="quiet" href="{0}{1}" target="_blank" style="color:#57606a">{1}</a>'
    return {"app_url": anchor.format("", values["app_url"]), "contact": anchor.format("mailto:", values["contact"])}


def _brand(product: str) -> str:
    """Return the operator's logo with the product's name as its text, or the name if there is no logo."""
    logo = escape(settings().logo_url)
    return f'<img src="{logo}" alt="{product}" height="32" style="height:32px;border:0">' if logo else product


@cache
def _read(file: str) -> dict[str, str]:
    return tomllib.loads((_FOLDER / file).read_text(encoding="utf-8"))


@cache
def _layout(file: str) -> Template:
    return Template((_FOLDER / file).read_text(encoding="utf-8"))
