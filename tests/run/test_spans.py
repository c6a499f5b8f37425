"""Spans of the running system reach a real OTLP receiver. Each function is its own process, as on AWS."""

from pathlib import Path

import pytest

from local.parts.mail import MailServer
from local.parts.postgres import PostgresServer
from tests.otlp_receiver import otlp_receiver
from tests.service import eventually
from tests.system import running_system


@pytest.mark.long
def test_a_request_through_the_gateway(
    postgres: PostgresServer, mail_server: MailServer, environment: dict[str, str], tmp_path: Path
) -> None:
    conninfo = postgres.create_database("traced_system")
    with otlp_receiver() as receiver:
        traced = environment | {"MG_JAEGER_URL": receiver.url}
        with running_system("traced_system", conninfo, mail_server.url, traced, tmp_path) as system:
            trace = "4bf92f3577b34da6a3ce929d0e0e4736"
            answer = system.call("GET", "/users/profile?x=1", traceparent=f"00-{trace}-00f067aa0ba902b7-01")
            assert answer.status_code == 401
            operation = receiver.named("view_profile")
            assert (operation.trace_id, operation.parent) == (trace, "00f067aa0ba902b7")
            assert operation.attributes["http.route"] == "/users/profile"
            assert operation.attributes["users.request_id"] == answer.headers["x-request-id"]
            system.register()
            eventually(lambda: {"bootstrap", "register_user", "deliver_outbox"} <= {s.name for s in receiver.spans()})
        log = (tmp_path / "traced_system-gateway.log").read_text()
    assert f'"trace_id":"{trace}","span_id":"{operation.span_id}"' in log
    assert "spans were not exported" not in log
