"""``python -m pytest_mockstream doctor``: it tries what it speaks of, so it is made to find what does not work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from pytest_mockstream.doctor import sdks

LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "requests", "urllib3", "botocore")
SDKS = {
    "openai": "OPENAI_BASE_URL",
    "anthropic": "ANTHROPIC_BASE_URL",
    "google-genai": "GOOGLE_GEMINI_BASE_URL",
    "ollama": "OLLAMA_HOST",
}
EXTRAS = ("h11", "looptime")
WITHOUT_SDKS = (*SDKS, *sdks.BUILT_ON_OTHERS, *LIBRARIES)
BARE = (*WITHOUT_SDKS, *EXTRAS)

#: Hides distributions and their modules, and writes down what would leave this machine.
SITECUSTOMIZE = """
import importlib.metadata as metadata
import os
import sys

hidden = set(os.environ.get("HIDDEN", "").split())
modules = {name.replace("-", ".") if name == "google-genai" else name.replace("-", "_") for name in hidden}


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
find = metadata.Distribution.from_name.__func__


@classmethod
def from_name(cls, name):
    if name in hidden:
        raise metadata.PackageNotFoundError(name)
    return find(cls, name)


metadata.Distribution.from_name = from_name


def audit(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo"}:
        address = arguments[1] if event == "socket.connect" else arguments
        if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "localhost", "::1"}:
            with open(os.environ["ESCAPED"], "a") as file:
                file.write(f"{event} {address}")


if "ESCAPED" in os.environ:
    sys.addaudithook(audit)
"""


@dataclass(frozen=True)
class Said:
    """What the doctor said.

    Attributes:
        status: its exit status.
        output: on stdout.
        errors: on stderr.
    """

    status: int
    output: str
    errors: str

    @property
    def json(self) -> dict[str, Any]:
        """The output, read."""
        value: dict[str, Any] = json.loads(self.output)
        return value

    def entry(self, section: str, name: str) -> dict[str, Any]:
        """Return the one entry whose name begins so."""
        (entry,) = [entry for entry in self.json[section] if entry["name"].split()[0] == name]
        return dict(entry)

    def names(self, section: str) -> list[str]:
        return [entry["name"].split()[0] for entry in self.json[section]]

    def problems(self) -> list[str]:
        """Return the names of what does not work."""
        sections = [value for value in self.json.values() if isinstance(value, list)]
        return [entry["name"] for entries in sections for entry in entries if entry["status"] == "problem"]


Doctor: TypeAlias = Callable[..., Said]


def ask(
    folder: Path, *arguments: str, hidden: tuple[str, ...] = (), site: str = "", environment: Mapping[str, str] = {}
) -> Said:
    """Run the doctor in a project's folder; what is beside it in ``site`` comes first on Python's path."""
    beside = folder.parent / "site"
    beside.mkdir(exist_ok=True)
    (beside / "sitecustomize.py").write_text(SITECUSTOMIZE + site)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    path = os.pathsep.join(filter(None, [str(beside), os.environ.get("PYTHONPATH")]))
    environment = {**kept, "PYTHONPATH": path, "HIDDEN": " ".join(hidden), **environment}
    command = [sys.executable, "-m", "pytest_mockstream", "doctor", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder whose pytest loads our plugin and pytest-asyncio's, and no other."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


LEAN = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_asyncio.plugin,pytest_mockstream.plugin"}


@pytest.fixture
def doctor(project: Path) -> Doctor:
    """Ask about a project where no SDK is installed, which is fast; as JSON."""

    def asked(
        *,
        ini: str = "",
        conftest: str = "",
        hidden: tuple[str, ...] = WITHOUT_SDKS,
        site: str = "",
        environment: Mapping[str, str] = {},
    ) -> Said:
        if ini:
            (project / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
        if conftest:
            (project / "conftest.py").write_text(conftest)
        return ask(project, "--json", hidden=hidden, site=site, environment={**LEAN, **environment})

    return asked


@pytest.fixture(scope="module")
def escapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is written down what would leave this machine."""
    return tmp_path_factory.mktemp("escapes") / "log"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, escapes: Path) -> Said:
    """What is said where all SDKs are."""
    folder = tmp_path_factory.mktemp("doctor") / "project"
    folder.mkdir()
    return ask(folder, "--json", environment={**LEAN, "ESCAPED": str(escapes)})


# Where everything is.


def test_nothing_is_wrong_where_everything_is(everything: Said) -> None:
    assert (everything.problems(), everything.json["version"], everything.json["problems"]) == ([], 1, 0)
    assert (everything.status, everything.errors) == (0, "")


def test_nothing_leaves_this_machine(everything: Said, escapes: Path) -> None:
    assert everything.names("doors")
    assert not escapes.exists(), escapes.read_text()


@pytest.mark.parametrize("library", LIBRARIES)
def test_library_is_answered_in_process(everything: Said, library: str) -> None:
    entry = everything.entry("doors", library)

    assert (entry["kind"], entry["in_process"], entry["server"], entry["status"]) == ("library", "answered", True, "ok")


def test_library_with_sockets_of_its_own_is_refused_in_process(everything: Said) -> None:
    entry = everything.entry("doors", "urllib.request")

    assert (entry["in_process"], entry["server"], entry["status"]) == ("refused", True, "ok")
    assert "guarded where names are looked up" in entry["why"]


@pytest.mark.parametrize("sdk", SDKS)
def test_sdk_is_reached_by_both_doors(everything: Said, sdk: str) -> None:
    entry = everything.entry("doors", sdk)

    assert (entry["kind"], entry["in_process"], entry["server"], entry["why"]) == ("sdk", "answered", True, "")
    assert SDKS[sdk] in entry["says"]


def test_what_is_uploaded_in_the_background_is_listed(everything: Said) -> None:
    entry = everything.entry("doors", "background")

    assert entry["status"] == "ok"
    assert "traces of openai-agents" in entry["dropped"]


def test_library_on_an_sdk_is_reached_as_that_is(everything: Said) -> None:
    pytest.importorskip("langchain_openai")

    assert everything.entry("doors", "langchain-openai")["says"] == "as openai"


def test_every_format_fits(everything: Said) -> None:
    formats = everything.json["formats"]

    assert {entry["sdk"] for entry in formats} == {*SDKS}
    assert [entry["name"] for entry in formats if entry["frames"] < 10 or entry["misfits"]] == []


def test_leak_check_sees_what_was_planted(everything: Said) -> None:
    planted = [entry for entry in everything.json["leak_check"] if entry["planted"]]

    assert {entry["name"]: entry["seen"] for entry in planted} == {"tasks": True, "threads": True, "streams": True}


@pytest.mark.parametrize("package", ["Python", "pytest", "pluggy", "pytest-asyncio", "pytest-mockstream", "h11"])
def test_what_is_installed_is_told_with_its_version(everything: Said, package: str) -> None:
    assert everything.entry("installed", package)["installed"]


# Where nothing is but the package.


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What is said in a new project, where nothing is but the package and pytest."""
    folder = tmp_path_factory.mktemp("doctor") / "project"
    folder.mkdir()
    return ask(folder, "--json", hidden=BARE, environment=LEAN)


def test_nothing_is_wrong_where_nothing_else_is(bare: Said) -> None:
    assert (bare.problems(), bare.status) == ([], 0)
    doors = ["mock_stream_client", "mock_stream_sdk", "mock_stream_server", "urllib.request", "background"]
    assert [name for name in bare.names("doors") if name != "grpcio"] == doors  # it may be installed here
    assert bare.json["formats"] == bare.json["companions"] == []


@pytest.mark.parametrize(("package", "extra"), [("h11", "server"), ("looptime", "looptime")])
def test_what_an_extra_would_bring_is_told(bare: Said, package: str, extra: str) -> None:
    entry = bare.entry("installed", package)

    assert (entry["status"], entry["installed"], entry["extra"]) == ("ok", None, extra)
    assert entry["remedy"] == f"pip install -U 'pytest-mockstream[{extra}]'"


def test_server_that_cannot_be_had_names_what_to_install(bare: Said) -> None:
    entry = bare.entry("doors", "mock_stream_server")

    assert (entry["status"], entry["works"]) == ("ok", None)
    assert entry["remedy"] == "pip install 'pytest-mockstream[server]'"


def test_every_setting_is_told(bare: Said, pytester: pytest.Pytester, lean_pytest: None) -> None:
    help_text = pytester.runpytest_subprocess("-p", "asyncio", "-p", "mockstream", "--help").stdout.str()

    keys = {word.strip("():") for word in help_text.split() if word.startswith("mockstream_")}
    assert keys <= {*bare.names("settings")}
    assert "mockstream_leak_ignore" in keys


def test_setting_that_nobody_gives_has_no_source(bare: Said) -> None:
    entry = bare.entry("settings", "mockstream_leaks")

    assert (entry["value"], entry["source"]) == ("error", None)


def test_text_is_aligned_and_ends_with_the_verdict(project: Path) -> None:
    said = ask(project, hidden=BARE, environment=LEAN)

    lines = said.output.splitlines()
    assert [line for line in lines if line and not line.startswith((" ", "!"))] == [
        "installed",
        "settings",
        "companions",
        "leak check",
        "doors",
        "formats",
        "no problems",
    ]
    assert "  tasks    the planted task was seen" in lines
    assert "  threads  the planted thread was seen" in lines
    assert max(map(len, lines)) <= 120


def test_text_has_what_to_do_beside_each_problem(project: Path) -> None:
    (project / "pytest.ini").write_text("[pytest]\nmockstream_dealy = 1\n")

    said = ask(project, hidden=BARE, environment=LEAN)

    at = next(at for at, line in enumerate(said.output.splitlines()) if line.startswith("! mockstream_dealy"))
    assert said.output.splitlines()[at + 1].strip() == "-> Is mockstream_delay meant?"
    assert said.output.splitlines()[-1] == "1 problem, marked with !"
    assert said.status == 1


# Packages that do not work.


def write_distribution(project: Path, name: str, version: str) -> None:
    """Install what is no more than its metadata, in front of everything else."""
    folder = project.parent / "site" / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_package_that_is_too_old_is_a_problem(doctor: Doctor, project: Path) -> None:
    write_distribution(project, "h11", "0.9")

    said = doctor()

    assert said.status == 1
    assert said.entry("installed", "h11")["says"] == "0.9, but it must be >=0.16 ([server])"


def test_library_that_connects_in_c_is_noted(doctor: Doctor, project: Path) -> None:
    write_distribution(project, "grpcio", "1.70")

    said = doctor()

    entry = said.entry("doors", "grpcio")
    assert (entry["status"], entry["in_process"], said.status) == ("note", "unseen", 0)


def test_sdk_that_cannot_be_imported_is_a_problem(doctor: Doctor, project: Path) -> None:
    write_distribution(project, "openai", "3.0")
    hides_module_only = 'hidden.discard("openai")\n'

    said = doctor(site=hides_module_only)

    entry = said.entry("doors", "openai")
    assert (entry["status"], entry["in_process"], said.status) == ("problem", "broken", 1)
    assert "No module named 'openai'" in entry["says"]


OWN_TRANSPORT = """
import socket

class OpenAI:
    def __init__(self, **options):
        socket.create_connection(("api.openai.com", 443))
"""


def test_sdk_that_the_doors_do_not_reach_is_a_problem(doctor: Doctor, project: Path) -> None:
    write_distribution(project, "openai", "9.0")
    (project.parent / "site" / "openai.py").write_text(OWN_TRANSPORT)
    escapes = project.parent / "escapes"

    said = doctor(
        hidden=tuple(name for name in WITHOUT_SDKS if name != "openai"), environment={"ESCAPED": str(escapes)}
    )

    entry = said.entry("doors", "openai")
    assert (entry["status"], entry["in_process"], entry["server"], said.status) == ("problem", "failed", False, 1)
    assert "in process: UnexpectedRequestError" in entry["says"]
    assert entry["remedy"] == "Upgrade pytest-mockstream, or go back to a version of openai that it knows."
    assert not escapes.exists(), escapes.read_text()


# The leak check, blinded.

BLIND = """
import threading
def start(self):
    raise RuntimeError("no thread today")

threading.Thread.start = start
"""


def test_blind_leak_check_is_a_problem(doctor: Doctor) -> None:
    said = doctor(conftest=BLIND, hidden=BARE)

    entry = said.entry("leak_check", "threads")
    assert (entry["status"], entry["seen"], said.status) == ("problem", False, 1)
    assert "the planted thread was not seen on CPython" in entry["says"]
    assert said.entry("leak_check", "tasks")["seen"]


# Formats that do not fit.

NEW_FIELD = """
import json

encode = json.JSONEncoder.encode

def stranger(self, value):
    if isinstance(value, dict) and value.get("object") == "chat.completion.chunk":
        value = {**value, "mood": "fine"}
    return encode(self, value)

json.JSONEncoder.encode = stranger
"""
NEW_EVENT = """
import json

encode = json.JSONEncoder.encode

def stranger(self, value):
    if isinstance(value, dict) and value.get("type") == "response.output_text.done":
        value = {name: item for name, item in value.items() if name != "item_id"}
    return encode(self, value)

json.JSONEncoder.encode = stranger
"""
NEW_TYPE = """
import json

encode = json.JSONEncoder.encode

def stranger(self, value):
    if isinstance(value, dict) and value.get("object") == "chat.completion":
        value = {**value, "created": "yesterday"}
    return encode(self, value)

json.JSONEncoder.encode = stranger
"""


@pytest.mark.parametrize(
    ("site", "name", "misfit"),
    [
        (NEW_FIELD, "OpenAI Chat Completions", "text, frame 1: .mood is no field of ChatCompletionChunk"),
        pytest.param(
            NEW_TYPE,
            "OpenAI Chat Completions",
            "text, not streamed: created: Input should be a valid integer",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            NEW_EVENT,
            "OpenAI Responses",
            "text, frame 7: ResponseTextDoneEvent.item_id: Field required",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_format_that_does_not_fit_is_a_problem(doctor: Doctor, site: str, name: str, misfit: str) -> None:
    hidden = tuple(name for name in WITHOUT_SDKS if name not in {"openai", *LIBRARIES})

    said = doctor(site=site, hidden=hidden)

    assert (said.problems(), said.status) == ([name], 1)
    (entry,) = [entry for entry in said.json["formats"] if entry["name"] == name]
    assert entry["misfits"][0] == misfit
    assert misfit in entry["says"]
    assert "stay on an earlier openai" in entry["remedy"]


OLDER_MODEL = """
from openai.types.responses import ResponseFunctionCallArgumentsDoneEvent as Event
from pydantic.fields import FieldInfo

Event.__pydantic_fields__["name"] = FieldInfo(annotation=str)
Event.model_rebuild(force=True)
"""


def test_format_that_is_known_not_to_fit_in_a_field_is_noted(doctor: Doctor) -> None:
    said = doctor(site=OLDER_MODEL, hidden=tuple(name for name in WITHOUT_SDKS if name not in {"openai", *LIBRARIES}))

    (entry,) = [entry for entry in said.json["formats"] if entry["name"] == "OpenAI Responses"]
    assert (entry["status"], entry["misfits"], said.status) == ("note", [], 0)
    assert [*entry["known"]] == ["ResponseFunctionCallArgumentsDoneEvent.name"]


# Settings.

GIVEN = """[pytest]
mockstream_leaks = warn
mockstream_contain = yes
mockstream_seed = 1
mockstream_delay = 1
mockstream_leak_ignore =
  pump
  tick
addopts = --mockstream-grace=3 --mockstream-ttft=1
"""
GIVEN_TOO = "--mockstream-buffer-size 7 --mockstream-delay=2 --mockstream-ttft=2 -o mockstream_jitter=4"
SETS_A_SEED = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config): config.option.mockstream_seed = "9"
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What is said of settings that come from everywhere, some from two places."""
    folder = tmp_path_factory.mktemp("doctor") / "project"
    folder.mkdir()
    (folder / "pytest.ini").write_text(GIVEN)
    (folder / "conftest.py").write_text(SETS_A_SEED)
    return ask(folder, "--json", hidden=BARE, environment={**LEAN, "PYTEST_ADDOPTS": GIVEN_TOO})


@pytest.mark.parametrize(
    ("name", "value", "source"),
    [
        ("mockstream_leaks", "warn", "pytest.ini"),
        ("mockstream_contain", True, "pytest.ini"),
        ("mockstream_leak_ignore", ["pump", "tick"], "pytest.ini"),
        ("--mockstream-grace", "3", "addopts in pytest.ini"),
        ("--mockstream-buffer-size", "7", "PYTEST_ADDOPTS"),
        ("--mockstream-delay", "2", "PYTEST_ADDOPTS"),  # and another one in the ini file
        ("--mockstream-ttft", "2", "PYTEST_ADDOPTS"),  # and another one in addopts
        ("mockstream_jitter", "4", "-o in addopts or PYTEST_ADDOPTS"),
        ("mockstream_seed", "9", "a plugin or conftest.py"),
    ],
)
def test_setting_is_told_with_its_source(given: Said, name: str, value: object, source: str) -> None:
    entry = given.entry("settings", name)

    assert (entry["value"], entry["source"]) == (value, source)
    assert entry["setting"] == name.removeprefix("--").replace("-", "_")


def test_settings_that_can_be_read_are_no_problem(given: Said) -> None:
    assert (given.problems(), given.status) == ([], 0)


WRONG = """[pytest]
mockstream_leaks = maybe
mockstream_contain = perhaps
mockstream_dealy = 1
"""


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What is said of settings that cannot be read."""
    folder = tmp_path_factory.mktemp("doctor") / "project"
    folder.mkdir()
    (folder / "pytest.ini").write_text(WRONG)
    return ask(folder, "--json", hidden=BARE, environment={**LEAN, "PYTEST_ADDOPTS": "--mockstream-grace=soon"})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mockstream_leaks", "mockstream_leaks='maybe' is not known: give 'error'"),
        ("--mockstream-grace", "--mockstream-grace='soon' is not a duration"),
        ("mockstream_contain", "perhaps"),
        ("mockstream_dealy", "no such key  (from pytest.ini)"),
    ],
)
def test_setting_that_cannot_be_read_is_told_with_what_is_wrong(wrong: Said, name: str, words: str) -> None:
    entry = wrong.entry("settings", name)

    assert (entry["status"], bool(entry["remedy"])) == ("problem", True)
    assert words in entry["says"]


def test_settings_that_cannot_be_read_are_told_all_at_once(wrong: Said) -> None:
    assert {*wrong.problems()} == {"mockstream_leaks", "--mockstream-grace", "mockstream_contain", "mockstream_dealy"}
    assert wrong.status == 1


@pytest.mark.parametrize(
    ("ini", "words"),
    [
        ("mockstream_leak_kinds = dragon", "dragon"),
        ("mockstream_delay = 1\nmockstream_tokens_per_second = 3", "tokens_per_second"),
    ],
)
def test_settings_that_the_plugin_refuses_are_a_problem(doctor: Doctor, ini: str, words: str) -> None:
    said = doctor(ini=ini, hidden=BARE)

    assert (said.problems(), said.status) == (["together"], 1)
    assert words in said.entry("settings", "together")["says"]


@pytest.mark.parametrize(
    ("ini", "conftest", "addopts", "words"),
    [
        ("]broken", "", "", "pytest.ini:2"),
        ("", "import nowhere_to_be_found", "", "No module named 'nowhere_to_be_found'"),
        ("", "", "--no-such-option", "unrecognized arguments: --no-such-option"),
    ],
)
def test_project_that_pytest_cannot_read_is_a_problem(
    doctor: Doctor, ini: str, conftest: str, addopts: str, words: str
) -> None:
    said = doctor(ini=ini, conftest=conftest, hidden=BARE, environment={"PYTEST_ADDOPTS": addopts})

    assert (said.problems(), said.status) == (["pytest"], 1)
    assert words in said.entry("settings", "pytest")["says"]


@pytest.mark.parametrize(
    ("environment", "remedy"),
    [
        ({"PYTEST_PLUGINS": ""}, "PYTEST_DISABLE_PLUGIN_AUTOLOAD is set: add `-p mockstream` to addopts."),
        ({"PYTEST_PLUGINS": "", "PYTEST_ADDOPTS": "-p asyncio -p mockstream"}, None),
    ],
)
def test_plugin_that_is_not_loaded_is_a_problem(
    doctor: Doctor, environment: dict[str, str], remedy: str | None
) -> None:
    said = doctor(hidden=BARE, environment=environment)

    assert said.problems() == (["pytest-mockstream"] if remedy else [])
    if remedy:
        assert said.entry("settings", "pytest-mockstream")["remedy"] == remedy


# Companions: each is shown to interfere, and is told where it does.


@pytest.mark.skipif(
    not (3, 12) <= sys.version_info < (3, 14), reason="asyncio says nothing before, and makes no loop unasked any more"
)
def test_looptimes_plugin_makes_loops_for_sync_tests_and_is_told(
    doctor: Doctor, pytester: pytest.Pytester, lean_pytest: None
) -> None:
    pytester.makepyfile("def test_sync(): pass")
    plugins = ("-p", "asyncio", "-p", "mockstream", "-p", "looptime_plugin")
    pytester.runpytest_subprocess(*plugins, "-Werror::DeprecationWarning").assert_outcomes(failed=1)

    said = doctor(hidden=WITHOUT_SDKS, environment={"PYTEST_ADDOPTS": "-p looptime_plugin"})

    assert (said.names("companions"), said.status) == (["looptime"], 0)
    assert "-p no:looptime_plugin" in said.entry("companions", "looptime")["remedy"]


@pytest.mark.parametrize("plugin", ["trio", "anyio"])
def test_auto_mode_that_takes_tests_of_trio_is_told(
    doctor: Doctor, pytester: pytest.Pytester, lean_pytest: None, plugin: str
) -> None:
    pytest.importorskip("pytest_trio" if plugin == "trio" else "trio")
    pytester.makepyfile(
        f"""
        import sys
        import pytest
        @pytest.mark.{plugin}
        async def test_runs_on_trio({"" if plugin == "trio" else "anyio_backend_name"}):
            import sniffio
            assert sniffio.current_async_library() == "trio"
        """
    )
    loaded = ("-p", "asyncio", "-p", "mockstream", "-p", plugin)
    pytester.runpytest_subprocess(*loaded, "-oasyncio_mode=auto").assert_outcomes(failed=1 if plugin == "trio" else 2)

    said = doctor(hidden=WITHOUT_SDKS, environment={"PYTEST_ADDOPTS": f"-p {plugin} -oasyncio_mode=auto"})
    strict = doctor(hidden=WITHOUT_SDKS, environment={"PYTEST_ADDOPTS": f"-p {plugin}"})

    assert (said.names("companions"), said.status) == (["pytest-asyncio"], 0)
    assert strict.names("companions") == []


def test_threads_of_run_parallel_share_a_fixture_and_it_is_told(
    doctor: Doctor, pytester: pytest.Pytester, lean_pytest: None
) -> None:
    pytester.makepyfile(
        """
        def test_record(mock_stream_client):
            mock_stream_client.complete("hi")
            assert len(mock_stream_client.requests) == 1
        """
    )
    plugins = ("-p", "asyncio", "-p", "mockstream", "-p", "run-parallel", "--parallel-threads=2")
    pytester.runpytest_subprocess(*plugins).assert_outcomes(errors=1)

    said = doctor(hidden=BARE, environment={"PYTEST_ADDOPTS": "-p run-parallel"})

    assert (said.names("companions"), said.status) == (["pytest-run-parallel"], 0)


def test_greenlets_in_place_of_threads_are_told(doctor: Doctor) -> None:
    pytest.importorskip("gevent")

    said = doctor(conftest="from gevent import monkey\nmonkey.patch_all()", hidden=WITHOUT_SDKS)

    assert said.names("companions") == ["gevent"]


SOCKETS = """
def pytest_addoption(parser):
    parser.addoption("--disable-socket", action="store_true", dest="disable_socket")
    parser.addoption("--allow-hosts", dest="allow_hosts")
"""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--disable-socket", ["pytest-socket"]),
        ("--allow-hosts=10.0.0.1", ["pytest-socket"]),
        ("--disable-socket --allow-hosts=10.0.0.1,127.0.0.1", []),
    ],
)
def test_plugin_that_forbids_loopback_is_told(doctor: Doctor, project: Path, options: str, told: list[str]) -> None:
    (project.parent / "site").mkdir()
    (project.parent / "site" / "forbids_sockets.py").write_text(SOCKETS)

    said = doctor(hidden=BARE, environment={"PYTEST_ADDOPTS": f"-p forbids_sockets {options}"})

    assert (said.names("companions"), said.status) == (told, 0)
