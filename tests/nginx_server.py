"""A real nginx on a free port of the loopback, with the configuration that docs/this-machine.md refers to."""

import datetime as dt
import ipaddress
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local.parts.launch import ROOT
from local.serving.sockets import free_ports
from tests.local.processes import eventually

SHIPPED = ROOT / "local/nginx/users.conf"
PROGRAM = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


@dataclass(frozen=True)
class Nginx:
    """The address of a running nginx, and its certificate."""

    url: str
    plain_url: str
    authority: Path

    def client(self, address: str = "127.0.0.1") -> httpx.Client:
        """Return a client that connects from an address of the loopback and verifies the certificate."""
        context = ssl.create_default_context(cafile=str(self.authority))
        return httpx.Client(transport=httpx.HTTPTransport(verify=context, local_address=address), timeout=30)


@contextmanager
def running_nginx(folder: Path, upstream: int) -> Iterator[Nginx]:
    """Run nginx in front of the port ``upstream``, with the shipped configuration at other paths and ports."""
    assert PROGRAM
    certificate, key = certify(folder)
    tls, plain = free_ports(2)
    server = SHIPPED.read_text().replace("127.0.0.1:9002", f"127.0.0.1:{upstream}")
    server = re.sub(r"\n *listen \[::\].*", "", server)
    server = server.replace("listen 443", f"listen 127.0.0.1:{tls}").replace("listen 80", f"listen 127.0.0.1:{plain}")
    server = re.sub(r"ssl_certificate .*;", f"ssl_certificate {certificate};", server)
    server = re.sub(r"ssl_certificate_key .*;", f"ssl_certificate_key {key};", server)
    places = "".join(f"{name}_temp_path {folder};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{ access_log off;\n{places}{server}}}\n"
    )
    command = [PROGRAM, "-c", str(configuration), "-p", str(folder), "-e", str(folder / "error.log")]
    with subprocess.Popen(command) as process:
        try:
            eventually((folder / "nginx.pid").exists)
            yield Nginx(f"https://localhost:{tls}", f"http://localhost:{plain}", certificate)
        finally:
            process.terminate()


def certify(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate of localhost and its key as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    tomorrow = now + dt.timedelta(days=1)
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, tomorrow)
    certificate = built.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(key, hashes.SHA256())
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
