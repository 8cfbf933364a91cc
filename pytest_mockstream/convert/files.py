"""Finds the files to convert, reads them, and says where what is made of each belongs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .reading import Foreign, NotForeignError, looks_foreign, read
from .result import ConversionError, UnreadableFileError


@dataclass(frozen=True, slots=True)
class Job:
    """A file to convert.

    Attributes:
        source: the file.
        target: what is written.
        found: what the file says, or why it cannot be converted.
    """

    source: Path
    target: Path
    found: Foreign | ConversionError


def jobs_for(paths: Iterable[Path], out: Path | None, *, force: bool) -> Iterator[Job]:
    """Yield what is to be done; each file is read when its turn comes.

    Args:
        paths: files, and directories: every file in them that can be converted, recursively.
        out: the folder for what is made; None puts it beside its source.
        force: whether files are written over.
    """
    sources: set[str] = set()
    made_of: dict[str, str] = {}
    for path in paths:
        for job in _in_folder(path, out or path) if path.is_dir() else [_job(path, out or path.parent)]:
            source, target = os.path.abspath(job.source), os.path.abspath(job.target)
            if source in sources:
                continue
            sources.add(source)
            other = made_of.setdefault(target, source)
            problem = None
            if other != source:
                problem = f"{job.target} is made of {other} already: give one of them with another --out"
            elif os.path.lexists(target) and not force:
                problem = f"{job.target} is there already: --force writes over it"
            if problem is None or isinstance(job.found, ConversionError):
                yield job
            else:
                yield replace(job, found=ConversionError(f"{job.source}: {problem}"))


def _in_folder(folder: Path, out: Path) -> Iterator[Job]:
    is_empty = True
    for where, folders, names in os.walk(folder):
        folders.sort()
        for source in (Path(where, name) for name in sorted(names)):
            if not looks_foreign(source):
                continue
            job = _job(source, out / source.parent.relative_to(folder))
            if not isinstance(job.found, NotForeignError):
                is_empty = False
                yield job
    if is_empty:
        yield Job(folder, folder, UnreadableFileError(f"{folder}: nothing in this directory can be converted"))


def _job(source: Path, folder: Path) -> Job:
    target = folder / f"{source.stem}.toml"
    try:
        return Job(source, target, read(source))
    except ConversionError as error:
        return Job(source, target, error)
