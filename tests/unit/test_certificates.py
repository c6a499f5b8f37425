"""The certificate authorities of RDS and RDS Proxy (local/certificates.py)."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import users
from local.certificates import common_name

FOLDER = Path(users.__file__).parent / "certificates"
REGIONS = sorted(file.stem for file in FOLDER.glob("*.pem") if file.stem != "rds-proxy")


def certificates(file: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(file.read_bytes())


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_has_its_three_roots(region: str) -> None:
    roots = certificates(FOLDER / f"{region}.pem")
    kinds = ("ECC384", "RSA2048", "RSA4096")
    assert [common_name(root) for root in roots] == [f"Amazon RDS {region} Root CA {kind} G1" for kind in kinds]
    for root in roots:
        root.verify_directly_issued_by(root)
        assert (
            root.not_valid_before_utc < datetime.now(UTC) < datetime(2060, 1, 1, tzinfo=UTC) < root.not_valid_after_utc
        )
    ssl.create_default_context(cafile=str(FOLDER / f"{region}.pem"))


def test_there_are_the_regions() -> None:
    assert {"eu-central-1", "eu-west-1", "us-east-1", "us-west-2", "ap-southeast-2", "sa-east-1"} <= set(REGIONS)


def test_the_proxys_roots_are_mozillas() -> None:
    roots = certificates(FOLDER / "rds-proxy.pem")
    assert list(map(common_name, roots)) == [f"Amazon Root CA {number}" for number in range(1, 5)]
    public = Path(certifi.where()).read_text().replace("\n", "")
    for root in roots:
        assert root.public_bytes(Encoding.PEM).decode().replace("\n", "") in public
