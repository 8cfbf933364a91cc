"""Where traces lie: the name that a test's files have, and what may be done to what is there already.

It knows nothing of what a trace says.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest

from pytest_mockstream._base.files import write_whole
from pytest_mockstream._base.redaction import Secrets

from . import in_force

#: How a file of ours begins; of a page, the part that comes before all styles, scripts and data.
_SIGNS = (b'<meta name="generator" content="pytest-mockstream">', b'{"format":"pytest-mockstream trace"')
_HEAD = 1024  # bytes in which they stand
#: Ids whose names differ from those of all others in small letters, too, when their separators are dashes: a folder has
#: no dot in it, a file has one, and what follows it is one function and its parameters.
_PLAIN = re.compile(r"(?:[a-z0-9_]+/)*[a-z0-9_]+\.py::[a-z0-9_]+(?:\[[a-z0-9_.-]+\])?")
_SEPARATORS = re.compile(r"::|[^A-Za-z0-9_.]+")
_LONGEST = 120  # characters; file systems take 255 bytes, and Windows as many in a whole path
#: What Windows takes for a device, whatever the ending.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)
_FOLDER = pytest.StashKey["TraceFolder"]()


def trace_path(config: pytest.Config, nodeid: str) -> Path:
    """Return where the page of a test is, if it has one; its data has the same name, with the ending ``.json``."""
    return TraceFolder.of(config).path_of(nodeid)


def name_of(nodeid: str, secrets: Secrets) -> str:
    """Return what the files of a test are called, without their ending.

    It is legal on every file system, differs from that of every other test in more than the size of its letters, and
    shows no secret that a parameter has brought into the id.

    Args:
        nodeid: pytest's id of the test.
        secrets: what must not be shown.
    """
    seen = secrets.shown(nodeid) if "[" in nodeid else nodeid
    name = _SEPARATORS.sub("-", seen).strip("-.")
    is_device = _DEVICES.match(name)
    if _PLAIN.fullmatch(seen) and seen == nodeid and len(name) <= _LONGEST and not is_device:
        return name
    of_all = sha256(nodeid.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{'_' if is_device else ''}{name[:_LONGEST]}~{of_all}"


def shown(path: Path, config: pytest.Config) -> str:
    """Return a path as it is told to somebody who stands where pytest was started."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(config.invocation_params.dir))
    return str(path)


class TraceFolder:
    """The folder of a run's traces; it touches nothing in it that is no trace.

    Args:
        path: where it is, or will be.
        given: as it was given.

    Attributes:
        path: where it is, or will be.
        secrets: what is to be shown nowhere.
    """

    def __init__(self, path: Path, given: str) -> None:
        self.path = path
        self._given = given
        self.secrets = Secrets(learns=False)
        self._stale: set[str] = set()
        with contextlib.suppress(OSError):
            self._stale = {entry.name for entry in os.scandir(path) if entry.name.endswith((".html", ".json"))}

    @classmethod
    def of(cls, config: pytest.Config) -> TraceFolder:
        """Return the folder of a run, which is the same for all who ask."""
        folder = config.stash.get(_FOLDER, None)
        if folder is None:
            given = in_force.of_run(config).trace_dir
            folder = config.stash[_FOLDER] = cls(Path(os.path.normpath(config.rootpath / given)), given)
        return folder

    def path_of(self, nodeid: str) -> Path:
        """Return where the page of a test is, if it has one."""
        return self.path / f"{name_of(nodeid, self.secrets)}.html"

    def check_writable(self) -> None:
        """Tell now, and not when a test has failed, that nothing can be written.

        Raises:
            pytest.UsageError: it cannot.
        """
        there = self.path
        while not os.path.lexists(there) and there != there.parent:
            there = there.parent
        if not there.is_dir():
            reason = f"{str(there)!r} is no folder"
        else:
            try:  # permissions do not say it all: there are file systems that take nothing
                with tempfile.TemporaryDirectory(prefix=".mockstream-", dir=there):
                    return
            except OSError as error:
                reason = f"{error.strerror} in {str(there)!r}"
        msg = (
            f"--mockstream-trace-dir={self._given!r} cannot be written, {reason}: give the path of a folder, or of one"
            " that can be made"
        )
        raise pytest.UsageError(msg)

    @property
    def has_stale(self) -> bool:
        """Whether there may be traces of earlier runs."""
        return bool(self._stale)

    def forget(self, nodeid: str) -> None:
        """Remove what an earlier run has written for a test.

        Raises:
            OSError: it cannot be removed.
        """
        name = name_of(nodeid, self.secrets)
        for file in (f"{name}.html", f"{name}.json"):
            if file in self._stale:
                self._stale.discard(file)
                if _is_ours(self.path / file):
                    (self.path / file).unlink(missing_ok=True)

    def write(self, nodeid: str, page: bytes, data: bytes) -> Path:
        """Write the two files of a test, the page last; return the page's path.

        Raises:
            OSError: they cannot be written.
        """
        self._make()
        path = self.path_of(nodeid)
        beside = path.with_suffix(".json")
        for file in (beside, path):
            if os.path.exists(file) and not _is_ours(file):
                msg = f"{file} is there, and is no trace"
                raise FileExistsError(msg)
        write_whole(beside, data)
        try:
            write_whole(path, page)
        except BaseException:  # an interruption, too: both are there, or neither is
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        return path

    def _make(self) -> None:
        """Make the folder, and let git pass over what is in it, if there is none."""
        if os.path.isdir(self.path):
            return
        with contextlib.suppress(FileExistsError):  # another worker of xdist has made it this very moment
            self.path.mkdir(parents=True)
            (self.path / ".gitignore").write_text("*\n", encoding="utf-8")


def _is_ours(file: Path) -> bool:
    """Tell whether a file is a trace, of whatever test."""
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD)
    except OSError:
        return False
    return any(sign in head for sign in _SIGNS)
