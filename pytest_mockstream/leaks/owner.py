"""Who a task or a thread is credited to.

An owner travels in a ``ContextVar``: a task inherits it with the context of whatever created it.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

from contextvars import ContextVar


class Owner:
    """A test, a fixture, or whatever else starts things. Each test makes several: what is seldom set costs nothing.

    Attributes:
        label: ``"test"``, ``"fixture:NAME:SCOPE"``, ``"setup"``, ``"import"``, ``"plugin"`` or ``"block"``.
        within: the owner that this one is part of; a function-scoped fixture is part of its test.
        over: whether it has ended, so that everything it started should have, too.
        leaked: whether something of it was left; what that starts later is not the next test's.
        mark: the serial number that births had reached when it began.
        threads: how many threads there were then that Python had started.
        started: how many had been started until then.
        root: the outermost owner, which is judged.
    """

    over = False
    leaked = False
    mark = 0
    threads = 0
    started = 0

    def __init__(self, label: str, within: Owner | None = None) -> None:
        self.label = label
        self.within = within
        self.root: Owner = self if within is None else within.root

    def belongs_to(self, owner: Owner) -> bool:
        """Tell whether this is an owner, or part of it."""
        return self is owner or (self.within is not None and self.within.belongs_to(owner))


#: What an import started, or what a plugin of a pytest session inside this one started when that began, lives as long
#: as the process; what the check itself starts is nobody's leak.
IMPORT = Owner("import")
PLUGIN = Owner("plugin")
CHECK = Owner("check")
#: What a library keeps for the process, or for the loop.
SINGLETON = Owner("singleton")

OWNER: ContextVar[Owner | None] = ContextVar("pytest_mockstream_owner", default=None)
