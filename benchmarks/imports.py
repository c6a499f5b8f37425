"""Import time of each function, which is a part of its cold start.

    python benchmarks/imports.py [operation ...]

A new process imports the function, as on Lambda. The figure is the fastest of five, minus the time of an empty process.
The line also contains the heavy packages that the function loads.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
_RUNS = 5
_HEAVY = ("aws_lambda_powertools", "boto3", "grpc", "nats", "nacl", "psycopg", "pydantic", "sqlalchemy", "authzed")
_PRINT_HEAVY = f"import sys; print(*[name for name in {_HEAVY!r} if name in sys.modules])"


def _seconds(code: str, folder: Path) -> tuple[float, str]:
    """Return the fastest run of ``code`` in seconds, and the output of the last one."""
    path = os.pathsep.join(
        [str(folder), *(str(ROOT / "layers" / name / "python") for name in ("common", "background"))]
    )
    environment = {**os.environ, "PYTHONPATH": path, "AWS_LAMBDA_FUNCTION_NAME": folder.name}
    fastest, printed = float("inf"), ""
    for _ in range(_RUNS):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True, cwd=folder
        )
        fastest, printed = min(fastest, time.perf_counter() - started), done.stdout.strip()
    return fastest, printed


def main() -> None:
    """Print a line for each function."""
    names = sys.argv[1:] or sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
    bare, _ = _seconds("pass", ROOT)
    for name in names:
        seconds, heavy = _seconds(f"import app; {_PRINT_HEAVY}", ROOT / "functions" / name)
        print(f"{name:24} {(seconds - bare) * 1000:5.0f} ms   {heavy}")


if __name__ == "__main__":
    main()
