"""Rules, hashing and verification of passwords (decisions 26, 27, S15–S19)."""

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
# bcrypt reads so much of a password. Upstream's Go refuses longer passwords, so none of its hashes depends on more.
_BCRYPT_BYTES = 72
# The hash of 32 random bytes that nobody kept.
_UNMATCHABLE = "$argon2id$v=19$m=19456,t=2,p=1$Kt0zu99WUz3WdCG0EYolCg$1pj4gaaGPlhnG+NzfdNafvkv83oNOtAFFLbBaD8Y7h0"


def _bytes(password: str) -> bytes:
    """Return the bytes of the NFC form, so that composed and decomposed spellings are the same password (S16)."""
    return unicodedata.normalize("NFC", password).encode()


def hash_password(password: str) -> str:
    """Return the argon2id string: 19 MiB, 2 passes, 1 lane, random salt (ASVS 11.4.2). Takes about 30 ms."""
    return (
        bindings.crypto_pwhash_str_alg(_bytes(password), _PASSES, _MEMORY_BYTES, bindings.crypto_pwhash_ALG_ARGON2ID13)
        .rstrip(b"\0")
        .decode()
    )


def verify_password(stored_hash: str, password: str) -> bool:
    """Return whether the password matches the hash, argon2id or bcrypt.

    An empty hash (unknown account, external account) costs one argon2id verification as well, so that the time of an
    answer does not reveal whether the account exists (S2).
    """
    if is_bcrypt(stored_hash):
        import bcrypt  # only taken-over accounts have such a hash

        return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], stored_hash.encode())
    try:
        return bindings.crypto_pwhash_str_verify((stored_hash or _UNMATCHABLE).encode(), _bytes(password))
    except InvalidkeyError:
        return False


def is_bcrypt(stored_hash: str) -> bool:
    """Return whether a hash is bcrypt, which upstream uses."""
    return stored_hash.startswith(("$2a$", "$2b$", "$2y$"))


def is_outdated(stored_hash: str) -> bool:
    """Return whether a login should replace the hash: bcrypt, or an imported argon2id that is cheaper than ours."""
    costs = _ARGON2ID_COSTS.match(stored_hash)
    is_cheaper = costs is not None and int(costs[1]) * int(costs[2]) < _MEMORY_BYTES // 1024 * _PASSES
    return is_bcrypt(stored_hash) or is_cheaper


def check_password_rules(password: str, *, username: str, email: str, field: str = "secret") -> None:
    """Check a new password: present, not too long, matching ``MG_USERS_PASS_REGEX``, not common, without a name in it.

    BadRequest for a broken rule. ``field`` is the password's name in the request.
    """
    check_password_given(password, field)
    with all_rules() as rules:
        rules.check(_check_pattern, password, field)
        rules.check(_check_not_common, password, field)
        rules.check(_check_contains_no_name, password, username, email.partition("@")[0], field)


def check_password_given(password: str, field: str) -> None:
    """Refuse an empty password, and one of more than ``MAX_BYTES``. BadRequest."""
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


def _check_contains_no_name(password: str, username: str, mail_name: str, field: str) -> None:
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
    """Refuse a new password that is the one of ``stored_hash`` in any spelling (S59). BadRequest.

    ``old`` is the password that was just verified against the hash, empty if unknown. It saves the one verification of
    argon2id. bcrypt has hashed one of the spellings, and only its first 72 bytes, so each spelling is verified.
    ``field`` is the new password's name in the request.
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
    """Compile ``MG_USERS_PASS_REGEX`` by RE2, whose ``$`` is the end of the text. WrongSettings for a bad pattern."""
    return compiled_pattern(settings().pass_regex)


def compiled_pattern(text: str) -> Any:
    """Compile a value of ``MG_USERS_PASS_REGEX``. WrongSettings for a bad pattern."""
    import re2  # verifying a password does not need it

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else ""
        raise WrongSettings(f"MG_USERS_PASS_REGEX: must be an RE2 pattern ({reason})") from error
