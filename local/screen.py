"""The texts that `make run` prints for the person at the terminal."""

import json
from collections.abc import Mapping
from pathlib import Path

from local import ports as local_ports
from local.environment import ADMIN_EMAIL, ADMIN_PASSWORD, base_url
from local.parts import PartFailed
from local.serving.sockets import Port


def say(text: str) -> None:
    """Print a text at once."""
    print(text, flush=True)


def announcement(
    user: Mapping[str, str], ports: Mapping[str, Port], environment: Mapping[str, str], logs: Path, elapsed: str
) -> str:
    """Return the addresses of the running system, its first administrator, and hints."""
    api = base_url(user, ports)
    email = environment.get("MG_USERS_ADMIN_EMAIL") or ADMIN_EMAIL
    password = ADMIN_PASSWORD
    if user.get("MG_USERS_ADMIN_PASSWORD"):
        password = "the value of MG_USERS_ADMIN_PASSWORD"  # noqa: S105 - a hint
    lines = [
        f"\nThe Users service is ready after {elapsed}.\n",
        f"  API            {api}",
        f"  Reference      {api}/docs",
        f"  Mail page      {environment.get('AWS_ENDPOINT_URL_SESV2', 'none')}",
        f"  Administrator  {email} / {password}",
        "                 (as set by MG_USERS_ADMIN_EMAIL, MG_USERS_ADMIN_PASSWORD at the first start)",
        f"  Logs           {logs}",
    ]
    if environment["MG_ALLOW_UNVERIFIED_USER"] == "true" and not user.get("MG_ALLOW_UNVERIFIED_USER"):
        lines += [
            "\n  MG_ALLOW_UNVERIFIED_USER=true here: accounts work before their address is verified.",
            "  Its default is false: try `MG_ALLOW_UNVERIFIED_USER=false make run`.",
        ]
    if problem := local_ports.problem(local_ports.grpc_port(user)):
        lines.append(f"\n  {problem}: unless `make grpc` listens there, it needs another MG_USERS_GRPC_PORT.")
    return "\n".join([*lines, "\n  Ctrl-C stops everything.\n"])


def explanation(failure: Exception) -> str:
    """Return why the system could not go on, with the end of the failed part's log."""
    text = f"\nFAILED: {failure}"
    if isinstance(failure, PartFailed):
        tail = _foreseen(failure.log) or failure.log_tail()
        text += f"\n{tail}\n\nThe whole log: {failure.log}" if tail else f"\nIts log is empty: {failure.log}"
    return text


def _foreseen(log: Path) -> str:
    """Return the remedy that bootstrap names, if it foresaw its failure: the message of its answer in the log."""
    *_, last = [""] + (log.read_text(errors="replace").splitlines() if log.exists() else [])
    try:
        answer = json.loads(last)
    except ValueError:
        return ""
    foreseen = isinstance(answer, dict) and answer.get("errorType") in ("BootstrapFailed", "NewerRelease")
    return str(answer["errorMessage"]) if foreseen else ""
