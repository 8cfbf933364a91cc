"""Keywords that several functions take, said once as a ``TypedDict``: checked in a call, and listed by ``help()``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, get_type_hints

from .legal import did_you_mean
from .wording import shortened

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

F = TypeVar("F", bound=Callable[..., object])


def check_names(given: Mapping[str, object], legal: Iterable[str]) -> None:
    """Refuse keywords that do not exist, as Python does where a function lists its own.

    Raises:
        TypeError: it names the keyword with its value, the nearest one that exists, and all of them.
    """
    legal = tuple(legal)
    for name, value in given.items():
        if name not in legal:
            near = did_you_mean(name, legal)
            from .redaction import brief  # loaded only once something is wrong

            msg = f"there is no keyword {shortened(name)}={brief(value)}.{near} The keywords are {', '.join(legal)}"
            raise TypeError(msg)


def lists(options: type, defaults: Mapping[str, Any]) -> Callable[[F], F]:
    """Return a decorator for functions that take ``**options: Unpack[...]``, so that ``help()`` lists each keyword.

    Args:
        options: the ``TypedDict``.
        defaults: the default of each.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        listed = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=annotation)
            for name, annotation in get_type_hints(options).items()
        ]
        own = [given for given in signature.parameters.values() if given.kind is not inspect.Parameter.VAR_KEYWORD]
        shown = signature.replace(parameters=[*own, *listed])
        function.__signature__ = shown  # type: ignore[attr-defined] # as PEP 362 has it
        return function

    return decorate
