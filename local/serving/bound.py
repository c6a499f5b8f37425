"""Become another program that ends with the process that started this one (run as a script, by path).

    python -I -S bound.py PARENT_PID DEATH_SIGNAL UID:GID|- PROGRAM [ARGUMENT...]

Linux sends DEATH_SIGNAL to the program when its starter is gone, also after kill -9, so that no orphan keeps a port.
This is a script and not a `preexec_fn`, because a `preexec_fn` is unsafe in a process that has threads. The script also
switches the user, because `Popen(user=)` would start Python as a user who may not be able to read it.
"""

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def launcher(death_signal: signal.Signals, account: str = "-") -> list[str]:
    """Return the command that becomes the program whose command follows it, bound to the calling thread's life.

    `account` is UID:GID of the user that the program runs as; - is the user of this process.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(death_signal)), account]


def bind_to_parent(death_signal: int, parent: int) -> None:
    """Request `death_signal` for the end of the `parent` thread that started this process. Exit if it has ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before the request
        sys.exit(1)


def _default_signals() -> None:
    """Reset the signals that the starter or this interpreter ignores, because the new program would ignore them too."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):  # the C library keeps some for itself
            signal.signal(number, signal.SIG_DFL)


def _switch_user(account: str) -> None:
    uid, gid = (int(number) for number in account.split(":"))
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)


def main() -> None:
    """Switch the user, then ask for the signal (a change of user clears that request), then become the program."""
    parent, death_signal, account, program, *arguments = sys.argv[1:]
    if account != "-":
        _switch_user(account)
    bind_to_parent(int(death_signal), int(parent))
    _default_signals()
    try:
        os.execvp(program, [program, *arguments])  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"{program}: {error.strerror}")


if __name__ == "__main__":
    main()
