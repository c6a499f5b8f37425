"""AWS Signature Version 4, so that a single call to AWS does not cost the import of boto3 (130 ms at cold start).

A test holds it against botocore's signer.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote


def signed_headers(
    service: str,
    host: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    environment: Mapping[str, str],
    moment: datetime,
) -> dict[str, str]:
    """The headers of a POST to ``path`` with its signature, by the region and the credentials of ``environment``.

    ``headers`` are in lower case, and signed with the rest.
    """
    region, date, stamp = environment["AWS_REGION"], f"{moment:%Y%m%d}", f"{moment:%Y%m%dT%H%M%SZ}"
    signed = {**headers, "host": host, "x-amz-date": stamp}
    if token := environment.get("AWS_SESSION_TOKEN"):
        signed["x-amz-security-token"] = token
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        [
            "POST",
            quote(path, safe="/"),
            "",
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{date}/{region}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{environment['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
    credential = f"{environment['AWS_ACCESS_KEY_ID']}/{scope}"
    signed["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return signed
