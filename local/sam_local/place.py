"""The files of `make sam-local`, beside those of the running system."""

from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from local import install
from local.environment_file import ENVIRONMENT_FILE


class NotReady(Exception):
    """Something that `sam local` needs is missing. The text contains the remedy."""


@dataclass(frozen=True)
class Place:
    """The file with the configuration of the running system, and the folder for the files of `sam local`."""

    environment_file: Path
    folder: Path

    @classmethod
    def of(cls, variables: dict[str, str]) -> "Place":
        """Return the place in `.local`, or in MG_LOCAL_DIR. Raise NotReady unless `make run` runs there."""
        data = Path(variables.get("MG_LOCAL_DIR") or install.ROOT / ".local").resolve()
        place = cls(data / ENVIRONMENT_FILE, data / "sam")
        if not place.environment_file.exists():
            raise NotReady(f"`make run` does not run here ({place.environment_file} is missing): start it first.")
        return place

    @property
    def template(self) -> Path:
        """The template, as samconfig.toml names it."""
        return self.folder / "template.yaml"

    @property
    def variables(self) -> Path:
        """The functions' variables, as samconfig.toml names them."""
        return self.folder / "variables.json"

    @property
    def events(self) -> Path:
        """The folder of the events with real tokens."""
        return self.folder / "events"

    def environment(self) -> dict[str, str]:
        """Return the configuration of the running system."""
        return {name: value or "" for name, value in dotenv_values(self.environment_file, interpolate=False).items()}
