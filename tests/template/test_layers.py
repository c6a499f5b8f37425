"""The layers as `sam build` makes them: for Lambda's architecture, C library and Python, with bytecode, and small."""

import json
import os
import platform
import re
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from layers.build import LAMBDA_PYTHON, MACHINES
from layers.bytecode import compile_all, interpreter
from layers.sizes import DEPENDENCIES_LIMIT, LAMBDA_LIMIT, unzipped_size
from local.install import SAM
from tests.imports import imports

ROOT = Path(__file__).parents[2]
OPERATIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
LAYERS = ("DependenciesLayer", "CommonLayer", "BackgroundLayer")
# e_machine of an ELF header
ELF_MACHINES = {"arm64": 183, "x86_64": 62}
LAMBDA_GLIBC = (2, 34)  # Amazon Linux 2023
# CPython 3.13's, and the flags of a pyc whose source is never looked at (PEP 552)
PYTHON_313_UNCHECKED = bytes.fromhex("f30d0d0a01000000")

# What Lambda's Python brings; all of it pure Python, so that any environment's will do.
RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "dateutil", "six.py", "snapshot_restore_py.py")
# What runs at the operator's, with packages of its own: the commands of `python -m users`, and the gRPC server.
AT_THE_OPERATORS = {"cli", "users_service", "__main__.py"}

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=sorted(ELF_MACHINES))
def architecture(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def layers(architecture: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a function of this architecture finds in /opt: the built layers, zipped as sam zips them, and unpacked."""
    folder = tmp_path_factory.mktemp(architecture)
    subprocess.run(
        [SAM.place / "bin" / "sam", "build", "--build-dir", folder / "build",
         "--parameter-overrides", f"Architecture={architecture}"],
        cwd=ROOT, check=True, capture_output=True, env={**os.environ, "SAM_CLI_TELEMETRY": "0"},
    )  # fmt: skip
    for layer in LAYERS:
        archive = shutil.make_archive(str(folder / layer), "zip", folder / "build" / layer)
        with zipfile.ZipFile(archive) as unpacked:
            unpacked.extractall(folder / "opt" / layer)
    return folder / "opt"


def shared_objects(layers: Path) -> Iterator[Path]:
    return (path for path in layers.rglob("*.so*") if path.is_file())


def test_every_shared_object_is_of_the_architecture(layers: Path, architecture: str) -> None:
    machines = {path.name: struct.unpack_from("<H", path.read_bytes(), 18)[0] for path in shared_objects(layers)}
    assert len(machines) > 20
    assert set(machines.values()) == {ELF_MACHINES[architecture]}, machines


def test_every_extension_is_of_the_python(layers: Path) -> None:
    tags = {path.name.partition(".")[2] for path in shared_objects(layers) if ".libs" not in path.parent.name}
    assert {tag.split("-")[0] for tag in tags if tag.startswith("cpython")} == {"cpython"}
    assert {tag.split("-")[1] for tag in tags if tag.startswith("cpython")} == {LAMBDA_PYTHON.replace(".", "")}
    assert {tag for tag in tags if not tag.startswith("cpython")} == {"abi3.so"}


def test_no_shared_object_needs_a_newer_c_library(layers: Path) -> None:
    needed = {
        (int(major), int(minor))
        for path in shared_objects(layers)
        for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", path.read_bytes())
    }
    assert needed
    assert max(needed) <= LAMBDA_GLIBC


def test_everything_is_compiled_for_the_python_and_never_checked_against_its_source(layers: Path) -> None:
    for source in layers.rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-{LAMBDA_PYTHON.replace('.', '')}.pyc"
        assert compiled.read_bytes()[:8] == PYTHON_313_UNCHECKED, source


def test_the_runtimes_own_packages_are_left_to_it(layers: Path) -> None:
    names = {path.name.split("-")[0] for path in layers.glob("*/python/*")}
    assert {"psycopg", "grpc", "users", "background", "alembic"} <= names
    assert not names & {"boto3", "botocore", "s3transfer", "awslambdaric"}


def test_nothing_is_left_that_no_function_needs(layers: Path) -> None:
    unused = [path for path in layers.rglob("*") if path.suffix in {".pyi", ".h", ".pxd"} or path.name == "tests"]
    assert unused == []


def test_the_layers_are_small(layers: Path) -> None:
    assert unzipped_size(layers / "DependenciesLayer") < DEPENDENCIES_LIMIT
    assert unzipped_size(layers) < LAMBDA_LIMIT


def test_the_code_knows_its_release(layers: Path) -> None:
    release = json.loads((layers / "CommonLayer" / "python" / "users" / "release.json").read_text())
    assert re.fullmatch(r"[0-9a-f]{8,}(-dirty)?", release["commit"])


def test_an_unchanged_layer_is_built_the_same(layers: Path, tmp_path: Path) -> None:
    """A layer that differs is uploaded again."""
    built = layers / "CommonLayer" / "python"
    shutil.copytree(built, tmp_path / "python", ignore=shutil.ignore_patterns("__pycache__"))
    compile_all(tmp_path / "python", LAMBDA_PYTHON)
    for path in built.rglob("*.pyc"):
        assert (tmp_path / "python" / path.relative_to(built)).read_bytes() == path.read_bytes(), path


def test_the_functions_compile(tmp_path: Path) -> None:
    """By the interpreter or pyodide that compiles the layers."""
    shutil.copytree(ROOT / "functions", tmp_path / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    compile_all(tmp_path / "functions", LAMBDA_PYTHON)
    compiled = [path.parents[1].name for path in tmp_path.glob("functions/*/__pycache__/app.cpython-313.pyc")]
    assert sorted(compiled) == OPERATIONS


def test_pyodide_compiles_as_the_interpreter_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without python3.13."""
    monkeypatch.setattr("layers.bytecode.interpreter", lambda _python: None)
    (tmp_path / "python").mkdir()
    source = ROOT / "layers" / "common" / "python" / "users" / "settings.py"
    shutil.copy(source, tmp_path / "python")
    compile_all(tmp_path / "python", LAMBDA_PYTHON)
    (compiled,) = (tmp_path / "python" / "__pycache__").iterdir()
    assert compiled.read_bytes().startswith(PYTHON_313_UNCHECKED)
    assert b"/opt/python/settings.py" in compiled.read_bytes()


def test_without_any_python_313_the_build_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("layers.bytecode.interpreter", lambda _python: None)
    monkeypatch.setattr("layers.bytecode._node", lambda: None)
    (tmp_path / "python").mkdir()
    compile_all(tmp_path / "python", LAMBDA_PYTHON)
    assert "WITHOUT BYTECODE" in capsys.readouterr().out


@pytest.fixture(scope="module")
def python313(layers: Path, architecture: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run code as a function would: by Python 3.13, which this machine may have, with the layers and Lambda's own."""
    executable = interpreter(LAMBDA_PYTHON)
    if executable is None:
        pytest.skip(f"no python{LAMBDA_PYTHON} on this machine")
    if platform.machine() != MACHINES[architecture]:
        pytest.skip(f"this machine cannot run {architecture}")
    runtime = tmp_path_factory.mktemp("runtime")
    for name in RUNTIME_PACKAGES:
        (runtime / name).symlink_to(Path(boto3.__file__).parents[1] / name)
    path = [*(str(layers / layer / "python") for layer in LAYERS), str(runtime)]

    def run(code: str, *folders: Path) -> str:
        environment = {"PYTHONPATH": os.pathsep.join([*map(str, folders), *path]), "AWS_REGION": "eu-central-1"}
        command = [executable, "-S", "-s", "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def test_every_function_imports(python313: Callable[..., str]) -> None:
    for operation in OPERATIONS:
        python313("import app; assert app.lambda_handler", ROOT / "functions" / operation)


def test_every_import_of_the_code_succeeds(python313: Callable[..., str]) -> None:
    """Also those in functions, which only a certain request or setting meets."""
    sources = [*ROOT.glob("functions/*/*.py"), *ROOT.glob("layers/*/python/**/*.py")]
    files = [file for file in sources if not AT_THE_OPERATORS & set(file.parts)]
    wanted = sorted({module for file in files for module, _ in imports(file)})
    assert {
        "users.repository.database",
        "background.setup.schema",
        "psycopg",
        "re2",
        "bcrypt",
        "authzed.api.v1",
        "boto3",
    } <= set(wanted)
    code = f"import importlib\nfor name in {wanted}: importlib.import_module(name)"
    python313(code, ROOT / "functions" / "health")  # a function with a module of its own


def test_psycopg_need_not_look_for_its_version(python313: Callable[..., str], layers: Path) -> None:
    told = python313(
        "import sys, psycopg, psycopg_binary\n"
        "print('importlib.metadata' in sys.modules, psycopg.__version__, psycopg_binary.__version__)\n"
        "from importlib.metadata import version; print(version('psycopg'), version('psycopg-binary'))"
    )
    (searched, *written), found = (line.split() for line in told.splitlines())
    assert searched == "False"
    assert written == found


def test_bytecode_is_what_runs(python313: Callable[..., str], layers: Path, tmp_path: Path) -> None:
    """A source that was changed behind its bytecode is not noticed: neither read nor compared."""
    shutil.copytree(layers / "CommonLayer" / "python" / "users", tmp_path / "users")
    (tmp_path / "users" / "rules" / "contrast.py").write_text("raise AssertionError('the source was read')")
    assert python313("import users.rules.contrast; print(users.rules.contrast.__file__)", tmp_path).startswith(
        str(tmp_path)
    )
