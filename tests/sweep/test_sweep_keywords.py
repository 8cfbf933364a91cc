"""The keywords that all sweeps share stand once, and everybody who asks for them is told all of them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from pytest_mockstream import MockStreamClient, sweep_cancellation, sweep_faults, sweep_threads
from pytest_mockstream.sweep import Settings, SweepKeywords

SWEEPS = [sweep_cancellation, sweep_faults, sweep_threads]
SHARED = {
    "check": "Callable[[], object] | None = None",
    "allow_completion": "bool = False",
    "grace": "float | str = 0.2",
    "ignore": "Iterable[str] = ()",
    "point": "int | None = None",
    "max_points": "int | None = 10000",
    "patience": "float | str = 1.5",
    "progress": "Callable[[int, int], None] | None = None",
}


async def do_nothing() -> None: ...


def test_every_keyword_has_a_setting() -> None:
    assert [*get_type_hints(SweepKeywords)] == [field.name for field in fields(Settings)] == [*SHARED]


@pytest.mark.parametrize("sweep", SWEEPS)
def test_signature_lists_each_shared_keyword_with_type_and_default(sweep: Callable[..., Any]) -> None:
    signature = str(inspect.signature(sweep)).replace("collections.abc.", "")

    assert all(f"{name}: {rest}" in signature for name, rest in SHARED.items())
    assert "**" not in signature


@pytest.mark.parametrize("sweep", SWEEPS)
def test_help_names_each_keyword(sweep: Callable[..., Any]) -> None:
    text = inspect.getdoc(sweep) or ""

    own = [name for name in inspect.signature(sweep).parameters if name not in SHARED]
    assert [name for name in own if f"    {name}: " not in text] == []


def test_help_of_one_sweep_describes_each_shared_keyword() -> None:
    text = inspect.getdoc(sweep_cancellation) or ""

    assert [name for name in SHARED if f"    {name}: " not in text] == []


CLIENT = MockStreamClient()
CALLS: list[tuple[Callable[..., Any], list[str]]] = [
    (lambda **mistake: sweep_cancellation(do_nothing, **mistake), ["again", "late"]),
    (lambda **mistake: sweep_faults(do_nothing, CLIENT, **mistake), ["faults", "raises", "shown"]),
    (lambda **mistake: asyncio.to_thread(sweep_threads, do_nothing, CLIENT, **mistake), ["faults", "raises", "shown"]),
]


@pytest.mark.parametrize(("call", "own"), CALLS, ids=[sweep.__name__ for sweep in SWEEPS])
async def test_unknown_keyword_is_named_with_the_nearest_and_all_legal_ones(
    request: pytest.FixtureRequest, call: Callable[..., Any], own: list[str]
) -> None:
    with pytest.raises(TypeError) as caught:
        await call(pationce=1)

    assert str(caught.value) == (
        f"{request.node.callspec.id}() got an unexpected keyword argument 'pationce'. Did you mean 'patience'?"
        f" Give some of {', '.join(sorted([*SHARED, *own]))}"
    )
