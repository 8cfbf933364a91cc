"""Environments that tests make: a virtual one with what pip installs, and what is in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

OURS = Path(__file__).resolve().parent.parent

#: The variables of this process, without those of a run of pytest that it may be a part of.
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("PYTEST_", "COV_", "COVERAGE_")) and name != "PYTHONDONTWRITEBYTECODE"
}
_ASK = """
import json, sys
from importlib.metadata import distributions
found = list(distributions())
print(json.dumps({
    "python": sys.version_info[:2],
    "versions": {d.metadata["Name"].lower().replace("_", "-"): d.version for d in found},
    "plugins": [e.name for d in found for e in d.entry_points if e.group == "pytest11"],
}))
"""


@dataclass(frozen=True)
class Environment:
    """A Python with what is installed for it.

    Attributes:
        python: the interpreter.
        version: its version.
        versions: of what is installed, by name.
        plugins: the entry points of all plugins of pytest.
    """

    python: Path
    version: tuple[int, int]
    versions: Mapping[str, str]
    plugins: tuple[str, ...]

    @classmethod
    def of(cls, python: Path) -> Environment:
        """Ask a Python what it has."""
        answer = subprocess.run([python, "-c", _ASK], check=True, capture_output=True, text=True).stdout
        said = json.loads(answer)
        return cls(python, tuple(said["python"]), said["versions"], tuple(said["plugins"]))

    @classmethod
    def made(cls, python: Path, home: Path, requirements: Iterable[str]) -> Environment:
        """Make one with all that is required, or complete one that is there: with uv if that is found, else with pip.

        Args:
            python: the interpreter to make it of.
            home: its folder.
            requirements: what pip installs.
        """
        inside = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        uv = shutil.which("uv")
        if not inside.exists():
            if uv is not None:
                _do(uv, "venv", "--quiet", "--python", python, home)
            else:
                _do(python, "-m", "venv", "--without-pip", home)
        if uv is not None:
            # What was kept has this package as it was then; pip needs no telling.
            anew = ("--reinstall-package", "pytest-mockstream")
            _do(uv, "pip", "install", "--quiet", "--python", inside, *anew, *requirements)
        else:
            pip = ("-m", "pip", "--python", inside, "--disable-pip-version-check", "install", "-q")
            _do(_with_pip(python), *pip, *requirements)
        return cls.of(inside)

    def has(self, distributions: Iterable[str]) -> bool:
        """Tell whether all of these are installed."""
        return all(name in self.versions for name in distributions)

    def versions_of(self, distributions: Iterable[str]) -> dict[str, str]:
        """Return the versions of these."""
        return {name: self.versions[name] for name in distributions}


def version_of(python: Path) -> tuple[int, int]:
    """Ask an interpreter for its version."""
    ask = "import sys; print(*sys.version_info[:2])"
    said = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.split()
    return int(said[0]), int(said[1])


def spelled(version: tuple[int, int]) -> str:
    """Return a version as people write it."""
    return ".".join(map(str, version))


def _with_pip(python: Path) -> Path:
    """Return a Python that has pip: not each that can be run on brings its own."""
    for candidate in (python, Path(sys.executable)):
        if subprocess.run([candidate, "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0:
            return candidate
    sys.exit(f"neither {python} nor {sys.executable} has pip: run this with a Python that has it, or install uv")


def _do(*command: str | Path) -> None:
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}\nthe environment could not be made")
