"""``sweep_orders``: one run for each order in which things can arrive.

Theory of operation: all runs are done in one loop of our own, beside the one that runs here. In it time is virtual and
nothing arrives by itself, so that an order is a list of decisions. Orders that failed last time come first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from pytest_mockstream._base import OrderMemory, order_memories
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.loops import trio_here
from pytest_mockstream.script.steps import Fault

from .arrival_loop import ArrivalLoop, beside_running_loop
from .leak_watch import births_noted
from .order_result import OrdersResult
from .order_runs import OrderSweep
from .order_search import Deviations, Search, deviations_of
from .order_settings import OrderSettings
from .runs import saved_scripts, warn
from .settings import Check, ProgressCallback, function_of, name_of
from .told import sweep_told


async def sweep_orders(
    make_coroutine: Callable[[], Awaitable[Any]],
    *,
    check: Check | None = None,
    late: int = 3,
    horizon: float | str = 5.0,
    max_orders: int | None = None,
    order: str | None = None,
    faults: bool | Iterable[Fault | type[Fault]] = False,
    cancel: bool = False,
    raises: type[BaseException] | tuple[type[BaseException], ...] = (),
    allow_completion: bool = False,
    grace: float | str = 0.2,
    ignore: Iterable[str] = (),
    patience: float | str = 1.5,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> OrdersResult:
    """Run a coroutine once for each order in which things can arrive, and check how each run ends.

    What arrives is the next chunk of each stream that is being read, a timer, a gate of a script, and what a thread
    returns. Only that is reordered: callbacks that are ready run first in, first out, as asyncio has it. The runs are
    done in a loop of their own, with virtual time, while the running one stands still. After each run, no task, thread
    or stream that it started may be left, and ``check()`` must hold. A run that can never end is a deadlock.

    Args:
        make_coroutine: called once for each run, returns the coroutine: ``lambda: chat(client)``.
        check: called after each run, and awaited if it returns an awaitable; it fails by raising or by returning False.
        late: how many of the next timers may come before or after everything else. A sleep in a test often stands for
            work that takes who knows how long. 1 keeps timers in the order of their instants.
        horizon: how soon such a timer must be due: seconds, or text. Others come when nothing else is left; so does
            what follows a longer ``Wait`` of a script. Shorter waits are left out.
        max_orders: try at most so many orders; None tries 1,000, and warns if there are more.
        order: run one order alone, as a report shows it.
        faults: True lets one stream break in each run, in all ways that ``sweep_faults`` knows; or a list of them.
        cancel: whether the run may be cancelled once.
        raises: what a run may end in, besides the error of a stream that broke.
        allow_completion: a run may also complete after its cancellation or the break of a stream.
        grace: how long to wait for what a run left behind to end by itself, in seconds of virtual time.
        ignore: names of tasks or threads that are meant to go on, as for ``leak_check``.
        patience: how long to wait for threads and sockets, in seconds of real time.
        seed: of the samples that are tried where not all orders are.
        progress: called after each run with how many are done and how many there will be at most.

    Returns:
        What was found; ``print`` it.

    Raises:
        SweepError: a run ended badly; the message tells an order for each way to fail.
        ScriptError: the value of an argument is not legal, ``order`` does not fit, or the loop is not asyncio's.
        TypeError: ``make_coroutine`` is not a function that returns an awaitable.
        Exception: whatever the first run, in which everything comes by default, raises.
    """
    settings = OrderSettings.of(
        {
            "check": check,
            "late": late,
            "horizon": horizon,
            "max_orders": max_orders,
            "order": order,
            "faults": faults,
            "cancel": cancel,
            "raises": raises,
            "allow_completion": allow_completion,
            "grace": grace,
            "ignore": ignore,
            "patience": patience,
            "seed": seed,
            "progress": progress,
        }
    )
    function = function_of(make_coroutine, "make_coroutine")
    if trio_here() is not None:
        raise ScriptError(
            "sweep_orders orders what arrives in a loop of asyncio, and here runs trio: run it in asyncio"
        )
    title = f"sweep_orders of {name_of(function)}"
    with sweep_told("orders", title):
        return _sweep(function, title, settings)


def _sweep(make_coroutine: Callable[[], Awaitable[Any]], title: str, settings: OrderSettings) -> OrdersResult:
    memory = order_memories[-1]() if order_memories else None
    search = Search(settings.budget, settings.seed, _remembered(memory, title))
    with saved_scripts() as scripts, births_noted(), beside_running_loop():
        loop = ArrivalLoop()
        try:
            sweep = OrderSweep(
                make_coroutine=make_coroutine, title=title, settings=settings, scripts=scripts, loop=loop, search=search
            )
            alone = settings.order
            result = loop.run_until_complete(sweep.result() if alone is None else sweep.result_of(alone))
        finally:
            loop.close()
    if memory is not None and alone is None:
        memory.keep(title, [failed.order for failed in result.bad])
    result.raise_if_bad()
    if alone is None:
        left_out = result.coverage if settings.max_orders is None and not result.is_complete else ""
        warn(title, result.emptiness(), result.unsteadiness(), left_out)
    return result


def _remembered(memory: OrderMemory | None, title: str) -> tuple[Deviations, ...]:
    found = []
    for token in [] if memory is None else memory.failed(title):
        with suppress(ScriptError):  # another version may have written it
            found.append(deviations_of(token))
    return tuple(found)
