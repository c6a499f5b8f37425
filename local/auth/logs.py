"""Log lines as JSON objects on stderr: stdout belongs to the ready line and to printed tokens."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_FIELDS = ("method", "path", "status", "duration_ms", "error")


class JsonFormatter(logging.Formatter):
    """time, level, message and the fields that this service logs; nothing else of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """Give one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": "auth",
            "message": record.getMessage(),
        }
        line.update({name: getattr(record, name) for name in _FIELDS if hasattr(record, name)})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_as_json(level: str) -> None:
    """Send every logger's records of `level` and above to stderr in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler])
