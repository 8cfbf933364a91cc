"""Run all cells of the table of providers, and note for the guide with which SDKs, if all have passed.

Its arguments are pytest's: ``python tests/providers/note.py -n 2``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from environments import OURS

from providers.table import ROWS, SEEN


def main() -> None:
    """Run the tests, and write the versions."""
    tests = "tests/providers/test_providers.py"
    noted = f"--deselect={tests}::test_versions_were_noted"
    command = [sys.executable, "-m", "pytest", "-q", "--slow", noted, tests, *sys.argv[1:]]
    if subprocess.run(command, check=False, cwd=OURS).returncode:
        sys.exit("not all cells passed, and no version was noted")
    SEEN.write_text(json.dumps({row.sdk: version(row.sdk) for row in ROWS}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
