"""GET /users: a page of accounts, for administrators (contract §3.2, decisions 22–24)."""

from users.access import ADMINISTRATOR
from users.edge.http import Reply, Request, operation
from users.repository import pages
from users.repository.outbox import record
from users.rules import outbox_records
from users.rules.listing import read_listing
from users.settings import settings


@operation("list_users", access=ADMINISTRATOR)
def lambda_handler(request: Request) -> Reply:
    """Answer a page. One statement reads the caller's row, the page and its total."""
    listing = read_listing(request.query)
    account, page = pages.list_users(request.caller.user_id, listing)
    admin = request.admit(account)
    if settings().read_events:
        record(admin.id, [outbox_records.users_listed(listing, request.caller, request.request_id)])
    return Reply(200, page.as_json())
