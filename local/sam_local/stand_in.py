"""An image for machines that cannot reach Amazon's registry, made of packages of Debian and PyPI.

Debian 13 has Python 3.13, as Lambda has. The image adds awslambdaric, which is Lambda's own runtime client, and boto3.
SAM adds the Runtime Interface Emulator. The image shows that functions start with their configuration and reach the
parts that they need. It does not show that compiled packages fit Amazon Linux, because the C library is Debian's.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from layers.build import LAMBDA_PYTHON
from local.sam_local.engine import EngineUnusable, image_name

TITLE = "Users: stand-in for Lambda's Python image, of Debian 13"
_RELEASE = "trixie"
_PACKAGES = ("awslambdaric", "boto3")
_RUNTIME = Path("var", "runtime")
_UNUSED = ("var/lib/apt/lists", "var/cache/apt", "usr/share/doc", "usr/share/man", "usr/share/locale")
_BOOTSTRAP = f"""\
#!/bin/sh
export AWS_EXECUTION_ENV=AWS_Lambda_python{LAMBDA_PYTHON}
export PYTHONPATH="$LAMBDA_TASK_ROOT:/opt/python/lib/python{LAMBDA_PYTHON}/site-packages:/opt/python:/{_RUNTIME}"
exec /usr/bin/python3 -m awslambdaric "${{_HANDLER:-$AWS_LAMBDA_FUNCTION_HANDLER}}"
"""
_CONFIGURATION = (
    "ENV LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime",
    "ENV LANG=en_US.UTF-8 TZ=:/etc/localtime PATH=/usr/local/bin:/usr/bin:/bin",
    "WORKDIR /var/task",
    f'LABEL org.opencontainers.image.title="{TITLE}"',
)


def make_stand_in() -> None:
    """Make the image under the name that SAM looks for. Raise EngineUnusable."""
    if os.geteuid() != 0:
        raise EngineUnusable("only root can make this image, because it unpacks Debian's packages")
    if shutil.which("debootstrap") is None:
        raise EngineUnusable("there is no program `debootstrap`: apt-get install debootstrap")
    with tempfile.TemporaryDirectory(prefix="users-image-") as place:
        root = Path(place, "root")
        _run("debootstrap", "--variant=minbase", "--include=python3,ca-certificates", _RELEASE, root)
        for folder in _UNUSED:
            shutil.rmtree(root / folder, ignore_errors=True)
        _install_runtime(root)
        _import(root)


def _install_runtime(root: Path) -> None:
    """Install into `root` the packages of Lambda's /var/runtime, in the versions of this project's lock file."""
    for folder in ("var/task", "var/rapid", "opt", _RUNTIME):
        (root / folder).mkdir(parents=True, exist_ok=True)
    packages = [f"{name}=={importlib.metadata.version(name)}" for name in _PACKAGES]
    for_lambda = ["--only-binary=:all:", "--python-version", LAMBDA_PYTHON, "--no-compile"]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-warn-conflicts", "--root-user-action=ignore"]
    _run(_pip(), "-m", "pip", "install", *quiet, "--target", root / _RUNTIME, *for_lambda, *packages)
    _run("chroot", root, "python3", "-m", "compileall", "-q", f"/{_RUNTIME}")
    bootstrap = root / _RUNTIME / "bootstrap"
    bootstrap.write_text(_BOOTSTRAP)
    bootstrap.chmod(0o755)


def _pip() -> str:
    """Return an interpreter with pip, because the project's environment has no pip."""
    return str(Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}"))


def _import(root: Path) -> None:
    changes = [argument for change in _CONFIGURATION for argument in ("--change", change)]
    with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as archive:
        _run("docker", "import", *changes, "-", image_name(), stdin=archive.stdout)
    if archive.returncode != 0:
        raise EngineUnusable("tar could not pack the image")


def _run(*command: str | Path, stdin: IO[bytes] | None = None) -> None:
    try:
        subprocess.run(command, check=True, stdin=stdin)
    except FileNotFoundError as error:
        raise EngineUnusable(f"there is no program `{command[0]}`") from error
    except subprocess.CalledProcessError as error:
        raise EngineUnusable(f"`{Path(command[0]).name}` failed (exit code {error.returncode})") from error
