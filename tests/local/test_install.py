"""local/install.py records installations, repeats interrupted ones, and lets two runs at once take turns."""

import fcntl
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from local import install

pytestmark = pytest.mark.long


def wheel(folder: Path, version: str) -> Path:
    """Make the wheel of a package with one module."""
    path = folder / f"demo_package-{version}-py3-none-any.whl"
    info = f"demo_package-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo_package.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: demo-package\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def lock_of(path: Path, built: Path) -> Path:
    digest = hashlib.sha256(built.read_bytes()).hexdigest()
    path.write_text(f"demo-package @ {built.as_uri()} --hash=sha256:{digest}\n")
    return path


class Project:
    """Return a project with one environment and one lock file."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        self.lock = place / "lock.txt"
        self.environment = install.PythonEnvironment(place / ".venv", "demo")
        monkeypatch.setattr(install, "ROOT", place)

    def pin(self, version: str) -> None:
        lock_of(self.lock, wheel(self.place, version))

    def install(self) -> None:
        task = install.Task("demo", lambda _task: None)
        self.environment.install(self.lock, (), install.Programs(), task)

    def installed_version(self) -> str:
        code = "import demo_package; print(demo_package.VERSION)"
        return subprocess.check_output([self.environment.python, "-c", code], text=True).strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path, monkeypatch)
    made.pin("1.0")
    return made


def test_an_environment_is_made_without_ensurepip(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = project.place / "broken"
    broken.mkdir()
    (broken / "ensurepip.py").write_text("raise ImportError('as on Debian')")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    assert subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 1
    project.install()
    assert project.installed_version() == "1.0"


def test_the_interpreter_finds_the_modules_of_a_folder(project: Project) -> None:
    project.install()
    folder = project.place / "modules"
    folder.mkdir()
    (folder / "demo_module.py").write_text("print('found')")
    project.environment.find_modules_in(project.place)
    project.environment.find_modules_in(folder)  # the project was moved
    found = subprocess.check_output([project.environment.python, "-m", "demo_module"], cwd="/", text=True)
    assert found == "found\n"


def test_a_changed_lock_file_is_installed(project: Project) -> None:
    assert not project.environment.has(project.lock)
    project.install()
    assert project.environment.has(project.lock)
    project.pin("2.0")
    assert not project.environment.has(project.lock)
    project.install()
    assert project.installed_version() == "2.0"


def test_an_interrupted_environment_is_made_anew(project: Project) -> None:
    project.install()
    (project.place / ".venv" / install._UNFINISHED).touch()
    left_over = project.place / ".venv" / "half-written"
    left_over.touch()
    assert not project.environment.has(project.lock)
    project.install()
    assert project.environment.has(project.lock)
    assert not left_over.exists()


def test_an_environment_whose_python_is_gone_is_made_anew(project: Project) -> None:
    project.install()
    project.environment.python.unlink()
    assert not project.environment.has(project.lock)
    project.install()
    assert project.installed_version() == "1.0"


def test_a_wrong_hash_installs_nothing(project: Project) -> None:
    project.lock.write_text(project.lock.read_text()[:-5] + "0000\n")
    with pytest.raises(install.CannotInstall, match="DO NOT MATCH THE HASHES"):
        project.install()
    assert not project.environment.has(project.lock)


def test_a_program_that_is_missing_says_so(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(install.CannotInstall, match="the whole output is in"):
        list(install.Programs().lines([sys.executable, "-c", "print('why'); raise SystemExit(3)"], log, tmp_path))
    assert log.read_text() == "why\n"


def test_stopping_ends_what_the_programs_started(tmp_path: Path) -> None:
    programs = install.Programs()
    lines = programs.lines(["sh", "-c", "echo up; sleep 600 & wait"], tmp_path / "log", tmp_path)
    assert next(lines) == "up\n"
    programs.stop()
    with pytest.raises(install.CannotInstall):  # ends at once: the pipe is closed when the last of them is gone
        list(lines)
    with pytest.raises(install.CannotInstall, match="interrupted"):
        next(programs.lines(["true"], tmp_path / "log", tmp_path))


def test_two_at_once_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "ROOT", tmp_path)
    with install._alone(), (tmp_path / ".local" / "install.lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with install._alone():
        pass


def test_a_directory_of_somebody_else_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "ROOT", tmp_path)
    place = install.local_directory()
    assert place.stat().st_mode & 0o066 == 0
    monkeypatch.setattr(install.os, "geteuid", lambda: place.stat().st_uid + 1)
    with pytest.raises(install.CannotInstall, match=r"\.local belongs to the user"):
        install.local_directory()


def test_the_first_failure_is_reported_and_the_rest_is_stopped(tmp_path: Path) -> None:
    programs = install.Programs()

    def long(_task: install.Task) -> None:
        list(programs.lines(["sleep", "600"], tmp_path / "long", tmp_path))

    def failing(_task: install.Task) -> None:
        list(programs.lines(["sh", "-c", "echo the reason; exit 1"], tmp_path / "failing", tmp_path))

    with pytest.raises(install.CannotInstall, match="the reason"):
        install._follow([install.Task("long", long), install.Task("failing", failing)], programs)
