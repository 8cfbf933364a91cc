"""What traces cost a suite of streaming tests that all pass: each test, off, failed and all.

python tests/benchmarks/bench_trace_cost.py [--instructions] [name ...]

`failed` may add 3 % and `all` 15 %. Each mode has processes of its own, by turns: in one process that changes its mode,
the interpreter goes on to run code that it has specialised for the other one. What is measured is CPU time, the median
of the tests of a process and then of the processes, which a busy machine blurs by more than 3 %; or, with valgrind
installed, machine instructions, which count no work of the system's kernel. What there is before the first test is
hidden from the garbage collector: to look through all of it, once more or less in a mode, costs as much as a trace.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from itertools import chain
from pathlib import Path

CLIENT = """
import pytest
@pytest.mark.parametrize("n", range(1200))
async def test_it(n, mock_stream_client):
    mock_stream_client.respond("one two three four five six seven eight nine ten " * 3)
    async with mock_stream_client.complete_stream("count") as stream:
        assert [chunk.delta async for chunk in stream]
"""
SDK = """
import openai, pytest
@pytest.mark.parametrize("n", range(300))
async def test_it(n, mock_stream_sdk):
    mock_stream_sdk.respond("one two three four five six seven eight nine ten " * 3)
    async with openai.AsyncOpenAI(api_key="none") as client:
        messages = [{"role": "user", "content": "count"}]
        stream = await client.chat.completions.create(model="gpt-5", messages=messages, stream=True)
        assert [chunk async for chunk in stream]
"""
SERVER = """
import openai, pytest
@pytest.mark.parametrize("n", range(300))
def test_it(n, mock_stream_server):
    mock_stream_server.respond("one two three four five six seven eight nine ten " * 3)
    with openai.OpenAI() as client:
        messages = [{"role": "user", "content": "count"}]
        stream = client.chat.completions.create(model="gpt-5", messages=messages, stream=True)
        assert list(stream)
"""
SUITES = {"client": CLIENT, "sdk": SDK, "server": SERVER}
MODES = ("off", "failed", "all")
LIMITS = {"failed": 1.03, "all": 1.15}
ROUNDS = 7
FEW, MANY = 40, 120  # tests, when instructions are counted: what lies between them has no start in it
INI = "[pytest]\nasyncio_mode=auto\nasyncio_default_fixture_loop_scope=function\n"
CONFTEST = """
import gc, statistics, time, pytest
TOOK = []

def pytest_collection_finish():
    gc.collect()
    gc.freeze()

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol():
    start = time.process_time()
    result = yield
    TOOK.append(time.process_time() - start)
    return result

def pytest_terminal_summary():
    print("took:", statistics.median(TOOK[10:]))
"""
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},  # as installed
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTHONHASHSEED": "0",
}


def run(folder: Path, mode: str, *before: str) -> str:
    """Run the suite in a folder, and return what is printed."""
    options = ("-p", "no:cacheprovider", "-p", "asyncio", "-p", "mockstream", f"--mockstream-trace={mode}")
    command = [*before, sys.executable, "-m", "pytest", "-q", "-s", *options]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout + done.stderr


def seconds(folder: Path) -> dict[str, float]:
    """Return the CPU time of a test in each mode, in milliseconds."""
    took: dict[str, list[float]] = {mode: [] for mode in MODES}
    for mode in chain.from_iterable([MODES] * ROUNDS):
        took[mode].append(1000 * float(run(folder, mode).partition("took: ")[2].split()[0]))
    return {mode: statistics.median(times) for mode, times in took.items()}


def instructions(folder: Path) -> dict[str, float]:
    """Return how many instructions a test takes in each mode, in millions."""
    valgrind = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}")
    counted: dict[tuple[str, int], int] = {}
    suite = folder / "test_it.py"
    run(folder, "all")  # whatever is to be compiled is, then
    for tests in (FEW, MANY):
        suite.write_text(re.sub(r"range\(\d+\)", f"range({tests})", suite.read_text()))
        for mode in MODES:
            told = run(folder, mode, *valgrind)
            counted[mode, tests] = int(told.partition("Collected : ")[2].split()[0])
    return {mode: (counted[mode, MANY] - counted[mode, FEW]) / (MANY - FEW) / 1e6 for mode in MODES}


def main(args: list[str]) -> None:
    """Print one line for each suite and mode: what a test takes, its ratio to that of off, and the limit."""
    counts = "--instructions" in args
    names = {*args} - {"--instructions"}
    for name, source in SUITES.items():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory)
            (folder / "test_it.py").write_text(source)
            (folder / "conftest.py").write_text(CONFTEST)
            (folder / "pytest.ini").write_text(INI)
            took = instructions(folder) if counts else seconds(folder)
        for mode, cost in took.items():
            limit = f" (limit {LIMITS[mode]:.2f})" if mode in LIMITS else ""
            unit = "million instructions" if counts else "ms"
            print(f"{name:8} {mode:8} {cost:7.3f} {unit}  x {cost / took['off']:.3f}{limit}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
