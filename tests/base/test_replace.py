from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_mockstream._base.replace import Replacement, hooked


def _hook(library: ModuleType) -> Iterator[Replacement]:
    def acting(original: Callable[..., str]) -> Callable[..., str]:
        return lambda thing: f"ours for {original(thing)}"

    yield Replacement(library.Thing, "act", acting)


def test_library_that_another_thread_is_importing_is_patched_once_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate: Any = ModuleType("gate_of_slow_library")
    gate.begun, gate.go_on = threading.Event(), threading.Event()
    source = "import gate_of_slow_library as gate\ngate.begun.set()\ngate.go_on.wait(60)\n"
    (tmp_path / "slow_library.py").write_text(f"{source}class Thing:\n    def act(self): return 'theirs'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, gate.__name__, gate)
    importing = threading.Thread(target=__import__, args=("slow_library",))
    importing.start()
    gate.begun.wait(60)
    releasing = threading.Timer(0.1, gate.go_on.set)
    releasing.start()

    with hooked({"slow_library": _hook}):
        during = sys.modules["slow_library"].Thing().act()
    after = sys.modules["slow_library"].Thing().act()

    importing.join()
    releasing.join()
    del sys.modules["slow_library"]
    assert (during, after) == ("ours for theirs", "theirs")
