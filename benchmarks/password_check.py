"""Time of the check for common passwords: reading the list, and checking one password, also passwords made to be slow.

    python benchmarks/password_check.py

The figure of a password is the fastest of 50 checks. The figure of the list is the fastest of five new processes.
"""

import subprocess
import sys
import time
from pathlib import Path

LAYER = Path(__file__).parents[1] / "layers" / "common" / "python"
sys.path.insert(0, str(LAYER))

from users.rules.common_passwords import is_common  # noqa: E402

_READ = """
import time
from users.rules import common_passwords
started = time.perf_counter()
common_passwords.is_common("xkqzwvrt")
print((time.perf_counter() - started) * 1000)
"""
# All but the first two have the greatest length of a password, 1024 bytes.
_PASSWORDS = {
    "a passphrase": "correct horse 7 battery",
    "a decorated word": "Password2020!",
    "one letter": "a" * 1024,
    "a word, then digits": "password" + "1593570246" * 101,
    "digits around a short word": "7" * 510 + "love" + "7" * 510,
    "repeated, except for the end": "abcd" * 255 + "abce",
    "a word again and again": "password" * 128,
    "leet": "p4$$w0rd" * 128,
    "signs alone": "!@#$" * 256,
    "accents": "é" * 512,
    "combining marks": "a" + "\u0301\u0323" * 255,
    "each becomes 18 characters": "\ufdfa" * 341,
    "full width": "Ｐ" * 341,
    "letters beyond the BMP": "𝐩" * 256,
}


def _milliseconds(password: str) -> float:
    """Return the milliseconds of one check, the fastest of 50."""
    fastest = float("inf")
    for _ in range(50):
        started = time.perf_counter()
        is_common(password)
        fastest = min(fastest, time.perf_counter() - started)
    return fastest * 1000


def main() -> None:
    """Print the time of reading, and of each password."""
    environment = {"PYTHONPATH": str(LAYER)}
    reads = [
        float(subprocess.run([sys.executable, "-c", _READ], env=environment, check=True, capture_output=True).stdout)
        for _ in range(5)
    ]
    print(f"{'reading the list, once':34} {min(reads):6.2f} ms")
    is_common("")
    for name, password in _PASSWORDS.items():
        assert len(password.encode()) <= 1024, name
        print(f"{name:34} {_milliseconds(password):6.3f} ms")


if __name__ == "__main__":
    main()
