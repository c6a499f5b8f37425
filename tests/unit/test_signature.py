"""Requests to AWS have the same signature as botocore's."""

from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from users.aws.signature import signed_headers

ENVIRONMENT = {
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}
INVOKE = {"x-amz-invocation-type": "Event"}
READ = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "secretsmanager.GetSecretValue"}


def by_botocore(
    service: str,
    host: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    environment: dict[str, str],
    moment: datetime,
) -> dict[str, str]:
    """Return the headers that botocore's signer makes for the same request."""
    credentials = Credentials(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], environment.get("AWS_SESSION_TOKEN")
    )
    request = AWSRequest("POST", f"https://{host}{path}", {**headers, "Host": host}, body)
    request.context["timestamp"] = f"{moment:%Y%m%dT%H%M%SZ}"
    signer = SigV4Auth(credentials, service, environment["AWS_REGION"])
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    signer._inject_signature_to_request(request, signature)
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize(
    "moment", [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC)]
)
@pytest.mark.parametrize("session", [{}, {"AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjE//+=="}])
@pytest.mark.parametrize("region", ["eu-central-1", "us-east-1", "cn-north-1"])
@pytest.mark.parametrize(
    ("service", "path", "headers"),
    [
        ("lambda", "/2015-03-31/functions/users-DeliverOutboxFunction-1AB/invocations", INVOKE),
        (
            "lambda",
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Ax%3Alive/invocations",
            INVOKE,
        ),
        ("lambda", "/2015-03-31/functions/a~b_c-d.e/invocations", INVOKE),
        ("secretsmanager", "/", READ),
    ],
)
def test_the_signature_is_botocores(
    service: str, path: str, headers: dict[str, str], region: str, session: dict[str, str], moment: datetime
) -> None:
    environment = {**ENVIRONMENT, **session, "AWS_REGION": region}
    request = (service, f"{service}.{region}.amazonaws.com", path, headers, b"{}", environment, moment)
    assert signed_headers(*request) == by_botocore(*request)


PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60)


@given(PRINTABLE, PRINTABLE, st.binary(max_size=50), st.datetimes(datetime(2020, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_any_signature_is_botocores(key: str, session: str, body: bytes, moment: datetime) -> None:
    environment = {**ENVIRONMENT, "AWS_SECRET_ACCESS_KEY": key, "AWS_SESSION_TOKEN": session}
    request = ("lambda", "localhost:9003", "/2015-03-31/functions/x/invocations", INVOKE, body, environment, moment)
    assert signed_headers(*request) == by_botocore(*request)
