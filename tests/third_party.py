"""Run other people's suites, unmodified, with the leak check on, and print what it says of them.

    python tests/third_party.py [aiofiles] [janus] [httpcore]

Each project's sdist comes from the package index, into a virtual environment and a folder that are gone afterwards.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OURS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Project:
    """A project whose sdist has its tests.

    Attributes:
        requirement: what is downloaded.
        extras: of the project, that its tests need.
        needs: what else its tests need.
        args: for pytest.
    """

    requirement: str
    extras: str = ""
    needs: tuple[str, ...] = ()
    args: tuple[str, ...] = ("tests",)


PROJECTS = {
    "aiofiles": Project("aiofiles==25.1.0"),
    "janus": Project("janus==2.0.0", needs=("pytest-benchmark", "pytest-codspeed", "pytest-cov")),
    "httpcore": Project(
        "httpcore==1.0.9",
        extras="[asyncio,http2,socks,trio]",
        needs=("pytest-httpbin", "pytest-trio"),
        args=("tests", "--ignore=tests/benchmark"),
    ),
}


class Workshop:
    """A folder with an environment in which one project is installed beside our plugin."""

    def __init__(self, folder: Path, project: Project) -> None:
        self._folder = folder
        self._project = project
        self._python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"

    def build(self) -> Path:
        """Install everything and return the folder of the unpacked sdist."""
        venv.create(self._folder / "venv", with_pip=True)
        self._pip("download", "--no-deps", "--no-binary=:all:", f"--dest={self._folder}", self._project.requirement)
        (archive,) = self._folder.glob("*.tar.gz")
        with tarfile.open(archive) as sdist:
            sdist.extractall(self._folder, filter="data")
        (source,) = (path for path in self._folder.glob(f"{archive.name.removesuffix('.tar.gz')}*") if path.is_dir())
        self._pip("install", str(OURS), f"{source}{self._project.extras}", *self._project.needs)
        return source

    def test(self, source: Path, *args: str) -> str:
        """Run the project's suite and return what pytest printed."""
        command = [self._python, "-m", "pytest", "-p", "no:cacheprovider", "-q", *self._project.args, *args]
        return self._run(*command, cwd=source, check=False).stdout

    def _pip(self, *args: str) -> None:
        self._run(self._python, "-m", "pip", "--quiet", "--quiet", "--disable-pip-version-check", *args)

    def _run(self, *command: Any, cwd: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=cwd, check=check, stdout=subprocess.PIPE, encoding="utf-8", errors="replace")


def main() -> None:
    """Run the projects that were asked for; all if none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", nargs="*", metavar="|".join(PROJECTS))
    names = parser.parse_args().projects or list(PROJECTS)
    if unknown := sorted(set(names) - set(PROJECTS)):
        parser.error(f"no such project: {', '.join(unknown)}")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            _run(name, Path(folder))


def _run(name: str, folder: Path) -> None:
    workshop = Workshop(folder, PROJECTS[name])
    source = workshop.build()
    report = folder / "report.json"
    without = workshop.test(source, "-p", "no:mockstream")
    checked = workshop.test(source, f"--mockstream-report={report}")
    print(f"== {PROJECTS[name].requirement}, Python {sys.version.split()[0]}")
    print(f"without the check: {_last_line(without)}")
    print(f"with the check:    {_last_line(checked)}")
    if not report.exists():
        print(checked)
        return
    content = json.loads(report.read_text(encoding="utf-8"))
    armed, leaks = content["armed"], content["leaks"]
    print(f"reported: {len(leaks)} (armed: {', '.join(kind for kind, sees in armed.items() if sees)})")
    for leak in leaks:
        print(f"  {leak['kind']} {leak['name']!r} of {leak['test']} ({leak['owner']}, {leak['outcome']})")
        print(f"    created at {leak['created_at']}, waits at {leak['waits_at']}; {leak['diagnosis']}")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if re.search(r"\d+ (passed|failed|error|skipped)", line)]
    return lines[-1].strip("= ") if lines else text[-1000:]


if __name__ == "__main__":
    main()
