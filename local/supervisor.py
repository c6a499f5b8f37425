"""`make run`: check, start the system, keep its parts alive, and stop it at Ctrl-C or SIGTERM."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from local import checks, install, logs, ports
from local import environment as local_environment
from local.checks import CannotRun
from local.keeper import Keeper
from local.parts import PartFailed
from local.parts.postgres_home import NoHome
from local.run_lock import only_one
from local.screen import announcement, explanation, say
from local.serving.bound import bind_to_parent
from local.serving.variables import SettingsUnusable
from local.stop_signals import Stopped, StopSignals
from local.system import System

_WATCH_SECONDS = 0.1
_PREDECESSOR_SECONDS = 15.0


class Supervisor:
    """Runs the local system of one data directory."""

    def __init__(self, user: dict[str, str]) -> None:
        """Take the user's variables."""
        self._user = user
        self._local = _data_directory(user)
        self._ports = ports.read(user)
        self._wanted = local_environment.parts_wanted(user, self._ports)
        self._signals = StopSignals()
        self._system = System(user, self._ports, self._wanted, self._local, self._signals)

    def run(self) -> int:
        """Run until somebody stops it, and return the exit code."""
        self._signals.install()
        given = self._user, self._wanted, self._ports
        exit_code = 1
        try:
            checks.check_settings(*given)
            checks.refuse_known_secrets(*given)
            with only_one(self._local) as crashed:
                checks.check_ports(*given, patience=_PREDECESSOR_SECONDS if crashed else 0)
                exit_code = self._serve()
        except CannotRun as reason:
            say(str(reason))
        except Stopped:
            say("Nothing was started.")
        return exit_code

    def _serve(self) -> int:
        system = self._system
        try:
            environment = system.start()
            say(announcement(self._user, self._ports, environment, system.logs, system.elapsed.strip()))
            self._watch()
        except Stopped:
            say("\nStopping")
            return 0
        except (PartFailed, NoHome) as failure:
            say(explanation(failure))
            return 1
        finally:
            system.stop()
            say("Everything is stopped.")

    def _watch(self) -> NoReturn:
        """Keep the parts alive. Raise PartFailed if one cannot be kept alive."""
        keepers = [Keeper(part, self._system.begin, say) for part in self._system.parts]
        while True:
            time.sleep(_WATCH_SECONDS)
            for keeper in keepers:
                keeper.look()
                if keeper.serves:  # a starting part's log must stay: it will contain the ready line
                    logs.keep_small(keeper.part.log)


def _data_directory(user: dict[str, str]) -> Path:
    """Return the directory of data and logs: `.local` of the project, or MG_LOCAL_DIR. Create it if it is missing."""
    other = user.get("MG_LOCAL_DIR")
    if not other:
        return install.local_directory()
    place = Path(other).resolve()
    try:
        if not place.exists():
            place.mkdir(parents=True)
            place.chmod(install.private_mode())
    except OSError as error:
        raise CannotRun(f"MG_LOCAL_DIR={other} cannot be made: {error.strerror}") from error
    if not place.is_dir():
        raise CannotRun(f"MG_LOCAL_DIR={other} is no directory")
    return place


def main() -> int:
    """Run the local system with the variables of this process."""
    if "MAKELEVEL" in os.environ:  # end together with make
        bind_to_parent(signal.SIGTERM, os.getppid())
    try:
        return Supervisor(dict(os.environ)).run()
    except (CannotRun, install.CannotInstall, SettingsUnusable) as reason:
        say(str(reason))
        return 1


if __name__ == "__main__":
    sys.exit(main())
