"""``python -m users``: the operator's commands (background.cli), on a machine with the repository.

Their packages are in requirements-local.txt, not in the layers.
"""

import sys
from pathlib import Path

_BACKGROUND = Path(__file__).resolve().parents[3] / "background" / "python"


def main() -> int:
    """Run the command of the command line. Return its exit code."""
    sys.path.append(str(_BACKGROUND))
    try:
        from background.cli.application import run
    except ModuleNotFoundError as error:
        print(f"the package {error.name} is missing: use .venv/bin/python, which `make run` sets up", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
