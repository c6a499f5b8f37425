"""POST /users/tokens/issue: log in by e-mail address or username (contract §1.6.2, §4.3, decisions 6, 12, 15, 26).

Read the account, verify the password, ask Auth for tokens, write one statement. No transaction is open during the hash
or the call. Every refused login costs the same work and gets the same bytes, whatever the reason (S1–S3).
"""

from users.access import ANYBODY, Account
from users.edge.body import Body
from users.edge.http import Reply, Request, operation
from users.errors import BadRequest, Forbidden, Unauthenticated, Unavailable
from users.peers import auth
from users.repository import logins
from users.rules import outbox_records, passwords
from users.rules.attempts import Login
from users.rules.broken_rules import all_rules
from users.rules.fields import check_description
from users.settings import settings
from users.steps.granting import settle
from users.steps.password_checks import accepted, allowed
from users.steps.sessions import discard, obtain_tokens
from users.steps.wake import wake_delivery
from users.telemetry.metrics import count


class Credentials(Body):
    """``identity`` and ``secret`` as documented, or ``username`` and ``password`` as the SDKs send them.

    ``new_secret`` replaces a password that has expired (S59).
    """

    identity: str = ""
    secret: str = ""
    username: str = ""
    password: str = ""
    new_secret: str = ""
    description: str = ""


@operation("issue_token", access=ANYBODY)
def lambda_handler(request: Request) -> Reply:
    """Answer an access token and a refresh token."""
    credentials = request.body(Credentials)
    identity = credentials.username or credentials.identity
    password = credentials.password or credentials.secret
    with all_rules() as rules:
        rules.check(_check_identity, identity, "username" if credentials.password else "identity")
        rules.check(passwords.check_password_given, password, "password" if credentials.username else "secret")
        rules.check(check_description, credentials.description)
    login = _log_in(identity, password, credentials.new_secret, request)
    tokens = obtain_tokens(login.account, lambda: _issue_repairing(login.account, credentials.description))
    new_hash = None
    if settings().rehash and passwords.is_outdated(login.secret_hash):
        new_hash = passwords.hash_password(password)
    event = outbox_records.token_issued(identity, request.request_id)
    if not logins.record_login(login, request.address, new_hash, [event]):
        discard(login.account.id, tokens)  # the password is not the account's any more
        raise _refusal()
    wake_delivery()
    return Reply(201, tokens._asdict(), {"Cache-Control": "no-store"})


def _check_identity(identity: str, field: str) -> None:
    if not identity:
        raise BadRequest("missing_identity", "missing username / email", field=field)


def _log_in(identity: str, password: str, new_password: str, request: Request) -> Login:
    """Return the login of an enabled account with its right password. ``new_password`` replaces an expired one."""
    attempt = allowed(logins.begin_login(identity, request.address))
    right = passwords.verify_password(attempt.login.secret_hash if attempt.login else "", password)
    login = accepted(attempt, request.address, right=right)
    if login is None:
        raise _refusal()
    max_age = settings().pass_max_age
    expired = bool(max_age) and login.secret_age > max_age
    if new_password:
        from users.steps import expired_passwords  # few logins change a password

        if not expired:
            expired_passwords.refuse_change(login, request)
        return expired_passwords.change_expired(login, request, old=password, new=new_password)
    if expired:
        wish = outbox_records.reset_request(login.email, request.request_id)
        if not logins.record_expired_password(login, request.address, wish):
            raise _refusal()
        wake_delivery()
        raise Forbidden("password_expired", "password expired")
    return login


def _refusal() -> Unauthenticated:
    """Return the one error of every refused login, and count it."""
    count("LoginsFailed")
    return Unauthenticated("invalid_credentials", "invalid credentials")


def _issue_repairing(account: Account, description: str) -> auth.Tokens:
    """Issue tokens. Where Auth misses the relation of a new account, write the relation and issue again."""
    try:
        return auth.issue(account.id, role=account.role, verified=account.verified, description=description)
    except auth.RelationMissing:
        settle(account.id)
    try:
        return auth.issue(account.id, role=account.role, verified=account.verified, description=description)
    except auth.RelationMissing as error:
        raise Unavailable("auth", "relation missing") from error
