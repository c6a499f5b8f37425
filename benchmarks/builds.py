"""The functions as `sam build` makes them, and the monolith in the same way."""

import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from emulator import Code

from layers.build import LAMBDA_PYTHON, MACHINES, build
from layers.bytecode import interpreter

HERE = Path(__file__).parent
ROOT = HERE.parent
_BARE = "def lambda_handler(event, context):\n    return {'statusCode': 200, 'body': '{}'}\n"


@dataclass(frozen=True)
class Builds:
    """The results: an interpreter, and folders instead of /opt and of the functions' own."""

    python: Path
    opt: Path
    monolith: Path
    runtime: Path
    tasks: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Build the layers, the monolith's packages and the runtime's, by the steps of `sam build`."""
        python = interpreter(LAMBDA_PYTHON)
        version = LAMBDA_PYTHON if python else f"{sys.version_info.major}.{sys.version_info.minor}"
        architecture = next(name for name, machine in MACHINES.items() if machine == platform.machine())
        for name in ("dependencies", "common", "background"):
            build(ROOT / "layers" / name, folder / name, architecture, version)
            shutil.copytree(folder / name, folder / "opt", dirs_exist_ok=True)  # as on Lambda
        for name in ("monolith", "runtime"):
            build(HERE / name, folder / name, architecture, version)
        tasks = folder / "tasks"
        shutil.copytree(ROOT / "functions", tasks, ignore=shutil.ignore_patterns("__pycache__"))
        (tasks / "monolith").mkdir()
        shutil.copy(HERE / "monolith" / "app.py", tasks / "monolith")
        (tasks / "bare").mkdir()
        (tasks / "bare" / "app.py").write_text(_BARE)
        return cls(python or Path(sys.executable), folder / "opt", folder / "monolith", folder / "runtime", tasks)

    def code(self, name: str, variables: Mapping[str, str]) -> Code:
        """Return the code of a function, of the monolith, or of the bare handler."""
        packages = [self.monolith] if name == "monolith" else [] if name == "bare" else [self.opt]
        return Code(self.python, self.tasks / name, [*packages, self.runtime], variables)
