"""Write every mail in every language to files: ``python -m background.mail.templates <folder>`` (``make mails``)."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from background.mail.templates import LANGUAGES, MAILS, render

_LINKS = {
    "verification": "https://example.com/verify-email?token=mgverify_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
    "verification_reminder": "https://example.com/verify-email?token=mgverify_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
    "invitation": "https://example.com/password/reset?token=mginvite_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
    "password_reset": "https://example.com/password/reset?token=mgreset_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
}
_VALUES: dict[str, str | datetime] = {
    "minutes": "30",
    "hours": "24",
    "days": "7",
    "registered": datetime(2030, 1, 24, 14, 30, tzinfo=UTC),
    "removal": datetime(2030, 1, 31, 14, 30, tzinfo=UTC),
    "username": "grace_hopper",
}
_AT = datetime(2029, 12, 31, 23, 59, tzinfo=UTC)


def write_samples(folder: Path) -> list[Path]:
    """Render each mail to ``<language>-<mail>.html`` and ``.txt``, and return the files. The text has the subject."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for language in sorted(LANGUAGES):
        for name in sorted(MAILS):
            at = None if name in _LINKS or name == "account_removal" else _AT
            link = _LINKS.get(name, "")
            mail = render(name, language, user="Ada", at=at, address="192.0.2.1", state="deleted", link=link, **_VALUES)
            contents = {".html": mail.html, ".txt": f"Subject: {mail.subject}\n\n{mail.text}"}
            for suffix, content in contents.items():
                file = folder / f"{language}-{name}{suffix}"
                file.write_text(content, encoding="utf-8")
                written.append(file)
    return written


if __name__ == "__main__":
    for path in write_samples(Path(sys.argv[1])):
        print(path)
