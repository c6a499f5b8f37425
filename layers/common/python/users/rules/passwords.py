"""Passwords: what is accepted, how it is hashed, how it is checked (decisions 26, 27; S15–S19)."""

import re
import unicodedata
from functools import cache
from typing import Any

from nacl import bindings
from nacl.exceptions import InvalidkeyError

from users.errors import BadRequest, Detail
from users.readiness import needed
from users.rules.broken_rules import all_rules
from users.rules.common_passwords import is_common
from users.rules.password_policy import MAX_BYTES, TELLING_LENGTH, broken_pattern
from users.settings import WrongSettings, settings

_MEMORY_BYTES = 19 * 1024 * 1024
_PASSES = 2
_ARGON2ID_COSTS = re.compile(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),")  # KiB, passes
# What bcrypt reads of a password; upstream's Go refuses longer ones, so none of its hashes depends on more.
_BCRYPT_BYTES = 72
# A hash whose password nobody knows: 32 random bytes that were thrown away.
_UNMATCHABLE = "$argon2id$v=19$m=19456,t=2,p=1$Kt0zu99WUz3WdCG0EYolCg$1pj4gaaGPlhnG+NzfdNafvkv83oNOtAFFLbBaD8Y7h0"


def _bytes(password: str) -> bytes:
    """The NFC form, so that a composed and a decomposed spelling are the same password (S16)."""
    return unicodedata.normalize("NFC", password).encode()


def hash_password(password: str) -> str:
    """The argon2id string of a password: 19 MiB, 2 passes, 1 lane, random salt (ASVS 11.4.2). About 30 ms."""
    return (
        bindings.crypto_pwhash_str_alg(_bytes(password), _PASSES, _MEMORY_BYTES, bindings.crypto_pwhash_ALG_ARGON2ID13)
        .rstrip(b"\0")
        .decode()
    )


def verify_password(stored_hash: str, password: str) -> bool:
    """Whether the password is the one of the hash, argon2id or bcrypt.

    An empty hash (unknown account, external account) costs one argon2id verification as well, so that the time of an
    answer does not tell whether there is an account (S2).
    """
    if is_bcrypt(stored_hash):
        import bcrypt  # only accounts that were taken over have such a hash

        return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], stored_hash.encode())
    try:
        return bindings.crypto_pwhash_str_verify((stored_hash or _UNMATCHABLE).encode(), _bytes(password))
    except InvalidkeyError:
        return False


def is_bcrypt(stored_hash: str) -> bool:
    """Whether a hash is one of upstream's."""
    return stored_hash.startswith(("$2a$", "$2b$", "$2y$"))


def is_outdated(stored_hash: str) -> bool:
    """Whether a login should replace the hash: bcrypt, or an imported argon2id that is cheaper to guess than ours."""
    costs = _ARGON2ID_COSTS.match(stored_hash)
    is_cheaper = costs is not None and int(costs[1]) * int(costs[2]) < _MEMORY_BYTES // 1024 * _PASSES
    return is_bcrypt(stored_hash) or is_cheaper


def check_password_rules(password: str, *, username: str, email: str, field: str = "secret") -> None:
    """BadRequest when a new password is empty, too long, off ``MG_USERS_PASS_REGEX``, very common, or tells a name.

    ``field`` is its name in the request.
    """
    check_password_given(password, field)
    with all_rules() as rules:
        rules.check(_check_pattern, password, field)
        rules.check(_check_not_common, password, field)
        rules.check(_check_tells_no_name, password, username, email.partition("@")[0], field)


def check_password_given(password: str, field: str) -> None:
    """BadRequest when there is no password, or one of more bytes than are ever looked at."""
    if not password:
        raise BadRequest("missing_password", "missing password", field=field)
    if len(password.encode()) > MAX_BYTES:
        raise BadRequest("password_too_long", f"password is longer than {MAX_BYTES} bytes", field=field)


def _check_pattern(password: str, field: str) -> None:
    if not password_pattern().search(password):
        detail = broken_pattern(password)
        raise BadRequest("weak_password", "password does not meet the requirements", field=field, detail=detail)


def _check_not_common(password: str, field: str) -> None:
    if settings().pass_common_check and is_common(password):
        detail = "password must not be a common password or word, even with digits and signs added"
        raise BadRequest("common_password", "password is too common", field=field, detail=detail)


def _check_tells_no_name(password: str, username: str, mail_name: str, field: str) -> None:
    folded = unicodedata.normalize("NFC", password).casefold()
    names = {"the username": username, "the part of the e-mail address before the @": mail_name}
    details = [
        Detail(field, "password_contains_name", f"password must not contain {what}")
        for what, name in names.items()
        if len(name) >= TELLING_LENGTH and name.casefold() in folded
    ]
    if details:
        message = "password contains the username or the e-mail's name"
        raise BadRequest("password_contains_name", message, details=details)


def check_changed(password: str, stored_hash: str, *, old: str = "", field: str = "secret") -> None:
    """BadRequest when a new password is the one of ``stored_hash``, in whatever spelling (S59).

    ``old`` is the password that was just verified against the hash, empty where nobody gave it. With it, argon2id costs
    nothing here; without it, one verification. bcrypt has hashed one of the spellings, and only its first 72 bytes.
    ``field`` is the name of the new one in the request.
    """
    same = _bytes(password) == _bytes(old)
    if not same and is_bcrypt(stored_hash):
        spellings = {password, *(unicodedata.normalize(form, password) for form in ("NFC", "NFD"))}
        same = any(verify_password(stored_hash, spelling) for spelling in sorted(spellings))
    elif not same and stored_hash and not old:
        same = verify_password(stored_hash, password)
    if same:
        raise BadRequest("password_unchanged", "new password is the current one", field=field)


@needed
@cache
def password_pattern() -> Any:
    """``MG_USERS_PASS_REGEX`` compiled by RE2, whose ``$`` is the end of the text; WrongSettings for a bad one."""
    return compiled_pattern(settings().pass_regex)


def compiled_pattern(text: str) -> Any:
    """Compile a value of ``MG_USERS_PASS_REGEX``; WrongSettings for a bad one."""
    import re2  # not needed to check a password

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else ""
        raise WrongSettings(f"MG_USERS_PASS_REGEX: must be an RE2 pattern ({reason})") from error
