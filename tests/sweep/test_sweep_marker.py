from __future__ import annotations

import pytest

import pytest_mockstream.plugin.sweeps  # noqa: F401 - pytester forgets again what a run within the run has imported
from pytest_mockstream import MockStreamClient, Truncate  # noqa: F401 - for the same reason

SUBTESTS = hasattr(pytest, "Subtests")
TWO = """
    import asyncio, pytest
    from pytest_mockstream import Disconnect, ErrorEvent, Malformed, Truncate

    @pytest.mark.mockstream_sweep({marker})
    {kind} test_it(mock_stream_client):
        mock_stream_client.respond("one two")
        {body}
"""
NOISY = "faults=[Truncate, Disconnect, ErrorEvent, Malformed]"
READS = """async with mock_stream_client.complete_stream("hi") as stream:
            assert await stream.aread() == "one two\""""
READS_CAREFULLY = """async with asyncio.timeout(60), mock_stream_client.complete_stream("hi") as stream:
            chunks = [chunk async for chunk in stream]
        if not chunks or not chunks[-1].done:
            raise ConnectionError"""
READS_IN_THREAD = """with mock_stream_client.complete_stream("hi", timeout=60) as stream:
            chunks = list(stream)
        if not chunks or not chunks[-1].done:
            raise ConnectionError"""


@pytest.fixture(autouse=True)
def modes(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nasyncio_mode = auto\n")


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(
        "-p", "no:looptime_plugin", "-p", "no:randomly", "-p", "no:rerunfailures", *args
    )


def write(pytester: pytest.Pytester, marker: str, body: str, kind: str = "async def") -> None:
    pytester.makepyfile(TWO.format(marker=marker, body=body, kind=kind))


@pytest.mark.parametrize(
    ("marker", "body", "kind", "points"),
    [
        ('"cancel"', READS, "async def", 3),
        (f'"faults", {NOISY}', READS_CAREFULLY, "async def", 12),
        ('"cancel"', READS_IN_THREAD, "def", 6),
        (f'"faults", {NOISY}', READS_IN_THREAD, "def", 12),
    ],
)
def test_clean_test_passes_at_every_point(
    pytester: pytest.Pytester, marker: str, body: str, kind: str, points: int
) -> None:
    write(pytester, marker, body, kind)

    result = run(pytester, "-v")

    result.assert_outcomes(passed=1)
    if SUBTESTS:
        result.stdout.fnmatch_lines([f"*{points} subtests passed*"])


@pytest.mark.skipif(not SUBTESTS, reason="subtests came with pytest 9")
def test_each_bad_point_is_a_failed_subtest(pytester: pytest.Pytester) -> None:
    write(pytester, '"faults", faults=[Truncate]', READS)

    result = run(pytester)

    result.stdout.fnmatch_lines(
        [
            "*Truncate before chunk 1 of answer 1 at *test_each_bad_point_is_a_failed_subtest.py:* in test_it*",
            "  an assertion failed: assert '' == 'one two'",
            "  A failed assertion does not report a broken stream: let the code under test raise an error, *",
            "contains 3 failed subtests",
            "SUBFAILED*point 1: Truncate before chunk 1 of answer 1 at *",
            "SUBFAILED*point 2: Truncate before chunk 2 of answer 1 at *",
            "SUBFAILED*point 3: Truncate before chunk 3 of answer 1 at *",
        ]
    )


def test_one_table_where_there_are_no_subtests(pytester: pytest.Pytester) -> None:
    write(pytester, '"faults", faults=[Truncate]', READS)
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_call(item):
            item.funcargs.pop("subtests", None)
            return (yield)
        """
    )

    result = run(pytester)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["sweep_faults of test_it: 3 of 3 points visited in 3 runs, 3 bad"])


def test_fixtures_are_set_up_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, pytest

        runs, set_up = [], []

        @pytest.fixture
        def once():
            set_up.append(1)

        @pytest.mark.mockstream_sweep("cancel")
        async def test_it(once):
            runs.append(1)
            await asyncio.sleep(0)

        def test_after():
            assert (len(runs), len(set_up)) == (3, 1)
        """
    )

    run(pytester).assert_outcomes(passed=2)


@pytest.mark.parametrize("marked", ["asyncio", "anyio"])
def test_marker_works_with_every_runner_and_in_classes(pytester: pytest.Pytester, marked: str) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nasyncio_mode = strict\n")
    pytester.makepyfile(
        f"""
        import asyncio, pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.{marked}
        @pytest.mark.mockstream_sweep("cancel", point=2)
        class TestIt:
            @pytest.mark.parametrize("times", [2, 3])
            async def test_it(self, times):
                for _ in range(times):
                    await asyncio.sleep(0)
        """
    )

    run(pytester).assert_outcomes(passed=2)


def test_parallel_workers_show_subtests_too(pytester: pytest.Pytester) -> None:
    write(pytester, '"cancel"', READS)

    run(pytester, "-n1").assert_outcomes(passed=1)


def test_test_that_fails_when_left_alone_fails_as_itself(pytester: pytest.Pytester) -> None:
    write(pytester, '"cancel"', "mock_stream_client.complete('hi'); assert 0, 'mine'")

    result = run(pytester)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*AssertionError: mine"])


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("", "got nothing: give one of 'cancel', 'faults' and 'orders'"),
        ('"all"', "got 'all': give one of 'cancel', 'faults' and 'orders'"),
        ('"orders", point=3', "unknown keyword 'point' for 'orders': give some of"),
        ('"orders", late=0', "late=0: give a whole number >= 1"),
        (
            '"cancel", points=3',
            "unknown keyword 'points' for 'cancel': did you mean 'point'? give some of again, allow_completion, check",
        ),
        ('"cancel", faults=[]', "unknown keyword 'faults' for 'cancel'"),
        ('"cancel", point=0', "point=0: give a whole number >= 1"),
        ('"cancel", grace="soon"', "grace='soon' is not a duration"),
        ('"cancel", again=1', "again=1: give True or False"),
        ('"faults", check=3', "check=3: give a callable"),
        ('"faults", raises=3', "raises=3: give an exception class, or a tuple of them"),
        ('"faults", faults=["close"]', "faults: 'close' is not a fault; give some of Truncate"),
        ('"faults", faults=3', "faults=3: give a list of faults"),
        ('"faults", client="nobody"', "client='nobody': the test has no such fixture; it asks for mock_stream_client"),
    ],
)
def test_marker_that_is_not_legal_fails_its_test(pytester: pytest.Pytester, marker: str, message: str) -> None:
    write(pytester, marker, READS)

    result = run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"@pytest.mark.mockstream_sweep: {message}*".replace("[", "[[]")])


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("async def test_it(): pass", "whose stream is to break? the test has none of mock_stream_client"),
        (
            "async def test_it(mock_stream_client, mock_stream_sdk): pass",
            "whose stream is to break? the test has mock_stream_client and mock_stream_sdk; say which fixture",
        ),
    ],
)
def test_faults_need_one_client(pytester: pytest.Pytester, test: str, message: str) -> None:
    pytester.makepyfile(f"import pytest\n@pytest.mark.mockstream_sweep('faults')\n{test}")

    result = run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{message}*"])


def test_test_case_cannot_be_swept(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest, unittest

        class TestIt(unittest.IsolatedAsyncioTestCase):
            @pytest.mark.mockstream_sweep("cancel")
            async def test_it(self):
                pass
        """
    )

    result = run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*sweeps test functions and methods of plain test classes only*"])


def test_module_is_not_loaded_where_no_test_has_the_marker(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\ndef test_it(): assert 'pytest_mockstream.plugin.sweeps' not in sys.modules")

    pytester.runpytest_subprocess("-p", "no:looptime_plugin").assert_outcomes(passed=1)


def test_cancellation_sweep_of_a_test_that_never_waits_warns(pytester: pytest.Pytester) -> None:
    write(pytester, '"cancel"', "pass")

    result = run(pytester, "-o", "mockstream_unused=allow", "-W", "default")

    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*SweepWarning: *test_it: It never waits: *, so nothing was tested."])
