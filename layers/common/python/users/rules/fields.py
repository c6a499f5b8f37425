"""The rules of single fields, for registration and updates (contract §1.6.1, §1.7, §1.8, decisions 19).

Each ``check_…`` raises BadRequest with the contract's message, and returns nothing.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from users.errors import BadRequest, Detail, Forbidden
from users.models import User
from users.parsers import folded_username
from users.rules.broken_rules import all_rules
from users.settings import settings

COLUMN_CHARACTERS = 254  # VARCHAR(254), contract §6
# Limits of columns that have none in the database (decisions 32). A page of accounts, an event and an answer of Lambda
# have room for values of this size.
METADATA_BYTES = 64 * 1024  # of `metadata`, and of `private_metadata`
TAGS = 100
TAG_CHARACTERS = 64
PICTURE_BYTES = 2 * 1024
DESCRIPTION_CHARACTERS = 255
_NAME_BYTES = 1024
_USERNAME_CHARACTERS = 32
_USERNAME_RULES: Mapping[str, Callable[[str], object]] = {
    f"username must have at most {_USERNAME_CHARACTERS} characters": lambda name: len(name) > _USERNAME_CHARACTERS,
    "username must have letters a to z, digits, _ and - only": lambda name: re.search(r"[^a-zA-Z0-9_-]", name),
    "username must begin with a letter or a digit": lambda name: not re.match(r"[a-zA-Z0-9]", name),
    "username must not have two _ or two - in a row": lambda name: "__" in name or "--" in name,
}
_ATOM = r"[^\s()<>\[\]:;@\\,\".\x00-\x20\x7f]+"
_DOT_ATOM = rf"{_ATOM}(?:\.{_ATOM})*"
_ADDRESS = re.compile(rf"{_DOT_ATOM}@{_DOT_ATOM}")
# Unicode's categories of invisible characters, and of characters that change how the text around them is shown:
# control, format (such as the right-to-left override), private use, halves of surrogate pairs, line and paragraph
# separators.
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_PICTURE_SCHEMES = frozenset({"http", "https"})


def check_name(name: str, missing: str) -> None:
    """Check a first or last name. ``missing`` is ``first name`` or ``last name``, the words of the message."""
    field = _named(missing)
    if not name:
        raise BadRequest(f"missing_{field}", f"missing {missing}", field=field)
    check_length(name, missing)
    check_characters(name, missing)


def check_name_size(name: str, field: str) -> None:
    """Check upstream's limit for names. Upstream checks it before it refuses an empty name."""
    if len(name.encode()) > _NAME_BYTES:
        detail = f"{field} is longer than {_NAME_BYTES} bytes"
        raise BadRequest("invalid_name_size", "invalid name size", field=field, detail=detail)


def check_length(value: str, field: str) -> None:
    """Check that the text fits its column. The message contains the limit (differences.md#statuses)."""
    if len(value) > COLUMN_CHARACTERS:
        name, message = _named(field), f"{field} is longer than {COLUMN_CHARACTERS} characters"
        raise BadRequest(f"{name}_too_long", message, field=name)


def check_characters(value: str, field: str) -> None:
    """Refuse a name with invisible characters (S54). ``field`` is the word of the message, such as ``first name``."""
    if any(unicodedata.category(character) in _UNSEEN for character in value):
        name, message = _named(field), f"{field} has control or format characters"
        raise BadRequest(f"invalid_{name}", message, field=name)


def check_username(username: str, field: str = "username") -> None:
    """Check for 1 to 32 of ``A–Z a–z 0–9 _ -`` that start with a letter or digit, without ``__`` and ``--``."""
    if not username:
        raise BadRequest("missing_username", "missing username", field=field)
    broken = [rule for rule, is_broken in _USERNAME_RULES.items() if is_broken(username)]
    if broken:
        details = [Detail(field, "invalid_username", rule) for rule in broken]
        raise BadRequest("invalid_username", "invalid username", details=details)


def is_reserved(username: str) -> bool:
    """Return whether a username looks like one of the service's staff (``MG_USERS_RESERVED_USERNAMES``)."""
    return folded_username(username) in settings().reserved_usernames


def reserved_username(field: str = "username") -> BadRequest:
    """Return the refusal of a reserved username, which only an administrator may assign (S54)."""
    return BadRequest("reserved_username", "this username is reserved", field=field)


def check_email(email: str) -> None:
    """Check for one bare address, ``local@domain``: dot-atoms of RFC 5322, which may have letters of any script."""
    if not email:
        raise BadRequest("missing_email", "missing email", field="email")
    if not _ADDRESS.fullmatch(email) or not email.isprintable():
        raise invalid_email()
    check_length(email, "email")


def invalid_email() -> BadRequest:
    """Return the refusal of a text that is not one bare address."""
    detail = "email must be one address, as ada@example.com"
    return BadRequest("invalid_email", "invalid email", field="email", detail=detail)


def check_external_provider(user: User, values: Mapping[str, Any]) -> None:
    """Refuse a change of a name, address or picture that an external provider manages (decisions 7). Forbidden."""
    managed = ("first_name", "last_name", "email", "profile_picture")
    if user.auth_provider and any(name in values and values[name] != getattr(user, name) for name in managed):
        raise Forbidden(
            "external_account", "account details can only be updated through your authentication provider's settings"
        )


def check_profile_picture(url: str) -> None:
    """Check for a URL that Go's ``url.Parse`` accepts: no control characters, good escapes and a good host.

    An absolute URL must have ``http`` or ``https`` (decisions 32), because ``javascript:`` and ``data:`` would run in
    the page that shows the picture. A relative URL leads to that page's own server, and is accepted as upstream does.
    """
    scheme_like = url.partition("/")[0].partition("?")[0].partition("#")[0]
    head, colon, _ = scheme_like.partition(":")
    bad = (
        any(ord(char) < 0x20 or ord(char) == 0x7F for char in url)
        or re.search(r"%(?![0-9a-fA-F]{2})", url) is not None
        or (colon and head.lower() not in _PICTURE_SCHEMES)
    )
    try:
        parts = urlsplit(url)
        bad = bad or " " in parts.netloc or (parts.port is not None and parts.port < 0)
    except ValueError:  # unbalanced brackets, a port that is no number
        bad = True
    if bad:
        name, detail = "profile_picture", "profile_picture must be an http or https URL"
        raise BadRequest("invalid_profile_picture", "invalid profile picture url", field=name, detail=detail)


def check_sizes(values: Mapping[str, Any], stored: User | None = None) -> None:
    """Check the sizes of metadata, tags and picture, by the names of their columns. Ignore absent columns.

    A value equal to the one in ``stored`` is no change, and is accepted. A taken-over database may contain larger
    values, and SDKs send the whole user back.
    """
    changed = {name: value for name, value in values.items() if stored is None or value != getattr(stored, name)}
    with all_rules() as rules:
        for name in ("metadata", "private_metadata"):
            rules.check(_check_metadata, changed.get(name, {}), name)
        rules.check(_check_number_of_tags, changed.get("tags", []))
        rules.check(_check_length_of_tags, changed.get("tags", []))
        rules.check(_check_picture_size, changed.get("profile_picture", ""))


def _check_metadata(value: Mapping[str, Any], name: str) -> None:
    if metadata_bytes(value) > METADATA_BYTES:
        raise BadRequest(f"{name}_too_large", f"{name} is larger than {METADATA_BYTES} bytes", field=name)


def _check_number_of_tags(tags: Sequence[str]) -> None:
    if len(tags) > TAGS:
        raise BadRequest("too_many_tags", f"there are more than {TAGS} tags", field="tags")


def _check_length_of_tags(tags: Sequence[str]) -> None:
    if any(len(tag) > TAG_CHARACTERS for tag in tags):
        raise BadRequest("tag_too_long", f"a tag is longer than {TAG_CHARACTERS} characters", field="tags")


def _check_picture_size(url: str) -> None:
    if len(url.encode()) > PICTURE_BYTES:
        message = f"profile picture url is longer than {PICTURE_BYTES} bytes"
        raise BadRequest("profile_picture_too_long", message, field="profile_picture")


def check_description(description: str) -> None:
    """Check the length of a session's label."""
    if len(description) > DESCRIPTION_CHARACTERS:
        message = f"description is longer than {DESCRIPTION_CHARACTERS} characters"
        raise BadRequest("description_too_long", message, field="description")


def _named(word: str) -> str:
    """Return the name of the field for the words of a message: ``first_name`` for ``first name``."""
    return word.replace(" ", "_")


def metadata_bytes(metadata: Mapping[str, Any]) -> int:
    """Return the size of metadata as JSON in UTF-8, without spaces, and with all digits of each number.

    PostgreSQL writes all digits: the six bytes of ``1e-300`` become 302 when a row is read.
    """
    text = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode()) + (_hidden_digits(metadata) if "e-" in text else 0)


def _hidden_digits(value: Any) -> int:
    """Return how many characters longer the numbers in a JSON value are without exponents."""
    if isinstance(value, float):
        return len(f"{Decimal(repr(value)):f}") - len(repr(value))
    if isinstance(value, Mapping):
        return sum(map(_hidden_digits, value.values()))
    return sum(map(_hidden_digits, value)) if isinstance(value, list) else 0
