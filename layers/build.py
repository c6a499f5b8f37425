"""Build a layer for Lambda without Docker and without the target's interpreter. `sam build` runs this module.

    python3 -m layers.build [--architecture arm64|x86_64] [--python 3.13] SOURCE ARTIFACTS

SOURCE is a layer's folder with `requirements.txt`, a `python` folder, or both. ARTIFACTS becomes the layer. The build
chooses wheels by platform and removes files that no function imports. It compiles every module, because an import
without bytecode takes about three times as long. It needs only the standard library.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path

from layers.bytecode import compile_all
from layers.release import write_release

LAMBDA_PYTHON = "3.13"
# Lambda's name of an architecture, and the name in wheels.
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
# The name of a wheel contains the oldest C library that the wheel runs on. Lambda's python3.13 has glibc 2.34.
_PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")

# Globs within a layer's `python` folder. No module that the functions import imports any of these files.
_UNUSED = (
    "bin",
    "**/*.pyi",
    "**/py.typed",
    "**/*.h",
    "**/*.pxd",
    "**/*.pyx",
    "**/*.proto",
    "**/tests",
    # importlib.metadata reads METADATA and entry_points.txt. Licences stay with their packages
    *(f"*.dist-info/{name}" for name in ("RECORD", "WHEEL", "INSTALLER", "REQUESTED", "top_level.txt", "sboms")),
    # an operator's machine runs these: `python -m users` and the gRPC server
    "users/__main__.py",
    "background/cli",
    "background/users_service",
    # at run time cffi needs only _cffi_backend. These two are its compiler
    "cffi",
    "cffi-*.dist-info",
    "pycparser",
    "pycparser-*.dist-info",
    # of the utilities, Logger and Metrics import only jmespath_utils
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/utilities/[!_j]*",
    "grpc/beta",
    "pydantic/v1",
    "sqlalchemy/testing",
    "alembic/testing",
    "alembic/templates",
)

# psycopg asks importlib.metadata for its version, a sixth of its import time. In a layer the version never changes.
_VERSIONS = {"psycopg": "psycopg/version.py", "psycopg-binary": "psycopg_binary/version.py"}


def build(source: Path, artifacts: Path, architecture: str, python: str) -> None:
    """Fill ``artifacts/python``. Raise CalledProcessError if pip fails, or if a file cannot be compiled."""
    packages = artifacts / "python"
    packages.mkdir(parents=True, exist_ok=True)
    if (source / "requirements.txt").exists():
        _install(source / "requirements.txt", packages, architecture, python)
    if (source / "python").exists():
        caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source / "python", packages, dirs_exist_ok=True, ignore=caches)
    if (packages / "users").exists():
        write_release(packages / "users")
    for distribution, module in _VERSIONS.items():
        for installed in distributions(name=distribution, path=[str(packages)]):
            (packages / module).write_text(f'__version__ = "{installed.version}"\n')
    for path in _matching(packages, _UNUSED):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    compile_all(packages, python)


def _install(requirements: Path, packages: Path, architecture: str, python: str) -> None:
    platforms = [f"--platform={name}_{MACHINES[architecture]}" for name in _PLATFORMS]
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore",
        "--no-input", "--no-compile", "--require-hashes",
        "--no-deps",  # the lock file is complete
        "--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *platforms,
        f"--target={packages}", f"--requirement={requirements}",
    ]  # fmt: skip
    subprocess.run(command, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})


def _matching(folder: Path, patterns: Sequence[str]) -> Iterator[Path]:
    """Yield the paths under ``folder`` that match and still exist."""
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if path.exists():
                yield path


def main() -> int:
    """Build the layer that the command line names. Return the exit status."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("source", type=Path)
    arguments.add_argument("artifacts", type=Path)
    arguments.add_argument("--architecture", choices=sorted(MACHINES), default="arm64")
    arguments.add_argument("--python", default=LAMBDA_PYTHON, help="version of Lambda's Python, such as 3.13")
    options = arguments.parse_args()
    try:
        build(options.source.resolve(), options.artifacts.resolve(), options.architecture, options.python)
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(map(str, error.cmd[:4]))} … failed, its output is above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
