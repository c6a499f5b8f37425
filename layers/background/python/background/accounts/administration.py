"""Changes of one account by an operator, by the statements of the API's operations.

The rules of the API hold. The last enabled administrator stays one. A change of password, role or status ends all
sessions. Rights are granted after and revoked before the change in the database. ``updated_by`` is ``cli``, in events
too. Their ``token_type`` is ``access token`` and their ``super_admin`` is true, because upstream has no other values.
A repeated change is no error, and completes the work of an interrupted run.
"""

import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from background.repository import accounts
from users.access import Session, TokenType
from users.errors import Conflict, Forbidden, NotFound, Unavailable
from users.models import Role, Status, User
from users.repository import changes
from users.repository.login_failures import end_restriction
from users.repository.outbox import record
from users.repository.purges import Claim, claim_deleted
from users.rules import outbox_records, passwords
from users.rules.one_time_tokens import LIFETIMES, derive, digest
from users.rules.outbox_records import Record
from users.settings import settings
from users.steps.granting import grant_or_repair, revoke_administration
from users.steps.purge import purge
from users.steps.sessions import revocations
from users.steps.wake import wake_delivery

OPERATOR = Session(user_id="cli", token_type=TokenType.ACCESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """An account with the columns that only an operator sees. ``secret_hash`` is None if it has no password.

    Since ``restricted_at`` it accepts its password from known addresses only (S47).
    """

    user: User
    secret_hash: str | None
    case_conflict: bool
    disabled_at: datetime | None
    deleted_at: datetime | None
    purging_at: datetime | None
    restricted_at: datetime | None
    waiting: int
    parked: int

    @property
    def password_kind(self) -> str:
        """The kind of the hash: ``argon2id``, ``bcrypt`` or ``none``."""
        if not self.secret_hash:
            return "none"
        return "bcrypt" if passwords.is_bcrypt(self.secret_hash) else "argon2id"


def find(identity: str) -> AccountState:
    """Return the account of an id, e-mail address or username. NotFound, or Conflict for several accounts."""
    rows = accounts.find_by_any_name(identity)
    if not rows:
        raise NotFound("not_found", "no account has this id, e-mail address or username")
    if len(rows) > 1:
        ids = ", ".join(row["id"] for row in rows)
        raise Conflict("ambiguous", f"several accounts have this name, choose one by its id: {ids}")
    row = rows[0]
    return AccountState(
        user=User.from_row(row),
        secret_hash=row["secret"],
        **{name: row[name] for name in ("case_conflict", "disabled_at", "deleted_at", "purging_at")},
        **{name: row[name] for name in ("restricted_at", "waiting", "parked")},
    )


def disable(user: User) -> bool:
    """Disable the account and end its sessions. Return False if it is disabled. Conflict for the last administrator."""
    if user.status == Status.DISABLED:
        return False
    if user.status == Status.DELETED:
        raise Conflict("deleted", "the account is deleted, and nobody can log in to it")
    at = datetime.now(UTC)
    notice = outbox_records.notice_mail("account_disabled", user.email, at=at)
    records = [_change_event("user.disable", at), notice, *revocations(user.id)]
    if changes.update_status(user.id, Status.DISABLED, records, by=OPERATOR.user_id, at=at) is None:
        raise Conflict(
            "last_administrator", "the last enabled administrator cannot be disabled: make another one first"
        )
    wake_where_possible()
    return True


def enable(user: User) -> bool:
    """Enable the account, or restore a deleted one. Conflict when its removal has begun.

    Also end the restriction to known addresses (S47). Return False if the account is enabled and not restricted.
    """
    if user.status == Status.ENABLED:
        return end_restriction(user.id)
    at = datetime.now(UTC)
    records = [_change_event("user.enable", at), outbox_records.notice_mail("account_enabled", user.email, at=at)]
    if changes.update_status(user.id, Status.ENABLED, records, by=OPERATOR.user_id, at=at) is None:
        raise Conflict("removal_begun", "the account is being removed for good: it cannot be restored any more")
    wake_where_possible()
    return True


def delete(user: User) -> bool:
    """Mark the account deleted, as its owner could. It can be restored until its grace period is over.

    Return False if it is deleted. Conflict for the last administrator, and when its removal has begun.
    """
    if user.status == Status.DELETED:
        return False
    at = datetime.now(UTC)
    end = at + timedelta(seconds=settings().delete_after)
    notice = outbox_records.notice_mail("account_deleted", user.email, at=at, removal_at=end.isoformat())
    _mark_deleted(user, [_change_event("user.delete", at), notice, *revocations(user.id)], at)
    wake_where_possible()
    return True


def remove(user: User) -> None:
    """Remove the account for good, with every trace of it. It may already be marked deleted.

    Conflict as ``delete``. Unavailable when Domains or SpiceDB do not answer. The account then stays marked deleted.
    """
    if user.status == Status.DELETED:
        claim = claim_deleted(user.id)
        if claim is None:
            raise _removal_begun()
    else:
        at = datetime.now(UTC)
        _mark_deleted(user, [_change_event("user.delete", at), *revocations(user.id)], at, claims=True)
        claim = Claim([user.id], at)
    purge(claim, str(uuid.uuid4()))


def _mark_deleted(user: User, records: list[Record], at: datetime, *, claims: bool = False) -> None:
    changed = changes.update_status(user.id, Status.DELETED, records, by=OPERATOR.user_id, at=at, claims=claims)
    if changed is None:
        if user.role == Role.ADMIN and user.status == Status.ENABLED:
            raise Conflict(
                "last_administrator", "the last enabled administrator cannot be deleted: make another one first"
            )
        raise _removal_begun()


def _removal_begun() -> Conflict:
    return Conflict("removal_begun", "the account is being removed for good")


def set_role(user: User, role: Role) -> bool:
    """Promote or demote, and align the relations. Return False if the role was right already.

    Conflict for the last administrator. Unavailable, without any change, when a right cannot be revoked.
    """
    if user.status != Status.ENABLED:
        raise Conflict("not_enabled", "the account is not enabled: enable it first")
    at = datetime.now(UTC)
    if role == Role.ADMIN:
        if user.role != Role.ADMIN:
            _change_role(user, role, at)
        grant_or_repair(user.id, Role.ADMIN)
    else:
        revoke_administration(user.id)
        if user.role == Role.ADMIN:
            _change_role(user, role, at)
    wake_where_possible()
    return user.role != role


def mail_reset(user: User) -> None:
    """Send the reset mail that the owner could request. Ignore the limits."""
    _require_enabled(user)
    mail = Record(channel="mail", name="password_reset", payload={})
    record(user.id, [_reset_event(user), mail])
    wake_where_possible()


def reset_link(user: User) -> str:
    """Return a link that sets a new password once, within 30 minutes. Older links end.

    WrongSettings without ``MG_USERS_SECRET_KEY``.
    """
    from background.mail.preparation import link

    _require_enabled(user)
    token = derive("password_reset", str(uuid.uuid4()), user.id)
    accounts.store_reset_link(user.id, digest(token), LIFETIMES["password_reset"], [_reset_event(user)])
    wake_where_possible()
    return link("password_reset", token)


def set_password(state: AccountState, password: str) -> None:
    """Set a new password that the rules allow, end all sessions and reset links, and mail the owner."""
    user = state.user
    _require_enabled(user)
    passwords.check_password_rules(password, username=user.username, email=user.email)
    passwords.check_changed(password, state.secret_hash or "")
    at = datetime.now(UTC)
    records = [
        _change_event("user.update_secret", at),
        outbox_records.notice_mail("password_changed", user.email, at=at),
        *revocations(user.id),
    ]
    new_hash = passwords.hash_password(password)
    if changes.update_secret(user.id, state.secret_hash, new_hash, records, at=at, by=OPERATOR.user_id) is None:
        raise Conflict("changed_meanwhile", "the account was changed at this moment: check it, and try again")
    wake_where_possible()


def wake_where_possible() -> None:
    """Wake the delivery if this process can call Lambda. Otherwise the schedule delivers within a minute."""
    if os.environ.get("AWS_REGION") and os.environ.get("AWS_ACCESS_KEY_ID"):
        wake_delivery()


def _change_role(user: User, role: Role, at: datetime) -> None:
    name = "administrator_added" if role == Role.ADMIN else "administrator_removed"
    notice = outbox_records.notice_mail(name, user.email, at=at)
    records = [_change_event("user.update_role", at), notice, *revocations(user.id)]
    try:
        changed = changes.update_role(user.id, role, records, by=OPERATOR.user_id, at=at)
    except Unavailable:
        grant_or_repair(user.id, user.role)  # the role stays, so restore the relation
        raise
    if changed is None:
        grant_or_repair(user.id, user.role)
        raise Conflict("last_administrator", "the last enabled administrator cannot be demoted: make another one first")


def _require_enabled(user: User) -> None:
    if user.status != Status.ENABLED:
        raise Forbidden("not_enabled", "the account is not enabled: enable it first")


def _change_event(operation: str, at: datetime) -> Record:
    return outbox_records.user_changed(operation, OPERATOR, str(uuid.uuid4()), at=at, super_admin=True)


def _reset_event(user: User) -> Record:
    payload = {"host": "", "email": user.email, "user": ""}
    return outbox_records.event("user.send_password_reset", str(uuid.uuid4()), payload)
