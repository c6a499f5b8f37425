"""``import`` and ``export``: read and write users as NDJSON."""

import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from background.cli.command import command
from background.cli.console import Console
from background.cli.failures import Exit, Refused
from users.errors import BadRequest

if TYPE_CHECKING:
    from background.accounts.transfer.importing import BadLine, Importer, OnConflict

_SHOWN_LINES = 20
_BOM = b"\xef\xbb\xbf"


def add_to(cli: click.Group) -> None:
    """Add both commands."""

    @command(cli, "export", example="python -m users export users.ndjson --with-hashes", changes=False)
    @click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
    @click.option("--with-hashes", is_flag=True, help="Also export the hashes of the passwords.")
    def export(console: Console, *, file: Path, with_hashes: bool) -> None:
        """Write all users to FILE (- is stdout), one JSON object per line, as one consistent snapshot.

        The lines are in the order of the ids, so that you can compare two exports. Only the owner can read FILE (0600).
        The command replaces FILE when the export is complete. After a full disk or Ctrl-C, the older FILE is still
        there. FILE contains the private metadata. Without --with-hashes, users need a password reset before they can
        log in after an import.
        """
        _export(console, file, with_hashes=with_hashes)

    @command(cli, "import", example="python -m users import users.ndjson --errors rejected.ndjson", changes=True)
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
    @click.option(
        "--on-conflict",
        type=click.Choice(["skip", "update", "fail"]),
        default="skip",
        show_default=True,
        help="If the account exists: skip the line, update the account from the line, or stop.",
    )
    @click.option(
        "--errors",
        type=click.Path(dir_okay=False, path_type=Path),
        help='Write the refused lines to a file, as {"line", "error", "message"} per line.',
    )
    @click.option("--events", is_flag=True, help="Publish user.create for each new account.")
    @click.option("--any-names", is_flag=True, help="Accept names and addresses that a registration refuses.")
    @click.option("--dry-run", is_flag=True, help="Check everything, and store nothing.")
    def import_(
        console: Console,
        *,
        file: Path,
        on_conflict: "OnConflict",
        errors: Path | None,
        events: bool,
        any_names: bool,
        dry_run: bool,
    ) -> Exit | None:
        """Import the users of FILE (- is stdin), one JSON object per line, as `export` writes them.

        A line needs first_name, last_name, email and credentials.username. `secret` is the hash of the password (bcrypt
        or argon2id). Without a hash, the user needs a password reset before the first login. The rules of registration
        apply to names. The command refuses unknown keys.

        The command imports all good lines, and reports each refused line with its number. You can stop it at any time:
        the same command skips the accounts that exist, and continues. An account exists if its id exists. For a line
        without an id, it exists if its exact e-mail address and username exist. If another account has the e-mail
        address or the username, the line is refused. If MG_SPICEDB_HOST is set, the command writes the relations to
        SpiceDB.

        FILE may contain an enabled administrator with the e-mail address of an administrator of this installation. Then
        both are the same person. By default the command skips the line. With --on-conflict update the account of FILE,
        with its id, replaces the account of this installation.
        """
        from background.accounts.transfer.importing import Importer, Stopped

        if errors and errors.exists() and file.exists() and errors.samefile(file):
            raise click.UsageError("--errors names the file to import: name another file.")
        with (
            _reporter(console, errors) as report,
            _opened(file) as (source, size),
            Importer(on_conflict=on_conflict, events=events, dry_run=dry_run, report=report) as importer,
        ):
            try:
                _feed(importer, source, size, any_names=any_names)
            except Stopped as stop:
                raise Refused(f"{stop}. {importer.counts.imported} accounts before this line were imported") from stop
            except KeyboardInterrupt:
                counts = importer.counts
                console.note(f"{counts.imported} imported, {counts.updated} updated. Run the same command to continue.")
                raise
        return _conclude(console, importer, errors, dry_run=dry_run)


def _feed(importer: "Importer", source: IO[bytes], size: int, *, any_names: bool) -> None:
    """Read, check and store all lines, and show the progress."""
    from background.accounts.transfer.importing import BATCH, BadLine
    from background.accounts.transfer.line import Line, read_line

    batch: list[Line] = []
    with _progress("import", size) as advance:
        for number, raw, length in _lines(source):
            try:
                if raw.strip():
                    batch.append(read_line(number, raw.strip(), any_names=any_names))
            except BadRequest as error:
                importer.refuse(BadLine(number, error.code, error.message))
            if number % BATCH == 0:
                importer.store(batch)
                batch = []
            advance(length)
        importer.store(batch)


def _lines(source: IO[bytes]) -> Iterator[tuple[int, bytes, int]]:
    """Yield the number, the bytes and the length of each line. A line that is too long is cut."""
    from background.accounts.transfer.line import MAX_BYTES

    number = 0
    while raw := source.readline(MAX_BYTES + 2):
        number += 1
        length, rest = len(raw), raw
        while not rest.endswith(b"\n") and (rest := source.readline(MAX_BYTES)):
            length += len(rest)
        yield number, raw.removeprefix(_BOM) if number == 1 else raw, length


def _export(console: Console, file: Path, *, with_hashes: bool) -> None:
    from background.accounts.transfer.exporting import export_lines

    count = 0
    with _destination(file) as output, _progress("export", None) as advance:
        for total, line in export_lines(with_hashes=with_hashes):
            output.write(line)
            count += 1
            advance(1, total)
    place = "stdout" if str(file) == "-" else file
    text = f"{count} users exported to {place}{'' if with_hashes else ', without the hashes of their passwords'}"
    if str(file) == "-":
        console.note(text)
    else:
        console.result({"exported": count, "file": str(file), "with_hashes": with_hashes}, text)


@contextmanager
def _destination(file: Path) -> Iterator[IO[str]]:
    """Yield a file beside the destination, and move it there when it is complete and on the disk."""
    if str(file) == "-":
        sys.stdout.reconfigure(encoding="utf-8", errors="strict", newline="\n")  # type: ignore[union-attr]
        yield sys.stdout
        return
    if file.exists() and not file.is_file():  # a pipe or a device cannot be replaced
        with file.open("w", encoding="utf-8", newline="\n") as output:
            yield output
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".part", dir=file.parent)  # mode 0600
    part = Path(name)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as output:  # noqa: PTH123 -- a descriptor
            yield output
            output.flush()
            os.fsync(descriptor)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _opened(file: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Yield the source of an import and its size in bytes, or 0 if the size is unknown."""
    source: AbstractContextManager[IO[bytes]]
    source = nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb")
    with source as opened:
        status = os.fstat(opened.fileno())
        yield opened, status.st_size if stat.S_ISREG(status.st_mode) else 0


@contextmanager
def _reporter(console: Console, errors: Path | None) -> Iterator[Callable[["BadLine"], None]]:
    """Yield a function that reports a refused line: the first lines to the person, all lines to the file."""
    reported = 0
    with errors.open("w", encoding="utf-8") if errors else nullcontext() as output:

        def report(bad: "BadLine") -> None:
            nonlocal reported
            reported += 1
            if output:
                document = asdict(bad)
                output.write(json.dumps({"line": document.pop("number"), **document}, ensure_ascii=False) + "\n")
            if reported <= _SHOWN_LINES:
                console.note(f"line {bad.number}: {bad.message}")
            elif reported == _SHOWN_LINES + 1:
                console.note("the file of --errors lists the others" if errors else "--errors FILE lists all")

        yield report


@contextmanager
def _progress(label: str, length: int | None) -> Iterator[Callable[..., None]]:
    """Show a progress bar on stderr if it is a terminal, and yield ``advance(steps, length)`` to move it."""
    if length == 0 or not sys.stderr.isatty():
        yield lambda _steps, _length=0: None
        return
    with click.progressbar(
        length=length or 1,
        label=label,
        file=sys.stderr,
        show_pos=length is None,
        update_min_steps=max((length or 100_000) // 200, 1),
    ) as bar:

        def advance(steps: int, whole: int | None = None) -> None:
            if whole:
                bar.length = whole
            bar.update(steps)

        yield advance


def _conclude(console: Console, importer: "Importer", errors: Path | None, *, dry_run: bool) -> Exit | None:
    counts = importer.counts
    for number in importer.administrators_left:
        console.note(
            f"line {number}: left out, because an administrator of this installation has this e-mail address, under"
            " another id. With --on-conflict update the administrator of the file replaces that account"
        )
    parts = [f"{counts.imported} {'would be imported' if dry_run else 'imported'}"]
    for count, words in (
        (counts.updated, "would be updated" if dry_run else "updated"),
        (counts.existing, "existed already"),
        (counts.failed, "not imported" + (f" (see {errors})" if errors else "")),
        (counts.relations_left, "relations left to the outbox: SpiceDB did not answer, the relay will write them"),
    ):
        parts += [f"{count} {words}"] * bool(count)
    console.result({**asdict(counts), "dry_run": dry_run}, ", ".join(parts))
    return Exit.FAILED if counts.failed else None
