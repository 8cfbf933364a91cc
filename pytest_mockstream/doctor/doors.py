"""What each door reaches: every HTTP library and SDK that is installed is made to ask, and the answer is looked at.

It knows no SDK and no library itself: ``sdks`` and ``libraries`` say how they ask.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack
from importlib import import_module
from typing import Any
from unittest import mock

from pytest_mockstream import MockStreamError, MockStreamSDK
from pytest_mockstream.wire import UPLOADS

from . import libraries, sdks
from .installed import applies, canonical, requirements_of, version_of
from .report import Entry, Status

_URL = "http://api.openai.com/v1/models"
_IN_PROCESS = "mock_stream_sdk"
_SERVER = "mock_stream_server"
_SERVER_NAME = f"{_SERVER} (server)"


def look() -> Iterator[Entry]:
    """Yield the doors, the HTTP libraries and the SDKs."""
    with ExitStack() as stack:
        # Before the server runs: where greenlets stand in for threads, no other loop could run from then on.
        reached = {name: _ask_library(ask) for name, ask in libraries.ASKS.items() if _is_here(name)}
        server, server_entry = _server(stack)
        yield from _DOORS
        yield server_entry
        for name, (outcome, why) in reached.items():
            yield _library_entry(name, outcome, why)
        for name, why in libraries.UNSEEN.items():
            if _is_here(name):
                yield _library_entry(name, "unseen", why)
        for sdk in sdks.SDKS:
            if _is_here(sdk.distribution):
                yield _sdk_entry(sdk, server)
        for name in sdks.BUILT_ON_OTHERS:
            if _is_here(name):
                yield _indirect_entry(name, reached)
        yield _uploads_entry()


_DOORS = (
    Entry(
        name="mock_stream_client",
        says="reaches whatever takes its client as an argument",
        data={"kind": "door", "works": True},
    ),
    Entry(
        name=f"{_IN_PROCESS} (in process)",
        says="reaches what is answered in process below",
        data={"kind": "door", "works": True},
    ),
)


def _uploads_entry() -> Entry:
    names = [upload.name for upload in UPLOADS]
    return Entry(
        name="background uploads",
        says=f"answered in silence, and no requests of a test: {', '.join(names)}",
        data={"kind": "uploads", "dropped": names},
    )


def _is_here(distribution: str) -> bool:
    return distribution in libraries.OF_PYTHON or version_of(distribution) is not None


def _server(stack: ExitStack) -> tuple[Any, Entry]:
    """Start the server; return it, or None if it cannot be had here, and what is to be said of it."""
    try:
        from pytest_mockstream.doors.server import MockStreamServer
    except ModuleNotFoundError as error:
        return None, Entry(
            name=_SERVER_NAME,
            says="not here: its library is not installed",
            remedy=str(error).rpartition(": ")[2],
            data={"kind": "door", "works": None},
        )
    data = {"kind": "door"}
    try:
        server = stack.enter_context(MockStreamServer())
        libraries.ask_urllib(server.url + "/v1/models")
    except (OSError, MockStreamError) as error:
        says, remedy = (
            f"cannot be started and asked: {error!r}",
            "It needs a free port on 127.0.0.1; look for what forbids it.",
        )
        return None, Entry(name=_SERVER_NAME, says=says, status="problem", remedy=remedy, data=data | {"works": False})
    says = "started and answered: reaches whatever takes a base URL, in any language"
    return server, Entry(name=_SERVER_NAME, says=says, data=data | {"works": True})


# HTTP libraries.


def _ask_library(ask: Callable[[str], object]) -> tuple[str, str]:
    """Have a library ask a provider; return what became of that, and why."""
    sdk = MockStreamSDK()
    try:
        with sdk:
            ask(_URL)
    except ImportError as error:
        return "broken", repr(error)
    except Exception as error:
        if _has_refused(sdk):
            return "refused", "it sends by a way of its own, which is guarded where names are looked up"
        return "failed", repr(error)
    if sdk.requests and not _has_refused(sdk):
        return "answered", ""
    return "failed", "its call was refused" if sdk.requests else "an answer came from somebody else"


def _has_refused(sdk: MockStreamSDK) -> bool:
    """Tell whether a call was refused meanwhile: the door remembers it until it is asked."""
    try:
        sdk.verify()
    except MockStreamError:
        return True
    return False


_SAYS: dict[str, tuple[Status, str]] = {
    "answered": ("ok", "in process, server"),
    "refused": ("ok", "server; in process, its calls to providers are refused"),
    "unseen": ("note", "server; in process, its calls are neither answered nor refused"),
    "broken": ("problem", "cannot be imported"),
    "failed": ("problem", "neither answered in process nor refused there: a call could reach the network"),
}


def _library_entry(name: str, outcome: str, why: str) -> Entry:
    status, says = _SAYS[outcome]
    if status != "ok":
        says += f" ({why})"
    remedy = ""
    if outcome == "failed":
        remedy = f"Use {_SERVER} for it, and upgrade pytest-mockstream: this version of {name} is not known to it."
    elif outcome == "broken":
        remedy = f"pip install --force-reinstall {name}"
    version = None if name in libraries.OF_PYTHON else version_of(name)
    data = {"kind": "library", "installed": version, "in_process": outcome, "server": outcome != "broken", "why": why}
    return Entry(name=_named(name, version), says=says, status=status, remedy=remedy, data=data)


def _named(name: str, version: str | None) -> str:
    return f"{name} {version}" if version else name


# SDKs.


def _sdk_entry(sdk: sdks.Sdk, server: Any) -> Entry:
    version = version_of(sdk.distribution)
    data: dict[str, Any] = {"kind": "sdk", "installed": version}
    name = _named(sdk.distribution, version)
    try:
        module = import_module(sdk.module)
    except Exception as error:  # whatever an SDK raises as it is imported, it cannot be used
        says, remedy = f"cannot be imported: {error!r}", f"pip install --force-reinstall {sdk.distribution}"
        data |= {"in_process": "broken", "server": False, "why": repr(error)}
        return Entry(name=name, says=says, status="problem", remedy=remedy, data=data)
    in_process = _in_process(sdk, module)
    served = None if server is None else _served(sdk, module, server)
    ways = ["in process"] * (in_process == "") + [f"server ({sdk.variable})"] * (served == "")
    whys = [f"{door}: {why}" for door, why in (("in process", in_process), ("server", served)) if why]
    data |= {
        "in_process": "failed" if in_process else "answered",
        "server": None if served is None else served == "",
        "why": "; ".join(whys),
    }
    if not whys:
        return Entry(name=name, says=", ".join(ways), data=data)
    says = "\n".join([f"only {', '.join(ways)}" if ways else "no door", *whys])
    remedy = f"Upgrade pytest-mockstream, or go back to a version of {sdk.distribution} that it knows."
    return Entry(name=name, says=says, status="problem", remedy=remedy, data=data)


def _in_process(sdk: sdks.Sdk, module: Any) -> str:
    """Return why an SDK does not get its answer in process, nothing if it does."""
    with MockStreamSDK(intercept=["localhost:11434"]) as door:
        return _tried(sdk, module, door)


def _served(sdk: sdks.Sdk, module: Any, server: Any) -> str:
    """Return why an SDK does not get its answer from the server, nothing if it does."""
    server.reset()
    with mock.patch.dict(os.environ, server.environment()):
        return _tried(sdk, module, server)


def _tried(sdk: sdks.Sdk, module: Any, door: Any) -> str:
    door.respond("tried and ", "answered")
    try:
        text = sdk.ask(module)
    except Exception as error:  # the outcome that is asked for here
        return repr(error)
    return "" if text == "tried and answered" else f"it read {text!r}, and not what was scripted"


def _indirect_entry(name: str, reached: Container[str]) -> Entry:
    """Say of what is built on SDKs and HTTP libraries that it reaches as far as they do."""
    needs = {canonical(need.name) for need in requirements_of(name) if applies(need)}
    beneath = sorted(needs & {sdk.distribution for sdk in sdks.SDKS}) or sorted(n for n in needs if n in reached)
    version = version_of(name)
    says = f"as {' and '.join(beneath)}" if beneath else "server, if it takes a base URL; how it sends is not known"
    data = {
        "kind": "sdk",
        "installed": version,
        "in_process": "as beneath" if beneath else "unknown",
        "server": None,
        "why": f"it needs {', '.join(beneath)}"
        if beneath
        else "no SDK and no HTTP library that is known is beneath it",
    }
    return Entry(name=_named(name, version), says=says, data=data)
