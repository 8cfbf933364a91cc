from __future__ import annotations

import subprocess
import sys

import pytest

import pytest_mockstream
from pytest_mockstream import MockStreamClient
from pytest_mockstream.leaks import KINDS
from pytest_mockstream.leaks.values import OPTIONAL_KINDS
from pytest_mockstream.plugin.options import SETTINGS


@pytest.fixture(autouse=True)
def modes(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nasyncio_mode = auto\n")


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    # pytest-rerunfailures leaves a thread and a socket in the process.
    without = ("looptime_plugin", "randomly", *(() if "--reruns=1" in args else ("rerunfailures",)))
    return pytester.runpytest_inprocess(*(f"-pno:{name}" for name in without), *args)


def test_fixture_gives_the_default_client(mock_stream_client: MockStreamClient) -> None:
    assert type(mock_stream_client) is MockStreamClient


async def test_fixture_works_in_async_tests(mock_stream_client: MockStreamClient) -> None:
    async with mock_stream_client.complete_stream("hi") as stream:
        assert await stream.aread() == mock_stream_client.default_text


TIMES = """
    def test_it(mock_stream_client):
        mock_stream_client.respond("a b c")
        print("instants", [round(c.timestamp, 4) for c in mock_stream_client.complete_stream("hi")])
"""


@pytest.mark.parametrize(
    ("marker", "args", "ini", "instants"),
    [
        ("", [], "", "[0.0, 0.0, 0.0, 0.0]"),
        ("", [], "mockstream_delay = 1ms", "[0.001, 0.002, 0.003, 0.003]"),
        ("", ["--mockstream-delay=2ms"], "mockstream_delay = 1s", "[0.002, 0.004, 0.006, 0.006]"),
        ("delay=0.003", ["--mockstream-delay=2s"], "", "[0.003, 0.006, 0.009, 0.009]"),
        ("delay='3ms'", ["--mockstream-ttft=1ms"], "", "[0.001, 0.004, 0.007, 0.007]"),
        ("tokens_per_second=1000", ["--mockstream-delay=2s"], "", "[0.001, 0.002, 0.003, 0.003]"),
        ("delay=0", ["--mockstream-tokens-per-second=1"], "", "[0.0, 0.0, 0.0, 0.0]"),
    ],
)
def test_marker_wins_over_command_line_over_ini_file_over_default(
    pytester: pytest.Pytester, marker: str, args: list[str], ini: str, instants: str
) -> None:
    pytester.makeini(f"[pytest]\nasyncio_default_fixture_loop_scope = function\n{ini}\n")
    body = TIMES.replace("\n    ", "\n").strip()
    pytester.makepyfile(f"import pytest\n@pytest.mark.mockstream({marker})\n{body}")

    result = run(pytester, "-s", *args)

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"*instants {instants.replace('[', '[[]')}*"])


def test_closer_marker_wins_and_leaves_the_rest_to_the_wider(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.mockstream(delay=5, ttft=0.002)
        class TestIt:
            @pytest.mark.mockstream(delay=0.001)
            def test_it(self, mock_stream_client):
                got = [round(c.timestamp, 4) for c in mock_stream_client.complete_stream("hi")]
                assert got[:3] == [0.002, 0.003, 0.004]
        """
    )

    run(pytester).assert_outcomes(passed=1)


def test_call_wins_over_marker(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.mockstream(delay=5, producer="background", buffer_size=3)
        def test_it(mock_stream_client):
            mock_stream_client.respond("a b", delay=0)
            with mock_stream_client.complete_stream("hi", producer="inline") as stream:
                assert [c.timestamp for c in stream] == [0, 0, 0]
        """
    )

    run(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--mockstream-delay=soon"], "--mockstream-delay='soon' is not a duration: give seconds >= 0, or text like"),
        (["--mockstream-delay=-1"], "--mockstream-delay='-1' is not a duration"),
        (["--mockstream-ttft=nan"], "--mockstream-ttft='nan' is not a duration"),
        (["--mockstream-producer=both"], "--mockstream-producer='both' is not known: give 'inline' or 'background'"),
        (["--mockstream-buffer-size=0"], "--mockstream-buffer-size='0': give a whole number >= 1"),
        (["--mockstream-seed=x"], "--mockstream-seed='x': give a whole number"),
        (["--mockstream-leaks=loud"], "--mockstream-leaks='loud' is not known: give 'error' or 'warn' or 'off'"),
        (["--mockstream-grace=x"], "--mockstream-grace='x' is not a duration"),
        (["-o", "mockstream_delay=x"], "mockstream_delay='x' is not a duration"),
        (
            ["--mockstream-delay=1", "--mockstream-tokens-per-second=3"],
            "--mockstream-delay, --mockstream-tokens-per-second: delay=1.0 and tokens_per_second=3.0 contradict",
        ),
    ],
)
def test_illegal_option_is_a_usage_error_that_lists_what_is_legal(
    pytester: pytest.Pytester, args: list[str], message: str
) -> None:
    pytester.makepyfile("def test_it(): pass")

    result = run(pytester, *args)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}*"])


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("dealy=1", "unknown keyword 'dealy': did you mean 'delay'? give some of delay, ttft, jitter, seed, "),
        ("delay=-1", "delay=-1 is not a duration"),
        ("delay=1, tokens_per_second=2", "delay, tokens_per_second: delay=1.0 and tokens_per_second=2.0 contradict"),
        ("unused='maybe'", "unused='maybe' is not known: give 'error' or 'allow'"),
        ("leaks='off'", "unknown keyword 'leaks'"),
        ("3", "takes keywords only, got 3"),
    ],
)
def test_illegal_marker_fails_its_test_before_it_runs(pytester: pytest.Pytester, marker: str, message: str) -> None:
    pytester.makepyfile(f"import pytest\n@pytest.mark.mockstream({marker})\ndef test_it(): print('the body ran')\n")

    result = run(pytester, "-s")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"@pytest.mark.mockstream: {message}*"])
    result.stdout.no_fnmatch_line("*the body ran*")


@pytest.mark.parametrize("marker", ["delay='1 sec'", "passthrough=['https://api.openai.com/v1']", "passthrough=3"])
def test_illegal_marker_is_one_line_in_a_session_that_has_opened_a_door(pytester: pytest.Pytester, marker: str) -> None:
    pytester.makepyfile(f"""
        import pytest
        def test_first(mock_stream_client): pass
        @pytest.mark.mockstream({marker})
        def test_it(mock_stream_client): pass
    """)

    result = run(pytester, "-p", "no:randomly")

    result.assert_outcomes(passed=1, errors=1)
    told = result.outlines.index(next(line for line in result.outlines if "ERROR at setup of test_it" in line))
    assert result.outlines[told + 1].startswith(f"@pytest.mark.mockstream: {marker.partition('=')[0]}=")
    assert result.outlines[told + 2].startswith("====")


BAD = """
    import pytest

    @pytest.mark.mockstream(dealy=1, jitter="wild")
    def test_settings(): pass

    @pytest.mark.allow_leaks
    def test_allowed(): pass

    @pytest.mark.expect_leak(knid="task", match="(")
    def test_expected(): pass

    @pytest.mark.mockstream_sweep("cancel", pont=1)
    async def test_swept(): pass

    @pytest.mark.xfail
    @pytest.mark.assert_no_leaks(grase=1)
    def test_expected_to_fail(): pass

    @pytest.mark.skip
    @pytest.mark.assert_no_leaks(grase=1)
    def test_skipped(): pass

    def test_good(): pass
"""
MISTAKES = [
    "*@pytest.mark.mockstream: unknown keyword 'dealy': did you mean 'delay'?*",
    "*@pytest.mark.mockstream: jitter='wild' is not a duration*",
    "*@pytest.mark.allow_leaks: reason=None: give a text that says why*",
    "*@pytest.mark.expect_leak: unknown keyword 'knid': did you mean 'kind'?*",
    "*@pytest.mark.expect_leak: match='(' is not a regular expression*",
    "*@pytest.mark.mockstream_sweep: unknown keyword 'pont' for 'cancel': did you mean 'point'?*",
    "*@pytest.mark.assert_no_leaks: unknown keyword 'grase': did you mean 'grace'?*",
]


@pytest.mark.parametrize("args", [(), ("-p", "xdist", "-n1")])
def test_bad_markers_are_all_told_and_stop_their_own_tests_only(
    pytester: pytest.Pytester, lean_pytest: None, args: tuple[str, ...]
) -> None:
    pytester.makepyfile(BAD)

    result = pytester.runpytest_inprocess("-p", "asyncio", "-p", "mockstream", *args)

    result.assert_outcomes(errors=6, passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    for mistake in MISTAKES:
        result.stdout.fnmatch_lines([mistake])


def test_bad_markers_fail_a_listing_of_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BAD)

    listed = run(pytester, "--collect-only")
    without = run(pytester, "--collect-only", "-k", "good")

    assert listed.ret == pytest.ExitCode.TESTS_FAILED
    listed.stdout.fnmatch_lines(["*::test_settings: " + MISTAKES[0], "*::test_settings: " + MISTAKES[1]])
    assert without.ret == pytest.ExitCode.OK


def test_verdict_on_scripts_is_printed_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(mock_stream_client): mock_stream_client.respond('never')")

    result = run(pytester)

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.no_fnmatch_line("*During handling of the above exception*")
    assert result.stdout.str().count("UnusedScriptError: ") <= 2  # the second in the short summary


def test_swallowed_unexpected_request_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_it(mock_stream_client):
            mock_stream_client.respond("once")
            mock_stream_client.complete("hi")
            try:
                mock_stream_client.complete("again")
            except Exception:
                pass
        """
    )

    result = run(pytester)

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["UnexpectedRequestError: no script left for complete (request 2, at *:5)."])


def test_unexpected_request_that_failed_the_test_is_not_said_twice(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_it(mock_stream_client):
            mock_stream_client.respond("once")
            mock_stream_client.respond("never")
            mock_stream_client.when(contains="x").respond("never")
            mock_stream_client.complete("hi")
            mock_stream_client.complete("hi")
            mock_stream_client.complete("hi")
        """
    )

    run(pytester).assert_outcomes(failed=1)


def test_unused_script_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        def test_it(mock_stream_client):
            mock_stream_client.respond("never")

        @pytest.mark.mockstream(unused="allow")
        def test_allowed(mock_stream_client):
            mock_stream_client.respond("never")

        def test_that_failed_before(mock_stream_client):
            mock_stream_client.respond("never")
            raise RuntimeError("mine")
        """
    )

    result = run(pytester)

    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*UnusedScriptError: 1 script was not played:", "FAILED *::test_that_failed_before - *"]
    )


def test_traceback_ends_at_the_line_of_the_user(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from pytest_mockstream import Disconnect

        def test_it(mock_stream_client):
            mock_stream_client.respond("a", Disconnect())
            for chunk in mock_stream_client.complete_stream("hi"):
                pass

        def test_bad_step(mock_stream_client):
            mock_stream_client.respond(["a"])
        """
    )

    result = run(pytester)

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*.py:5: StreamDisconnected", "*.py:9: ScriptError"])
    result.stdout.no_fnmatch_line("*pytest_mockstream/*")


def test_hook_makes_the_client(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_mockstream_make_client(settings, request):
            return (request.node.name, settings.pacing.delay) if "own" in request.node.name else None
        """
    )
    pytester.makepyfile(
        """
        def test_own(mock_stream_client):
            assert mock_stream_client == ("test_own", 0.5)

        def test_default(mock_stream_client):
            assert mock_stream_client.is_available()
        """
    )

    run(pytester, "--mockstream-delay=500ms").assert_outcomes(passed=2)


def test_header_says_what_is_active(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--mockstream-delay=50ms", "--mockstream-producer=background", "--collect-only")

    result.stdout.fnmatch_lines(["mockstream: delay=0.05, producer=background, buffer_size=100"])


def test_fixture_markers_and_options_explain_themselves(pytester: pytest.Pytester) -> None:
    assert "mock_stream_client" in (fixtures := run(pytester, "--fixtures").stdout.str())
    for door in ("client", "sdk", "server"):
        assert f'mock_stream_{door}.respond("Hello")' in fixtures
    markers = run(pytester, "--markers").stdout.str()
    assert "@pytest.mark.mockstream(delay, ttft, " in markers
    assert ", ".join(KINDS) in markers
    assert "allow_leaks('#123: shutdown is not ours')" in markers
    helped = " ".join(run(pytester, "--help").stdout.str().split())
    assert f"some of {', '.join(OPTIONAL_KINDS)}" in helped
    assert (
        "A keyword in the call wins over a marker, a marker over the command line, the command line over the ini file"
        in helped
    )
    assert all(setting.flag in helped and setting.ini in helped for setting in SETTINGS)


def test_fixture_works_under_xdist(pytester: pytest.Pytester, lean_pytest: None) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("i", range(6))
        def test_it(mock_stream_client, i):
            assert mock_stream_client.complete(str(i)).content == mock_stream_client.default_text
        """
    )

    pytester.runpytest_subprocess("-n2", "-p", "xdist", "-p", "asyncio", "-p", "mockstream").assert_outcomes(passed=6)


def test_a_stream_that_nobody_closed_is_warned_of(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(mock_stream_client): next(mock_stream_client.complete_stream('hi'))")
    without = ("-p", "no:looptime_plugin", "-p", "no:langsmith_plugin")  # the latter warns of itself on Python 3.14

    shown = pytester.runpytest_subprocess(*without)
    hidden = pytester.runpytest_subprocess(*without, "-W", "ignore::ResourceWarning")

    shown.assert_outcomes(passed=1, warnings=1)
    shown.stdout.fnmatch_lines(["*test_*.py:1: UnclosedStreamWarning: *was never closed*"])
    hidden.assert_outcomes(passed=1, warnings=0)


def test_plugin_loads_nothing_but_what_reads_settings() -> None:
    code = """
import pytest, pytest_asyncio.plugin, sys
before = set(sys.modules)
import pytest_mockstream.plugin
print(*sorted(set(sys.modules) - before))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.split() == [
        "pytest_mockstream",
        "pytest_mockstream._base",
        "pytest_mockstream._base.errors",
        "pytest_mockstream.plugin",
        "pytest_mockstream.plugin.as_before",
        "pytest_mockstream.plugin.hookspecs",
        "pytest_mockstream.plugin.options",
    ]


LOADED = """
import sys
def pytest_unconfigure():
    print("loaded:", *sorted(name for name in sys.modules if name.startswith("pytest_mockstream.")))
"""
OF_A_CLEAN_RUN = [
    "pytest_mockstream._base",
    "pytest_mockstream._base.errors",
    "pytest_mockstream._base.paths",
    "pytest_mockstream.leaks",
    "pytest_mockstream.leaks.births",
    "pytest_mockstream.leaks.canary",
    *(["pytest_mockstream.leaks.hidden_tasks"] if sys.version_info >= (3, 14) else []),
    "pytest_mockstream.leaks.interpreter",
    "pytest_mockstream.leaks.owner",
    "pytest_mockstream.leaks.scope",
    "pytest_mockstream.leaks.watch",
    "pytest_mockstream.plugin",
    "pytest_mockstream.plugin.as_before",
    "pytest_mockstream.plugin.hookspecs",
    "pytest_mockstream.plugin.leak_check",
    "pytest_mockstream.plugin.leak_plan",
    "pytest_mockstream.plugin.options",
]


def loaded_by(pytester: pytest.Pytester, source: str, *args: str) -> list[str]:
    pytester.makepyfile(source)
    pytester.makeconftest(LOADED)
    result = pytester.runpytest_subprocess("-s", "-p", "asyncio", "-p", "mockstream", *args)
    return next(line.split()[1:] for line in result.outlines if line.startswith("loaded:"))


@pytest.mark.parametrize(
    "source",
    [
        "def test_it(): pass",
        "async def test_it(): pass",
        "import asyncio\nasync def test_it(): await asyncio.create_task(asyncio.sleep(0))",
        "import pytest\n@pytest.fixture(scope='session')\ndef wide(): yield\ndef test_it(wide): pass",
    ],
)
def test_clean_run_loads_nothing_that_judges(pytester: pytest.Pytester, lean_pytest: None, source: str) -> None:
    assert loaded_by(pytester, source) == OF_A_CLEAN_RUN


def test_leak_brings_in_what_judges(pytester: pytest.Pytester, lean_pytest: None) -> None:
    source = "import asyncio\nasync def test_it(): globals()['t'] = asyncio.create_task(asyncio.sleep(9))"

    loaded = loaded_by(pytester, source)

    assert {"pytest_mockstream.leaks.verdict", "pytest_mockstream.plugin.leak_verdict"} <= {*loaded}


def test_run_without_the_leak_check_loads_nothing_of_it(pytester: pytest.Pytester, lean_pytest: None) -> None:
    loaded = loaded_by(pytester, "def test_it(): pass", "--mockstream-leaks=off")

    assert not [name for name in loaded if "leak" in name]


def test_every_public_name_is_there_and_no_other() -> None:
    assert {name for name in dir(pytest_mockstream) if not name.startswith("_")} >= set(pytest_mockstream.__all__)
    assert all(getattr(pytest_mockstream, name).__module__ for name in pytest_mockstream.__all__)
    with pytest.raises(AttributeError, match="no attribute 'MockStreem'"):
        _ = pytest_mockstream.MockStreem


def test_second_attempt_at_a_test_is_judged_as_the_first_one_is(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_rerunfailures")
    pytester.makepyfile(
        """
        TRIES = []

        def test_it(mock_stream_client):
            TRIES.append(1)
            mock_stream_client.respond("never asked for")
            assert len(TRIES) > 1
        """
    )

    result = run(pytester, "--reruns=1")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*UnusedScriptError: *"])
