"""users.v1.UsersService/RetrieveUsers: reading the request, the accounts, and the status of each failure."""

import asyncio
import time
from concurrent.futures import Executor
from datetime import UTC, datetime

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from background.users_service.proto import users_pb2
from users.errors import BadRequest, Unavailable
from users.models import User
from users.repository.lookups import PageTooLarge, find_enabled
from users.telemetry.log import logger, place

SERVICE = "users.v1.UsersService"

# Accounts in memory at once. The default limit of gRPC clients is lower: 4 MB.
_MOST_BYTES = 32 * 1024 * 1024

_Context = grpc.aio.ServicerContext[bytes, users_pb2.RetrieveUsersRes]


class _Refused(Exception):
    """A status other than OK, with the text that the client reads."""

    def __init__(self, status: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def users_service(database: Executor) -> grpc.GenericRpcHandler:
    """Return the service. ``database`` is the one thread that uses PostgreSQL."""

    async def retrieve_users(message: bytes, context: _Context) -> users_pb2.RetrieveUsersRes:
        started = time.monotonic()
        refusal = None
        try:
            answer = await _answer(message, database)
        except _Refused as refused:
            refusal = refused
        _log_call(refusal.status if refusal else grpc.StatusCode.OK, time.monotonic() - started)
        if refusal:
            await context.abort(refusal.status, refusal.text)
        return answer

    methods: dict[str, grpc.RpcMethodHandler[bytes, users_pb2.RetrieveUsersRes]] = {
        "RetrieveUsers": grpc.unary_unary_rpc_method_handler(
            retrieve_users,
            response_serializer=users_pb2.RetrieveUsersRes.SerializeToString,
        )
    }
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def _log_call(status: grpc.StatusCode, seconds: float) -> None:
    log = logger.info if status is grpc.StatusCode.OK else logger.warning
    log("call", method=f"{SERVICE}/RetrieveUsers", status=status.name, duration_ms=round(seconds * 1000, 1))


async def _answer(message: bytes, database: Executor) -> users_pb2.RetrieveUsersRes:
    try:
        request = users_pb2.RetrieveUsersReq.FromString(message)
    except DecodeError as error:
        raise _Refused(grpc.StatusCode.INTERNAL, "malformed message") from error
    if not request.ids:
        raise _Refused(grpc.StatusCode.INVALID_ARGUMENT, "missing user id")
    try:
        return await asyncio.get_running_loop().run_in_executor(database, _retrieve, request)
    except PageTooLarge as error:
        text = "too much for one answer: ask for fewer ids, or page with limit and offset"
        raise _Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, text) from error
    except BadRequest as error:
        raise _Refused(grpc.StatusCode.INVALID_ARGUMENT, error.message) from error
    except Unavailable as error:
        raise _Refused(grpc.StatusCode.UNAVAILABLE, error.message) from error
    except Exception as error:  # the edge. The text of a foreign exception may contain personal data.
        logger.error("defect", exception_type=type(error).__name__, place=place(error))
        raise _Refused(grpc.StatusCode.INTERNAL, "internal error") from error


def _retrieve(request: users_pb2.RetrieveUsersReq) -> users_pb2.RetrieveUsersRes:
    page = find_enabled(
        request.ids, offset=request.offset, limit=request.limit or len(request.ids), most_bytes=_MOST_BYTES
    )
    return users_pb2.RetrieveUsersRes(
        total=page.total, limit=page.limit, offset=page.offset, users=map(_message, page.users)
    )


def _message(user: User) -> users_pb2.User:
    message = users_pb2.User(
        id=user.id,
        first_name=user.first_name,
        last_name=user.last_name,
        tags=user.tags,
        status=user.status,
        role=user.role,
        username=user.username,
        email=user.email,
        created_at=_timestamp(user.created_at),
        updated_at=_timestamp(user.updated_at),
        updated_by=user.updated_by,
    )
    # Upstream sends an empty Struct for empty metadata. It leaves the field out for NULL, which neither service writes.
    message.metadata.SetInParent()
    if user.metadata:
        try:
            message.metadata.update(user.metadata)
        except (OverflowError, RecursionError):  # a number beyond a double, or too deep nesting
            message.ClearField("metadata")
            logger.warning("metadata left out: it does not fit a google.protobuf.Struct")
    return message


def _timestamp(moment: datetime | None) -> Timestamp | None:
    """Return None for no time, and for the zero time that upstream may have stored."""
    if moment is None or moment.year == 1:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment.replace(tzinfo=UTC))
    return timestamp
