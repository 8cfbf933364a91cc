"""Patches functions of libraries for a while, also of libraries that are imported later.

It knows no library.

Theory of operation: a replacement that is in place is a layer over what was there before. Layers are known by their
identity, so whatever somebody else puts over one is theirs, however closely it resembles it, and stays. A layer that is
no longer needed comes off as soon as it lies on top; as long as it is buried, it does what the original does. Whoever
has buried it may put it back, as monkeypatch does with what it found. Therefore a class gets the layer itself, which is
a descriptor: asked for the function, it takes itself off. To all who inspect what they wrap, it passes for a function.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, TypeAlias


class Replacement(NamedTuple):
    """One function to replace.

    Attributes:
        owner: the class or module that has it.
        name: its name there.
        make: takes the original and returns the replacement, a function.
    """

    owner: Any
    name: str
    make: Callable[[Any], Any]


_ABSENT = object()
_lock = threading.RLock()
# Modules ask no descriptor, and get the function. These are the layers of modules that may still be found there.
_in_modules: list[Layer] = []


class Layer:
    """One replacement that is in place, over what was there before; it passes for the function that it replaces with.

    Attributes:
        owner: the class or module that has it.
        name: its name there.
        below: what was there, in the owner's own namespace.
        function: the replacement.
        is_needed: whether the replacement is still in use.
    """

    __slots__ = ("below", "function", "is_needed", "name", "owner")

    def __init__(self, replacement: Replacement) -> None:
        self.owner, self.name, make = replacement
        self.below = vars(self.owner).get(self.name, _ABSENT)
        original = getattr(self.owner, self.name)
        self.function: Any = functools.update_wrapper(make(original), original)
        self.is_needed = True

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Return the function that a class or an instance is asked for."""
        if self.is_needed or vars(self.owner).get(self.name) is not self:
            return self.function.__get__(instance, owner)
        _uncover(self.owner, self.name)
        return getattr(owner if instance is None else instance, self.name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Return what else is asked of a function: its name, its code, its defaults."""
        return getattr(self.function, name)

    @property  # type: ignore[misc] # for isinstance; type() says what it is
    def __class__(self) -> type:
        return FunctionType

    def undo(self) -> None:
        """Put back what was there."""
        if self.below is _ABSENT:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.below)


def put_on(replacement: Replacement) -> Layer:
    """Put a replacement in place until ``take_off``."""
    with _lock:
        _uncover(replacement.owner, replacement.name)
        layer = Layer(replacement)
        if isinstance(layer.owner, type):
            setattr(layer.owner, layer.name, layer)
        else:
            _in_modules.append(layer)
            setattr(layer.owner, layer.name, layer.function)
    return layer


def take_off(layer: Layer) -> None:
    """Put the original back.

    If somebody else has since patched the same function, their replacement stays, and so does ours below it: it must
    behave as the original does from now on.
    """
    layer.is_needed = False
    _uncover(layer.owner, layer.name)


def _uncover(owner: Any, name: str) -> None:
    """Take off what lies on top and is no longer needed."""
    with _lock:
        while (layer := _on_top(owner, name)) is not None and not layer.is_needed:
            layer.undo()
            if layer in _in_modules:
                _in_modules.remove(layer)


def _on_top(owner: Any, name: str) -> Layer | None:
    top = vars(owner).get(name)
    if type(top) is Layer:  # a proxy only says that it is one
        return top
    return next((layer for layer in _in_modules if layer.owner is owner and layer.function is top), None)


Hook: TypeAlias = Callable[[ModuleType], Iterable[Replacement]]


class LateImports(MetaPathFinder):
    """An import hook that calls back whenever one of some modules has been imported; it finds no modules itself."""

    def __init__(self, names: Iterable[str], imported: Callable[[ModuleType], None]) -> None:
        self._names = frozenset(names)
        self._imported = imported

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as the finders after this one do, and have its loader call back when it is done."""
        if fullname not in self._names:
            return None
        after = sys.meta_path[sys.meta_path.index(self) + 1 :]
        specs = (finder.find_spec(fullname, path, target) for finder in after)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None or spec.loader is None:
            return spec
        loader: Any = spec.loader
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)  # as it was before
            load(module)
            self._imported(module)

        loader.exec_module = exec_module  # a loader serves this one module
        return spec


@contextmanager
def hooked(hooks: dict[str, Hook]) -> Iterator[None]:
    """Patch libraries for the length of a block: those already loaded now, the others as soon as they are imported.

    A library that is imported once more, after somebody has removed it from ``sys.modules``, is patched again.

    Args:
        hooks: for each library, by the name of its module, what makes the list of what to replace.
    """
    layers: list[Layer] = []

    def hook(module: ModuleType) -> None:
        layers.extend(map(put_on, hooks[module.__name__](module)))

    late = LateImports(hooks, hook)
    sys.meta_path.insert(0, late)
    try:
        for name in hooks:
            if sys.modules.get(name) is not None:
                with suppress(ImportError):  # of another thread's import, which has failed meanwhile
                    hook(import_module(name))  # which waits where another thread is in the middle of importing it
        yield
    finally:
        if late in sys.meta_path:  # pytester puts the list back as it was
            sys.meta_path.remove(late)
        for layer in reversed(layers):
            take_off(layer)
