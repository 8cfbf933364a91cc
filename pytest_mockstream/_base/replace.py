"""Puts our functions in the place of a library's, for a while.

The wall: knows no library.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias


class Replacement(NamedTuple):
    """One function to replace.

    Attributes:
        owner: the class or module that has it.
        name: its name there.
        make: takes the original, returns what stands in for it.
    """

    owner: Any
    name: str
    make: Callable[[Any], Any]


@dataclass(eq=False, slots=True)
class Layer:
    """One replacement in place, over what was there before it.

    Attributes:
        owner: the class or module that has it.
        name: its name there.
        original: what was there.
        is_own: whether the owner itself had it, or only inherited it.
        is_needed: whether whoever put it there is still at work.
    """

    owner: Any
    name: str
    original: Any
    is_own: bool
    is_needed: bool = True


_LAYER = "__mockstream_layer__"


def put_on(replacement: Replacement) -> Layer:
    """Put a replacement in place; ``take_off`` ends that."""
    owner, name = replacement.owner, replacement.name
    layer = Layer(owner, name, getattr(owner, name), name in vars(owner))
    ours = replacement.make(layer.original)
    setattr(ours, _LAYER, layer)
    setattr(owner, name, ours)
    return layer


def take_off(layer: Layer) -> None:
    """Put the original back.

    What somebody else has put over ours meanwhile stays; ours must then do as the original does, until the other one
    goes and takes it along.
    """
    layer.is_needed = False
    owner, name = layer.owner, layer.name
    while (top := getattr(vars(owner).get(name), _LAYER, None)) is not None and not top.is_needed:
        if top.is_own:
            setattr(owner, name, top.original)
        else:
            delattr(owner, name)


Hook: TypeAlias = Callable[[ModuleType], Iterable[Replacement]]


class LateImports(MetaPathFinder):
    """Calls back as soon as one of some modules has been imported; finds nothing itself."""

    def __init__(self, names: Iterable[str], imported: Callable[[ModuleType], None]) -> None:
        self._names = set(names)
        self._imported = imported

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as the finders behind us do, and have its loader tell us when it is done."""
        if fullname not in self._names:
            return None
        self._names.discard(fullname)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            self._imported(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign] # a loader serves this one module
        return spec


@contextmanager
def hooked(hooks: dict[str, Hook]) -> Iterator[None]:
    """Replace functions in the libraries that are loaded, and in the others as soon as somebody imports them.

    Args:
        hooks: what to replace, by the library's name.
    """
    layers: list[Layer] = []

    def hook(module: ModuleType) -> None:
        layers.extend(map(put_on, hooks[module.__name__](module)))

    late = LateImports((name for name in hooks if name not in sys.modules), hook)
    sys.meta_path.insert(0, late)
    try:
        for name in hooks:
            if (module := sys.modules.get(name)) is not None:
                hook(module)
        yield
    finally:
        sys.meta_path.remove(late)
        for layer in reversed(layers):
            take_off(layer)
