"""Whether time and memory grow with the number of things, and not faster.

Run it by hand: ``python tests/benchmarks/bench_scale.py [--scale 0.1] [case ...]``. Each case runs in a process of its
own at a tenth of its size and at its size, and prints CPU time, peak memory, and both per item. It fails if an item of
the large run costs more than twice the CPU time of one of the small run.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_mockstream import ErrorEvent, MockStreamClient, Script, Text, sweep_faults
from pytest_mockstream._base.callsite import calling_site
from pytest_mockstream.doors.answer import answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.sweep import SweepResult

#: The large run may cost so many times as much CPU time per item as the small one: caches and the collector are allowed
#: for, a loop over everything that came before is not.
LIMIT = 2.0
SMALLER = 10
CHAT = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()


def recorded_requests(count: int) -> None:
    """Open and close so many streams of one client, and look at their record."""
    client = MockStreamClient()
    client.respond("one two", times=None)
    for _ in range(count):
        client.complete_stream("hi").close()
    assert sum(request.state == "closed" for request in client.requests) == count
    client.verify()


def queued_scripts(count: int) -> None:
    """Queue so many scripts, and play each of them."""
    client = MockStreamClient()
    for number in range(count):
        client.respond(str(number))
    for _ in range(count):
        client.complete("hi")
    client.verify()


def conditional_scripts(count: int) -> None:
    """Play so many scripts, each queued for requests of its own kind just before it is asked for."""
    client = MockStreamClient()
    client.when(contains="never").respond("never", times=None)
    for number in range(count):
        client.when(contains=f"<{number}>").respond("yes")
        client.complete(f"<{number}>")
    client.verify(unused="allow")


def answered_requests(count: int) -> None:
    """Answer so many HTTP requests, without HTTP, as both doors for SDKs do."""
    playbook = Playbook(Script("one two", times=None), name="bench")
    incoming = HTTPRequest(method="POST", url="https://localhost/v1/chat/completions", body=CHAT)
    for _ in range(count):
        answer(playbook, incoming, opened_at=calling_site()).leave()
    assert len(playbook.requests) == count


def chunks_of_client(count: int) -> None:
    """Read one stream of so many chunks."""
    client = MockStreamClient()
    client.respond(Text(["word "] * count))
    with client.complete_stream("hi") as stream:
        assert sum(1 for chunk in stream if chunk.delta) == count


def chunks_in_background(count: int) -> None:
    """Read one stream of so many chunks from a background producer."""
    client = MockStreamClient(producer="background")
    client.respond(Text(["word "] * count))
    with client.complete_stream("hi") as stream:
        assert sum(1 for chunk in stream if chunk.delta) == count


def chunks_of_http(count: int) -> None:
    """Read one HTTP answer of so many frames."""
    playbook = Playbook(Script(Text(["word "] * count), times=None), name="bench")
    incoming = HTTPRequest(method="POST", url="https://localhost/v1/chat/completions", body=CHAT)
    answered = answer(playbook, incoming, opened_at=calling_site())
    while isinstance(got := answered.playback.receive(), tuple):
        answered.delivered(*got)
    answered.leave()
    assert answered.entry.chunks_sent == count + 1


def sweep_points(count: int) -> None:
    """Break a stream of 20 chunks at each chunk in so many ways that there are as many points, and print the table."""
    client = MockStreamClient()
    client.respond(Text([f"w{number} " for number in range(19)]), times=None)
    faults = [ErrorEvent(f"error {number}") for number in range(count // 20)]

    async def read() -> None:
        async with client.complete_stream("hi") as stream:
            await stream.aread()

    async def sweep() -> SweepResult:
        return await sweep_faults(read, client, faults=faults, max_points=None)

    result = asyncio.run(sweep())
    assert result.points == len(result.visits) == count
    assert str(result)


_PASSING = """
import pytest

@pytest.mark.parametrize("number", range({half}))
def test_plain(number):
    pass

@pytest.mark.parametrize("number", range({half}))
async def test_stream(number, mock_stream_client):
    async with mock_stream_client.complete_stream("hi") as stream:
        await stream.aread()
"""
_LEAKING = """
import asyncio
import pytest

@pytest.mark.parametrize("number", range({count}))
async def test_leak(number):
    asyncio.create_task(asyncio.sleep(3600), name=f"task {{number}}")
    await asyncio.sleep(0)
"""


def passing_tests(count: int) -> None:
    """Run so many tests that pass, half of them with a stream."""
    _run_pytest(_PASSING.format(half=count // 2), {"passed": count // 2 * 2})


def bare_tests(count: int) -> None:
    """Run so many tests with the leak check off and without a stream, for comparison: what pytest itself takes."""
    source = _PASSING.split("@pytest", maxsplit=2)
    _run_pytest(f"{source[0]}@pytest{source[1]}".format(half=count), {"passed": count}, "-p", "no:mockstream")


def leaking_tests(count: int) -> None:
    """Run so many tests that leak a task, with a report as JSON."""
    options = ["--mockstream-grace=0", "--mockstream-report=report.json"]
    _run_pytest(_LEAKING.format(count=count), {"failed": 0, "error": count}, *options)


_LEAKING_LINE = """
async def test_leak_{number}():
    asyncio.create_task(asyncio.sleep(3600), name="task {number}")
    await asyncio.sleep(0)
"""


def known_leaks(count: int) -> None:
    """Run so many tests, each leaking at a line of its own, twice: to write the file of known leaks, and with it."""
    source = "import asyncio" + "".join(_LEAKING_LINE.format(number=number) for number in range(count))
    known = ["--mockstream-grace=0", "--mockstream-known=known.toml"]
    _run_pytest(source, {"passed": count}, *known, "--mockstream-known-update")
    _run_pytest(source, {"passed": count}, *known)


def _run_pytest(source: str, expected: dict[str, int], *options: str) -> None:
    class Outcomes:
        def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
            stats = terminalreporter.stats
            found.update({name: len(stats.get(name, ())) for name in ("passed", "failed", "error")})

    found: dict[str, int] = {}
    Path("test_it.py").write_text(source, encoding="utf-8")
    pytest.main(["-q", "--tb=short", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", *options], [Outcomes()])
    wrong = {name: found.get(name) for name, count in expected.items() if found.get(name) != count}
    assert not wrong, f"expected {expected}, found {found}"


CASES: dict[str, tuple[Callable[[int], None], int]] = {
    "recorded": (recorded_requests, 100_000),
    "queued": (queued_scripts, 100_000),
    "conditional": (conditional_scripts, 20_000),
    "answered": (answered_requests, 100_000),
    "chunks": (chunks_of_client, 1_000_000),
    "background": (chunks_in_background, 1_000_000),
    "http": (chunks_of_http, 1_000_000),
    "sweep": (sweep_points, 20_000),
    "tests": (passing_tests, 50_000),
    "bare": (bare_tests, 50_000),
    "leaks": (leaking_tests, 5_000),
    "known": (known_leaks, 5_000),
}


def run_case(name: str, count: int) -> dict[str, float]:
    """Run a case in this process; return its CPU time in seconds, and by how many bytes its peak exceeds the start."""
    run = CASES[name][0]
    gc.collect()
    before, began = _peak(), time.process_time()
    run(count)
    return {"seconds": time.process_time() - began, "bytes": _peak() - before}


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measured(name: str, count: int) -> dict[str, float]:
    """Run a case in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).resolve()), "--one", name, str(count)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} with {count} items failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def compare(name: str, count: int) -> bool:
    """Print what a case costs at a tenth of a size and at that size; return whether that is linear."""
    small_count = max(20, count // SMALLER)
    small, large = measured(name, small_count), measured(name, count)
    ratio = (large["seconds"] / count) / (small["seconds"] / small_count)
    columns = [
        f"{number:>9,} in {figures['seconds']:7.2f} s of CPU, {figures['bytes'] / 2**20:7.1f} MiB"
        f" ({figures['seconds'] / number * 1e6:7.1f} us, {figures['bytes'] / number:7.0f} bytes each)"
        for number, figures in ((small_count, small), (count, large))
    ]
    print(f"{name:<12} {columns[0]};  {columns[1]};  time per item x {ratio:.2f}", flush=True)
    return ratio <= LIMIT


def main() -> int:
    """Compare all cases, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="*", help=f"some of {', '.join(CASES)}; by default all")
    parser.add_argument("--scale", type=float, default=1.0, help="a fraction of the full size (default: %(default)s)")
    parser.add_argument("--one", action="store_true", help="run CASE COUNT here, and print its figures as JSON")
    options = parser.parse_args()
    if options.one:
        print(f"\n{json.dumps(run_case(options.case[0], int(options.case[1])))}")
        return 0
    if unknown := [name for name in options.case if name not in CASES]:
        parser.error(f"there is no case {unknown[0]!r}: give some of {', '.join(CASES)}")
    names = options.case or list(CASES)
    bad = [name for name in names if not compare(name, int(CASES[name][1] * options.scale))]
    print(f"not linear: {', '.join(bad)}" if bad else "all linear")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
