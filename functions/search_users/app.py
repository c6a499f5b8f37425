"""GET /users/search: enabled ordinary users by parts of their names, for anybody signed in (contract §3.3)."""

from users.access import SIGNED_IN
from users.edge.http import Reply, Request, operation
from users.repository import pages
from users.repository.outbox import record
from users.rules import outbox_records
from users.rules.listing import read_search
from users.settings import settings


@operation("search_users", access=SIGNED_IN)
def lambda_handler(request: Request) -> Reply:
    """Answer a page. One statement reads the caller's row, the page and its total."""
    listing = read_search(request.query)
    account, page = pages.search_users(request.caller.user_id, listing)
    caller = request.admit(account)
    if settings().read_events:
        record(caller.id, [outbox_records.users_searched(listing, request.request_id)])
    return Reply(200, page.as_json())
