"""Run the tests that users of each framework would write, in an environment with that framework as pip installs it.

    python tests/frameworks/run.py [langchain] [crewai] ... [--python PYTHON] [--jobs 2]

Each framework has an environment of its own, which is made with uv where that is found, with pip elsewhere, and is gone
afterwards unless ``--keep`` names a folder. Its tests are run in order, backwards and each alone, and the
leak check is on. Prints a line for each framework; the exit status is 1 if a test did not pass.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from environments import OURS, Environment, spelled, version_of

from frameworks.play import Result, play
from frameworks.table import BY_NAME, FRAMEWORKS, SEEN, Framework


def main() -> None:
    """Run the frameworks that were asked for; all if none."""
    options = _options()
    chosen = [BY_NAME[name] for name in options.names] or FRAMEWORKS
    version = spelled(version_of(options.python))
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda framework: _played(framework, Path(folder), options), chosen)
        for framework, (environment, result, seconds) in zip(chosen, results, strict=True):
            _say(framework, environment, result, seconds)
            if result.wrong:
                failed.append(framework.name)
            elif options.note:
                _note(framework.name, {"python": version, **environment.versions_of(framework.distributions)})
    print(f"{len(chosen)} frameworks on Python {version}; not passed: {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BY_NAME)}")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="the interpreter to run on")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="run N frameworks at the same time")
    parser.add_argument("--keep", type=Path, help="keep environments in this folder, and use those that are there")
    parser.add_argument("--note", action="store_true", help="note the versions in seen.json, for the guide")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - BY_NAME.keys()):
        parser.error(f"no such framework: {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    if options.jobs < 1:
        parser.error(f"--jobs={options.jobs}: give a number from 1 on")
    return options


def _played(framework: Framework, folder: Path, options: argparse.Namespace) -> tuple[Environment, Result, float]:
    began = time.perf_counter()
    home = (options.keep or folder / "environments") / f"{spelled(version_of(options.python))}-{framework.name}"
    environment = Environment.made(options.python, home, [f"{OURS}[server]", "pytest", *framework.requires])
    result = play(environment, framework.folder, folder / "projects" / framework.name, framework.examples)
    return environment, result, time.perf_counter() - began


def _say(framework: Framework, environment: Environment, result: Result, seconds: float) -> None:
    installed = environment.versions_of(framework.distributions)
    versions = ", ".join(f"{name} {version}" for name, version in installed.items())
    verdict = f"{len(result.wrong)} did not pass" if result.wrong else "all passed"
    tests = f"{result.count} tests, {verdict} in {result.runs} runs"
    print(f"{framework.name} ({versions}): {tests}; {seconds:.0f} s", flush=True)
    if result.wrong:
        print(*(f"    {line}" for line in result.wrong), *result.text.splitlines()[-200:], sep="\n", flush=True)


def _note(name: str, versions: dict[str, str]) -> None:
    seen: dict[str, dict[str, str]] = json.loads(SEEN.read_text(encoding="utf-8")) if SEEN.exists() else {}
    seen[name] = versions
    kept = {name: seen[name] for name in sorted(seen) if name in BY_NAME}
    SEEN.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
