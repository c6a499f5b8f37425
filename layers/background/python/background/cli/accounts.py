"""``user list``, ``create`` and ``delete``: list, make and remove accounts by the rules of the API."""

import json
from typing import Any
from urllib.parse import urlencode

import click

from background.accounts import administration
from background.cli.command import command
from background.cli.console import Console, printable, table
from background.cli.failures import Exit
from background.cli.user import WHO, given_password
from users.models import Page, Role, Status
from users.rules.listing import DEFAULT_LIMIT, MAX_LIMIT, ORDERS, read_listing
from users.rules.query_string import Query
from users.settings import settings

# The columns of the table, and where each is in the API's User object.
_SHOWN = ("id", "email", "username", "first_name", "last_name", "status", "role", "verified_at", "created_at")


def add_to(user: click.Group) -> None:
    """Add the three commands to the group."""

    @command(user, "list", example="python -m users user list --role admin --status all", changes=False)
    @click.option("--status", type=click.Choice(["enabled", "disabled", "deleted", "all"]), help="Default: enabled.")
    @click.option("--role", type=click.Choice(["user", "admin", "all"]), help="Default: all.")
    @click.option("--verified", type=click.Choice(["true", "false"]), help="Whether the address is verified.")
    @click.option("--username", help="A part of the username, in any letter case.")
    @click.option("--email", help="A part of the e-mail address.")
    @click.option("--first-name", help="A part of the first name.")
    @click.option("--last-name", help="A part of the last name.")
    @click.option("--id", help="A part of the id.")
    @click.option("--tags", help="a,b: accounts with any of these tags; a+b: with all of them.")
    @click.option("--metadata", help="A JSON object that the account's metadata must contain.")
    @click.option("--created-from", help="Accounts registered at this time or later, such as 2026-01-31T12:00:00Z.")
    @click.option("--created-to", help="Accounts registered at this time or earlier.")
    @click.option("--order", type=click.Choice(ORDERS), help="Default: updated_at.")
    @click.option("--dir", type=click.Choice(["asc", "desc"]), help="Default: desc.")
    @click.option("--limit", type=click.IntRange(1, MAX_LIMIT), help=f"Default: {DEFAULT_LIMIT}.")
    @click.option("--offset", type=click.IntRange(min=0), help="How many accounts to skip.")
    @click.option("--cursor", help="The next_cursor of the previous page, instead of --offset.")
    @click.option("--only-total", is_flag=True, help="Only count the accounts.")
    def list_(console: Console, *, only_total: bool, **filters: str | int | None) -> None:
        """List accounts by filters.

        The filters, limits and pages are those of GET /users for an administrator. With --json the output is the answer
        of the API.
        """
        from users.repository.pages import list_for_operator

        given = {name: value for name, value in filters.items() if value is not None}
        if only_total:
            given["only_total"] = "true"
        page = list_for_operator(read_listing(Query(urlencode(given))))
        console.result(page.as_json(), _page(page))

    @command(
        user,
        "create",
        example="python -m users user create --email ada@example.com --username ada --first-name Ada --last-name L.",
        changes=True,
    )
    @click.option("--email", required=True)
    @click.option("--username", required=True)
    @click.option("--first-name", required=True)
    @click.option("--last-name", required=True)
    @click.option("--role", type=click.Choice(["user", "admin"]), default="user", show_default=True)
    @click.option("--status", type=click.Choice(["enabled", "disabled"]), default="enabled", show_default=True)
    @click.option("--tag", "tags", multiple=True, help="A tag. Repeat the option for several tags.")
    @click.option("--metadata", default="{}", help="A JSON object.")
    @click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")
    def create(
        console: Console,
        *,
        role: str,
        status: str,
        tags: tuple[str, ...],
        metadata: str,
        password_stdin: bool,
        **names: str,
    ) -> None:
        """Make an account, and invite its owner.

        The command does the same as POST /users of an administrator. The owner gets an invitation by mail. The link in
        it sets the password and verifies the address. If the account has a password and MG_USERS_VERIFY_ON_REGISTER is
        false, there is no mail. If no mails arrive, print a link with `user reset-password --print-link`.
        """
        from background.accounts.creation import NewAccount, storable
        from background.accounts.creation import create as make

        secret = given_password() if password_stdin else ""
        if password_stdin and not secret:
            raise click.UsageError("--password-stdin: stdin contains no password.")
        new = NewAccount(
            **names,
            secret=secret,
            role=Role[role.upper()],
            status=Status[status.upper()],
            tags=list(tags),
            metadata=storable(_object(metadata)),
        )
        made, invited = make(new)
        mail = "the invitation is on its way" if invited else "no mail is sent"
        console.result({**made.as_json(), "invited": invited}, f"{made.id}: created, {mail}")

    @command(user, "delete", example="python -m users user delete john_doe", changes=True)
    @WHO
    @click.option("--purge", is_flag=True, help="Remove the account for good and at once.")
    @click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
    def delete(console: Console, *, who: str, purge: bool, yes: bool) -> Exit | None:
        """Delete an account, and end all its sessions.

        The command does the same as DELETE /users/{id}. The last enabled administrator cannot be deleted. `user enable`
        can restore the account until MG_USERS_DELETE_AFTER is over. Then the service removes the account for good. With
        --purge, or if MG_USERS_DELETE_AFTER is 0s, the command removes it at once.
        """
        found = administration.find(who).user
        if not purge and settings().delete_after > 0:
            changed = administration.delete(found)
            document = {"id": found.id, "now": "deleted", "changed": changed}
            console.result(document, f"{found.id}: deleted{'' if changed else ' already'}")
            return None
        if not console.confirm(f"Remove {printable(found.email)} ({found.id}) for good?", yes=yes):
            console.note("Nothing was removed.")
            return Exit.FAILED
        administration.remove(found)
        console.result({"id": found.id, "now": "removed", "changed": True}, f"{found.id}: removed for good")
        return None


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError("--metadata is not valid JSON.") from error
    if not isinstance(value, dict):
        raise click.UsageError("--metadata is not a JSON object.")
    return value


def _page(page: Page) -> str:
    """Return the table of the page, the number of all accounts, and the option for the next page."""
    total = f"{'about ' if page.total_is_estimate else ''}{page.total} in all"
    lines = [table(_SHOWN, [_row(user.as_json()) for user in page.users])] if page.users else []
    return "\n".join([*lines, total, *([f"next page: --cursor {page.next_cursor}"] if page.next_cursor else [])])


def _row(shown: dict[str, Any]) -> list[object]:
    values = {**shown, "username": shown["credentials"].get("username", "")}
    values |= {name: "" for name in ("verified_at",) if values.get(name, "").startswith("0001-")}
    return [values.get(name, "") for name in _SHOWN]
