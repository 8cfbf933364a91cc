"""What loading the plugin adds to a pytest start that loads pytest-asyncio anyway.

Run it by hand: ``python tests/benchmarks/bench_import.py``. It prints the median of fresh interpreters.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = """
import time
import pytest, pytest_asyncio.plugin
before = time.perf_counter()
import pytest_mockstream.plugin
print(time.perf_counter() - before)
"""


def main() -> None:
    """Print the median."""
    runs = [
        float(subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True).stdout) for _ in range(21)
    ]
    print(f"importing pytest_mockstream.plugin: {statistics.median(runs) * 1e3:.2f} ms (limit 5 ms)")


if __name__ == "__main__":
    main()
