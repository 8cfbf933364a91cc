"""What loading the plugin adds to a pytest start that loads pytest-asyncio anyway.

Run it by hand: ``python tests/benchmarks/bench_import.py``. It prints the median processor time of fresh interpreters.
"""

from __future__ import annotations

import compileall
import importlib.util
import statistics
import subprocess
import sys
from pathlib import Path

CODE = """
import time
import pytest, pytest_asyncio.plugin
before = time.process_time()
import pytest_mockstream.plugin
print(time.process_time() - before)
"""


def main() -> None:
    """Print the median, with byte code compiled as pip leaves it."""
    package = importlib.util.find_spec("pytest_mockstream")
    assert package is not None
    assert package.origin is not None
    compileall.compile_dir(Path(package.origin).parent, quiet=1)
    runs = [
        float(subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True).stdout) for _ in range(21)
    ]
    print(f"importing pytest_mockstream.plugin: {statistics.median(runs) * 1e3:.2f} ms (limit 5 ms)")


if __name__ == "__main__":
    main()
