"""The Lambda runtime of one worker process, after fork_server.py has forked the process for a function.

The worker loads the handler that _HANDLER names, then serves invokes over its socket, one at a time. A frame, in both
directions, is two big-endian 32-bit lengths, a JSON header and a JSON payload. The worker first sends
`{"status": "ready"}`, or `{"status": "init-error"}` when the handler cannot be loaded. Then it answers each request,
`{"request_id", "deadline_ms", "function_arn", "client_context", "trace_id"}` and the event, with
`{"status": "ok" | "error"}` and the result. The process ends when the gateway or the fork server is gone, even while
the handler runs. The gateway enforces the Timeout: it kills the process.

This file is loaded by its path, outside the `local` package, so that a function finds only modules that Lambda has.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import socket
import struct
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from awslambdaric.lambda_context import LambdaContext
from awslambdaric.lambda_runtime_marshaller import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[Any, LambdaContext], Any]

_LENGTHS = struct.Struct(">II")


class _HandlerFailed(Exception):
    """The handler cannot be loaded, or its result is not JSON. `error_type` is Lambda's name of the reason."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


def run(connection: socket.socket) -> None:
    """Serve invokes until the gateway closes the socket."""
    # Whole lines, so that the lines of several workers do not mix.
    cast("Any", sys.stdout).reconfigure(line_buffering=True)
    logging.basicConfig(stream=sys.stdout, format="[%(levelname)s]\t%(name)s\t%(message)s")
    try:
        handler = _load(os.environ["_HANDLER"])
    except Exception as error:  # noqa: BLE001 - the edge: any exception of the function's module is its init error
        _send(connection, "init-error", _describe(error, ""))
        return
    _send(connection, "ready", b"")
    stream = connection.makefile("rb")
    with suppress(ConnectionError):  # the gateway was killed before it read an answer
        while len(lengths := stream.read(_LENGTHS.size)) == _LENGTHS.size:
            header_length, payload_length = _LENGTHS.unpack(lengths)
            header, event = json.loads(stream.read(header_length)), stream.read(payload_length)
            status, payload = _handle(handler, header, event)
            _flush(sys.stdout, sys.stderr)
            _send(connection, status, payload)
    os._exit(0)  # at once, even if threads of the handler still run


def _send(connection: socket.socket, status: str, payload: bytes) -> None:
    header = json.dumps({"status": status}).encode()
    connection.sendall(_LENGTHS.pack(len(header), len(payload)) + header + payload)


def _load(name: str) -> Handler:
    """Return the handler function. The errors have the texts of Lambda's own runtime (awslambdaric.bootstrap)."""
    module_name, _, function_name = name.rpartition(".")
    if not module_name:
        raise _HandlerFailed("Runtime.MalformedHandlerName", f"Bad handler '{name}'")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise _HandlerFailed("Runtime.ImportModuleError", message) from error
    except SyntaxError as error:
        message = f"Syntax error in module '{module_name}': {error}"
        raise _HandlerFailed("Runtime.UserCodeSyntaxError", message) from error
    try:
        return cast("Handler", getattr(module, function_name))
    except AttributeError:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise _HandlerFailed("Runtime.HandlerNotFound", message) from None


def _handle(handler: Handler, header: dict[str, Any], event: bytes) -> tuple[str, bytes]:
    request_id: str = header["request_id"]
    if header["trace_id"]:
        os.environ["_X_AMZN_TRACE_ID"] = header["trace_id"]
    try:
        client_context = json.loads(header["client_context"]) if header["client_context"] else None
        context = LambdaContext(request_id, client_context, None, header["deadline_ms"], header["function_arn"])
        result = handler(json.loads(event), context)
    except Exception as error:  # noqa: BLE001 - the edge: any exception of the handler is the invoke's answer
        return "error", _describe(error, request_id)
    try:
        return "ok", to_json(result).encode()
    except (TypeError, ValueError, RecursionError) as error:
        message = f"Unable to marshal response: {error}"
        return "error", _describe(_HandlerFailed("Runtime.MarshalError", message), request_id)


def _describe(error: Exception, request_id: str) -> bytes:
    """Return the error object of the Lambda runtime, and write it to the log as the runtime does."""
    own = isinstance(error, _HandlerFailed)
    error_type = error.error_type if isinstance(error, _HandlerFailed) else type(error).__name__
    cause = error.__cause__ if own else error
    frames = [] if cause is None else traceback.extract_tb(cause.__traceback__)
    stack = traceback.format_list([frame for frame in frames if frame.filename != __file__])
    print(f"[ERROR] {error_type}: {error}\nTraceback (most recent call last):\n{''.join(stack)}", end="")
    body = {"errorMessage": str(error), "errorType": error_type, "requestId": request_id, "stackTrace": stack}
    return json.dumps(body).encode()


def _flush(*streams: TextIO) -> None:
    for stream in streams:
        stream.flush()
