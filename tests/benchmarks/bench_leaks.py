"""What the leak check costs: whole runs of pytest with and without it, medians of seven, as ratios.

python tests/benchmarks/bench_leaks.py [name ...]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SYNC = "import pytest\n@pytest.mark.parametrize('n', range(3000))\ndef test(n): pass\n"
ASYNC = "import pytest\n@pytest.mark.parametrize('n', range(1000))\nasync def test(n): pass\n"
LIVE = """
import asyncio, pytest
@pytest.fixture(scope="session", autouse=True)
async def background():
    tasks = [asyncio.create_task(asyncio.sleep(1000)) for _ in range({number})]
    await asyncio.sleep(0)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
@pytest.mark.parametrize('n', range(500))
def test(n): pass
"""
SHORT = """
import asyncio
async def nothing(): pass
async def test():
    for _ in range(100_000):
        await asyncio.create_task(nothing())
"""
GATHERED = """
import asyncio
async def nothing(): await asyncio.sleep(0)
async def test():
    for _ in range(100):
        await asyncio.gather(*(nothing() for _ in range(1000)))
"""
BENCHES = {
    "3,000 sync tests": (SYNC, 1.03),
    "1,000 async tests": (ASYNC, 1.05),
    "500 tests, 10,000 live tasks": (LIVE.format(number=10_000), None),
    "500 tests, 10 live tasks": (LIVE.format(number=10), None),
    "100,000 short tasks, one by one": (SHORT, 1.5),
    "100,000 short tasks, gathered": (GATHERED, 1.5),
}
ROUNDS = 7
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as installed


def run(directory: Path, *options: str) -> float:
    """Return the seconds that a whole run of pytest takes."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:looptime"]
    done = subprocess.run(
        [*command, *options], cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return time.perf_counter() - start


def main(names: list[str]) -> None:
    """Print one line for each benchmark: seconds without and with the plugin, their ratio, and the limit."""
    for name, (source, limit) in BENCHES.items():
        if names and not any(part in name for part in names):
            continue
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory)
            (path / "test_it.py").write_text(source)
            (path / "pytest.ini").write_text(
                "[pytest]\nasyncio_mode=auto\nasyncio_default_fixture_loop_scope=session\n"
            )
            run(path)
            pairs = [(run(path, "-p", "no:mockstream"), run(path)) for _ in range(ROUNDS)]
        without, with_check = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        said = f" (at most {limit})" if limit else ""
        print(
            f"{name:34} {without:.2f} s -> {with_check:.2f} s, {with_check / without:.3f}x, of pairs {ratio:.3f}x{said}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
