"""The lock files are complete and pinned with hashes, agree on versions, and name no source of packages."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from local.install import CHECKOV, MAIN, OLDEST_PYTHON, SAM, PythonEnvironment
from local.lock import entries

ROOT = Path(__file__).resolve().parents[2]
DEV = "requirements-dev"
LOCAL = "requirements-local"
DEPENDENCIES = "layers/dependencies/requirements"
BACKGROUND = "layers/background/requirements"
LAMBDA = "requirements-lambda"
TOOLS = (
    "local/tools/sam",
    "local/tools/node",
    "benchmarks/monolith/requirements",
    "benchmarks/runtime/requirements",
)
ALL = (DEV, LOCAL, DEPENDENCIES, BACKGROUND, LAMBDA, *TOOLS)
INSTALLED_BY_ONE_ENVIRONMENT = (DEV, LOCAL, DEPENDENCIES, BACKGROUND, LAMBDA)


def locked(name: str) -> dict[str, str]:
    return entries((ROOT / f"{name}.txt").read_text())


def version(entry: str) -> str:
    return entry.split("==", 1)[1].split(maxsplit=1)[0]


def asked_for(name: str) -> set[str]:
    """Return the packages in a .in file and in the files that it includes."""
    names = set()
    for line in (ROOT / f"{name}.in").read_text().splitlines():
        requirement = line.split("#")[0].strip()
        if requirement.startswith("-r "):
            names |= asked_for(requirement.removeprefix("-r ").removesuffix(".in"))
        elif requirement:
            names.add(re.split(r"[\[=<>]", requirement)[0].lower().replace("_", "-"))
    return names


@pytest.mark.parametrize("name", ALL)
def test_what_is_asked_for_is_locked(name: str) -> None:
    assert asked_for(name)
    assert asked_for(name) <= locked(name).keys()


@pytest.mark.parametrize("name", ALL)
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    requirements = re.findall(r"^[a-zA-Z].*$", (ROOT / f"{name}.txt").read_text(), flags=re.MULTILINE)
    assert len(requirements) == len(locked(name))
    for entry in locked(name).values():
        assert re.match(r"[a-z0-9._-]+==\S+ \\\n +--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize(
    ("name", "environment"), [(DEV, MAIN), ("local/tools/sam", SAM), ("local/tools/checkov", CHECKOV)]
)
def test_every_package_accepts_the_oldest_python(name: str, environment: PythonEnvironment) -> None:
    """Debian 12 has Python 3.11.2, and a lock file that a later 3.11 wrote once asked for 3.11.5."""
    folders = [str(folder) for folder in environment.place.glob("lib/python3.*/site-packages")]
    oldest = ".".join(map(str, (*OLDEST_PYTHON, 0)))
    pins = {(package, version(entry)) for package, entry in locked(name).items()}
    refusing = [
        f"{package.name} {package.version}"
        for package in distributions(path=folders)
        if (canonicalize_name(package.name), package.version) in pins
        and oldest not in SpecifierSet(package.metadata.get("Requires-Python") or "")
    ]
    assert refusing == []


@pytest.mark.parametrize("name", ALL)
def test_no_index_is_named(name: str) -> None:
    text = (ROOT / f"{name}.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^--|index-url|find-links|trusted-host", text, flags=re.MULTILINE)


def test_a_package_has_one_version() -> None:
    versions: dict[str, set[str]] = {}
    for name in INSTALLED_BY_ONE_ENVIRONMENT:
        for package, entry in locked(name).items():
            versions.setdefault(package, set()).add(version(entry))
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


def test_the_larger_sets_hold_the_smaller_ones() -> None:
    smaller = locked(DEPENDENCIES).keys() | locked(BACKGROUND).keys() | locked(LAMBDA).keys()
    assert smaller <= locked(LOCAL).keys() < locked(DEV).keys()


def test_the_layers_share_no_package() -> None:
    assert not locked(DEPENDENCIES).keys() & locked(BACKGROUND).keys()


def test_the_requirements_of_the_service_are_those_of_its_layer_and_what_lambda_brings() -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == [f"-r {DEPENDENCIES}.txt", f"-r {LAMBDA}.txt"]


def test_what_lambda_brings_is_in_no_layer() -> None:
    aws = {"boto3", "botocore", "s3transfer"}
    assert aws <= locked(LAMBDA).keys()
    assert not aws & (locked(DEPENDENCIES).keys() | locked(BACKGROUND).keys())


@pytest.mark.long
def test_the_requirements_of_the_service_are_all_that_an_operation_imports(tmp_path: Path) -> None:
    """`pip install -r requirements.txt` installs everything, also each client of AWS, into one environment."""
    place = tmp_path / "packages"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:",
         "--disable-pip-version-check", "--root-user-action=ignore", "--target", place, "-r", "requirements.txt"],
        cwd=ROOT, check=True,
    )  # fmt: skip
    imported = "import boto3, users.aws.secrets, users.rules.outbox_records; boto3.client('lambda', 'eu-central-1')"
    paths = [place, ROOT / "layers/common/python", ROOT / "functions/view_profile"]
    environment = {"PYTHONPATH": ":".join(map(str, paths)), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-S", "-c", f"{imported}; import app"], env=environment, check=True)


def test_the_npm_lock_names_no_registry_and_hashes_every_package() -> None:
    lock = json.loads((ROOT / "local" / "mail" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages["node_modules/aws-ses-v2-local"]["version"] == "2.10.2"
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")]
