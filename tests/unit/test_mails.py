"""The mails' templates have the same parts in every language, escape HTML, and show users' values as plain text."""

import os
import re
import string
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import background.mail.templates
from background.mail.letter import deliverable_address
from background.mail.templates import LANGUAGES, MAILS, Mail, language_of, render
from background.mail.templates.__main__ import write_samples
from background.mail.templates.names import LONGEST, shown_name
from tests.service import ROOT
from users.rules.contrast import readable_on

LINK = "https://x.example/reset?a=1&token=t"
VALUES: dict[str, str | datetime] = {
    "link": LINK,
    "minutes": "30",
    "hours": "24",
    "days": "7",
    "registered": datetime(2030, 1, 24, 14, 30, tzinfo=UTC),
    "removal": datetime(2030, 1, 31, 14, 30, tzinfo=UTC),
    "username": "grace_hopper",
}
WITH_LINK = {"verification", "verification_reminder", "password_reset", "invitation"}
AT = datetime(2029, 12, 31, 23, 59, tzinfo=UTC)
# Mail programs make links of these: a scheme, an address, or a domain.
LINKABLE = re.compile(r"[:/@]|\w[.。．｡]\w|www\.\w", re.IGNORECASE)
LAYERS = {"PYTHONPATH": os.pathsep.join(str(ROOT / "layers" / layer / "python") for layer in ("common", "background"))}


def rendered(name: str, language: str = "en", user: str = "Ada") -> Mail:
    return render(name, language, user=user, **VALUES)


def toml(language: str, name: str) -> dict[str, str]:
    file = Path(background.mail.templates.__file__).parent / language / f"{name}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


def placeholders(texts: dict[str, str]) -> dict[str, set[str]]:
    return {key: set(string.Template(text).get_identifiers()) for key, text in texts.items()}


def test_the_mails_and_the_languages() -> None:
    notices = {
        "account_deleted", "account_disabled", "account_enabled", "account_removal", "administrator_added",
        "administrator_removed", "email_changed", "logins_restricted", "new_administrator", "password_changed",
        "username_changed",
    }  # fmt: skip
    assert WITH_LINK | notices == MAILS
    assert {"en", "de"} == LANGUAGES


@pytest.mark.parametrize("language", sorted(LANGUAGES - {"en"}))
@pytest.mark.parametrize("name", [*sorted(MAILS), "frame"])
def test_every_language_has_every_template_with_the_same_placeholders(name: str, language: str) -> None:
    english = toml("en", name)
    translated = toml(language, name)
    assert placeholders(translated) == placeholders(english)
    for key in set(english) - {"date"}:
        assert translated[key] != english[key], f"{name}.{key} is not translated"


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize("name", sorted(MAILS))
def test_subject_text_and_html(name: str, language: str) -> None:
    mail = rendered(name, language)
    assert mail.subject == toml(language, name)["subject"]
    assert f'<html lang="{language}">' in mail.html
    assert "Ada" in mail.text
    assert "Ada" in mail.html
    assert "Magistrala" in mail.text
    assert "Magistrala" in mail.html
    assert "$" not in mail.subject + mail.text + mail.html


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize("name", sorted(MAILS))
def test_only_mails_that_act_have_a_link_and_nothing_is_loaded(name: str, language: str) -> None:
    mail = rendered(name, language)
    links = {LINK} if name in WITH_LINK else set()
    assert set(re.findall(r"https?://\S+", mail.text)) == links
    assert set(re.findall(r'href="([^"]*)"', mail.html)) == {link.replace("&", "&amp;") for link in links}
    assert not re.search(r"\bsrc=|url\(|@import|<link|<img|<script", mail.html)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize("name", sorted(MAILS))
def test_line_lengths(name: str, language: str) -> None:
    mail = rendered(name, language, user="W" * 200)
    assert all(len(line) <= 78 for line in mail.text.splitlines() if line != LINK)
    assert all(len(line.encode()) <= 998 for line in mail.html.splitlines())
    assert len(mail.subject) <= 60


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Personal access tokens and API keys", "go on working", "Revoke"]),
        ("de", ["Persönliche Zugriffstoken und API-Schlüssel", "gelten weiter", "Widerrufen"]),
    ],
)
def test_a_changed_password_says_what_goes_on_working(language: str, words: list[str]) -> None:
    mail = rendered("password_changed", language)
    for text in (mail.text, mail.html):
        assert all(word in " ".join(text.split()) for word in words)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize("name", sorted(MAILS))
def test_the_subject_is_the_heading(name: str, language: str) -> None:
    mail = rendered(name, language)
    assert re.findall(r"<h1[^>]*>([^<]*)</h1>", mail.html) == [mail.subject]


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize("name", sorted(MAILS))
def test_a_mail_leads_to_the_application_and_names_whom_to_ask(
    name: str, language: str, configure: Callable[..., None]
) -> None:
    app, logo = "https://app.example.com/?a=1&b=2", "https://cdn.example.com/logo.svg"
    configure(MG_USERS_APP_URL=app, MG_USERS_CONTACT_ADDRESS="help@example.com", MG_USERS_LOGO_URL=logo)
    mail = rendered(name, language)
    footer = mail.text.partition("\n-- \n")[2]
    assert app in footer
    assert "help@example.com" in footer
    links = re.findall(r'href="([^"]*)"', mail.html)
    assert links[-2:] == ["https://app.example.com/?a=1&amp;b=2", "mailto:help@example.com"]
    assert re.findall(r'<img src="([^"]*)" alt="([^"]*)"', mail.html) == [(logo, "Magistrala")]


@pytest.mark.parametrize(
    ("language", "state", "words"),
    [
        ("en", "deleted", "was deleted. It will be removed"),
        ("en", "disabled", "was disabled. It will be removed"),
        ("de", "deleted", "wurde gelöscht. Nach dem"),
        ("de", "disabled", "wurde gesperrt. Nach dem"),
    ],
)
def test_a_warning_says_what_happened_to_the_account(language: str, state: str, words: str) -> None:
    assert words in " ".join(render("account_removal", language, state=state, **VALUES).text.split())


def test_english_subjects_are_upstreams() -> None:
    assert rendered("verification").subject == "Email Verification"
    assert rendered("password_reset").subject == "Password Reset Request"


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("de", "de"),
        ("de-DE", "de"),
        ("de_AT", "de"),
        ("de_CH.UTF-8", "de"),
        ("DE", "de"),
        ("en", "en"),
        ("en-GB", "en"),
        ("fr", "en"),
        ("deutsch", "en"),
        ("../de", "en"),
        ("de/..", "en"),
        ("", "en"),
        (None, "en"),
        ("[1]", "en"),
        ("-de", "en"),
    ],
)
def test_the_language_of_a_locale(locale: str | None, language: str) -> None:
    assert language_of(locale) == language


@given(st.text())
def test_any_locale_has_a_language(locale: str) -> None:
    assert language_of(locale) in LANGUAGES


def test_times_are_told_in_utc_and_as_the_language_does() -> None:
    values = {**VALUES, "removal": datetime(2030, 2, 1, 1, 30, tzinfo=timezone(timedelta(hours=11)))}
    assert "after 31 January 2030, 14:30 UTC." in " ".join(render("account_removal", "en", **values).text.split())
    assert "31.01.2030, 14:30 Uhr (UTC)" in " ".join(render("account_removal", "de", **values).text.split())


@pytest.mark.parametrize(
    ("language", "address", "sentence"),
    [
        ("en", "", "This happened on 31 December 2029, 23:59 UTC."),
        ("en", "192.0.2.1", "This happened on 31 December 2029, 23:59 UTC, from the network address 192.0.2.1."),
        ("de", "", "Das geschah am 31.12.2029, 23:59 Uhr (UTC)."),
        ("de", "2001:db8::1", "Das geschah am 31.12.2029, 23:59 Uhr (UTC), von der Netzwerkadresse 2001:db8::1 aus."),
    ],
)
@pytest.mark.parametrize("name", sorted(MAILS))
def test_a_mail_says_when_and_from_where(name: str, language: str, address: str, sentence: str) -> None:
    mail = render(name, language, user="Ada", at=AT, address=address, **VALUES)
    greeting, _, second, *_ = (" ".join(paragraph.split()) for paragraph in mail.text.split("\n\n"))
    assert (greeting.endswith("Ada,"), second) == (True, sentence)
    assert f">{sentence}</p>" in mail.html


def test_a_mail_of_before_says_nothing_of_it() -> None:
    assert "happened" not in rendered("password_changed").text


def test_an_address_is_only_text() -> None:
    mail = render("password_changed", "en", at=AT, address="<b>\r\n\r\n", **VALUES)
    assert "from the network address &lt;b&gt;." in mail.html


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Ada", "Ada"),
        ("Zoë O’Brien-Müller", "Zoë O’Brien-Müller"),
        ("佐藤 さくら", "佐藤 さくら"),
        ("दीपिका", "दीपिका"),
        ("ada_l-1", "ada_l-1"),
        ("J.R.R. Tolkien", "J. R. R. Tolkien"),
        ("a & b", "a & b"),
        ("http://evil.example", "http evil. example"),
        ("www.evil.example/login", "www. evil. example login"),
        ("me@evil.example", "me evil. example"),
        ("http：／／evil．example", "http evil. example"),
        ("evil。example", "evil example"),
        ("evil\u200b.\u200bexample", "evil. example"),
        ("\u202elave", "lave"),
        ("a\r\nBcc: x@y\n\nmore", "a Bcc x y more"),
        ("<script>alert(1)</script>", "script alert 1 script"),
        ("$link", "link"),
        ("x" * 300, "x" * 64),
        ("://", ""),
        (" . ", ""),
        ("", ""),
    ],
)
def test_what_people_are_called(typed: str, shown: str) -> None:
    assert shown_name(typed) == shown


@given(st.text(st.one_of(st.characters(), st.sampled_from("./:@<>&$\n\r\t-．。／：＠\u200b\u2024")), max_size=100))
def test_no_name_is_more_than_a_short_line_of_text(user: str) -> None:
    name = shown_name(user)
    assert len(name) <= LONGEST
    assert len(name.splitlines()) <= 1
    assert not LINKABLE.search(name)
    plain, mail = rendered("password_reset", user="Ada"), rendered("password_reset", user=user)
    assert mail.subject == plain.subject
    assert mail.text.count("\n\n") == plain.text.count("\n\n")
    assert re.findall(r"<[^>]*>", mail.html) == re.findall(r"<[^>]*>", plain.html)
    assert re.findall(r"https?:\S+", mail.text) == [LINK]


@pytest.mark.parametrize(("language", "greeting"), [("en", "Hello,\n"), ("de", "Guten Tag,\n")])
def test_whoever_has_no_name_is_greeted_as_well(language: str, greeting: str) -> None:
    assert rendered("verification", language, user="<>").text.startswith(greeting)


def test_the_product_is_the_operators(configure: Callable[..., None]) -> None:
    configure(MG_USERS_PRODUCT_NAME="Müller & <Söhne>", MG_USERS_PRODUCT_COLOR="#ffd400")
    mail = rendered("verification")
    assert "Müller & <Söhne>" in mail.text
    assert "Müller &amp; &lt;Söhne&gt;" in mail.html
    assert "background:#ffd400" in mail.html
    assert "color:#000000;text-decoration:none" in mail.html


@pytest.mark.parametrize(
    ("color", "ink"),
    [
        ("#0b57a4", "#ffffff"),
        ("#000000", "#ffffff"),
        ("#ffffff", "#000000"),
        ("#FFD400", "#000000"),
        ("#ff0000", "#000000"),
    ],
)
def test_the_label_of_a_button_can_be_read(color: str, ink: str) -> None:
    assert readable_on(color) == ink


@pytest.mark.parametrize(
    ("stored", "address"),
    [
        ("a@b", "a@b"),
        ("Ada@Example.com", "Ada@Example.com"),
        ("Ada <ada@example.com>", "ada@example.com"),
        ("J. R. Smith <j@example.com>", "j@example.com"),
        (" a@b ", "a@b"),
        ("a@b (c)", "a@b"),
        ("<a@b>", "a@b"),
        ('"Lovelace, \\"Ada\\" @home" <a@b>', "a@b"),
        ("ü@x.y", "ü@x.y"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@faß.example", "a@xn--fa-hia.example"),
        ("a@βόλος.example", "a@xn--nxasmm1c.example"),
        ("group: a@b;", None),
        ('"q q"@x.y', None),
        ("a@[127.0.0.1]", None),
        ("a@b,c@d", None),
        ("x@y <a@b>", None),
        ("", None),
        ("admin", None),
        ("a b@c", None),
        ("a@b@c", None),
        ("alice@example.org]<bob@x>", None),
        ("a@b\r\nBcc: x@y", None),
        ("a\x00@b", None),
        ("\u202ea@b", None),
        (f"a@{'x' * 64}.example", None),
    ],
)
def test_where_a_stored_address_is_reached(stored: str, address: str | None) -> None:
    assert deliverable_address(stored) == address


@given(st.text(st.one_of(st.characters(), st.sampled_from('a@.<>,;:"() \r\n')), max_size=30))
def test_any_stored_text_is_one_address_or_none(stored: str) -> None:
    address = deliverable_address(stored)
    if address is not None:
        local, _, domain = address.rpartition("@")
        assert local
        assert domain.isascii()
        assert len(address.splitlines()) == 1


def test_all_mails_as_files(tmp_path: Path) -> None:
    files = write_samples(tmp_path / "mails")
    assert {file.name for file in files} == {
        f"{language}-{name}.{suffix}" for language in LANGUAGES for name in MAILS for suffix in ("html", "txt")
    }
    for file in files:
        content = file.read_text(encoding="utf-8")
        assert content.startswith("<!doctype html>" if file.suffix == ".html" else "Subject: ")
        assert "$" not in content


def test_files_are_made_without_any_package(tmp_path: Path) -> None:
    # -S excludes the packages of this environment, as in `make mails` on a fresh checkout.
    command = [sys.executable, "-S", "-m", "background.mail.templates", str(tmp_path)]
    done = subprocess.run(command, env=LAYERS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted(str(file) for file in tmp_path.iterdir())


@pytest.mark.parametrize(("host", "imported"), [("mail.example", ["smtplib"]), ("", ["boto3"])])
def test_boto3_is_not_imported_where_a_mail_server_is_set(host: str, imported: list[str]) -> None:
    code = (
        "import sys; from background.mail.delivery import MailChannel; MailChannel();"
        " print(*(name for name in ('boto3', 'smtplib') if name in sys.modules))"
    )
    environment = {**LAYERS, "AWS_DEFAULT_REGION": "eu-central-1", "MG_EMAIL_HOST": host}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == imported
