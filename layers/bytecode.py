"""Bytecode for another Python than the one that runs: by an interpreter of that version, wherever one is found.

Looked for: this Python, ``python3.13`` on PATH, pyenv's versions, and for 3.13 the npm package pyodide, which is
CPython in WebAssembly (``make build`` installs it). The bytecode is of the kind that is never checked against its
source: a zip file changes the times that the usual kind goes by, and reading a source to check its hash costs what
bytecode saves.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Where Lambda unpacks a layer: tracebacks name these files, and an import need not rename them.
LAYER_ROOT = "/opt"
_PYODIDE = Path(__file__).resolve().parents[1] / "local" / "tools" / "pyodide"
_PYODIDES_PYTHON = "3.13"
_VERSION = "import sys; print(*sys.version_info[:2], sep='.')"


def compile_all(packages: Path, python: str) -> None:
    """Compile the ``python`` folder of a layer, and say by what; CalledProcessError for a file that is no Python."""
    compiler = next(_compilers(python), None)
    if compiler is None:
        print(
            f"no Python {python} found: built WITHOUT BYTECODE, and cold starts will take about three times as long."
            f" `make build` brings one; python{python} on PATH is taken too.",
            flush=True,
        )
        return
    print("bytecode by", *compiler, flush=True)  # standard output is what sam shows
    paths: list[str | Path] = ["-s", packages.parent, "-p", LAYER_ROOT, packages]
    # The seed, and one process: the same source gives the same bytes, so that an unchanged layer is not uploaded again.
    command = [*compiler, "-q", "--invalidation-mode", "unchecked-hash", *paths]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "0"})


def interpreter(python: str) -> Path | None:
    """An interpreter of version ``python`` (such as 3.13) on this machine, None where there is none."""
    candidates = [sys.executable, shutil.which(f"python{python}")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += sorted(map(str, pyenv.glob(f"versions/{python}.*/bin/python")))
    return next((Path(path) for path in candidates if path and _version(path) == python), None)


def _compilers(python: str) -> Iterator[list[str | Path]]:
    """Commands that take compileall's arguments, the fastest first."""
    if native := interpreter(python):
        yield [native, "-m", "compileall"]
    if python == _PYODIDES_PYTHON and (node := _node()):
        yield [node, _PYODIDE / "compileall.mjs"]


def _node() -> str | None:
    """The node that pyodide was installed for, None where it is not installed."""
    try:
        installed = json.loads((_PYODIDE / "node_modules" / ".installed.json").read_text())
    except (OSError, ValueError):
        return None
    node: str = installed["node"]
    return node if os.access(node, os.X_OK) else None


def _version(path: str) -> str:
    """The version of an interpreter; "" when it does not run (a shim of pyenv for a version that is not in use)."""
    if path == sys.executable:
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    done = subprocess.run([path, "-I", "-c", _VERSION], capture_output=True, text=True, check=False)
    return done.stdout.strip()
