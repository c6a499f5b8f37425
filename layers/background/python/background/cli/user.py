"""``user show``, ``disable``, ``enable``, ``set-role`` and ``reset-password``: one account at a time."""

import sys
from typing import Any

import click

from background.accounts import administration
from background.accounts.administration import AccountState
from background.cli.command import command
from background.cli.console import Console, printable
from users.models import Role, rfc3339

WHO = click.argument("who", metavar="ID|EMAIL|USERNAME")


def add_to(cli: click.Group) -> click.Group:
    """Add the group, and return it for further commands."""

    @cli.group()
    def user() -> None:
        """Look at an account, and change what its owner cannot.

        Changes are published as events and end the account's sessions, as the API's do; `updated_by` is "cli".
        """

    @command(user, "show", example="python -m users user show john.doe@example.com", changes=False)
    @WHO
    @click.option("--private", is_flag=True, help="With the private metadata.")
    def show(console: Console, *, who: str, private: bool) -> None:
        """Show an account. Its password is never shown, only how it is kept."""
        document = _document(administration.find(who), private=private)
        width = max(map(len, document))
        console.result(document, "\n".join(f"{name:{width}}  {printable(value)}" for name, value in document.items()))

    @command(user, "disable", example="python -m users user disable john_doe", changes=True)
    @WHO
    def disable(console: Console, *, who: str) -> None:
        """Keep somebody out: no login, and all sessions end. Not for the last enabled administrator.

        A disabled account is removed for good after MG_USERS_DELETE_AFTER, unless MG_USERS_DELETE_DISABLED is false.
        """
        found = administration.find(who).user
        _tell(console, found.id, "disabled", changed=administration.disable(found))

    @command(user, "enable", example="python -m users user enable john_doe", changes=True)
    @WHO
    def enable(console: Console, *, who: str) -> None:
        """Let somebody in again; restores a deleted account until its removal has begun.

        Also ends the restriction after too many wrong passwords: the account takes its password from everywhere
        again, not only from known addresses.
        """
        found = administration.find(who).user
        _tell(console, found.id, "enabled", changed=administration.enable(found))

    @command(user, "set-role", example="python -m users user set-role john_doe admin", changes=True)
    @WHO
    @click.argument("role", type=click.Choice(["user", "admin"]))
    def set_role(console: Console, *, who: str, role: str) -> None:
        """Make an administrator, or an ordinary user again. Ends the account's sessions.

        Given the role that the account has, it repairs the relations in SpiceDB.
        """
        found = administration.find(who).user
        _tell(console, found.id, role, changed=administration.set_role(found, Role[role.upper()]))

    @command(user, "reset-password", example="python -m users user reset-password john_doe", changes=True)
    @WHO
    @click.option("--print-link", is_flag=True, help="Print the link instead of mailing it; good once, for 30 minutes.")
    @click.option("--password-stdin", is_flag=True, help="Set the password that stdin's first line holds.")
    def reset_password(console: Console, *, who: str, print_link: bool, password_stdin: bool) -> None:
        """Mail somebody a link to set a new password, or do it otherwise.

        --print-link is for when no mail gets through: whoever has the link has the account, so hand it over safely.
        --password-stdin obeys the password rules, ends all sessions, and tells the account's address. Neither ever
        puts a password on a command line.
        """
        if print_link and password_stdin:
            raise click.UsageError("--print-link and --password-stdin are two ways: give one.")
        _reset(console, administration.find(who), print_link=print_link, password_stdin=password_stdin)

    return user


def _reset(console: Console, state: AccountState, *, print_link: bool, password_stdin: bool) -> None:
    done: dict[str, Any] = {"id": state.user.id}
    if print_link:
        link = administration.reset_link(state.user)
        console.result({**done, "done": "link", "link": link}, link)
    elif password_stdin:
        administration.set_password(state, given_password())
        console.result({**done, "done": "set"}, f"{state.user.id}: the password is set, all sessions are ended")
    else:
        administration.mail_reset(state.user)
        console.result({**done, "done": "mail"}, f"{state.user.id}: the mail is on its way")


def given_password() -> str:
    """The first line of stdin; typed unseen and twice where a person sits there."""
    if sys.stdin.isatty():
        typed: str = click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    return sys.stdin.readline().rstrip("\r\n")


def _tell(console: Console, user_id: str, state: str, *, changed: bool) -> None:
    document = {"id": user_id, "now": state, "changed": changed}
    console.result(document, f"{user_id}: {state}{'' if changed else ' already'}")


def _document(state: AccountState, *, private: bool) -> dict[str, Any]:
    """Every key always, so that programs find them."""
    user, shown = state.user, state.user.as_json()

    def moment(value: Any) -> str | None:
        return rfc3339(value) if value else None

    return {
        "id": user.id,
        "email": user.email,
        "username": user.username,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "status": shown["status"],
        "role": shown["role"],
        "verified_at": moment(user.verified_at),
        "tags": user.tags,
        "metadata": user.metadata,
        **({"private_metadata": user.private_metadata} if private else {}),
        "profile_picture": user.profile_picture,
        "auth_provider": user.auth_provider,
        "password": state.password_kind,
        "created_at": moment(user.created_at),
        "updated_at": moment(user.updated_at),
        "updated_by": user.updated_by,
        "disabled_at": moment(state.disabled_at),
        "deleted_at": moment(state.deleted_at),
        "removal_begun_at": moment(state.purging_at),
        "restricted_at": moment(state.restricted_at),
        "case_conflict": state.case_conflict,
        "outbox_waiting": state.waiting,
        "outbox_parked": state.parked,
    }
