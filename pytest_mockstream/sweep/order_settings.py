"""The keywords of ``sweep_orders``, checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pytest_mockstream._base.legal import duration, integer
from pytest_mockstream.script.steps import Fault

from .arrivals import Choosing
from .break_plan import raises_of
from .broken import DEFAULT_FAULTS, faults_of
from .order_search import Deviations, deviations_of
from .settings import Settings, flag

#: How many orders are tried unless it is told otherwise.
MAX_ORDERS = 1_000
_SHARED = ("check", "allow_completion", "grace", "ignore", "patience", "progress")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSettings:
    """The values of the keywords of ``sweep_orders`` once they are checked.

    Attributes:
        shared: those that all sweeps have.
        choosing: what may arrive out of turn.
        raises: what a run may end in.
        max_orders: how many orders are tried, if that was said.
        order: the one that is run alone, if that was said.
        seed: of the samples.
    """

    shared: Settings = field(default_factory=Settings)
    choosing: Choosing = field(default_factory=Choosing)
    raises: tuple[type[BaseException], ...] = ()
    max_orders: int | None = None
    order: Deviations | None = None
    seed: int = 0

    @classmethod
    def of(cls, keywords: Mapping[str, Any]) -> Self:
        """Return the settings that keywords ask for.

        Raises:
            ScriptError: a value is not legal.
        """
        checked = {name: _PARSERS[name](value, name) for name, value in keywords.items() if name in _PARSERS}
        choosing = {name: checked.pop(name) for name in _CHOOSING if name in checked}
        shared = {name: value for name, value in keywords.items() if name in _SHARED}
        return cls(shared=Settings.of(shared), choosing=Choosing(**choosing), **checked)

    @property
    def budget(self) -> int:
        """How many orders are tried at most."""
        return self.max_orders or MAX_ORDERS


def _faults(value: object, _name: str) -> tuple[Fault, ...]:
    if isinstance(value, bool):
        return faults_of(DEFAULT_FAULTS) if value else ()
    return faults_of(value)


def _raises(value: object, name: str) -> tuple[type[BaseException], ...]:
    return () if value == () else raises_of(value, name)


def _at_least_one_or_none(value: object, name: str) -> int | None:
    return None if value is None else _at_least_one(value, name)


def _order(value: object, name: str) -> Deviations | None:
    return None if value is None else deviations_of(value, name)


_at_least_one = integer(at_least=1)
_CHOOSING = ("late", "horizon", "faults", "cancel")
_PARSERS: Mapping[str, Callable[[object, str], Any]] = {
    "late": _at_least_one,
    "horizon": duration,
    "faults": _faults,
    "cancel": flag,
    "raises": _raises,
    "max_orders": _at_least_one_or_none,
    "order": _order,
    "seed": integer(),
}
#: The keywords of ``sweep_orders``.
ORDER_KEYWORDS = (*_SHARED, *_PARSERS)
