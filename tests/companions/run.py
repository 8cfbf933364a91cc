"""Run the project of 35 tests beside each companion, and compare verdict by verdict with what it is without it.

    python tests/companions/run.py [xdist-load] [django] ... [--python PYTHON] [--batch 1/3] [--jobs 2]

Companions that can be installed together share an environment, which is made with uv where that is found, with pip
elsewhere, and is gone afterwards unless ``--keep`` names a folder. Prints a line for each companion; the exit status is
1 if a verdict differs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from environments import OURS, Environment, spelled, version_of

from companions.play import Player, Result
from companions.table import BY_NAME, COMPANIONS, SEEN, Companion


def main() -> None:
    """Run the companions that were asked for; all if none."""
    options = _options()
    version = version_of(options.python)
    number, batches = options.batch
    batch = _share([one for one in _chosen(options) if one.runs_on(version)], batches)[number - 1]
    differing: list[str] = []
    noted: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for pytest, group in _by_pytest(batch).items():
            name = f"{spelled(version)}-{''.join(char if char.isalnum() else '_' for char in pytest)}"
            environment = _environment(options.python, Path(options.keep or folder) / name, pytest, group)
            for companion, result, seconds in _played(environment, group, Path(folder) / f"{name}-projects", options):
                _say(environment, companion, result, seconds)
                if result.wrong:
                    differing.append(companion.name)
                else:
                    versions = environment.versions_of(companion.distributions)
                    noted[companion.name] = {"python": spelled(version), **versions}
    if options.note:
        _note(noted)
    print(f"{len(batch)} companions on Python {spelled(version)}; different verdicts: {', '.join(differing) or 'none'}")
    sys.exit(bool(differing))


def _chosen(options: argparse.Namespace) -> list[Companion]:
    named = [BY_NAME[name] for name in options.names] or COMPANIONS
    return [companion for companion in named if companion.on_all or not options.ground]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BY_NAME)}")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="the interpreter to run on")
    parser.add_argument("--batch", type=_batch, default=(1, 1), metavar="I/N", help="the I-th of N shares of them")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="run N companions at the same time")
    parser.add_argument("--keep", type=Path, help="keep environments in this folder, and use those that are there")
    parser.add_argument("--ground", action="store_true", help="only those that depend on the interpreter most")
    parser.add_argument("--note", action="store_true", help="note the versions in seen.json, for the guide")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - BY_NAME.keys()):
        parser.error(f"no such companion: {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    if options.jobs < 1:
        parser.error(f"--jobs={options.jobs}: give a number from 1 on")
    return options


def _batch(text: str) -> tuple[int, int]:
    number, slash, batches = text.partition("/")
    if not slash or not number.isdigit() or not batches.isdigit() or not 1 <= int(number) <= int(batches):
        msg = f"{text!r}: give I/N with 1 <= I <= N, such as 1/3"
        raise argparse.ArgumentTypeError(msg)
    return int(number), int(batches)


def _share(companions: Sequence[Companion], batches: int) -> list[list[Companion]]:
    """Return companions in shares of about the same length, each of neighbours in the table."""
    size, rest = divmod(len(companions), batches)
    ends = [size * number + min(number, rest) for number in range(batches + 1)]
    return [list(companions[start:end]) for start, end in itertools.pairwise(ends)]


def _by_pytest(companions: Iterable[Companion]) -> dict[str, list[Companion]]:
    """Return the companions that can live together, by the pytest that they need."""
    groups: dict[str, list[Companion]] = {}
    for companion in companions:
        groups.setdefault(companion.pytest, []).append(companion)
    return groups


def _environment(python: Path, home: Path, pytest: str, companions: Iterable[Companion]) -> Environment:
    """Make an environment with all that companions need, or complete one that was kept."""
    requirements = sorted({requirement for companion in companions for requirement in companion.requires})
    return Environment.made(python, home, [str(OURS), pytest, *requirements])


def _played(
    environment: Environment, companions: Sequence[Companion], folder: Path, options: argparse.Namespace
) -> Iterator[tuple[Companion, Result, float]]:
    player = Player(environment, folder)
    _ = player.alone  # all are compared with it
    with ThreadPoolExecutor(options.jobs) as pool:
        for companion, (result, seconds) in zip(companions, pool.map(partial(_timed, player), companions), strict=True):
            yield companion, result, seconds


def _timed(player: Player, companion: Companion) -> tuple[Result, float]:
    began = time.perf_counter()
    return player.play(companion), time.perf_counter() - began


def _say(environment: Environment, companion: Companion, result: Result, seconds: float) -> None:
    installed = environment.versions_of(companion.distributions)
    versions = " ".join(f"{name} {version}" for name, version in installed.items())
    verdict = f"{len(result.wrong)} verdicts differ" if result.wrong else "as without it"
    if not result.wrong and companion.because:
        verdict = f"as expected: {companion.because}"
    print(
        f"{companion.name} ({versions or companion.shown}): {result.count} tests, {verdict}; {seconds:.0f} s",
        flush=True,
    )
    if result.wrong:
        print(*(f"    {line}" for line in result.wrong), *result.text.splitlines()[-60:], sep="\n", flush=True)


def _note(noted: dict[str, dict[str, str]]) -> None:
    seen: dict[str, dict[str, str]] = json.loads(SEEN.read_text(encoding="utf-8")) if SEEN.exists() else {}
    seen |= noted
    kept = {name: seen[name] for name in sorted(seen) if name in BY_NAME}
    SEEN.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
