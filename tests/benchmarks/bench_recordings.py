"""What recording and playing cost.

Run it by hand: ``python tests/benchmarks/bench_recordings.py``. It fails if recording adds more than a tenth to a
stream over loopback, if a recording costs more to play than a script and the reading of the file, or if a request of
many, or a file of many, costs more than one of few. Times are medians of one run in which both sides take turns; growth
is counted in calls, which are the same in every run.
"""

from __future__ import annotations

import contextlib
import cProfile
import json
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai

from pytest_mockstream import MockStreamSDK, Recording, Script, Text
from pytest_mockstream._base.callsite import calling_site
from pytest_mockstream.doors.answer import answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.queued import Condition
from pytest_mockstream.recordings import Tape
from pytest_mockstream.recordings.canonical import canonical, key_of
from pytest_mockstream.recordings.recording import RecordedReply
from pytest_mockstream.recordings.scrub import Scrubber

CHUNKS = 2000
ROUNDS = 15
FEW, MANY = 250, 1000
MOST_FOR_RECORDING = 1.10
MOST_FOR_PLAYING = 1.10
MOST_GROWTH = 1.25
OPENAI = "https://api.openai.com/v1"
PROVIDER = f"""
import sys
from pytest_mockstream import MockStreamServer, Text
with MockStreamServer(record=0) as server:
    server.respond(Text(["word "] * {CHUNKS}), times=None)
    print(server.base_url("openai"), flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def provider() -> Iterator[str]:
    """Run a provider in a process of its own, and yield its base URL."""
    with subprocess.Popen(
        [sys.executable, "-c", PROVIDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


def read(url: str) -> None:
    """Read a stream through openai's SDK."""
    with openai.OpenAI(api_key="made-up-1", base_url=url, max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "hi"}]
        with client.chat.completions.create(model="m", messages=messages, stream=True) as stream:
            assert sum(1 for _ in stream) >= CHUNKS


def passed(url: str) -> None:
    """Read what a door lets through."""
    with MockStreamSDK():
        read(url)


def recorded(url: str) -> None:
    """Read what a door lets through and records."""
    tape = Tape("all", environ={})
    with MockStreamSDK(recordings=tape) as sdk:
        tape.play_at(sdk._playbook)
        read(url)
    assert tape.has_recorded


def ratio(one: Callable[[], None], other: Callable[[], None], clock: Callable[[], float]) -> tuple[float, float]:
    """Return the medians of how long both take, which run by turns."""
    taken: dict[Callable[[], None], list[float]] = {one: [], other: []}
    for _ in range(ROUNDS):
        for run in (one, other):
            began = clock()
            run()
            taken[run].append(clock() - began)
    return statistics.median(taken[one]), statistics.median(taken[other])


def incoming(number: int) -> HTTPRequest:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"question {number}"}]}
    return HTTPRequest(method="POST", url=f"{OPENAI}/chat/completions", body=json.dumps(body).encode())


def recording(count: int, chunks: int = 5) -> Recording:
    """Return a recording of so many requests."""
    playbook = Playbook(Script("x", times=None), name="bench")
    replies = []
    for number in range(count):
        answer(playbook, incoming(number), opened_at=calling_site()).leave()
        wanted = canonical(playbook.requests[-1], Scrubber({}))
        script = Script(Text(["word "] * chunks))
        when = {"contains": f"question {number}"}
        replies.append(RecordedReply(script=script, when=when, key=key_of(wanted), request=wanted))
    return Recording(replies=replies)


def ask_all(playbook: Playbook, numbers: Iterator[int]) -> None:
    for number in numbers:
        answer(playbook, incoming(number), opened_at=calling_site()).leave()


def requests_of_one_file(count: int, folder: Path) -> None:
    """Play a file of so many requests, the last one first."""
    path = folder / f"{count}.toml"
    playbook = Playbook(Script("x", times=None), name="bench")
    Tape("none", Recording.load(path), environ={}).play_at(playbook)
    ask_all(playbook, reversed(range(count)))
    assert playbook.unexpected == []


def files_of_one_session(count: int, folder: Path) -> None:
    """Write so many files, and play each of them."""
    one = recording(1)
    for number in range(count):
        path = folder / "one" / f"{number}.toml"
        one.save(path)
        playbook = Playbook(Script("x", times=None), name="bench")
        Tape("none", Recording.load(path), environ={}).play_at(playbook)
        ask_all(playbook, iter([0]))
        assert playbook.unexpected == []


def calls(run: Callable[[int, Path], None], count: int, folder: Path) -> float:
    """Return how many functions are called for one of so many."""
    with cProfile.Profile() as profile:
        run(count, folder)
    return pstats.Stats(profile).total_calls / count  # type: ignore[attr-defined, no-any-return] # typeshed lacks it


def measure_recording() -> bool:
    """Print what recording adds."""
    with provider() as url:
        recorded(url)
        without, with_it = ratio(lambda: passed(url), lambda: recorded(url), time.perf_counter)
    print(f"{CHUNKS} chunks: {without * 1000:.1f} ms, recorded {with_it * 1000:.1f} ms: x {with_it / without:.3f}")
    return with_it / without <= MOST_FOR_RECORDING


def measure_playing(folder: Path) -> bool:
    """Print what playing costs."""
    path = folder / "one.toml"
    recording(1, CHUNKS).save(path)

    def scripted() -> None:
        playbook = Playbook(Script("x", times=None), name="bench")
        script = Recording.load(path).replies[0].script
        playbook.queue(Script(*script.steps), Condition())
        play(playbook)

    def played() -> None:
        playbook = Playbook(Script("x", times=None), name="bench")
        Tape("none", Recording.load(path), environ={}).play_at(playbook)
        play(playbook)

    played()
    script, file = ratio(scripted, played, time.process_time)
    print(f"file read and scripted {script * 1000:.1f} ms, played {file * 1000:.1f} ms: x {file / script:.3f}")
    return file / script <= MOST_FOR_PLAYING


def play(playbook: Playbook) -> None:
    answered = answer(playbook, incoming(0), opened_at=calling_site())
    while isinstance(got := answered.playback.receive(), tuple):
        answered.delivered(*got)
    answered.leave()
    assert answered.entry.chunks_sent == CHUNKS + 1


def measure_growth(name: str, run: Callable[[int, Path], None], folder: Path) -> bool:
    """Print how many calls one of few takes, and one of many."""
    run(3, folder)
    few, many = calls(run, FEW, folder), calls(run, MANY, folder)
    print(f"{name}: {few:,.0f} calls each of {FEW}, {many:,.0f} of {MANY}: x {many / few:.3f}")
    return many / few <= MOST_GROWTH


def main() -> int:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (3, FEW, MANY):
            recording(count).save(folder / f"{count}.toml")
        good = [
            measure_growth("requests of one file", requests_of_one_file, folder),
            measure_growth("files of one session", files_of_one_session, folder),
            measure_playing(folder),
            measure_recording(),
        ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
