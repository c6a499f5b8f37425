"""The Lambda Invoke API: `POST /2015-03-31/functions/{name}/invocations` (AWS Lambda API reference, Invoke).

`{name}` is a name, a partial or a full ARN, with or without a qualifier. Signatures are not checked.

No web page may invoke a function. local/serving/other_sites.py recognizes requests of pages. In addition, a request
must have the content type JSON, which Lambda demands, or a signature. AWS' own clients sign, and some send no type. A
page can send neither without a preflight request (CORS), which is refused.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from local.gateway.http.asgi import (
    BodyTooLarge,
    ClientGone,
    Receive,
    Response,
    Scope,
    Send,
    headers_of,
    media_type,
    read_body,
    send_response,
)
from local.gateway.invocation import ASYNCHRONOUS_PAYLOAD_LIMIT, SYNCHRONOUS_PAYLOAD_LIMIT, Invocation
from local.serving.other_sites import refusal

if TYPE_CHECKING:
    from local.gateway.lambda_service import LambdaService
    from local.gateway.stack import Function

_PATH = re.compile(r"/2015-03-31/functions/([^/]+)/invocations/?")

# FunctionName of the API reference: [[arn:aws:lambda:region:]account:function:]name[:qualifier]
_NAME = re.compile(
    r"(?:(?:arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:)?\d{12}:function:)?(?P<name>[A-Za-z0-9_-]+)"
    r"(?::(?P<qualifier>\$LATEST|[A-Za-z0-9_-]+))?"
)


# How the Authorization header of Signature Version 4 begins.
_SIGNED = "AWS4-HMAC-SHA256 "


@dataclass
class _Refused(Exception):
    """The service refuses a request. `kind` is the name of this exception in the SDKs."""

    status: int
    kind: str
    message: str

    def response(self) -> Response:
        body = {"Type": "User" if self.status < 500 else "Service", "Message": self.message}
        headers = [("content-type", "application/json"), ("x-amzn-errortype", self.kind)]
        return Response(self.status, json.dumps(body).encode(), headers)


class LambdaApi:
    """The ASGI application."""

    def __init__(self, service: LambdaService, own_name: str = "") -> None:
        """Serve the functions of `service`. `own_name` is a name of this machine beside localhost."""
        self._service = service
        self._own_name = own_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            response = await self._answer(scope, receive)
        except ClientGone:
            return
        except _Refused as error:
            response = error.response()
        await send_response(response, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        headers = headers_of(scope)
        if reason := refusal(headers, self._own_name):
            raise _Refused(403, "AccessDeniedException", reason)
        path = _PATH.fullmatch(scope["raw_path"].decode("latin-1"))
        if path is None or scope["method"] != "POST":
            raise _Refused(404, "UnknownOperationException", "only Invoke is served here")
        query = parse_qs(scope["query_string"].decode("latin-1"))
        function = self._function(unquote(path[1]), query.get("Qualifier", [""])[0])
        is_json = media_type(headers.get("content-type", "")) == "application/json"
        if not (is_json or headers.get("authorization", "").startswith(_SIGNED)):
            message = "The content type of the Invoke request body is not JSON."
            raise _Refused(415, "UnsupportedMediaTypeException", message)
        kind = headers.get("x-amz-invocation-type", "RequestResponse")
        invocation = await _invocation(scope, receive, headers, asynchronous=kind == "Event")
        answer = [("x-amz-executed-version", "$LATEST"), ("x-amzn-requestid", invocation.request_id)]
        if kind == "DryRun":
            return Response(204, headers=answer)
        if kind == "Event":
            self._service.invoke_async(function.logical_id, invocation)
            return Response(202, headers=answer)
        if kind != "RequestResponse":
            raise _Refused(400, "InvalidParameterValueException", f"Value '{kind}' is not an invocation type")
        outcome = await self._service.invoke(function.logical_id, invocation)
        answer.append(("content-type", "application/json"))
        if outcome.function_error:
            answer.append(("x-amz-function-error", "Unhandled"))
        return Response(200, outcome.payload, answer)

    def _function(self, text: str, qualifier: str) -> Function:
        name = _NAME.fullmatch(text)
        if name is None:
            raise _Refused(400, "ValidationException", f"'{text}' is not a function name")
        function = self._service.find(name["name"])
        qualifier = qualifier or name["qualifier"] or "$LATEST"
        # There are no versions here: every version number stands for the code as it is.
        if function is None or not (qualifier in ("$LATEST", *function.aliases) or qualifier.isdigit()):
            arn = self._service.stack.function_arn(name["name"])
            suffix = "" if qualifier == "$LATEST" else f":{qualifier}"
            raise _Refused(404, "ResourceNotFoundException", f"Function not found: {arn}{suffix}")
        return function


async def _invocation(scope: Scope, receive: Receive, headers: dict[str, str], *, asynchronous: bool) -> Invocation:
    limit = ASYNCHRONOUS_PAYLOAD_LIMIT if asynchronous else SYNCHRONOUS_PAYLOAD_LIMIT
    try:
        payload = await read_body(scope, receive, limit) or b"{}"
        json.loads(payload)
        context = base64.b64decode(headers.get("x-amz-client-context", "")).decode()
    except BodyTooLarge:
        message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
        raise _Refused(413, "RequestEntityTooLargeException", message) from None
    except ValueError as error:
        message = f"Could not parse request body into json: {error}"
        raise _Refused(400, "InvalidRequestContentException", message) from error
    return Invocation(payload, trace_id=headers.get("x-amzn-trace-id", ""), client_context=context)
