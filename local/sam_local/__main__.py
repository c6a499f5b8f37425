"""`make sam-local`, `make sam-events` and `make sam-image`.

python -m local.sam_local serve     prepare for `sam local`, until Ctrl-C; `make run` must run
python -m local.sam_local events    write events with fresh tokens of the running system
python -m local.sam_local image     make the stand-in for Amazon's image
"""

import argparse
import os
import sys

from local.sam_local.engine import EngineUnusable
from local.sam_local.place import NotReady, Place
from local.sam_local.running_system import RequestRefused
from local.sam_local.serving import renew_events, serve
from local.sam_local.stand_in import make_stand_in


def main() -> int:
    """Run the command of the command line. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.sam_local", description="`sam local` beside `make run`.")
    parser.add_argument("command", choices=["serve", "events", "image"])
    command = parser.parse_args().command
    try:
        if command == "image":
            make_stand_in()
            return 0
        place = Place.of(dict(os.environ))
        return serve(place) if command == "serve" else renew_events(place)
    except KeyboardInterrupt:
        return 130
    except (EngineUnusable, RequestRefused, NotReady) as reason:
        print(reason, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
