"""The service for the tests: its process, its command line, and a client of its interfaces."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import grpc
import httpx
from authzed.api.v1 import core_pb2 as core
from authzed.api.v1 import permission_service_pb2 as permissions
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub

from local.auth import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

PROJECT_ROOT = Path(__file__).resolve().parents[3]
PRESHARED_KEY = "preshared-of-the-tests"
_DEADLINE_SECONDS = 20.0

Answer = TypeVar("Answer", bound="Message")


def wait_until(condition: Callable[[], bool], what: str, deadline: float = _DEADLINE_SECONDS) -> None:
    """Return when the condition holds. Fail after the deadline in seconds."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.02)


class Output(NamedTuple):
    """The output of a command, and its exit code."""

    code: int
    stdout: str
    stderr: str


def environment(database: str, keys_dir: Path, **changes: str) -> dict[str, str]:
    """Return the variables of a service on free ports, with only PATH of this process' environment."""
    settings = {
        "PATH": os.environ["PATH"],
        "MG_AUTH_DB_URL": database,
        "MG_AUTH_KEYS_DIR": str(keys_dir),
        "MG_AUTH_GRPC_PORT": "0",
        "MG_AUTH_HTTP_PORT": "0",
        "MG_SPICEDB_PORT": "0",
        "MG_SPICEDB_PRE_SHARED_KEY": PRESHARED_KEY,
    }
    return settings | changes


def run(variables: Mapping[str, str], *arguments: str) -> Output:
    """Run one command to its end."""
    command = [sys.executable, "-m", "local.auth", *arguments]
    done = subprocess.run(
        command, env=variables, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    return Output(done.returncode, done.stdout, done.stderr)


class AuthProcess:
    """Runs ``python -m local.auth serve``, and calls it as the Users service does."""

    def __init__(self, variables: dict[str, str], log: Path) -> None:
        """Start the process. `wait_ready` returns when it serves."""
        self.variables = variables
        self._log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local.auth", "serve"],
                env=variables,
                cwd=PROJECT_ROOT,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self._channels: list[grpc.Channel] = []

    def wait_ready(self) -> AuthProcess:
        """Wait for the ready line and connect."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], _DEADLINE_SECONDS)
        line = self.process.stdout.readline() if readable else ""
        assert line, f"no ready line: {self.log()}"
        self.ready: dict[str, Any] = json.loads(line)
        auth, spicedb = (
            grpc.insecure_channel(f"127.0.0.1:{self.ready[name]}") for name in ("grpc_port", "spicedb_port")
        )
        self._channels = [auth, spicedb]
        self.channel = auth
        self.spicedb_channel = spicedb
        self.spicedb = PermissionsServiceStub(spicedb)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop the process by a signal and return its exit code."""
        for channel in self._channels:
            channel.close()
        self.process.send_signal(number)
        code = self.process.wait(timeout=_DEADLINE_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def log(self) -> str:
        """Return the log of the process."""
        return self._log.read_text()

    def command(self, *arguments: str) -> Output:
        """Run a command over the same records and keys."""
        return run(self.variables, *arguments)

    def call(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        """Call a gRPC method by its full name."""
        stub = self.channel.unary_unary(
            f"/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return stub(request, timeout=10, wait_for_ready=True)

    def issue(self, user: str, role: int = 1, kind: int = 0, **fields: Any) -> wire.Token:
        """Call TokenService.Issue."""
        request = wire.IssueReq(user_id=user, user_role=role, type=kind, **fields)
        return self.call("token.v1.TokenService/Issue", request, wire.Token)

    def refresh(self, token: str, *, verified: bool = False) -> wire.Token:
        """Call TokenService.Refresh."""
        request = wire.RefreshReq(refresh_token=token, verified=verified)
        return self.call("token.v1.TokenService/Refresh", request, wire.Token)

    def revoke(self, token_id: str, user: str) -> None:
        """Call TokenService.Revoke."""
        request = wire.RevokeReq(token_id=token_id, user_id=user)
        self.call("token.v1.TokenService/Revoke", request, wire.RevokeRes)

    def list_refresh_tokens(self, user: str) -> list[tuple[str, str]]:
        """Call TokenService.ListUserRefreshTokens. Return (id, description) in the order of the answer."""
        request = wire.ListUserRefreshTokensReq(user_id=user)
        answer = self.call("token.v1.TokenService/ListUserRefreshTokens", request, wire.ListUserRefreshTokensRes)
        return [(token.id, token.description) for token in answer.refresh_tokens]

    def authenticate(self, token: str) -> wire.AuthNRes:
        """Call AuthService.Authenticate."""
        return self.call("auth.v1.AuthService/Authenticate", wire.AuthNReq(token=token), wire.AuthNRes)

    def authorize(self, user: str, permission: str = "admin", **changes: Any) -> wire.AuthZRes:
        """Call AuthService.Authorize with the payload of contract §5.4."""
        policy = {"subject_type": "user", "subject": user, "permission": permission}
        policy |= {"object_type": "platform", "object": "magistrala", **changes}
        request = wire.AuthZReq(policy_req=wire.PolicyReq(**policy))
        return self.call("auth.v1.AuthService/Authorize", request, wire.AuthZRes)

    def grant(self, user: str, *relations: str) -> None:
        """Write relations of the user on platform:magistrala, as the Users service does."""
        updates = [update("CREATE", user, relation) for relation in relations]
        self.write(*updates)

    def write(self, *updates: core.RelationshipUpdate) -> None:
        """Call PermissionsService.WriteRelationships."""
        request = permissions.WriteRelationshipsRequest(updates=updates)
        self.spicedb.WriteRelationships(request, metadata=bearer(), timeout=10, wait_for_ready=True)

    def jwks(self) -> httpx.Response:
        """Fetch the public keys."""
        return httpx.get(f"http://127.0.0.1:{self.ready['http_port']}/keys/.well-known/jwks.json")


def bearer(key: str = PRESHARED_KEY) -> tuple[tuple[str, str], ...]:
    """Return the metadata that authenticates a SpiceDB call."""
    return (("authorization", f"Bearer {key}"),)


def update(operation: str, user: str, relation: str) -> core.RelationshipUpdate:
    """Return an update of platform:magistrala#relation@user."""
    return core.RelationshipUpdate(
        operation=core.RelationshipUpdate.Operation.Value(f"OPERATION_{operation}"),
        relationship=relationship(user, relation),
    )


def relationship(user: str, relation: str) -> core.Relationship:
    """Return platform:magistrala#relation@user."""
    return core.Relationship(
        resource=core.ObjectReference(object_type="platform", object_id="magistrala"),
        relation=relation,
        subject=core.SubjectReference(object=core.ObjectReference(object_type="user", object_id=user)),
    )


def new_user() -> str:
    """Return an id that no other test uses."""
    return str(uuid.uuid4())


def header(token: str) -> dict[str, Any]:
    """Return the header of a JWT."""
    return _part(token, 0)


def claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT, without a check of its signature."""
    return _part(token, 1)


def status(error: grpc.RpcError) -> grpc.StatusCode:
    """Return the status of a failed call."""
    assert isinstance(error, grpc.Call)
    code = error.code()
    assert isinstance(code, grpc.StatusCode)
    return code


def refused(call: Callable[[], object]) -> grpc.StatusCode:
    """Return the status of a call: OK if it succeeds."""
    try:
        call()
    except grpc.RpcError as error:
        return status(error)
    return grpc.StatusCode.OK


def _part(token: str, index: int) -> dict[str, Any]:
    segment = token.split(".")[index]
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return value
