"""A line of the file: the User object of the API (contract §1.5) with the hash of its password, as one JSON object.

The keys beside the API's are ``secret`` (the hash: argon2id or bcrypt, never a password) and ``secret_changed_at``,
``tokens_valid_from``, ``disabled_at``, ``deleted_at``, ``case_conflict``. Empty values are left out. Metadata are
PostgreSQL's own text, so that no number loses a digit.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from background.repository.transfer import TIMES
from users.errors import BadRequest
from users.models import ZERO_TIME, Role, Status, rfc3339
from users.rules.email_addresses import canonical_email
from users.rules.fields import check_length, check_name, check_profile_picture, check_username

MAX_BYTES = 1024 * 1024  # of a line, as of a request's body
_ID_CHARACTERS = 36  # VARCHAR(36), contract §6
_STRINGS = ("id", "first_name", "last_name", "profile_picture", "email", "updated_by", "auth_provider", "secret")
_OBJECTS = ("metadata", "private_metadata")
_KEYS = {*_STRINGS, *TIMES, *_OBJECTS, "status", "role", "tags", "credentials", "case_conflict"}
_STATUSES = {status.name.lower(): status for status in Status}
_ROLES = {role.name.lower(): role for role in Role}
_STATUS_NAMES = {int(status): name for name, status in _STATUSES.items()}
_ROLE_NAMES = {int(role): name for name, role in _ROLES.items()}

_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_ARGON2ID = re.compile(r"\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}")
# A costlier hash would take a login seconds, or more memory than its function has.
_MOST_BCRYPT_COST = 15
_MOST_ARGON2ID_KIB = 256 * 1024
_MOST_ARGON2ID_PASSES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A checked line of the file. PostgreSQL reads the metadata from ``text``. None means that the key is absent."""

    number: int
    text: str
    id: str | None
    email: str
    username: str | None
    first_name: str
    last_name: str
    tags: list[str] | None
    status: Status | None
    role: Role | None
    profile_picture: str | None
    updated_by: str | None
    auth_provider: str | None
    secret: str | None
    times: Mapping[str, datetime | None]
    case_conflict: bool
    metadata: dict[str, Any]


def read_line(number: int, raw: bytes, *, any_names: bool = False) -> Line:
    """Check one line. BadRequest describes the problem without values of the line.

    ``any_names`` accepts usernames, addresses and empty names that a registration would refuse, because a taken-over
    database may contain them.
    """
    document = _parse(raw)
    username = _username(document)
    email = document.get("email", "")
    if any_names:
        check_length(username, "username")
        check_length(email, "email")
        if not email:
            raise BadRequest("missing_email", "missing email")
    else:
        check_username(username)
        email = canonical_email(email)
    for name, word in (("first_name", "first name"), ("last_name", "last name")):
        if any_names:
            check_length(document.get(name, ""), word)
        else:
            check_name(document.get(name, ""), word)
    check_profile_picture(document.get("profile_picture", ""))
    for name in ("updated_by", "auth_provider"):
        check_length(document.get(name, ""), name)
    return Line(
        number=number,
        text=raw.decode(),
        id=_id(document),
        email=email,
        username=username or None,
        first_name=document.get("first_name", ""),
        last_name=document.get("last_name", ""),
        tags=document.get("tags"),
        status=_named(document, "status", _STATUSES),
        role=_named(document, "role", _ROLES),
        secret=_hash(document),
        times={name: _moment(document, name) for name in TIMES},
        case_conflict=document.get("case_conflict", False),
        metadata=document.get("metadata", {}),
        **{name: document.get(name) or None for name in ("profile_picture", "updated_by", "auth_provider")},
    )


def write_line(row: Mapping[str, Any], *, with_hash: bool) -> str:
    """Return the line of a row, whose metadata are JSON text, with its line break."""
    shown = {
        "id": row["id"],
        "first_name": row["first_name"],
        "last_name": row["last_name"],
        "tags": row["tags"],
        "status": _STATUS_NAMES.get(row["status"], "unknown"),
        "role": _ROLE_NAMES.get(row["role"] or 0, "unknown"),
        "profile_picture": row["profile_picture"],
        "credentials": {"username": row["username"]} if row["username"] else None,
        "email": row["email"],
        "updated_by": row["updated_by"],
        "auth_provider": row["auth_provider"],
        "secret": row["secret"] if with_hash else None,
        **{name: rfc3339(row[name]) if row[name] and row[name].year > 1 else None for name in TIMES},
        "case_conflict": row["case_conflict"],
    }
    text = json.dumps({key: value for key, value in shown.items() if value}, ensure_ascii=False, separators=(",", ":"))
    objects = "".join(f',"{name}":{row[name]}' for name in _OBJECTS if row[name] not in {None, "{}", "null"})
    return f"{text[:-1]}{objects}}}\n"


def _parse(raw: bytes) -> dict[str, Any]:
    """Parse a line into its JSON object. Check the type of each key."""
    if len(raw) > MAX_BYTES:
        raise BadRequest("line_too_long", f"the line is longer than {MAX_BYTES} bytes")
    try:
        text = raw.decode()
        document = json.loads(text, parse_constant=_refuse_constant)
        if "\\u" in text:  # halves of surrogate pairs, which PostgreSQL does not accept
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise BadRequest("malformed_line", "the line is not UTF-8") from error
    except UnicodeEncodeError as error:
        raise BadRequest("malformed_line", "half of a surrogate pair") from error
    except (ValueError, RecursionError) as error:
        raise BadRequest("malformed_line", "the line is not JSON, or incomplete") from error
    if not isinstance(document, dict):
        raise BadRequest("malformed_line", "the line is not a JSON object")
    if unknown := document.keys() - _KEYS:
        raise BadRequest("unknown_key", f"unknown key: {', '.join(sorted(unknown))[:100]}")
    if "\\u0000" in text and _holds_nul(document):
        raise BadRequest("malformed_line", "a NUL character, which PostgreSQL cannot store")
    document = {key: value for key, value in document.items() if value is not None}
    _check_types(document)
    return document


def _check_types(document: Mapping[str, Any]) -> None:
    kinds: dict[str, type] = dict.fromkeys((*_STRINGS, *TIMES, "status", "role"), str)
    kinds |= dict.fromkeys((*_OBJECTS, "credentials"), dict) | {"tags": list, "case_conflict": bool}
    words = {str: "a string", dict: "an object", list: "a list of strings", bool: "true or false"}
    for key, value in document.items():
        fits = isinstance(value, kinds[key])
        if not fits or (key == "tags" and not all(isinstance(tag, str) for tag in value)):
            raise BadRequest("wrong_type", f"{key} must be {words[kinds[key]]}")


def _username(document: Mapping[str, Any]) -> str:
    credentials = document.get("credentials", {})
    if credentials.keys() - {"username"}:
        raise BadRequest("unknown_key", "credentials may contain the username only. A hash belongs into secret")
    username = credentials.get("username") or ""
    if not isinstance(username, str):
        raise BadRequest("wrong_type", "credentials.username must be a string")
    return username


def _id(document: Mapping[str, Any]) -> str | None:
    user_id: str = document.get("id", "")
    if len(user_id) > _ID_CHARACTERS or not user_id.isprintable():
        raise BadRequest("invalid_id", f"id must be printable, with at most {_ID_CHARACTERS} characters")
    return user_id or None


def _hash(document: Mapping[str, Any]) -> str | None:
    """Return the hash. Refuse a hash that no login can check, and a password by mistake."""
    secret: str = document.get("secret", "")
    if not secret:
        return None
    if bcrypt := _BCRYPT.fullmatch(secret):
        if not 4 <= int(bcrypt[1]) <= _MOST_BCRYPT_COST:
            raise BadRequest("invalid_hash", f"the cost of a bcrypt hash must be 4 to {_MOST_BCRYPT_COST}")
        return secret
    if argon := _ARGON2ID.fullmatch(secret):
        kib, passes, lanes = (int(argon[place]) for place in (1, 2, 3))
        if not (8 * lanes <= kib <= _MOST_ARGON2ID_KIB and 1 <= passes <= _MOST_ARGON2ID_PASSES and lanes):
            limits = f"8 KiB a lane to {_MOST_ARGON2ID_KIB} KiB, 1 to {_MOST_ARGON2ID_PASSES} passes"
            raise BadRequest("invalid_hash", f"an argon2id hash must take {limits}")
        return secret
    raise BadRequest("invalid_hash", "secret must be a bcrypt ($2a$, $2b$, $2y$) or argon2id ($argon2id$v=19$) hash")


def _named(document: Mapping[str, Any], key: str, names: Mapping[str, Any]) -> Any:
    name = document.get(key)
    if name is None:
        return None
    if name not in names:
        raise BadRequest(f"invalid_{key}", f"{key} must be one of {', '.join(names)}")
    return names[name]


def _moment(document: Mapping[str, Any], key: str) -> datetime | None:
    text = document.get(key, ZERO_TIME)
    if text == ZERO_TIME:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadRequest("invalid_time", f"{key} must be a time such as 2026-01-31T12:00:00Z")
    return moment


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(map(_holds_nul, value))


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
