"""What having the package installed adds to a start of pytest.

Run it by hand: ``python tests/benchmarks/bench_import.py [rounds]``. It installs the wheel, with pytest and
pytest-asyncio and nothing else, into an environment of its own, and runs one trivial test there, with the plugin loaded
by its entry point. The baseline is a run with ``-p no:mockstream``: the distribution is there, and its plugin is not
imported. Cases take turns, so that a busy machine is busy for all of them; it prints medians.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
CASES = {
    "without": ("-p", "no:mockstream"),
    "check off": ("--mockstream-leaks=off",),
    "check on": (),
}
LIMITS = {("cached", "check on"): "at most +20 ms", ("not writable", "check on"): "at most 1.10 times"}
ROUNDS = 15
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
BYTE_CODE = {"cached": ENVIRONMENT, "not writable": {**ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1"}}


def install(folder: Path) -> Path:
    """Return the Python of a new environment that has the package."""
    venv.create(folder, with_pip=False)
    python = next(path for path in (folder / "bin/python", folder / "Scripts/python.exe") if path.exists())
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", str(ROOT)]
    subprocess.run(command, check=True, env=ENVIRONMENT)
    return python


def forget_byte_code(folder: Path) -> None:
    """Remove what pytest has compiled; what pip has compiled stays."""
    for path in folder.rglob("*-pytest-*.pyc"):
        path.unlink()


def run(python: Path, project: Path, options: tuple[str, ...], environment: dict[str, str]) -> float:
    """Return the seconds that a whole run of pytest takes."""
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stdout + done.stderr
    return seconds


def main(rounds: int) -> None:
    """Print one line for each case."""
    with tempfile.TemporaryDirectory() as directory:
        folder, project = Path(directory) / "venv", Path(directory) / "project"
        project.mkdir()
        (project / "test_it.py").write_text("def test_it(): pass\n")
        python = install(folder)
        for byte_code, environment in BYTE_CODE.items():
            forget_byte_code(Path(directory))
            for options in CASES.values():
                run(python, project, options, environment)
            times: dict[str, list[float]] = {case: [] for case in CASES}
            for _ in range(rounds):
                for case, options in CASES.items():
                    times[case].append(run(python, project, options, environment))
            medians = {case: statistics.median(of_case) for case, of_case in times.items()}
            base = medians["without"]
            for case, median in medians.items():
                limit = f"  ({LIMITS[byte_code, case]})" if (byte_code, case) in LIMITS else ""
                print(
                    f"byte code {byte_code:12} {case:9} {median * 1e3:7.1f} ms"
                    f"  {(median - base) * 1e3:+6.1f} ms  {median / base:.3f} times{limit}"
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
