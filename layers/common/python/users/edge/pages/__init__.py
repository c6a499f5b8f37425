"""The pages that links in mails open: plain HTML, one stylesheet, no script (contract §4, decisions 29).

The pages work without JavaScript. A form posts to its own address (``action="?"``), so that it works under every stage
path and prefix. ``users.edge.pages.texts`` contains the texts in every language.
"""

from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from users.edge.http import Reply, Request
from users.edge.media_type import is_json
from users.edge.pages.style import current
from users.edge.pages.texts import TEXTS, language_of, preferred_language
from users.errors import TooManyRequests, Unavailable, UsersError
from users.rules.password_policy import lengths
from users.settings import settings

# The error codes for a link that was used or has expired, and for a link that nobody made.
EXPIRED = "verification_expired"
UNUSABLE = frozenset({EXPIRED, "invalid_verification"})
# The ``action`` of the button on the page of an expired link.
RENEW = "renew"
_FOLDER = Path(__file__).parent
_ON_INVALID_FIELD = 'aria-invalid="true"'


def form_page(
    request: Request, texts: str, *, template: str = "", below: str = "", problem: str = "", **values: str
) -> Reply:
    """Return a form: the file ``template`` with the texts ``<texts>.<name>`` and the values.

    Without ``template`` the file has the name of the texts, which is an operation's name. ``below`` is the file of the
    lines below the form. ``problem`` is the error code of the last try.
    """
    say = _Speaker(request)
    text = problem and (f"problem.{problem}" if f"problem.{problem}" in TEXTS[say.language] else "failed")
    least, _ = lengths()
    parts = {
        **{name: escape(value) for name, value in values.items()},
        **say.all_of(texts, **values),
        "problem": f'<p class="problem" id="problem" role="alert">{say(text)}</p>' if text else "",
        "described_by": "problem rules" if text else "rules",
        "state": f"{_ON_INVALID_FIELD} autofocus" if text else "",
        "again_state": _ON_INVALID_FIELD if text else "",
        "shortest": f'minlength="{least}"' if least else "",
        "rules": "".join(f"<li>{rule}</li>" for rule in _password_rules(say)),
    }
    if below:
        parts["below"] = _template(f"{below}.html").substitute(parts).strip()
    content = _template(f"{template or texts}.html").substitute(parts)
    mark = say("error_mark") if text else ""
    return _page(say, 400 if text else 200, f"{texts}.title", content, mark)


def message_page(request: Request, status: int, text: str) -> Reply:
    """Return a page with the text ``text``, its title ``<text>.title``, and a button to the application."""
    say = _Speaker(request)
    return _page(say, status, f"{text}.title", f"<p>{say(text)}</p>{_way_on(say)}")


def _expired_page(request: Request, status: int, operation: str) -> Reply:
    """Return the page for a link that was used or has expired. Its button asks for a new mail."""
    say = _Speaker(request)
    token = (request.form() if request.method == "POST" else request.query).text("token")
    texts = {f"text_{name}": say(f"{operation}.{name}") for name in ("unusable", "renew", "renew_button")}
    content = _template("expired_link.html").substitute(texts, token=escape(token))
    return _page(say, status, f"{operation}.unusable.title", content + _way_on(say, rank="other"))


def _way_on(say: "_Speaker", rank: str = "first") -> str:
    """Return the button to the application, or "" if the operator has not set its address.

    ``rank`` is ``other`` for a button beside a more important one.
    """
    url, name = escape(settings().app_url), settings().product_name
    return f'<a class="button {rank}" href="{url}">{say("app", product=name)}</a>' if url else ""


def error_page_of(operation: str) -> Callable[[Request, UsersError], Reply | None]:
    """Return a function that makes the page for an operation's error, or None if a program made the request."""

    def error_page(request: Request, error: UsersError) -> Reply | None:
        if request.method == "PUT" or wants_json(request):
            return None
        if error.code == EXPIRED:
            return _expired_page(request, error.status, operation)
        if error.code in UNUSABLE:
            return message_page(request, error.status, f"{operation}.unusable")
        later = isinstance(error, Unavailable | TooManyRequests)
        return message_page(request, error.status, "unavailable" if later else "failed")

    return error_page


def wants_json(request: Request) -> bool:
    """Return whether a program made the request. Both SDKs name ``application/json`` (decisions 29)."""
    accepted = request.headers.get("accept", "").split(",")
    return any(is_json(value) for value in (request.headers.get("content-type", ""), *accepted))


class _Speaker:
    """The texts as HTML, in the language of the account's mails, or else in the browser's language."""

    def __init__(self, request: Request) -> None:
        of_account = language_of(request.locale)
        self.language = of_account or preferred_language(request.headers.get("accept-language", ""))
        self._texts = TEXTS[self.language]

    def __call__(self, key: str, **values: str) -> str:
        """Return a text with its values, escaped."""
        return Template(escape(self._texts[key])).substitute({name: escape(value) for name, value in values.items()})

    def all_of(self, texts: str, **values: str) -> dict[str, str]:
        """Return the texts ``<texts>.<name>`` as ``text_<name>``, with their values in bold."""
        bold = {name: f"<b>{escape(value)}</b>" for name, value in values.items()}
        start = f"{texts}."
        return {
            f"text_{key.removeprefix(start)}": Template(escape(text)).substitute(bold)
            for key, text in self._texts.items()
            if key.startswith(start) and "." not in key.removeprefix(start)
        }


def _page(say: _Speaker, status: int, title: str, content: str, mark: str = "") -> Reply:
    """Return the whole document. ``title`` is the key of a text. ``content`` is HTML with escaped values."""
    css, css_source = current()
    html = _template("page.html").substitute(
        language=say.language,
        mark=mark,
        title=say(title),
        product=escape(settings().product_name),
        brand=_brand(),
        style=css,
        content=content,
        footer=_footer(say),
    )
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Language": say.language,
        "Content-Security-Policy": f"default-src 'none'; style-src {css_source};{_logo_source()} form-action 'self';"
        " frame-ancestors 'none'; base-uri 'none'",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Strict-Transport-Security": "max-age=31536000",
        "X-Frame-Options": "DENY",
    }
    return Reply(status, html, headers)


def _brand() -> str:
    """Return the operator's logo with the product's name as its text, or the name if there is no logo."""
    name, logo = escape(settings().product_name), escape(settings().logo_url)
    return f'<img src="{logo}" alt="{name}">' if logo else name


def _logo_source() -> str:
    """Return the directive of the Content-Security-Policy that lets the page load the logo."""
    parts = urlsplit(settings().logo_url)
    return f" img-src {parts.scheme}://{parts.netloc};" if parts.netloc else ""


def _footer(say: "_Speaker") -> str:
    """Return the line with the operator's contact address, or "" if there is none."""
    address = escape(settings().contact_address)
    return f'<footer>{say("contact")} <a href="mailto:{address}">{address}</a></footer>\n' if address else ""


def _password_rules(say: _Speaker) -> list[str]:
    """Return the configured rules for new passwords (decisions 27), in words for people."""
    least, _ = lengths()
    rules = [say("rule.length", least=str(least)) if least else say("rule.pattern", pattern=settings().pass_regex)]
    if settings().pass_common_check:
        rules.append(say("rule.common"))
    return [*rules, say("rule.name")]


@cache
def _template(file: str) -> Template:
    return Template((_FOLDER / file).read_text(encoding="utf-8"))
