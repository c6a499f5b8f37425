"""Compile bytecode for another version of Python than the running one, by an interpreter of that version.

The search for an interpreter covers this Python, ``python3.13`` on PATH, pyenv's versions, and for 3.13 the npm package
pyodide (``make build`` installs it), which is CPython in WebAssembly. Python never compares this bytecode with its
source. The usual kind compares times, which a zip file changes. The third kind compares hashes, and reading the source
for that costs as much as bytecode saves.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Lambda unpacks a layer here. Tracebacks name these files, and an import need not rewrite the names.
LAYER_ROOT = "/opt"
_PYODIDE = Path(__file__).resolve().parents[1] / "local" / "tools" / "pyodide"
_PYODIDES_PYTHON = "3.13"
_VERSION = "import sys; print(*sys.version_info[:2], sep='.')"


def compile_all(packages: Path, python: str) -> None:
    """Compile the ``python`` folder of a layer. Raise CalledProcessError for a file with a syntax error."""
    compiler = next(_compilers(python), None)
    if compiler is None:
        print(
            f"no Python {python} found: built WITHOUT BYTECODE, and cold starts will take about three times as long."
            f" `make build` installs one, and a python{python} on PATH works as well.",
            flush=True,
        )
        return
    print("bytecode by", *compiler, flush=True)  # sam shows standard output only
    paths: list[str | Path] = ["-s", packages.parent, "-p", LAYER_ROOT, packages]
    # With a fixed seed and one process, the same source gives the same bytes. So sam uploads only changed layers.
    command = [*compiler, "-q", "--invalidation-mode", "unchecked-hash", *paths]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "0"})


def interpreter(python: str) -> Path | None:
    """Return an interpreter of version ``python`` (such as 3.13) on this machine, or None."""
    candidates = [sys.executable, shutil.which(f"python{python}")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += sorted(map(str, pyenv.glob(f"versions/{python}.*/bin/python")))
    return next((Path(path) for path in candidates if path and _version(path) == python), None)


def _compilers(python: str) -> Iterator[list[str | Path]]:
    """Yield commands that accept compileall's arguments, the fastest first."""
    if native := interpreter(python):
        yield [native, "-m", "compileall"]
    if python == _PYODIDES_PYTHON and (node := _node()):
        yield [node, _PYODIDE / "compileall.mjs"]


def _node() -> str | None:
    """Return the node that pyodide was installed for, or None if pyodide is not installed."""
    try:
        installed = json.loads((_PYODIDE / "node_modules" / ".installed.json").read_text())
    except (OSError, ValueError):
        return None
    node: str = installed["node"]
    return node if os.access(node, os.X_OK) else None


def _version(path: str) -> str:
    """Return an interpreter's version, or "" if it does not run (pyenv's shim of a version that is not in use)."""
    if path == sys.executable:
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    done = subprocess.run([path, "-I", "-c", _VERSION], capture_output=True, text=True, check=False)
    return done.stdout.strip()
