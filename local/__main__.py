"""`python -m local run`: run the local system in the foreground. `make run` installs its packages first."""

import sys

from local import supervisor

if __name__ == "__main__":
    if sys.argv[1:] != ["run"]:
        sys.exit("usage: python -m local run")
    sys.exit(supervisor.main())
