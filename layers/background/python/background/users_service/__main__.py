"""``python -m background.users_service``: serve the installation of the MG_* variables, else of ``make run``."""

import asyncio
import logging
import os
import sys

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's log lines are not JSON. It reads this at import.

import click

from background.cli.configuration import configure
from background.users_service.server import serve
from users.settings import WrongSettings, settings
from users.telemetry.log import logger


def main() -> int:
    """Serve. Return the exit code."""
    for name in ("grpc", "asyncio"):
        logging.getLogger(name).addHandler(logger.registered_handler)
    try:
        configure(None, local=False)
        asyncio.run(serve(settings()))
    except (click.UsageError, WrongSettings) as error:
        print(f"users_service: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # does not wait for a thread whose database is silent
