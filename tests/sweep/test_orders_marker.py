"""A test that is its own sweep of orders, and the orders that pytest's cache keeps."""

from __future__ import annotations

import pytest

import pytest_mockstream.plugin.sweeps  # noqa: F401 - pytester forgets again what a run within the run has imported

SUBTESTS = hasattr(pytest, "Subtests")
CHAT = """
    import asyncio, pytest
    from pytest_mockstream import sweep_orders

    async def read(client, question):
        async with client.complete_stream(question) as stream:
            return await stream.aread()
"""
RACE = (
    CHAT
    + """
    runs = []

    @pytest.mark.mockstream_sweep("orders"{options})
    async def test_it(mock_stream_client):
        runs.append(1)
        mock_stream_client.respond("a b", times=2)
        shown = []

        async def ask(question):
            await read(mock_stream_client, question)
            shown.append(question)

        await asyncio.gather(ask("first"), ask("second"))
        assert shown == {shown}

    def test_count():
        print("runs:", len(runs))
"""
)


@pytest.fixture(autouse=True)
def modes(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nasyncio_mode = auto\n")


def write(pytester: pytest.Pytester, *, shown: str = '["first", "second"]', options: str = "") -> None:
    pytester.makepyfile(RACE.replace("{shown}", shown).replace("{options}", options))


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(
        "-p", "no:looptime_plugin", "-p", "no:randomly", "-p", "no:rerunfailures", "-rP", *args
    )


def test_clean_test_passes_in_every_order(pytester: pytest.Pytester) -> None:
    write(pytester, shown="shown")

    result = run(pytester)

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["sweep_orders of test_it: all 20 orders tried; all clean", "runs: 21"])


def test_order_that_fails_is_told(pytester: pytest.Pytester) -> None:
    write(pytester)

    result = run(pytester)

    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            '*order="*" fails, as 10 orders do:',
            "* of answer 1 (opened at *is_told.py:5) came after answer 2 (opened at *:5) was over",
            "*it failed: AssertionError: assert [[]'second', 'first'] == [[]'first', 'second']",
        ]
    )


@pytest.mark.skipif(not SUBTESTS, reason="subtests came with pytest 9")
def test_each_way_to_fail_is_a_failed_subtest(pytester: pytest.Pytester) -> None:
    write(pytester)

    result = run(pytester)

    result.stdout.fnmatch_lines(['*test_it [[]order="0.1"] *', "contains 1 failed subtest"])


def test_order_is_run_alone(pytester: pytest.Pytester) -> None:
    write(pytester, options=', order="0.1"')

    result = run(pytester)

    assert result.ret == 1
    result.stdout.fnmatch_lines(['sweep_orders of test_it: one order (order="0.1"); 1 bad', "runs: 1"])


def test_order_that_failed_is_tried_first_next_time_and_forgotten_when_it_passes(pytester: pytest.Pytester) -> None:
    write(pytester)
    run(pytester)

    again = run(pytester)
    write(pytester, shown="shown")
    mended = run(pytester)
    last = run(pytester)

    assert again.ret == 1
    again.stdout.fnmatch_lines(
        [
            "*sweep_orders of test_it: 2 orders tried; 1 bad",
            "*What failed last time was tried first; the others are when that passes.",
        ]
    )
    for result in (mended, last):
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(["sweep_orders of test_it: all 20 orders tried; all clean"])


def test_orders_that_a_call_has_found_are_kept_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        CHAT
        + """
    async def test_it(mock_stream_client):
        mock_stream_client.respond("a b", times=2)

        async def session():
            shown = []

            async def ask(question):
                await read(mock_stream_client, question)
                shown.append(question)

            await asyncio.gather(ask("first"), ask("second"))
            assert shown == ["first", "second"]

        await sweep_orders(session)
        """
    )

    first, second = run(pytester), run(pytester)

    first.stdout.fnmatch_lines(["E*SweepError: sweep_orders of test_it.session: all 20 orders tried; 10 bad"])
    second.stdout.fnmatch_lines(["E*SweepError: sweep_orders of test_it.session: 2 orders tried; 1 bad"])


def test_without_the_cache_everything_works(pytester: pytest.Pytester) -> None:
    write(pytester)

    for _ in range(2):
        result = run(pytester, "-p", "no:cacheprovider")
        result.stdout.fnmatch_lines(["sweep_orders of test_it: all 20 orders tried; 10 bad"])


def test_test_that_fails_by_default_fails_as_itself(pytester: pytest.Pytester) -> None:
    write(pytester, shown='"nothing"')

    result = run(pytester)

    result.stdout.fnmatch_lines(
        ["E*AssertionError: assert *", "E*sweep_orders: so far had come, by default: chunk 1 of answer 1*"]
    )


def test_test_that_is_not_async_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.mockstream_sweep('orders')\ndef test_it(): pass")

    result = run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*'orders' is for async tests: it orders what arrives in an event loop"])


@pytest.mark.parametrize("marked", ["asyncio", "anyio"])
def test_marker_works_with_every_runner(pytester: pytest.Pytester, marked: str) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nasyncio_mode = strict\n")
    pytester.makepyfile(
        f"""
        import asyncio, pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.{marked}
        @pytest.mark.mockstream_sweep("orders")
        async def test_it():
            await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
        """
    )

    result = run(pytester)

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["sweep_orders of test_it: all 2 orders tried; all clean"])
