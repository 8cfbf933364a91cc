"""The report of a run: what became of leaks, streams and retries, as JSON and as a page."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest
import virtual

from pytest_mockstream import Disconnect, HTTPError, MockStreamClient, MockStreamServer, ProviderError, Wait
from pytest_mockstream.playbook.ledger import opened_requests
from pytest_mockstream.plugin.run_requests import of_test
from pytest_mockstream.plugin.run_tables import table

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = -p asyncio -p mockstream -p no:cacheprovider
"""
APP = """
KEPT = []

def ask(client):
    return client.complete("hi")

async def peek(client):
    async with client.complete_stream("hi") as stream:
        async for chunk in stream:
            break

def forget(client):
    KEPT.append(client.complete_stream("hi"))

def insist(client):
    for _ in range(4):
        try:
            return client.complete("hi")
        except Exception as error:
            print(error)
"""
SUITE = """
import pytest
from app import ask, forget, insist, peek
from pytest_mockstream import HTTPError

@pytest.mark.parametrize("name", ["one", "two"])
def test_whole(mock_stream_client, name):
    ask(mock_stream_client)

async def test_left_early(mock_stream_client):
    mock_stream_client.respond("one two three four")
    await peek(mock_stream_client)

def test_leak(mock_stream_client):
    forget(mock_stream_client)

def test_storm(mock_stream_client):
    mock_stream_client.respond(HTTPError(400), times=None)
    insist(mock_stream_client)

@pytest.mark.mockstream_sweep("faults")
def test_swept(mock_stream_client):
    mock_stream_client.respond("one two")
    insist(mock_stream_client)

@pytest.mark.allow_leaks("they say so")
def test_stale_marker(): pass

@pytest.mark.assert_no_leaks(ignore=["nobody", "stack:ask"])
def test_stale_ignore(): pass

@pytest.mark.assert_no_leaks(ignore="nobody")
def test_skipped(): pytest.skip("not here")

@pytest.mark.assert_no_leaks(ignore="nobody")
@pytest.mark.xfail(run=False)
def test_not_run(): pass
"""
SMALL = SUITE.partition("def test_storm")[0]
REPORT = "--mockstream-report=report.json"
Data = dict[str, Any]


def go(folder: Path, *options: str, suite: str = SUITE, ini: str = "") -> subprocess.CompletedProcess[str]:
    for name, text in {"pytest.ini": INI + ini, "app.py": APP, "test_it.py": suite}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return run(folder, *options)


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def load(folder: Path) -> Data:
    data: Data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return data


def only(rows: list[Data], **fields: object) -> Data:
    (found,) = [row for row in rows if all(row[name] == value for name, value in fields.items())]
    return found


def names_of(row: Data) -> list[str]:
    return [one["test"].partition("::")[2] for one in row["tests"]]


# A whole run.


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("suite")
    go(folder, REPORT, ini="mockstream_leak_ignore =\n    forgotten\n    stack:long_gone")
    return load(folder)


def test_report_says_what_ran(data: Data) -> None:
    told = data["run"]

    assert (data["format"], data["version"]) == ("pytest-mockstream report", 1)
    assert (told["tests"], told["failed"], told["status"], told["whole"]) == (10, 2, 1, True)
    assert told["seconds"] > 0


def test_report_is_what_its_schema_says(data: Data) -> None:
    schema = json.loads(resources.files("pytest_mockstream.plugin").joinpath("report_schema.json").read_text("utf-8"))

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, schema)


def test_what_leaked_is_told_by_the_line_that_made_it(data: Data) -> None:
    (row,) = data["leaks_by_line"]

    assert (row["at"], row["in"], row["kind"], row["outcome"]) == ("app.py:13", "forget", "stream", "error")
    assert row["count"] == len(data["leaks"]) == 1
    assert "never closed it" in row["diagnosis"]
    assert names_of(row) == ["test_leak"]


def test_streams_are_told_by_how_they_ended(data: Data) -> None:
    counts = {row["state"]: row["count"] for row in data["streams"]}

    assert counts == {"exhausted": 3, "closed": 1, "open": 1, "broken": 4}
    assert names_of(only(data["streams"], state="exhausted")) == ["test_swept", "test_whole[one]", "test_whole[two]"]


def test_consumers_are_told_by_the_line_that_asked(data: Data) -> None:
    row = only(data["consumers"], **{"in": "ask"})

    assert (row["at"], row["count"], row["states"], row["leaked"]) == ("app.py:5", 2, {"exhausted": 2}, 0)
    assert [(one["test"], one["count"]) for one in row["tests"]] == [
        ("test_it.py::test_whole[one]", 1),
        ("test_it.py::test_whole[two]", 1),
    ]


def test_chunks_for_nobody_are_counted(data: Data) -> None:
    row = only(data["consumers"], **{"in": "peek"})

    assert (row["read"], row["wasted"]) == (1, 4)
    assert 0 <= row["lingered"] <= row["open"]


def test_stream_that_leaked_is_told_of_its_consumer(data: Data) -> None:
    row = only(data["consumers"], **{"in": "forget"})

    assert (row["states"], row["leaked"], row["open"], row["lingered"]) == ({"open": 1}, 1, None, None)


def test_of_a_sweep_the_first_run_counts(data: Data) -> None:
    row = only(data["consumers"], **{"in": "insist"})

    assert only(row["tests"], test="test_it.py::test_swept")["states"] == {"exhausted": 1}
    assert names_of(only(data["retries"], **{"in": "insist"})) == ["test_storm"]


def test_retries_are_told_by_line_with_their_reasons(data: Data) -> None:
    (row,) = data["retries"]

    assert (row["at"], row["in"], row["by"]) == ("app.py:18", "insist", None)
    assert (row["count"], row["why"], row["tries"]) == (3, {"HTTP 400": 3}, 4)


def test_findings_are_told_once_for_each_line(data: Data) -> None:
    row = only(data["findings"], name="retries_permanent")

    assert (row["at"], row["count"], row["by"]) == ("app.py:18", 3, None)
    assert "had failed with HTTP status 400" in row["what"]
    assert row["remedy"].startswith("The same request will fail again")


def test_exemptions_that_left_nothing_out_are_told(data: Data) -> None:
    assert data["stale"] == ["test_it.py::test_stale_marker"]
    assert data["stale_exemptions"] == [
        {"kind": "allow_leaks", "what": "", "where": "test_it.py::test_stale_marker"},
        {"kind": "ignore", "what": "nobody", "where": "test_it.py::test_stale_ignore"},
        {"kind": "ignore", "what": "stack:ask", "where": "test_it.py::test_stale_ignore"},
        {"kind": "ignore", "what": "forgotten", "where": "mockstream_leak_ignore"},
        {"kind": "ignore", "what": "stack:long_gone", "where": "mockstream_leak_ignore"},
    ]


VARYING = {"seconds", "started", "lingered", "open", "counts"}


def steady(value: Any) -> Any:
    """Return what is the same in every run: no times, no counts of what else runs."""
    if isinstance(value, dict):
        return {name: steady(one) for name, one in value.items() if name not in VARYING or isinstance(one, int)}
    if isinstance(value, list):
        return [steady(one) for one in value]
    return re.sub(r": [\d.e-]+ s(, [\d.e-]+ s)*$", "", value) if isinstance(value, str) else value


def test_workers_of_xdist_tell_the_same(data: Data, tmp_path: Path) -> None:
    go(tmp_path, REPORT, "-p", "xdist", "-n2", ini="mockstream_leak_ignore =\n    forgotten\n    stack:long_gone")

    assert steady(load(tmp_path)) == steady(data)


def test_without_the_leak_check_all_else_is_told(data: Data, tmp_path: Path) -> None:
    go(tmp_path, REPORT, "--mockstream-leaks=off", suite=SUITE.partition("@pytest.mark.allow_leaks")[0])

    found = load(tmp_path)
    assert (found["mode"], found["armed"], found["leaks"], found["stale_exemptions"]) == ("off", {}, [], [])
    assert [row["count"] for row in found["streams"]] == [row["count"] for row in data["streams"]]
    assert len(found["retries"]) == 1


# Exemptions.

IGNORING = """
import threading, pytest
over = threading.Event()
def start(): threading.Thread(target=over.wait, args=(3,), name="telemetry", daemon=True).start()
@pytest.fixture(scope="module")
def wide(): start()
"""


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("def test_it(): start()", id="of a test"),
        pytest.param("def test_it(wide): pass", id="of a wider fixture"),
    ],
)
def test_ignore_that_left_something_out_is_not_stale(tmp_path: Path, body: str) -> None:
    result = go(tmp_path, REPORT, suite=IGNORING + body, ini="mockstream_leak_ignore = telemetry")

    assert result.returncode == 0, result.stdout
    assert load(tmp_path)["stale_exemptions"] == []


def test_marker_s_ignore_that_one_of_its_tests_needs_is_not_stale(tmp_path: Path) -> None:
    body = "pytestmark = pytest.mark.assert_no_leaks(ignore='telemetry')\ndef test_1(): start()\ndef test_2(): pass"

    go(tmp_path, REPORT, suite=IGNORING + body)

    assert load(tmp_path)["stale_exemptions"] == []


def test_ignore_that_another_test_needs_is_stale_where_nothing_does(tmp_path: Path) -> None:
    ignoring = "@pytest.mark.assert_no_leaks(ignore='telemetry')"

    go(tmp_path, REPORT, suite=f"{IGNORING}\n{ignoring}\ndef test_1(): start()\n{ignoring}\ndef test_2(): pass")

    (row,) = load(tmp_path)["stale_exemptions"]
    assert row == {"kind": "ignore", "what": "telemetry", "where": "test_it.py::test_2"}


def test_part_of_a_run_does_not_judge_what_holds_for_the_whole(tmp_path: Path) -> None:
    go(tmp_path, REPORT, "-k", "test_whole", ini="mockstream_leak_ignore = forgotten")

    found = load(tmp_path)
    assert (found["run"]["whole"], found["stale_exemptions"]) == (False, [])


def test_known_leak_that_is_gone_is_stale(tmp_path: Path) -> None:
    known = "--mockstream-known=leaks.toml"
    go(tmp_path, known, "--mockstream-known-update", suite=IGNORING + "def test_it(): start()")

    go(tmp_path, REPORT, known, suite=IGNORING + "def test_it(): pass")

    (row,) = load(tmp_path)["stale_exemptions"]
    assert row == {"kind": "known", "what": "thread of test_it.py:4 in start", "where": "leaks.toml"}


# The numbers.


def test_times_are_those_of_the_loop_s_clock() -> None:
    client = MockStreamClient()
    client.respond(Wait(1), "one ", Wait(1), "two ", Wait(1), "three ", Wait(10), "four")

    async def linger() -> None:
        async with client.complete_stream("hi") as stream:
            await stream.__anext__()
            await asyncio.sleep(2.5)

    with opened_requests() as opened:
        virtual.run(linger())

    (row,) = of_test(opened, "")["requests"]
    assert (row["read"], row["wasted"], row["lingered"], row["open"]) == (1, 2, 2.5, 3.5)


def test_client_that_is_gone_is_told_of_all_the_same() -> None:
    def ask() -> None:
        client = MockStreamClient()
        client.respond(HTTPError(503))
        client.respond(Disconnect())
        client.respond("done")
        for _ in range(3):
            with suppress(ConnectionError, ProviderError):
                client.complete("hi")

    with opened_requests() as opened:
        ask()

    (row,) = of_test(opened, "")["retries"]
    assert (row["count"], row["why"], row["tries"]) == (2, {"HTTP 503": 1, "Disconnect": 1}, 3)


def ask(client: MockStreamClient) -> None:
    with suppress(ProviderError):
        client.complete("hi")


def test_clients_are_told_apart() -> None:
    clients = [MockStreamClient() for _ in range(2)]
    clients[0].respond(HTTPError(503))

    with opened_requests() as opened:
        for client in clients:
            ask(client)

    told = of_test(opened, "")
    assert "retries" not in told
    assert [row["states"] for row in told["requests"]] == [{"broken": 1, "exhausted": 1}]


def test_two_calls_by_a_test_itself_are_no_retry() -> None:
    client = MockStreamClient()
    client.respond(HTTPError(503), times=None)

    with opened_requests() as opened:
        ask(client)
        ask(client)

    assert "retries" not in of_test(opened, "")


def test_counts_are_added_up_and_of_times_the_longest_counts() -> None:
    one = {"at": "a.py:1", "count": 1, "why": {"timeout": 1}, "tries": 4, "open": None, "what": "one"}
    other = {"at": "a.py:1", "count": 2, "why": {"timeout": 1, "open": 1}, "tries": 2, "open": 0.5, "what": "other"}

    (row,) = table([("test_a", one), ("test_b", other), ("test_b", other)], "at")

    whole = {"at": "a.py:1", "count": 5, "why": {"timeout": 3, "open": 2}, "tries": 4, "open": 0.5, "what": "one"}
    assert {name: value for name, value in row.items() if name != "tests"} == whole
    assert [(part["test"], part["count"], part["tries"]) for part in row["tests"]] == [
        ("test_a", 1, 4),
        ("test_b", 4, 2),
    ]


ANOTHER = """
import sys, urllib.request
body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
for _ in range(2):
    urllib.request.urlopen(urllib.request.Request(sys.argv[1], body, {"user-agent": "cli/1"})).read()
"""


def test_client_of_another_process_is_one_row_whatever_its_ports() -> None:
    with opened_requests() as opened, MockStreamServer() as server:
        url = f"{server.base_url('openai')}/chat/completions"
        subprocess.run([sys.executable, "-c", ANOTHER, url], check=True)

    (row,) = table((("test", row) for row in of_test(opened, "")["requests"]), "at", "in")
    assert (row["at"], row["in"], row["count"]) == ("cli/1, 127.0.0.1", "a client that shows no line", 2)


def test_what_utf8_cannot_say_is_escaped() -> None:
    code = compile("client.complete('hi')", "bad\udcff.py", "exec")
    with opened_requests() as opened:
        exec(code, {"client": MockStreamClient()})  # noqa: S102 - a file with such a name

    (row,) = of_test(opened, "")["requests"]
    assert row["at"].endswith("bad\\udcff.py:1")


LIBRARY = """
import openai
from pytest_mockstream import HTTPError
def test_it(mock_stream_sdk):
    mock_stream_sdk.respond(HTTPError(503, retry_after=0.01))
    mock_stream_sdk.respond("done")
    openai.OpenAI().chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
"""


def test_retry_of_a_library_s_own_is_told_to_be_one(tmp_path: Path) -> None:
    go(tmp_path, REPORT, suite=LIBRARY)

    (row,) = load(tmp_path)["retries"]
    assert (row["by"], row["count"], row["why"]) == ("openai", 1, {"HTTP 503": 1})


def test_test_that_is_told_of_is_linked_to_its_trace(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    suite = f"{SMALL}\ndef test_nothing(): assert 0"

    go(
        tmp_path,
        "--mockstream-report=out/report.json",
        "--mockstream-trace=failed",
        "--mockstream-trace-dir=a #1%",
        suite=suite,
    )

    (test, link), *others = load(tmp_path / "out")["traces"].items()
    assert (test, others) == ("test_it.py::test_leak", [])
    assert link.startswith("../a%20%231%25/")
    assert (tmp_path / "out" / unquote(link)).is_file()


# However the run ends.

FLAKY = """
import app, os, pytest
def test_1(mock_stream_client):
    app.ask(mock_stream_client)
def test_2(mock_stream_client, tmp_path_factory):
    app.ask(mock_stream_client)
    end()
def test_3(mock_stream_client):
    app.ask(mock_stream_client)
"""


def counted(folder: Path) -> int:
    return sum(row["count"] for row in load(folder)["streams"])


def test_reruns_count_with_all_their_requests(tmp_path: Path) -> None:
    end = "\nTRIES = iter([1, 2])\ndef end(): assert next(TRIES) == 2\n"

    go(tmp_path, REPORT, "-p", "rerunfailures", "--reruns=1", suite=FLAKY + end)

    assert counted(tmp_path) == 4
    assert load(tmp_path)["run"]["failed"] == 0


UNTOLD = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    runtestprotocol(item, log=False, nextitem=nextitem)
    runtestprotocol(item, nextitem=nextitem)
    return True
"""


def test_attempt_whose_reports_nobody_gets_counts_too(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(UNTOLD, encoding="utf-8")

    go(tmp_path, REPORT, suite=f"{FLAKY}\ndef end(): pass\n")

    assert counted(tmp_path) == 6


def test_run_that_stops_at_the_first_failure_is_reported(tmp_path: Path) -> None:
    go(tmp_path, REPORT, "-x", suite=f"{FLAKY}\ndef end(): assert 0\n")

    assert counted(tmp_path) == 2
    assert load(tmp_path)["run"]["whole"] is False


@pytest.mark.parametrize("workers", [(), pytest.param(("-p", "xdist", "-n1"), marks=pytest.mark.slow)])
def test_run_that_is_interrupted_is_reported(tmp_path: Path, workers: tuple[str, ...]) -> None:
    parent = "os.getppid()" if workers else "os.getpid()"
    end = f"\nimport signal, time\ndef end():\n    os.kill({parent}, signal.SIGINT)\n    time.sleep(30)\n"

    go(tmp_path, REPORT, *workers, suite=FLAKY + end)

    assert counted(tmp_path) == 1
    assert load(tmp_path)["run"]["status"] == pytest.ExitCode.INTERRUPTED


def test_worker_that_crashes_does_not_take_the_report_along(tmp_path: Path) -> None:
    go(tmp_path, REPORT, "-p", "xdist", "-n1", suite=f"{FLAKY}\ndef end(): os._exit(1)\n")

    assert counted(tmp_path) == 2
    assert load(tmp_path)["run"]["failed"] == 1


def test_process_that_dies_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    go(tmp_path, REPORT, suite=f"{FLAKY}\ndef end(): os._exit(1)\n")

    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix) == ["app.py", "pytest.ini", "test_it.py"]


# The file.


@pytest.mark.parametrize("path", ["report", "report.json.gz"])
def test_ending_that_says_no_format_is_a_usage_error(tmp_path: Path, path: str) -> None:
    result = go(tmp_path, f"--mockstream-report={path}", suite="def test_it(): print('the body ran')")

    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    said = f"--mockstream-report={path!r}: the ending says what is written, give .json or .html"
    assert said in result.stderr
    assert "the body ran" not in result.stdout


def test_ending_in_the_ini_file_is_looked_at_too(tmp_path: Path) -> None:
    result = go(tmp_path, ini="mockstream_report = report.txt")

    assert "mockstream_report='report.txt': the ending says what is written" in result.stderr


@pytest.mark.parametrize(
    ("path", "reason"),
    [("nowhere/x.html", "there is no folder 'nowhere'"), ("folder.json", "it is a folder")],
)
def test_file_that_cannot_be_written_is_a_usage_error(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "folder.json").mkdir()

    result = go(tmp_path, "-s", f"--mockstream-report={path}", suite="def test_it(): print('the body ran')")

    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: --mockstream-report={path!r} cannot be written, {reason}: " in result.stderr
    assert "the body ran" not in result.stdout


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user whom permissions hold back")
def test_folder_that_may_not_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)

    result = go(tmp_path, "--mockstream-report=closed/report.json")

    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "cannot be written, permission is denied" in result.stderr


def test_file_that_cannot_be_written_at_the_end_is_told_in_a_line(tmp_path: Path) -> None:
    suite = "import pathlib\ndef test_it(): pathlib.Path('out').rmdir(); pathlib.Path('out').touch()"
    (tmp_path / "out").mkdir()

    result = go(tmp_path, "--mockstream-report=out/report.json", suite=suite)

    assert "--mockstream-report='out/report.json' cannot be written: " in result.stdout
    assert "1 passed" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    assert result.returncode == pytest.ExitCode.INTERNAL_ERROR


def test_path_of_the_ini_file_begins_at_the_root_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    go(tmp_path, "--collect-only", ini="mockstream_report = out/report.json", suite="def test_it(): pass")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "test_deep.py").write_text("def test_deep(): pass")
    (tmp_path / "out" / "report.json").unlink()

    run(tmp_path / "deep")

    assert load(tmp_path / "out")["run"]["tests"] == 1


def test_where_the_report_is_is_said_at_the_end(tmp_path: Path) -> None:
    result = go(tmp_path, REPORT, suite="def test_it(): pass")

    assert re.search("^-+ report of the run: report.json -+$", result.stdout, re.MULTILINE)


def test_test_that_changes_the_folder_moves_no_report(tmp_path: Path) -> None:
    go(tmp_path, REPORT, suite="import os\ndef test_it(): os.mkdir('x'); os.chdir('x')")

    assert load(tmp_path)["run"]["tests"] == 1


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "report.json").symlink_to(tmp_path / "out" / "latest")

    go(tmp_path, REPORT, suite="def test_it(): pass")

    assert (tmp_path / "report.json").is_symlink()
    assert json.loads((tmp_path / "out" / "latest").read_text())["run"]["tests"] == 1


def test_page_has_the_data(tmp_path: Path) -> None:
    go(tmp_path, "--mockstream-report=report.html", suite=SMALL)

    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    found = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert [row["in"] for row in found["leaks_by_line"]] == ["forget"]
    assert (found["format"], len(found["consumers"])) == ("pytest-mockstream report", 3)


def test_nothing_of_it_is_loaded_where_no_report_is_asked_for(tmp_path: Path) -> None:
    suite = """
import sys
def test_it(mock_stream_client):
    mock_stream_client.complete("hi")
    assert [name for name in sys.modules if ".run_" in name or ".pages" in name] == []
"""

    assert go(tmp_path, suite=suite).returncode == 0
