"""Change the package in random places, one at a time, and see whether the tests of that room fail.

    python tests/mutation.py [--count 60] [--seed 0] [--least 80] [script] [playbook] ...

Needs cosmic-ray (checked: 8.7), which makes the changes, in a copy of this tree. Each change that no test notices is
printed: a test is missing, or the code says something that makes no difference. The exit status is 1 if less than
``--least`` per cent of the changes are noticed; some never can be.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("_base", "doors", "leaks", "playback", "playbook", "script", "sweep", "wire")
_COPIED = ("pytest_mockstream", "tests", "examples", "pyproject.toml", "README.md", "CHANGELOG.md")
_LIMIT = 300  # seconds for the tests of one room; a change that makes them hang is noticed, too
# Without those that replace each arithmetic operator by each other one: there are as many of them as of all the rest.
_SAMPLED = re.compile(
    r"core/(AddNot|Replace(True|False|And|Or|Break|Continue|Comparison)|Number|Exception|Zero|Remove).*"
)


def tests_of(room: str) -> list[str]:
    """Return the arguments of pytest that run the tests which must notice a change in a room."""
    folder = f"tests/{room.strip('_')}"
    more = {"playback": ["tests/doors/client"], "_base": ["tests/script", "tests/playbook"]}
    return [place for place in (folder, *more.get(room, ())) if (ROOT / place).is_dir()]


def changes(rooms: Sequence[str]) -> list[tuple[str, Any]]:
    """Return every change that cosmic-ray can make in these rooms, each with its room."""
    from cosmic_ray.commands import init
    from cosmic_ray.work_db import WorkDB, use_db

    found: list[tuple[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for room in rooms:
            database: WorkDB
            with use_db(str(Path(folder) / f"{room}.sqlite")) as database:
                init(sorted(Path("pytest_mockstream", room).rglob("*.py")), database, {})
                wanted = (item for item in database.work_items if _SAMPLED.fullmatch(item.mutations[0].operator_name))
                found += [(room, item) for item in wanted]
    return found


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(ROOMS)}; default: all")
    parser.add_argument("--count", type=int, default=60, help="how many changes to make (60)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    parser.add_argument("--least", type=float, default=80, help="per cent that must be noticed (80)")
    options = parser.parse_args()
    rooms = options.rooms or list(ROOMS)
    if unknown := [room for room in rooms if room not in ROOMS]:
        parser.error(f"no such room: {', '.join(unknown)}; there are {', '.join(ROOMS)}")

    from cosmic_ray.mutating import mutate_and_test

    with tempfile.TemporaryDirectory() as copy:
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, Path(copy, name), ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        os.chdir(copy)
        os.environ["PYTHONPATH"] = copy
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
        for room in rooms:
            whole = subprocess.run([*command, *tests_of(room)], capture_output=True, text=True, check=False)
            if whole.returncode:
                print(whole.stdout)
                print(f"the tests of {room} fail as they are")
                return 1
        possible = changes(rooms)
        chosen = random.Random(options.seed).sample(possible, min(options.count, len(possible)))  # noqa: S311 - no secret
        noticed = 0
        for room, item in chosen:
            done = mutate_and_test(item.mutations, " ".join([*command, *tests_of(room)]), _LIMIT)
            if done.is_killed:
                noticed += 1
            else:
                print(done.diff, flush=True)
    share = 100 * noticed / len(chosen)
    print(f"{noticed} of {len(chosen)} changes noticed ({share:.0f} %), of {len(possible)} possible")
    return int(share < options.least)


if __name__ == "__main__":
    sys.exit(main())
