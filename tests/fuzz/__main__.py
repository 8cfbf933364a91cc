"""``python -m tests.fuzz TARGET --seconds N``: guided by coverage; a crash leaves its input, which runs again alone.

It needs atheris (``pip install atheris``), which has wheels for Linux and some versions of Python only.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it

TARGETS = ("request", "fields", "script-file", "http")


def main() -> None:
    """Fuzz one target, or run one input that was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what is random; 0 for a new one (default)")
    parser.add_argument("--corpus", type=Path, default=Path("fuzz-corpus"), help="where inputs are kept")
    parser.add_argument("--input", type=Path, help="run this input alone, without atheris")
    options = parser.parse_args()
    if options.input is not None:
        from fuzz import targets

        targets.TARGETS[options.target](options.input.read_bytes())
        return
    import atheris

    with atheris.instrument_imports(include=["pytest_mockstream", "h11", "tomllib"]):
        from fuzz import targets
    corpus: Path = options.corpus / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(targets.seeds(options.target)):
        (corpus / f"seed-{number}").write_bytes(data)
    libfuzzer = [f"-max_total_time={options.seconds}", f"-seed={options.seed}", "-timeout=20", "-max_len=4096"]
    libfuzzer += [f"-artifact_prefix={options.corpus}/", "-print_final_stats=1", str(corpus)]
    atheris.Setup([sys.argv[0], *libfuzzer], targets.TARGETS[options.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
