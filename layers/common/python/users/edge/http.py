"""The HTTP edge: from an API Gateway event (payload 2.0) to a typed request, and from a result or error to a response.

    @operation("view_profile", access=SIGNED_IN_UNVERIFIED)
    def lambda_handler(request: Request) -> Reply: ...

The edge authenticates by ``access`` before the operation runs. The operation reads its caller's row with its own query,
to save a round trip, and passes the row to ``request.admit``. An operation that returns a success without having
admitted its caller is a defect. The edge then answers 500.
"""

import base64
import binascii
import hmac
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from users.access import ANYBODY, PROGRAM_TOKENS, Access, Account, Session, admit
from users.aws.secrets import secret
from users.edge.authentication import authenticate, bearer_token
from users.edge.media_type import is_json
from users.edge.readiness import readiness_of
from users.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    TooManyRequests,
    Unavailable,
    UnsupportedMediaType,
    UsersError,
)
from users.readiness import CHECK
from users.rules.query_string import Query
from users.settings import WrongSettings, settings
from users.snapstart import prepare
from users.telemetry.invocation import invocation, log_unavailable
from users.telemetry.log import logger, place
from users.telemetry.metrics import count

if TYPE_CHECKING:
    from users.edge.body import Body

B = TypeVar("B", bound="Body")

MAX_BODY_BYTES = 1024 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_COMMON_HEADERS = {"X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of an operation: a status and a body.

    The edge sends a string or bytes unchanged, no body for None, and everything else as JSON.
    """

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Request:
    """One request. ``session`` is the caller's, None where the operation needs no caller.

    The names of ``headers`` are in lower case. ``locale`` is the language of the account that a page is about. The
    operation sets it as soon as it has read that account.
    """

    event: Mapping[str, Any]
    request_id: str
    access: Access
    session: Session | None = None
    admitted: bool = False
    locale: str = ""
    headers: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Read the headers, once."""
        self.headers = _headers(self.event)

    @property
    def method(self) -> str:
        """The HTTP method."""
        method: str = self.event["requestContext"]["http"]["method"]
        return method

    @property
    def query(self) -> Query:
        """The query string, parsed as upstream parses it."""
        return Query(self.event.get("rawQueryString", ""))

    @property
    def address(self) -> str:
        """The client's network address, from API Gateway or from an edge that sends the origin secret (S10).

        ``X-Forwarded-For`` is never read, because every client can write it.
        """
        source: str = self.event["requestContext"]["http"]["sourceIp"]
        expected = secret(settings().origin_secret)
        if expected and hmac.compare_digest(self.headers.get("x-origin-verify", "").encode(), expected.encode()):
            return self.headers.get("cloudfront-viewer-address", "").rpartition(":")[0] or source
        return source

    @property
    def user_id(self) -> str:
        """The ``{id}`` of the path. BadRequest when it is empty, NotFound when no account can have it."""
        user_id: str = (self.event.get("pathParameters") or {}).get("id", "")
        if not user_id:
            raise BadRequest("missing_id", "missing entity id", field="id")
        if "\0" in user_id or not user_id.isprintable():
            raise NotFound
        return user_id

    @property
    def caller(self) -> Session:
        """The session. An operation whose access asks for one always has it."""
        if self.session is None:
            raise TypeError("the operation declares no access, hence has no caller")
        return self.session

    def body(self, model: type[B]) -> B:
        """Return the JSON body. UnsupportedMediaType, PayloadTooLarge or BadRequest (contract §1.2)."""
        self.check_json()
        return model.parse(self._text())

    def check_json(self) -> None:
        """Raise UnsupportedMediaType unless the headers name JSON, whether or not the body is read."""
        if not is_json(self.headers.get("content-type", "")):
            raise UnsupportedMediaType

    def form(self) -> Query:
        """Return the fields of a form that a browser posted (``application/x-www-form-urlencoded``)."""
        return Query(self._text())

    def _text(self) -> str:
        text: str = self.event.get("body") or ""
        try:
            raw = base64.b64decode(text, validate=True) if self.event.get("isBase64Encoded") else text.encode()
            if len(raw) > MAX_BODY_BYTES:
                raise PayloadTooLarge("body_too_large", f"request body is larger than {MAX_BODY_BYTES} bytes")
            return raw.decode()
        except UnicodeError as error:
            raise BadRequest("malformed_body", "request body is not valid UTF-8") from error
        except binascii.Error as error:
            raise BadRequest("malformed_body", "request body is not a valid JSON, expecting a valid JSON") from error

    def admit(self, account: Account | None) -> Account:
        """Admit the caller by its row. Where the operation is for administrators, ask the policy store as well."""
        return self._admit(account, target_id=None)

    def admit_for(self, account: Account | None, user_id: str) -> Account:
        """Admit the caller to the account ``user_id``: its own, or any for an administrator. Forbidden for others."""
        return self._admit(account, target_id=user_id)

    def _admit(self, account: Account | None, *, target_id: str | None) -> Account:
        """Admit the caller to the account ``target_id``, or to no particular account when it is None."""
        admitted = admit(self.caller, account, self.access)
        acts_on_another = target_id not in {None, admitted.id}
        if acts_on_another and not admitted.is_admin:
            raise Forbidden
        if not (self.access.own_profile and target_id == admitted.id):
            self._check_credential()
        if acts_on_another or self.access.administrator:
            self._ask_policy_store(admitted)
        self.admitted = True
        return admitted

    def _check_credential(self) -> None:
        """Raise Forbidden where a personal access token or an API key would do more than read (S51)."""
        if self.method != "GET" and self.caller.token_type in PROGRAM_TOKENS:
            raise Forbidden("access_token_required", "this operation needs the access token of a login")

    def judge(self) -> None:
        """Raise Unauthenticated for a caller that would not be admitted (contract §1.2, §1.3).

        This is for bad requests that fail before the operation has read the caller's row. It costs one read. It ignores
        roles, because upstream reads the request first. While the database is away the request's own error stands.
        """
        if self.session is None or self.admitted:
            return
        from users.repository.accounts import find_account  # psycopg, for functions that use it

        try:
            account = find_account(self.session.user_id)
        except Unavailable:
            return
        admit(self.session, account, replace(self.access, administrator=False))

    def _ask_policy_store(self, administrator: Account) -> None:
        """Ask SpiceDB, where it is configured. The row alone does not make an administrator (decisions 15)."""
        if settings().spicedb_host:
            from users.peers.auth import authorize_administrator  # grpc, only where it is used

            authorize_administrator(administrator.id)

    def require(self, access: Access) -> Account:
        """Require more access than the operation declares. This costs a round trip."""
        from users.repository.accounts import find_account  # psycopg, for functions that use it

        self.access = access
        self.session = authenticate(bearer_token(self.headers), access)
        return self.admit(find_account(self.session.user_id))


_INTERNAL_ERROR = Reply(500, {"message": "internal server error", "error": "internal"})


class CallerNotAdmitted(Exception):
    """A defect: an operation answered without having admitted its caller. ``python -O`` would drop an ``assert``."""


Handler = Callable[[Request], Reply]
ErrorPage = Callable[[Request, UsersError], Reply | None]
LambdaHandler = Callable[[Mapping[str, Any], Any], dict[str, Any]]


def operation(name: str, *, access: Access, error_page: ErrorPage | None = None) -> Callable[[Handler], LambdaHandler]:
    """Make a Lambda handler of an operation. ``name`` is its name in logs, metrics and spans.

    ``error_page`` turns an error into a page for a request from a person's browser. It returns None for other requests.
    """

    def decorate(handler: Handler) -> LambdaHandler:
        check = readiness_of(name)
        prepare()

        @wraps(handler)
        def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 -- Lambda's signature
            if event == CHECK:
                return check()
            started = time.perf_counter()
            request = Request(event, _request_id(event), access)
            with invocation(name, request.request_id, request.headers, event.get("routeKey", "")) as outcome:
                reply = _answer(handler, request, error_page)
                outcome.status = reply.status
                logger.info("answered", status=reply.status, duration=round(time.perf_counter() - started, 6))
            return _response(reply, request.request_id)

        return lambda_handler

    return decorate


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers with their names in lower case. API Gateway writes them so, ``sam local start-api`` does not.

    A comma joins the values of two spellings of one name, as API Gateway joins headers that a client repeats. So no
    value replaces another.
    """
    headers: dict[str, str] = {}
    for name, value in (event.get("headers") or {}).items():
        key = name.lower()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    return headers


def _request_id(event: Mapping[str, Any]) -> str:
    """Return the client's ``X-Request-Id`` where it is fit for a log line, else a new one."""
    sent = _headers(event).get("x-request-id", "")
    return sent if _REQUEST_ID.fullmatch(sent) else str(uuid.uuid4())


def _answer(handler: Handler, request: Request, error_page: ErrorPage | None) -> Reply:
    """Authenticate, run the operation, map its errors. This is the one place that catches everything."""
    try:
        if request.access is not ANYBODY:
            request.session = authenticate(bearer_token(request.headers), request.access)
        return _run(handler, request)
    except UsersError as error:
        _log_refusal(error)
        page = error_page(request, error) if error_page else None
        answer = page or Reply(error.status, _body_of(error))
        if isinstance(error, Unavailable | TooManyRequests):
            return replace(answer, headers={**answer.headers, "Retry-After": str(error.retry_after)})
        return answer
    except WrongSettings as error:
        logger.error("misconfigured", cause=str(error))
        count("InternalErrors")
        return _INTERNAL_ERROR
    except Exception as error:  # noqa: BLE001 -- the edge
        # The text of a foreign exception may contain input of the caller, so the log gets its type and place only.
        logger.error("failed", exception_type=type(error).__name__, place=place(error))
        count("InternalErrors")
        return _INTERNAL_ERROR


def _body_of(error: UsersError) -> dict[str, object]:
    """Return the body of an error, with ``details`` if it has any (decisions 44)."""
    details = [detail._asdict() for detail in error.details]
    return {"message": error.message, "error": error.code} | ({"details": details} if details else {})


def _run(handler: Handler, request: Request) -> Reply:
    """Return the reply of the operation. CallerNotAdmitted when it has not admitted its caller."""
    try:
        reply = handler(request)
    except (BadRequest, NotFound, PayloadTooLarge, UnsupportedMediaType):
        request.judge()
        raise
    if not request.admitted and request.access is not ANYBODY:
        raise CallerNotAdmitted
    return reply


def _log_refusal(error: UsersError) -> None:
    if isinstance(error, Unavailable):
        log_unavailable(error)
    else:
        logger.warning("refused", status=error.status, error=error.code)
    if isinstance(error, TooManyRequests):
        count("Throttled")


def _response(reply: Reply, request_id: str) -> dict[str, Any]:
    headers = {
        "Content-Type": "application/json",
        **_COMMON_HEADERS,
        **reply.headers,
        "X-Request-Id": request_id,
    }
    response: dict[str, Any] = {"statusCode": reply.status, "headers": headers}
    if isinstance(reply.body, bytes):
        response |= {"body": base64.b64encode(reply.body).decode(), "isBase64Encoded": True}
    elif reply.body is not None:
        text = (
            reply.body
            if isinstance(reply.body, str)
            else json.dumps(reply.body, ensure_ascii=False, separators=(",", ":"))
        )
        response["body"] = text + "\n"
    return response
