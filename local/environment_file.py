"""The functions' variables in a file, for programs beside them such as `python -m users`."""

from collections.abc import Mapping
from pathlib import Path

from local.private_files import write_private

ENVIRONMENT_FILE = "environment"
_REGION = "eu-central-1"
_OUTBOX_FUNCTION = "DeliverOutboxFunction"


def write_environment(path: Path, environment: Mapping[str, str]) -> None:
    """Write the file, quoted as dotenv files are.

    The variables of a real AWS account stay out. Local credentials take their place.
    """
    variables = {name: value for name, value in environment.items() if name.startswith(("MG_", "AWS_ENDPOINT_URL"))}
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or _REGION
    variables |= {"AWS_SAM_LOCAL": "true", "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    variables |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "OUTBOX_FUNCTION": _OUTBOX_FUNCTION}
    write_private(path, "".join(f"{name}={_quoted(value)}\n" for name, value in sorted(variables.items())))


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
