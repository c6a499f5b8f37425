"""The pages of the mails' links, as text (S43); in a browser: tests/browser."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users.access import ANYBODY
from users.edge import pages
from users.edge.http import Request
from users.edge.pages.style import stylesheet
from users.edge.pages.texts import FALLBACK, TEXTS, language_of, preferred_language
from users.errors import BadRequest, TooManyRequests, Unavailable
from users.rules.contrast import readable_on

HOSTILE = """<script>alert(1)</script>"'&$token"""


def request(method: str = "GET", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    event: dict[str, Any] = {"headers": named, "requestContext": {"http": {"method": method}}}
    return Request(event, "id", ANYBODY)


def reset_form(problem: str = "", **headers: str) -> str:
    reply = pages.form_page(request(**headers), "reset_password", problem=problem, token="mgreset_T", account="ada")
    assert reply.status == (400 if problem else 200)
    html: str = reply.body
    return html


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_every_language_says_the_same(language: str) -> None:
    def values(texts: Any) -> dict[str, list[str]]:
        return {key: sorted(set(re.findall(r"\$\w+", text))) for key, text in texts.items()}

    assert values(TEXTS[language]) == values(TEXTS[FALLBACK])


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("fr, it;q=0.9", "en"),
        ("*", "en"),
        ("de;q=0.8, en;q=0.9", "en"),
        ("fr, de;q=0.3, en;q=0.2", "de"),
        ("de;q=0", "en"),
        ("de;q=much, en", "en"),
        ("de;q=nan", "en"),
        ("de , en", "de"),
        ("; ;;q=,,de", "de"),
    ],
)
def test_the_language_that_the_browser_prefers(accepted: str, language: str) -> None:
    assert preferred_language(accepted) == language
    assert f'<html lang="{language}">' in reset_form(accept_language=accepted)


@given(st.text())
def test_any_header_gives_some_language(accepted: str) -> None:
    assert preferred_language(accepted) in TEXTS


@given(st.integers(0, 0xFFFFFF))
def test_the_button_can_be_read_in_every_colour(color: int) -> None:
    background = f"#{color:06x}"
    channels = [int(background[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    luminance = sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True)) + 0.05
    contrast = {"#ffffff": 1.05 / luminance, "#000000": luminance / 0.05}[readable_on(background)]
    assert contrast >= 4.5


def test_colour_and_name_are_the_operators(configure: Callable[..., None]) -> None:
    configure(MG_USERS_PRODUCT_COLOR="#ffdd00", MG_USERS_PRODUCT_NAME="Ears & <Eyes>")
    page = reset_form()
    assert "--brand: #ffdd00; --on-brand: #000000" in page
    assert "<header>Ears &amp; &lt;Eyes&gt;</header>" in page


def test_the_headers() -> None:
    headers = pages.message_page(request(accept_language="de"), 200, "verify_email.done").headers
    assert headers == {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Language": "de",
        "Content-Security-Policy": f"default-src 'none'; style-src {stylesheet('#0b57a4')[1]}; form-action 'self';"
        " frame-ancestors 'none'; base-uri 'none'",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Strict-Transport-Security": "max-age=31536000",
        "X-Frame-Options": "DENY",
    }


@pytest.mark.parametrize("problem", ["", "passwords_differ"])
def test_no_page_needs_or_loads_anything_else(problem: str) -> None:
    page = reset_form(problem)
    assert not re.search(r"<script|\son\w+=|\sstyle=|\ssrc=|\shref=|url\(|@import|https?:", page)


def test_what_values_hold_is_text() -> None:
    account = {"email": HOSTILE, "username": HOSTILE, "registered": HOSTILE}
    for texts, files, values in (
        ("reset_password", {}, {"account": HOSTILE}),
        ("invitation", {"template": "reset_password"}, {"account": HOSTILE, "email": HOSTILE}),
        ("verify_email", {"below": "leave_unconfirmed"}, account),
        ("verify_email", {"below": "remove_account"}, account),
    ):
        page = pages.form_page(request(), texts, token=HOSTILE, **files, **values).body
        assert "<script" not in page
        found = re.findall(r'name="token" value="([^"]*)"', page)
        assert {unescape(value) for value in found} == {HOSTILE}


@pytest.mark.parametrize(
    "code",
    [
        "missing_password", "missing_confirmation", "passwords_differ", "weak_password", "common_password",
        "password_contains_name", "password_too_long", "password_unchanged",
    ],
)  # fmt: skip
@pytest.mark.parametrize("language", sorted(TEXTS))
def test_every_problem_is_told_in_words_where_the_focus_is(code: str, language: str) -> None:
    page = reset_form(code, accept_language=language)
    assert TEXTS[language][f"problem.{code}"] in page
    assert f"<title>{TEXTS[language]['error_mark']}" in page
    assert page.count('aria-invalid="true"') == 2
    assert page.count("autofocus") == 1
    assert 'aria-describedby="problem rules"' in page


def test_an_unknown_problem_is_told_too() -> None:
    assert TEXTS["en"]["failed"] in reset_form("a_rule_of_tomorrow")


def test_the_rules_are_the_configured_ones(configure: Callable[..., None]) -> None:
    assert re.findall(r"<li>([^<]*)</li>", reset_form())[0] == "at least 8 characters"
    assert 'minlength="8"' in reset_form()
    configure(MG_USERS_PASS_REGEX="^.{12,}$", MG_USERS_PASS_COMMON_CHECK="false")
    assert [rule[:22] for rule in re.findall(r"<li>([^<]*)</li>", reset_form())] == [
        "at least 12 characters",
        "without your username ",
    ]
    assert 'minlength="12"' in reset_form()
    configure(MG_USERS_PASS_REGEX="[0-9]+<")
    assert "it matches the pattern [0-9]+&lt;" in reset_form()
    assert "minlength" not in reset_form()


def test_programs_get_no_page() -> None:
    error_page = pages.error_page_of("reset_password")
    gone = BadRequest("verification_expired", "verification expired, please request a new one")
    assert error_page(request("PUT"), gone) is None
    assert error_page(request(accept="application/json"), gone) is None
    assert error_page(request("POST", content_type="application/json"), gone) is None


@pytest.mark.parametrize("accepted", ["application/json, text/plain, */*", "*/*,Application/JSON;q=0.9"])
def test_who_asks_for_json(accepted: str) -> None:
    assert pages.wants_json(request(accept=accepted))
    assert pages.wants_json(request(content_type="application/json; charset=utf-8"))


@pytest.mark.parametrize("named", ["*/*", "text/html", "application/jsonp", "text/html;a=application/json", ""])
def test_who_does_not_ask_for_json(named: str) -> None:
    assert not pages.wants_json(request(accept=named, content_type=named))


@pytest.mark.parametrize("operation", ["reset_password", "verify_email"])
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BadRequest("verification_expired", "x"), "{}.unusable"),
        (BadRequest("invalid_verification", "x"), "{}.unusable"),
        (BadRequest("malformed_body", "request body is not a valid JSON"), "failed"),
        (TooManyRequests(5), "unavailable"),
        (Unavailable("database", "TimeoutError"), "unavailable"),
    ],
)
def test_people_get_a_page_for_every_error(operation: str, error: Any, text: str) -> None:
    reply = pages.error_page_of(operation)(request(accept="text/html"), error)
    assert reply is not None
    assert reply.status == error.status
    said = unescape(reply.body)
    assert TEXTS["en"][text.format(operation)] in said
    assert TEXTS["en"][f"{text.format(operation)}.title"] in said


OPERATORS = {
    "MG_USERS_APP_URL": "https://app.example.com/start?a=1&b=2",
    "MG_USERS_CONTACT_ADDRESS": "help@example.com",
    "MG_USERS_LOGO_URL": "https://cdn.example.com/logo.svg",
}


@pytest.mark.parametrize(
    "text", ["reset_password.done", "invitation.done", "verify_email.done", "verify_email.removed"]
)
def test_a_page_at_the_end_leads_to_the_application(configure: Callable[..., None], text: str) -> None:
    configure(**OPERATORS)
    page = pages.message_page(request(), 200, text).body
    assert re.findall(r'<a class="button first" href="([^"]*)">([^<]*)<', page) == [
        ("https://app.example.com/start?a=1&amp;b=2", "Go to Magistrala")
    ]


@pytest.mark.parametrize("code", ["verification_expired", "invalid_verification"])
def test_the_page_of_a_link_that_is_over_leads_on(configure: Callable[..., None], code: str) -> None:
    configure(**OPERATORS)
    reply = pages.error_page_of("verify_email")(request(accept="text/html"), BadRequest(code, "x"))
    assert reply is not None
    assert ('class="button other"' in reply.body) == (code == "verification_expired")
    assert 'href="https://app.example.com/start?a=1&amp;b=2"' in reply.body
    assert '<a href="mailto:help@example.com">help@example.com</a>' in reply.body


def test_the_logo_and_nothing_else_is_loaded(configure: Callable[..., None]) -> None:
    configure(**OPERATORS, MG_USERS_PRODUCT_NAME='"Ears"')
    reply = pages.message_page(request(), 200, "verify_email.done")
    assert re.findall(r"<img[^>]*>", reply.body) == [
        '<img src="https://cdn.example.com/logo.svg" alt="&quot;Ears&quot;">'
    ]
    assert " img-src https://cdn.example.com;" in reply.headers["Content-Security-Policy"]


def test_the_language_of_the_account_comes_first() -> None:
    asked = request(accept_language="de")
    asked.locale = "en-GB"
    assert pages.message_page(asked, 200, "verify_email.done").headers["Content-Language"] == "en"
    asked.locale = "fr"
    assert pages.message_page(asked, 200, "verify_email.done").headers["Content-Language"] == "de"


def test_pages_and_mails_read_a_locale_alike() -> None:
    from background.mail.templates import LANGUAGES
    from background.mail.templates import language_of as language_of_mail

    assert TEXTS.keys() == LANGUAGES
    for locale in ("de", "de-DE", "de_AT", "de_CH.UTF-8", "DE", "en", "en-GB", "fr", "deutsch", "../de", "", "-de"):
        assert (language_of(locale) or FALLBACK) == language_of_mail(locale)
