"""Generate clients from openapi.json, as users of the API do."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from local import install
from local.docs.document import TARGET as DOCUMENT
from local.parts.launch import ROOT

_FOLDER = ROOT / "tests" / "clients"
_OPTIONS = {
    "strict": True,
    "target": "es2022",
    "module": "esnext",
    "moduleResolution": "bundler",
    "types": [],
    "noEmitOnError": True,
}


def run(*command: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end. Both of its streams are one text."""
    return subprocess.run(
        command, cwd=cwd, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120
    )


def node(script: Path | str, *arguments: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program with Node."""
    program = install.node_program(ROOT) or shutil.which("node")
    assert program, "no node: `make test` installs what is needed"
    return run(program, script, *arguments, cwd=cwd)


def python_client(folder: Path) -> str:
    """Make the package ``users_client`` in ``folder``. Return the generator's output, and fail on a warning."""
    config = folder / "config.json"
    config.write_text('{"post_hooks": []}')  # otherwise a ruff on the PATH formats the code
    generator = Path(sys.executable).parent / "openapi-python-client"
    options = ("--meta", "none", "--output-path", folder / "users_client", "--config", config, "--fail-on-warning")
    made = run(generator, "generate", "--path", DOCUMENT, *options, cwd=folder)
    assert made.returncode == 0, made.stdout
    return made.stdout


def typescript_project(folder: Path) -> None:
    """Make ``users.d.ts`` from the document, with the packages and options that a program needs."""
    modules = _FOLDER / "node_modules"
    assert (modules / "openapi-typescript").exists(), "not installed: `npm ci --ignore-scripts` in tests/clients"
    (folder / "node_modules").symlink_to(modules)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": _OPTIONS}))
    made = node(modules / "openapi-typescript" / "bin" / "cli.js", DOCUMENT, "-o", "users.d.ts", cwd=folder)
    assert made.returncode == 0, made.stdout


def compiled(folder: Path, programs: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Compile programs, by the names of their files, with ``tsc --strict``.

    The result contains the compiler's messages. Without messages, the JavaScript exists.
    """
    for name, source in programs.items():
        (folder / name).write_text(source)
    config = {"extends": "./tsconfig.json", "files": list(programs)}
    (folder / "programs.json").write_text(json.dumps(config))
    compiler = folder / "node_modules" / "typescript" / "bin" / "tsc"
    return node(compiler, "-p", "programs.json", cwd=folder)
