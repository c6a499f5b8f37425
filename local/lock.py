"""Pin every Python requirement with its hashes (`make lock`).

The largest set is resolved first and constrains the smaller sets, so that a package has one version in the project.
uv chooses versions that accept the oldest Python, whatever Python runs this program. Lock files contain no index and
no host, so every installation may use its own mirror.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from local.install import OLDEST_PYTHON, ROOT

DEV = "requirements-dev"
DEPENDENCIES = "layers/dependencies/requirements"
BACKGROUND = "layers/background/requirements"
LAMBDA = "requirements-lambda"
CONSTRAINED = ("requirements-local", DEPENDENCIES, BACKGROUND, LAMBDA)
TOOLS = (
    "local/tools/sam",
    "local/tools/node",
    "local/tools/checkov",
    "benchmarks/monolith/requirements",
    "benchmarks/runtime/requirements",
)


def entries(lock_text: str) -> dict[str, str]:
    """Split a lock file into its requirements: {"name": "name==version \\ --hash=... # via ..."}."""
    blocks = re.split(r"^(?=[a-z0-9][a-z0-9._-]*==)", lock_text, flags=re.MULTILINE)[1:]
    return {block.split("==", 1)[0]: block for block in blocks}


def compile_set(name: str, constraint: str | None = None) -> None:
    """Resolve `name`.in into `name`.txt, and keep the versions of the lock file that still fit."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--generate-hashes", "--only-binary=:all:",
               "--python-version", ".".join(map(str, OLDEST_PYTHON)), "--custom-compile-command", "make lock",
               "--output-file", f"{name}.txt", f"{name}.in"]  # fmt: skip
    if constraint:
        command += ["--constraint", f"{constraint}.txt"]
    if "--upgrade" in sys.argv:
        command.append("--upgrade")
    subprocess.run(command, cwd=ROOT, env={"UV_SYSTEM_CERTS": "true", **os.environ}, check=True)


def leave_out(name: str, present: str) -> None:
    """Remove the packages of `present`.txt from `name`.txt, because the two are always installed together."""
    path = ROOT / f"{name}.txt"
    text = path.read_text()
    already = entries((ROOT / f"{present}.txt").read_text())
    kept = [block for package, block in entries(text).items() if package not in already]
    header = text[: re.search(r"^[a-z0-9]", text, flags=re.MULTILINE).start()]  # type: ignore[union-attr]
    note = f"# Without the packages that {present}.txt installs: install this file with --no-deps.\n#\n"
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as new:
        new.write(header + note + "".join(kept))
    Path(new.name).chmod(0o644)
    Path(new.name).replace(path)


def main() -> None:
    """Write all lock files."""
    compile_set(DEV)
    for name in CONSTRAINED:
        compile_set(name, constraint=DEV)
    leave_out(BACKGROUND, DEPENDENCIES)
    leave_out(LAMBDA, DEPENDENCIES)
    for name in TOOLS:
        compile_set(name)


if __name__ == "__main__":
    main()
