"""Patches functions of libraries for a while, also of libraries that are imported later.

It knows no library. Patches nest: whoever else patches the same function meanwhile may take theirs off in any order.
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
        make: takes the original and returns the replacement.
    """

    owner: Any
    name: str
    make: Callable[[Any], Any]


@dataclass(eq=False, slots=True)
class Layer:
    """One replacement that is in place, over what was there before.

    Attributes:
        owner: the class or module that has it.
        name: its name there.
        original: what was there.
        is_own: whether the owner itself defined it, rather than inherit it.
        is_needed: whether the replacement is still in use.
    """

    owner: Any
    name: str
    original: Any
    is_own: bool
    is_needed: bool = True


_LAYER = "__mockstream_layer__"


def put_on(replacement: Replacement) -> Layer:
    """Put a replacement in place until ``take_off``."""
    owner, name = replacement.owner, replacement.name
    layer = Layer(owner, name, getattr(owner, name), name in vars(owner))
    ours = replacement.make(layer.original)
    setattr(ours, _LAYER, layer)
    setattr(owner, name, ours)
    return layer


def take_off(layer: Layer) -> None:
    """Put the original back.

    If somebody else has since patched the same function, their replacement stays, and so does ours below it: it must
    behave as the original does until theirs is taken off, too.
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
    """An import hook that calls back as soon as one of some modules has been imported; it finds no modules itself."""

    def __init__(self, names: Iterable[str], imported: Callable[[ModuleType], None]) -> None:
        self._names = set(names)
        self._imported = imported

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as the finders after this one do, and have its loader call back when it is done."""
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
    """Patch libraries for the length of a block: those already loaded now, the others as soon as they are imported.

    Args:
        hooks: for each library, by the name of its module, what makes the list of what to replace.
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
