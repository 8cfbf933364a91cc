"""Some seconds of what ``python -m tests.soak`` does for as long as one likes."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_mockstream import MockStreamServer

from .__main__ import Soak
from .problem import Failed
from .resources import Held
from .scripts import Plays, Recipe

ROOT = Path(__file__).parents[2]


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in a process of its own, which counts what the process holds."""
    command = [sys.executable, "-m", "tests.soak", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


class Crooked(Plays):
    """Plays in which the server forgets tool calls: a fault that a run has to find."""

    @contextmanager
    def _scripted(self, made: Recipe, door: str) -> Iterator[None]:
        if door == "server":
            made = replace(made, steps=tuple(step for step in made.steps if not step.startswith("ToolCall")))
        with super()._scripted(made, door):
            yield


def first_failure(plays: Plays) -> str:
    """Play random scripts until the doors differ."""
    for number in range(100):
        try:
            plays.round(random.Random(number))  # noqa: S311 - a seed, not cryptography
        except Failed as error:
            return str(error)
    return ""


def test_difference_between_doors_is_found_and_its_script_made_small() -> None:
    with MockStreamServer() as server, closing(Crooked(server)) as plays:
        found = first_failure(plays)

    first, script, *outcomes = found.splitlines()
    assert first == "the doors differ over"
    assert re.fullmatch(r"  Script\(ToolCall\('\w+', [^)]*\)\)  # buffer_size=\d+", script)
    assert any("server" in line for line in outcomes)


def test_what_is_held_longer_is_said() -> None:
    before = Held(descriptors=5, threads=("a", "b"), tasks=1, objects=1000, memory=10**6)
    after = Held(descriptors=6, threads=("a", "b", "b"), tasks=2, objects=100_000, memory=10**9)

    assert before.growth_since(before) == ""
    assert after.growth_since(before).split("; ") == [
        "descriptors 5 -> 6",
        "threads ['b']",
        "tasks 1 -> 2",
        "objects 1,000 -> 100,000",
        "memory 1,000,000 -> 1,000,000,000 bytes",
    ]


def test_round_that_fails_says_how_to_run_it_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with MockStreamServer() as server, closing(Crooked(server)) as plays:
        run = Soak(server, server, seed=7)
        run.plays = plays
        for number in range(100):
            run.round("scripts", number)
            if run.failures:
                break

    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"FAILED scripts round {number}: the doors differ over"
    assert said[-1] == f"  again: python -m tests.soak --seed 7 --only scripts --round {number}"


def test_hostile_bytes_random_clients_and_random_scripts_find_nothing() -> None:
    seed = random.getrandbits(32)

    run = soak("--seconds", "10", "--seed", str(seed))

    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    last = run.stdout.splitlines()[-1]
    counts = [int(number.replace(",", "")) for number in re.findall(r"(\d[\d,]*) \w", last)]
    assert len(counts) == 5
    assert min(counts[:4]) > 0
