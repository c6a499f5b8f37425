"""Passwords: what is accepted, how it is hashed, how it is checked (decisions.md 26, 27; security.md S15–S19)."""

import re
import unicodedata
from functools import cache
from typing import Any

from nacl import bindings
from nacl.exceptions import InvalidkeyError

from users.common_passwords import is_common
from users.errors import BadRequest
from users.readiness import needed
from users.settings import SettingsError, settings

MAX_BYTES = 1024
_MEMORY_BYTES = 19 * 1024 * 1024
_PASSES = 2
_ARGON2ID_COSTS = re.compile(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),")  # KiB, passes
# A name shorter than this may occur in a password by chance.
_TELLING_LENGTH = 4
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


def check_password_rules(password: str, *, username: str, email: str) -> None:
    """BadRequest when a new password is empty, too long, off ``MG_USERS_PASS_REGEX``, very common, or tells a name."""
    if not password:
        raise BadRequest("missing_password", "missing password")
    if len(password.encode()) > MAX_BYTES:
        raise BadRequest("password_too_long", f"password is longer than {MAX_BYTES} bytes")
    if not password_pattern().search(password):
        raise BadRequest("weak_password", "password does not meet the requirements")
    if settings().pass_common_check and is_common(password):
        raise BadRequest("common_password", "password is too common")
    folded = unicodedata.normalize("NFC", password).casefold()
    for name in (username, email.partition("@")[0]):
        if len(name) >= _TELLING_LENGTH and name.casefold() in folded:
            raise BadRequest("password_contains_name", "password contains the username or the e-mail's name")


def check_changed(password: str, stored_hash: str, *, old: str = "") -> None:
    """BadRequest when a new password is the one of ``stored_hash``, in whatever spelling (security.md S59).

    ``old`` is the password that was just verified against the hash, empty where nobody gave it. With it, argon2id costs
    nothing here; without it, one verification. bcrypt has hashed one of the spellings, and only its first 72 bytes.
    """
    same = _bytes(password) == _bytes(old)
    if not same and is_bcrypt(stored_hash):
        spellings = {password, *(unicodedata.normalize(form, password) for form in ("NFC", "NFD"))}
        same = any(verify_password(stored_hash, spelling) for spelling in sorted(spellings))
    elif not same and stored_hash and not old:
        same = verify_password(stored_hash, password)
    if same:
        raise BadRequest("password_unchanged", "new password is the current one")


@needed
@cache
def password_pattern() -> Any:
    """``MG_USERS_PASS_REGEX`` compiled by RE2, whose ``$`` is the end of the text; SettingsError for a bad one."""
    return compiled_pattern(settings().pass_regex)


def compiled_pattern(text: str) -> Any:
    """Compile a value of ``MG_USERS_PASS_REGEX``; SettingsError for a bad one."""
    import re2  # not needed to check a password

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else ""
        raise SettingsError(f"MG_USERS_PASS_REGEX: must be an RE2 pattern ({reason})") from error
