"""``import`` and ``export``: users in and out as NDJSON."""

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

_TOLD_LINES = 20
_BOM = b"\xef\xbb\xbf"


def add_to(cli: click.Group) -> None:
    """Add both commands."""

    @command(cli, "export", example="python -m users export users.ndjson --with-hashes", changes=False)
    @click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
    @click.option("--with-hashes", is_flag=True, help="With the hashes of the passwords.")
    def export(console: Console, *, file: Path, with_hashes: bool) -> None:
        """Write all users to FILE (- is stdout), one JSON object per line, as they are at one moment.

        The lines are in the order of the ids, so two exports can be compared. FILE is for its owner only (0600) and
        takes its place when it is complete: a full disk or Ctrl-C leaves the older one. Private metadata are in it;
        without --with-hashes nobody can log in after an import, except by a password reset.
        """
        _export(console, file, with_hashes=with_hashes)

    @command(cli, "import", example="python -m users import users.ndjson --errors rejected.ndjson", changes=True)
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
    @click.option(
        "--on-conflict",
        type=click.Choice(["skip", "update", "fail"]),
        default="skip",
        show_default=True,
        help="For an account that is there: leave it, overwrite it with what the line holds, or stop.",
    )
    @click.option(
        "--errors",
        type=click.Path(dir_okay=False, path_type=Path),
        help='Write what was not imported to a file, as {"line", "error", "message"} per line.',
    )
    @click.option("--events", is_flag=True, help="Publish user.create for each new account.")
    @click.option("--any-names", is_flag=True, help="Take names and addresses that a registration refuses.")
    @click.option("--dry-run", is_flag=True, help="Check everything, store nothing.")
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
        """Take in users of FILE (- is stdin), one JSON object per line, as `export` writes them.

        A line needs first_name, last_name, email and credentials.username; `secret` is the hash of the password
        (bcrypt or argon2id), without which the account starts with a password reset. The rules of names are
        registration's. Unknown keys are refused.

        Good lines go in, each other one is told with its number. It may be stopped or killed at any time: the same
        command again leaves what is there and goes on. An account is there when its id is or, for a line without an
        id, its exact e-mail and username; an e-mail or username that somebody else has is an error. Relations go to
        SpiceDB where MG_SPICEDB_HOST is set.

        An enabled administrator of FILE with the e-mail address of this installation's own is taken for the same
        person: it is left out, or with --on-conflict update takes the place of the one here, with the id of FILE.
        """
        from background.accounts.transfer.importing import Importer, Stopped

        if errors and errors.exists() and file.exists() and errors.samefile(file):
            raise click.UsageError("--errors names the file that is read: name another.")
        with (
            _reporter(console, errors) as report,
            _opened(file) as (source, size),
            Importer(on_conflict=on_conflict, events=events, dry_run=dry_run, report=report) as importer,
        ):
            try:
                _feed(importer, source, size, any_names=any_names)
            except Stopped as stop:
                raise Refused(f"{stop}; {importer.counts.imported} accounts before it were imported") from stop
            except KeyboardInterrupt:
                counts = importer.counts
                console.note(f"{counts.imported} imported, {counts.updated} updated; the same command again goes on.")
                raise
        return _conclude(console, importer, errors, dry_run=dry_run)


def _feed(importer: "Importer", source: IO[bytes], size: int, *, any_names: bool) -> None:
    """Read, check and store all lines, telling the progress."""
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
    """Number, bytes and length of each line; of one that is too long no more than shows that it is."""
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
    told = f"{count} users exported to {place}{'' if with_hashes else ', without the hashes of their passwords'}"
    if str(file) == "-":
        console.note(told)
    else:
        console.result({"exported": count, "file": str(file), "with_hashes": with_hashes}, told)


@contextmanager
def _destination(file: Path) -> Iterator[IO[str]]:
    """What an export is written to: beside its place, and moved there when it is complete and on the disk."""
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
    """What an import reads, and how many bytes that is (0: not known)."""
    source: AbstractContextManager[IO[bytes]]
    source = nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb")
    with source as opened:
        status = os.fstat(opened.fileno())
        yield opened, status.st_size if stat.S_ISREG(status.st_mode) else 0


@contextmanager
def _reporter(console: Console, errors: Path | None) -> Iterator[Callable[["BadLine"], None]]:
    """Tells of lines that were not imported: the first ones to a person, all of them to the file."""
    told = 0
    with errors.open("w", encoding="utf-8") if errors else nullcontext() as output:

        def report(bad: "BadLine") -> None:
            nonlocal told
            told += 1
            if output:
                document = asdict(bad)
                output.write(json.dumps({"line": document.pop("number"), **document}, ensure_ascii=False) + "\n")
            if told <= _TOLD_LINES:
                console.note(f"line {bad.number}: {bad.message}")
            elif told == _TOLD_LINES + 1:
                console.note("further lines are told in the file of --errors" if errors else "--errors FILE tells more")

        yield report


@contextmanager
def _progress(label: str, length: int | None) -> Iterator[Callable[..., None]]:
    """A bar on stderr where a person looks at it; ``advance(steps)``, with the length where it is known only later."""
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
            f"line {number}: left out, because this installation's own administrator has this e-mail address, under"
            " another id; --on-conflict update takes in the one of the file instead"
        )
    parts = [f"{counts.imported} {'would be imported' if dry_run else 'imported'}"]
    for count, words in (
        (counts.updated, "would be updated" if dry_run else "updated"),
        (counts.existing, "were there already"),
        (counts.failed, "not imported" + (f" (see {errors})" if errors else "")),
        (counts.relations_left, "relations left to the outbox: SpiceDB was away, the relay writes them"),
    ):
        parts += [f"{count} {words}"] * bool(count)
    console.result({**asdict(counts), "dry_run": dry_run}, ", ".join(parts))
    return Exit.FAILED if counts.failed else None
