"""The wire format: field numbers as bytes, health, reflection, generated files (contract §5.1 and contract §5.2)."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from local.auth import wire
from local.auth.tests.process import PROJECT_ROOT, bearer, refused

if TYPE_CHECKING:
    from pathlib import Path

    from local.auth.tests.process import AuthProcess

    Metadata = tuple[tuple[str, str], ...]


def _string(number: int, text: str) -> bytes:
    """Return a length-delimited field of up to 127 bytes."""
    return bytes([number << 3 | 2, len(text)]) + text.encode()


def _number(number: int, value: int) -> bytes:
    """Return a varint field below 128."""
    return bytes([number << 3, value])


def _fields(message: bytes) -> dict[int, bytes | int]:
    """Return field numbers and values of a message, the last value of each field."""
    fields: dict[int, bytes | int] = {}
    rest = message
    while rest:
        tag, rest = _varint(rest)
        value, rest = _varint(rest)
        if tag & 7 == 2:
            fields[tag >> 3], rest = rest[:value], rest[value:]
        else:
            fields[tag >> 3] = value
    return fields


def _varint(data: bytes) -> tuple[int, bytes]:
    value = shift = 0
    for index, byte in enumerate(data):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, data[index + 1 :]
    raise AssertionError("a varint without end")


def _raw(channel: grpc.Channel, method: str, message: bytes, metadata: Metadata = ()) -> bytes:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{method}")
    return call(message, timeout=10, metadata=metadata)


def test_token_service_bytes(auth: AuthProcess, member: str) -> None:
    """IssueReq{1,2,3,4,5}, Token{1,2}, RefreshReq{1,2}, ListUserRefreshTokensRes{1{1,2}}, RevokeReq{1,2}."""
    service = "token.v1.TokenService"
    request = _string(1, member) + _number(2, 1) + _number(3, 0) + _number(4, 1) + _string(5, "label")
    issued = _fields(_raw(auth.channel, f"{service}/Issue", request))
    assert set(issued) == {1, 2}  # no access_type
    refresh = issued[2]
    assert isinstance(refresh, bytes)
    listed = _raw(auth.channel, f"{service}/ListUserRefreshTokens", _string(1, member))
    token = _fields(listed)[1]
    assert isinstance(token, bytes)
    assert _fields(token)[2] == b"label"
    length = bytes([len(refresh) & 0x7F | 0x80, len(refresh) >> 7])
    refreshed = _raw(auth.channel, f"{service}/Refresh", b"\x0a" + length + refresh + _number(2, 1))
    assert set(_fields(refreshed)) == {1, 2}
    token_id = _fields(token)[1]
    assert isinstance(token_id, bytes)
    assert _raw(auth.channel, f"{service}/Revoke", _string(1, token_id.decode()) + _string(2, member)) == b""


def test_auth_service_bytes(auth: AuthProcess, admin: str) -> None:
    """AuthNReq{1}, AuthNRes{1..5}, AuthZReq{1{2,5,7,8,9}}, AuthZRes{1}."""
    made = auth.command("pat", admin)
    token = made.stdout.strip()
    length = bytes([len(token) & 0x7F | 0x80, len(token) >> 7])
    answer = _raw(auth.channel, "auth.v1.AuthService/Authenticate", b"\x0a" + length + token.encode())
    pat_id = made.stderr.removeprefix("id: ").strip()
    assert _fields(answer) == {1: pat_id.encode(), 2: admin.encode(), 3: 2, 5: 4}
    policy = _string(2, "user") + _string(5, admin) + _string(7, "admin") + _string(8, "magistrala")
    request = policy + _string(9, "platform")
    answer = _raw(auth.channel, "auth.v1.AuthService/Authorize", bytes([1 << 3 | 2, len(request)]) + request)
    assert answer == b"\x08\x01"


def test_spicedb_bytes(auth: AuthProcess, member: str) -> None:
    """WriteRelationshipsRequest{1{1 operation, 2 relationship}}, as other clients' stubs write it."""
    platform, user = _string(1, "platform") + _string(2, "magistrala"), _string(1, "user") + _string(2, member)
    subject = _nested(1, user)
    relationship = _nested(1, platform) + _string(2, "administrator") + _nested(3, subject)
    request = _nested(1, _number(1, 1) + _nested(2, relationship))
    answer = _raw(auth.spicedb_channel, "authzed.api.v1.PermissionsService/WriteRelationships", request, bearer())
    assert set(_fields(answer)) == {1}
    assert auth.authorize(member).authorized


def _nested(number: int, message: bytes) -> bytes:
    assert len(message) < 16384
    length = bytes([len(message)]) if len(message) < 128 else bytes([len(message) & 0x7F | 0x80, len(message) >> 7])
    return bytes([number << 3 | 2]) + length + message


def _health(channel: grpc.Channel, service: str) -> int:
    stub = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return int(stub(health_pb2.HealthCheckRequest(service=service), timeout=10).status)


def test_health(auth: AuthProcess) -> None:
    """The service "auth" is SERVING (contract §5.1), and so is SpiceDB's without a key."""
    serving = health_pb2.HealthCheckResponse.SERVING
    assert [_health(auth.channel, name) for name in ("auth", "")] == [serving] * 2
    names = ("authzed.api.v1.PermissionsService", "")
    assert [_health(auth.spicedb_channel, name) for name in names] == [serving] * 2
    assert refused(lambda: _health(auth.channel, "users")) is grpc.StatusCode.NOT_FOUND


def _reflect(auth: AuthProcess, **request: str) -> reflection_pb2.ServerReflectionResponse:
    call = auth.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return next(call(iter([reflection_pb2.ServerReflectionRequest(**request)]), timeout=10))


def test_reflection(auth: AuthProcess) -> None:
    """Reflection lists and describes every service."""
    listed = {service.name for service in _reflect(auth, list_services="*").list_services_response.service}
    assert {"token.v1.TokenService", "auth.v1.AuthService", "grpc.health.v1.Health"} <= listed
    for name in listed:
        [file] = _reflect(auth, file_containing_symbol=name).file_descriptor_response.file_descriptor_proto
        described = descriptor_pb2.FileDescriptorProto.FromString(file)
        assert name in {f"{described.package}.{service.name}" for service in described.service}


def test_domains_takes_a_user_out(auth: AuthProcess) -> None:
    """The answer is `deleted: true` (contract §4.6), except for a request without an id."""
    answer = _raw(auth.channel, f"{wire.DOMAINS_SERVICE}/DeleteUserFromDomains", b"\n\x01u")
    assert answer == b"\x08\x01"
    code = refused(lambda: _raw(auth.channel, f"{wire.DOMAINS_SERVICE}/DeleteUserFromDomains", b""))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_unknown_method_is_unimplemented(auth: AuthProcess) -> None:
    """The services have no other methods."""
    code = refused(lambda: _raw(auth.channel, "token.v1.TokenService/Nothing", b""))
    assert code is grpc.StatusCode.UNIMPLEMENTED


def test_generated_files_fit_the_proto_files(tmp_path: Path) -> None:
    """Somebody ran the command of `wire` after the last change of a .proto file."""
    protos = ["token/v1/token.proto", "auth/v1/auth.proto", "domains/v1/domains.proto"]
    output = [f"--descriptor_set_out={tmp_path / 'set'}", f"--pyi_out={tmp_path}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{wire.PROTO_DIRECTORY}", *output, *protos]
    subprocess.run(command, check=True, timeout=60)
    made, kept = (
        descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
        for path in (tmp_path / "set", wire.DESCRIPTOR_SET)
    )
    assert made == kept
    for stub in ("token/v1/token_pb2.pyi", "auth/v1/auth_pb2.pyi", "domains/v1/domains_pb2.pyi"):
        assert (wire.PROTO_DIRECTORY / stub).read_text().partition("\n")[2] == (tmp_path / stub).read_text()


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_other_generated_modules_of_the_same_messages_can_be_loaded_too(first: str) -> None:
    """The Users layer registers the same names in the default pool of a test process."""
    theirs = """
from google.protobuf import descriptor_pb2, descriptor_pool
for package, message in (("token", "IssueReq"), ("auth", "AuthNReq")):
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}/v1/{package}.proto", package=f"{package}.v1")
    file.message_type.add(name=message)
    descriptor_pool.Default().Add(file)
"""
    ours = "from local.auth import wire\nassert wire.IssueReq(user_id='u').user_id == 'u'\n"
    code = theirs + ours if first == "theirs" else ours + theirs
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=PROJECT_ROOT, timeout=60)
