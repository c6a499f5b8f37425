"""The port of each part, and the message about one that is not free."""

import socket

import pytest

from local import ports
from local.serving.sockets import Port
from local.serving.variables import SettingsUnusable


def test_the_documented_defaults() -> None:
    found = ports.read({})
    assert {variable: port.number for variable, port in found.items()} == ports.DEFAULTS
    assert found["MG_USERS_HTTP_PORT"].host == "localhost"


def test_variables_win_and_an_empty_one_is_unset() -> None:
    found = ports.read({"MG_USERS_HTTP_PORT": "19002", "MG_USERS_HTTP_HOST": "0.0.0.0", "MG_LOCAL_MAIL_PORT": ""})
    assert found["MG_USERS_HTTP_PORT"] == Port("MG_USERS_HTTP_PORT", 19002, "0.0.0.0")
    assert found["MG_LOCAL_MAIL_PORT"].number == ports.DEFAULTS["MG_LOCAL_MAIL_PORT"]


def test_zero_is_a_free_port() -> None:
    port = ports.read({"MG_LOCAL_MAIL_PORT": "0"})["MG_LOCAL_MAIL_PORT"]
    assert port.number > 0
    assert ports.problem(port) is None


def test_zeros_are_different_free_ports() -> None:
    zeros = dict.fromkeys(ports.DEFAULTS, "0")
    drawn = (ports.read(zeros).values() for _ in range(3000))
    assert [shared for found in drawn if (shared := ports.shared(found))] == []


def test_zero_is_not_the_port_of_another_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ports that the kernel draws from include 50051, the default of SpiceDB."""
    monkeypatch.setattr(ports, "free_ports", lambda count: list(range(50051, 50051 + count)))
    found = ports.read({"MG_LOCAL_MAIL_PORT": "0", "MG_LOCAL_NATS_PORT": "50052"})
    assert found["MG_SPICEDB_PORT"].number == 50051
    assert ports.shared(found.values()) == []


@pytest.mark.parametrize("text", ["x", "-1", "65536", "80.5"])
def test_no_port_number(text: str) -> None:
    with pytest.raises(SettingsUnusable, match="MG_AUTH_GRPC_PORT"):
        ports.read({"MG_AUTH_GRPC_PORT": text})


@pytest.mark.parametrize("listens_on", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_named(listens_on: str) -> None:
    with socket.create_server((listens_on, 0)) as other:
        number = other.getsockname()[1]
        assert ports.problem(Port("X", number)) == f"port {number} of 127.0.0.1 is taken"
        assert ports.problem(Port("X", number, "localhost")) == f"port {number} of localhost is taken"


def test_a_connection_in_time_wait_does_not_take_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", number)) as client:
            accepted, _address = server.accept()
            accepted.close()  # the side that closes first keeps the port in TIME_WAIT
            assert client.recv(1) == b""
    assert ports.problem(Port("X", number)) is None


def test_a_host_that_is_not_of_this_machine() -> None:
    problem = ports.problem(Port("X", 0, "192.0.2.1"))
    assert problem is not None
    assert "192.0.2.1" in problem
    assert "cannot be used" in problem


def test_a_number_that_two_variables_have_is_named() -> None:
    found = ports.read({"MG_LOCAL_NATS_PORT": "8005"})
    grpc = ports.grpc_port({"MG_USERS_GRPC_PORT": "9002", "MG_USERS_GRPC_HOST": "0.0.0.0"})
    assert grpc == Port("MG_USERS_GRPC_PORT", 9002, "0.0.0.0")
    assert ports.shared([*found.values(), grpc]) == [
        "MG_USERS_HTTP_PORT, MG_USERS_GRPC_PORT are all 9002",
        "MG_LOCAL_NATS_PORT, MG_LOCAL_MAIL_PORT are all 8005",
    ]
    assert ports.shared([*ports.read({}).values(), ports.grpc_port({})]) == []
