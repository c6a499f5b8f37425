"""The HTTP edge: from an API Gateway event (payload 2.0) to a typed request, and from a result or error to a response.

    @operation("view_profile", access=SIGNED_IN_UNVERIFIED)
    def lambda_handler(request: Request) -> Reply: ...

The edge authenticates by ``access`` before the operation runs; the operation passes its caller's row to
``request.admit``, because that row comes with its own query (one round trip). An operation that answers a success
without having admitted its caller is a defect and answers 500.
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
from users.settings import SettingsError, settings
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
    """What an operation answers: a status and a body.

    A string or bytes are sent as they are, None is no body, and everything else is turned into JSON.
    """

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Request:
    """One request. ``session`` is the caller's, None where the operation asks for none.

    The names of ``headers`` are in lower case. ``locale`` is the language of the account that a page is about, as soon
    as the operation knows it.
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
        """The query string, read as upstream reads it."""
        return Query(self.event.get("rawQueryString", ""))

    @property
    def address(self) -> str:
        """Where the request comes from: API Gateway's word or, behind an edge that proves itself, the edge's (S10).

        ``X-Forwarded-For`` is never read: anybody can write it.
        """
        source: str = self.event["requestContext"]["http"]["sourceIp"]
        expected = secret(settings().origin_secret)
        if expected and hmac.compare_digest(self.headers.get("x-origin-verify", "").encode(), expected.encode()):
            return self.headers.get("cloudfront-viewer-address", "").rpartition(":")[0] or source
        return source

    @property
    def user_id(self) -> str:
        """The ``{id}`` of the path; BadRequest when it is empty or cannot be anybody's."""
        user_id: str = (self.event.get("pathParameters") or {}).get("id", "")
        if not user_id:
            raise BadRequest("missing_id", "missing entity id", field="id")
        if "\0" in user_id or not user_id.isprintable():
            raise NotFound
        return user_id

    @property
    def caller(self) -> Session:
        """The session, where the operation's access makes sure that there is one."""
        if self.session is None:
            raise TypeError("the operation declares no access, hence has no caller")
        return self.session

    def body(self, model: type[B]) -> B:
        """The JSON body; UnsupportedMediaType, PayloadTooLarge or BadRequest (contract §1.2)."""
        self.check_json()
        return model.parse(self._text())

    def check_json(self) -> None:
        """UnsupportedMediaType unless the request says that its body is JSON, whether or not one is read."""
        if not is_json(self.headers.get("content-type", "")):
            raise UnsupportedMediaType

    def form(self) -> Query:
        """The fields of a form that a browser posted (``application/x-www-form-urlencoded``)."""
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
        """Let the caller in by its row; where administrators are asked for, the policy store is asked as well."""
        return self._admit(account, target_id=None)

    def admit_for(self, account: Account | None, user_id: str) -> Account:
        """Let the caller act on the account ``user_id``: its own, or any for an administrator; else Forbidden."""
        return self._admit(account, target_id=user_id)

    def _admit(self, account: Account | None, *, target_id: str | None) -> Account:
        """``target_id`` is the account that is acted on, None where there is none."""
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
        """Forbidden where a personal access token or an API key would do more than read (security.md S51)."""
        if self.method != "GET" and self.caller.token_type in PROGRAM_TOKENS:
            raise Forbidden("access_token_required", "this operation needs the access token of a login")

    def judge(self) -> None:
        """Raise Unauthenticated for a caller who would not be let in, whatever else is wrong (contract §1.2, §1.3).

        This costs one read. It is for requests that cannot be taken, before the operation has read the caller's row.
        Roles are not asked for: upstream reads the request first. While the database is away nobody can be judged, and
        the request is as wrong as before.
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
        """Where SpiceDB is configured, the row alone does not make an administrator (decisions.md 15)."""
        if settings().spicedb_host:
            from users.peers.auth import authorize_administrator  # grpc, only where it is used

            authorize_administrator(administrator.id)

    def require(self, access: Access) -> Account:
        """Ask for more than the operation declares, for one case of it; costs a round trip of its own."""
        from users.repository.accounts import find_account  # psycopg, for functions that use it

        self.access = access
        self.session = authenticate(bearer_token(self.headers), access)
        return self.admit(find_account(self.session.user_id))


_INTERNAL_ERROR = Reply(500, {"message": "internal server error", "error": "internal"})


class CallerNotAdmitted(Exception):
    """An operation answered without having admitted its caller: a defect. No ``assert``: ``python -O`` drops those."""


Handler = Callable[[Request], Reply]
ErrorPage = Callable[[Request, UsersError], Reply | None]
LambdaHandler = Callable[[Mapping[str, Any], Any], dict[str, Any]]


def operation(name: str, *, access: Access, error_page: ErrorPage | None = None) -> Callable[[Handler], LambdaHandler]:
    """Make a Lambda handler of an operation; ``name`` is its one name, in logs too.

    ``error_page`` turns an error into a page for a request that comes from a person's browser, None for others.
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
    """The headers with their names in lower case, as API Gateway writes them; ``sam local start-api`` does not.

    Two spellings of one name are joined by a comma, as API Gateway joins headers that a client repeats: neither takes
    the place of the other.
    """
    headers: dict[str, str] = {}
    for name, value in (event.get("headers") or {}).items():
        key = name.lower()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    return headers


def _request_id(event: Mapping[str, Any]) -> str:
    """The client's ``X-Request-Id`` where it is fit for a log line, else a new one."""
    sent = _headers(event).get("x-request-id", "")
    return sent if _REQUEST_ID.fullmatch(sent) else str(uuid.uuid4())


def _answer(handler: Handler, request: Request, error_page: ErrorPage | None) -> Reply:
    """Authenticate, run the operation, map what it raises. The one place that catches everything."""
    try:
        if request.access is not ANYBODY:
            request.session = authenticate(bearer_token(request.headers), request.access)
        return _run(handler, request)
    except UsersError as error:
        _tell(error)
        page = error_page(request, error) if error_page else None
        answer = page or Reply(error.status, _told(error))
        if isinstance(error, Unavailable | TooManyRequests):
            return replace(answer, headers={**answer.headers, "Retry-After": str(error.retry_after)})
        return answer
    except SettingsError as error:
        logger.error("misconfigured", cause=str(error))
        count("InternalErrors")
        return _INTERNAL_ERROR
    except Exception as error:  # noqa: BLE001 -- the edge
        # The text of a foreign exception may hold what the caller sent: its type and place are told, not its text.
        logger.error("failed", exception_type=type(error).__name__, place=place(error))
        count("InternalErrors")
        return _INTERNAL_ERROR


def _told(error: UsersError) -> dict[str, object]:
    """The body of an error; ``details`` where it has some (decisions.md 44)."""
    details = [detail._asdict() for detail in error.details]
    return {"message": error.message, "error": error.code} | ({"details": details} if details else {})


def _run(handler: Handler, request: Request) -> Reply:
    """What the operation answers; CallerNotAdmitted when it did so without having admitted its caller."""
    try:
        reply = handler(request)
    except (BadRequest, NotFound, PayloadTooLarge, UnsupportedMediaType):
        request.judge()
        raise
    if not request.admitted and request.access is not ANYBODY:
        raise CallerNotAdmitted
    return reply


def _tell(error: UsersError) -> None:
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
