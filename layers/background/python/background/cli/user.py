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
        """List, view and change accounts.

        Changes publish events and end the account's sessions, as changes by the API do. `updated_by` is "cli".
        """

    @command(user, "show", example="python -m users user show john.doe@example.com", changes=False)
    @WHO
    @click.option("--private", is_flag=True, help="Show the private metadata, too.")
    def show(console: Console, *, who: str, private: bool) -> None:
        """Show an account. Of its password, the output contains only the kind of hash."""
        document = _document(administration.find(who), private=private)
        width = max(map(len, document))
        console.result(document, "\n".join(f"{name:{width}}  {printable(value)}" for name, value in document.items()))

    @command(user, "disable", example="python -m users user disable john_doe", changes=True)
    @WHO
    def disable(console: Console, *, who: str) -> None:
        """Disable an account, and end all its sessions.

        The account cannot log in any more. The last enabled administrator cannot be disabled. The service removes a
        disabled account for good after MG_USERS_DELETE_AFTER, unless MG_USERS_DELETE_DISABLED is false.
        """
        found = administration.find(who).user
        _tell(console, found.id, "disabled", changed=administration.disable(found))

    @command(user, "enable", example="python -m users user enable john_doe", changes=True)
    @WHO
    def enable(console: Console, *, who: str) -> None:
        """Enable an account, or restore a deleted one.

        A deleted account can be restored until its removal has begun. The command also ends the restriction after too
        many wrong passwords: the account accepts its password from all networks again, not only from those where it
        logged in lately.
        """
        found = administration.find(who).user
        _tell(console, found.id, "enabled", changed=administration.enable(found))

    @command(user, "set-role", example="python -m users user set-role john_doe admin", changes=True)
    @WHO
    @click.argument("role", type=click.Choice(["user", "admin"]))
    def set_role(console: Console, *, who: str, role: str) -> None:
        """Make a user an administrator, or an administrator an ordinary user.

        A changed role ends the account's sessions. With the role that the account already has, the command repairs the
        relations in SpiceDB.
        """
        found = administration.find(who).user
        _tell(console, found.id, role, changed=administration.set_role(found, Role[role.upper()]))

    @command(user, "reset-password", example="python -m users user reset-password john_doe", changes=True)
    @WHO
    @click.option("--print-link", is_flag=True, help="Print the link instead of a mail. It works once, for 30 minutes.")
    @click.option("--password-stdin", is_flag=True, help="Set the password from the first line of stdin.")
    def reset_password(console: Console, *, who: str, print_link: bool, password_stdin: bool) -> None:
        """Send a mail with a link to set a new password.

        With --print-link the command prints the link instead. Use it if no mails arrive, and hand the link over safely:
        anybody who has the link can take the account. With --password-stdin the command sets the password. It obeys the
        password rules, ends all sessions, and sends a notice to the account's address. Neither option puts a password
        on a command line.
        """
        if print_link and password_stdin:
            raise click.UsageError("--print-link and --password-stdin exclude each other: use only one of them.")
        _reset(console, administration.find(who), print_link=print_link, password_stdin=password_stdin)

    return user


def _reset(console: Console, state: AccountState, *, print_link: bool, password_stdin: bool) -> None:
    done: dict[str, Any] = {"id": state.user.id}
    if print_link:
        link = administration.reset_link(state.user)
        console.result({**done, "done": "link", "link": link}, link)
    elif password_stdin:
        administration.set_password(state, given_password())
        console.result({**done, "done": "set"}, f"{state.user.id}: the password is set, and all sessions have ended")
    else:
        administration.mail_reset(state.user)
        console.result({**done, "done": "mail"}, f"{state.user.id}: the mail is on its way")


def given_password() -> str:
    """Return the first line of stdin, or ask a person twice for it without showing it."""
    if sys.stdin.isatty():
        typed: str = click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    return sys.stdin.readline().rstrip("\r\n")


def _tell(console: Console, user_id: str, state: str, *, changed: bool) -> None:
    document = {"id": user_id, "now": state, "changed": changed}
    console.result(document, f"{user_id}: {state}{'' if changed else ' already'}")


def _document(state: AccountState, *, private: bool) -> dict[str, Any]:
    """Return the account with every key, even if it is empty, so that programs find them."""
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
