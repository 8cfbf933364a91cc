"""Installed, and nothing more: what a suite prints that uses neither this package nor pytest-asyncio."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest

BOTH = ("-p", "asyncio", "-p", "mockstream")
NEITHER = ("-p", "no:asyncio", "-p", "no:mockstream")
HEADER = "asyncio: mode=*"
ONE_TEST = "def test_it(): pass"
DEBUG = pytest.param(
    "--asyncio-debug", marks=pytest.mark.skipif(version("pytest-asyncio").startswith("1.1."), reason="came with 1.2")
)


@pytest.fixture(autouse=True)
def lean(lean_pytest: None, pytester: pytest.Pytester) -> None:
    """Let every run load only the plugins that it names, from a suite without settings."""
    pytester.makeini("[pytest]")


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *args)


# pytest-asyncio's warning.


@pytest.mark.parametrize("plugins", [BOTH, ("-p", "mockstream", "-p", "asyncio"), ("-p", "mockstream")])
@pytest.mark.parametrize("option", [("-o", "filterwarnings=error"), ("-W", "error")])
def test_suite_that_makes_errors_of_warnings_runs(
    pytester: pytest.Pytester, plugins: tuple[str, ...], option: tuple[str, ...]
) -> None:
    pytester.makepyfile(ONE_TEST)

    result = run(pytester, *plugins, *option)

    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK


def test_suite_whose_conftest_makes_errors_of_warnings_runs(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import warnings\ndef pytest_configure(): warnings.simplefilter('error')")
    pytester.makepyfile(ONE_TEST)

    result = run(pytester, *BOTH)

    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK


@pytest.mark.parametrize("named", ["pytest_asyncio.plugin", "pytest_mockstream.plugin"])
def test_suite_whose_conftest_names_a_plugin_runs(pytester: pytest.Pytester, named: str) -> None:
    pytester.makeconftest(f"pytest_plugins = ['{named}']")
    pytester.makepyfile(ONE_TEST)
    other = ("-p", "mockstream") if "asyncio" in named else ("-p", "asyncio")

    result = run(pytester, *other, "-o", "filterwarnings=error")

    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK


def test_workers_of_xdist_run_where_warnings_are_errors(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ONE_TEST)

    run(pytester, *BOTH, "-p", "xdist", "-n1", "-W", "error").assert_outcomes(passed=1)


def test_fixture_loop_scope_stays_unset(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "def test_it(pytestconfig): assert pytestconfig.getini('asyncio_default_fixture_loop_scope') is None"
    )

    run(pytester, *BOTH, "-W", "error").assert_outcomes(passed=1)


# pytest-asyncio's header.


def test_header_of_unconfigured_pytest_asyncio_is_not_shown(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\n# asyncio_mode = auto\nfilterwarnings =\n    default\n")

    result = run(pytester, *BOTH, "--collect-only")

    result.stdout.fnmatch_lines(["mockstream: *"])
    result.stdout.no_fnmatch_line(HEADER)


@pytest.mark.parametrize("option", ["--asyncio-mode=strict", DEBUG, "-oasyncio_mode=strict"])
def test_header_is_shown_to_whoever_gives_an_option_of_pytest_asyncio(pytester: pytest.Pytester, option: str) -> None:
    run(pytester, *BOTH, "--collect-only", option).stdout.fnmatch_lines([HEADER])


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pytest.ini", "[pytest]\nasyncio_mode=strict"),
        ("tox.ini", "[pytest]\nasyncio_default_test_loop_scope : function"),
        ("pyproject.toml", "[tool.pytest.ini_options]\nasyncio_debug = false"),
        ("pyproject.toml", "[tool.pytest.ini_options]\n'asyncio_mode' = 'strict'"),
        ("pyproject.toml", "[tool.pytest]\nini_options = {asyncio_mode = 'strict'}"),
    ],
)
def test_header_is_shown_to_a_project_that_sets_a_key_of_pytest_asyncio(
    pytester: pytest.Pytester, file: str, text: str
) -> None:
    (pytester.path / "tox.ini").unlink()
    (pytester.path / file).write_text(text)

    run(pytester, *BOTH, "--collect-only").stdout.fnmatch_lines([HEADER])


# The rest of what a suite prints.


SUITES = {
    "plain": """
        import warnings, pytest

        @pytest.fixture(params=[1, 2])
        def number(request): return request.param

        def test_number(number): assert number == 1
        def test_broken(broken): pass
        def test_broken_end(broken_end): pass
        def test_group(group): pass
        def test_refused(refused): pass
        def test_skipping(skipping): pass
        def test_warning(): warnings.warn("mine")

        @pytest.mark.xfail
        def test_expected(): assert 0
        """,
    "unittest": """
        import unittest

        class TestPlain(unittest.TestCase):
            def test_good(self): pass
            def test_bad(self): self.assertEqual(1, 2)

        class TestAsync(unittest.IsolatedAsyncioTestCase):
            async def test_good(self): pass
            async def test_bad(self): self.assertEqual(1, 2)

        class TestSetUp(unittest.TestCase):
            def setUp(self): raise ValueError("set up")
            def test_it(self): pass
        """,
    "anyio": """
        import pytest
        pytestmark = pytest.mark.anyio

        async def test_good(): pass
        async def test_bad(): assert 1 == 2
        async def test_broken(async_broken): pass
        async def test_broken_end(async_broken_end): pass
        """,
    "unhandled": """
        import pytest

        @pytest.fixture
        async def later(): return 1

        async def test_async(): pass
        async def test_generator(): yield
        def test_fixture(later): pass
        async def test_both(later): pass
        """,
}
CONFTEST = """
    import pytest

    @pytest.fixture
    def broken(): raise ValueError("set up")

    @pytest.fixture
    def broken_end():
        yield
        raise ValueError("tear down")

    @pytest.fixture
    def group(): raise ExceptionGroup("two", [ValueError(1), ValueError(2)])

    @pytest.fixture
    def refused(): pytest.fail("no", pytrace=False)

    @pytest.fixture
    def skipping(): pytest.skip("not here")

    @pytest.fixture
    async def async_broken(): raise ValueError("set up")

    @pytest.fixture
    async def async_broken_end():
        yield
        raise ValueError("tear down")
    """
OURS = ("plugins: ", "mockstream: ", "leak check: ")
VARYING = re.compile(r"0x[0-9a-f]+|in [0-9.]+s")


def printed(pytester: pytest.Pytester, *args: str) -> list[str]:
    """Return the lines of a run, but for those that name plugins, and for what is never the same twice."""
    result = run(pytester, *args, "-p", "anyio", "-rA")
    return [VARYING.sub("...", line) for line in result.outlines + result.errlines if not line.startswith(OURS)]


@pytest.mark.parametrize("filters", ["error", pytest.param("default", marks=pytest.mark.slow)])
@pytest.mark.parametrize("suite", SUITES)
def test_suite_prints_what_it_did_before(pytester: pytest.Pytester, suite: str, filters: str) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_it=SUITES[suite])
    option = f"-ofilterwarnings={filters}"

    before = printed(pytester, *NEITHER, option)

    assert printed(pytester, *BOTH, option) == before
    assert "short test summary info" in "".join(before)


def test_suite_prints_what_it_did_before_without_pytest_asyncio(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_it=SUITES["plain"])

    assert printed(pytester, "-p", "mockstream", "-p", "no:asyncio") == printed(pytester, *NEITHER)


# Warnings of our own.


LEAK = """
    import threading, pytest

    @pytest.mark.filterwarnings({mark!r})
    def test_it():
        thread = threading.Thread(target=threading.Event().wait, args=(2,), daemon=True)
        thread.start()
    """
WARNED = ["*= warnings summary =*", "test_it.py::test_it", "*PytestWarning: *test_it left 1 thing running *"]


def leak(pytester: pytest.Pytester, *args: str, mark: str = "default::UserWarning:nowhere") -> pytest.RunResult:
    pytester.makepyfile(test_it=LEAK.format(mark=mark))
    return run(pytester, *BOTH, "--mockstream-leaks=warn", "--mockstream-grace=0.01", *args)


def test_leak_that_is_only_warned_of_is_listed(pytester: pytest.Pytester) -> None:
    result = leak(pytester)

    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(WARNED)


@pytest.mark.parametrize("option", ["-ofilterwarnings=error", "-Werror", "-Werror::pytest.PytestWarning"])
def test_warning_of_a_leak_is_listed_where_warnings_are_errors(pytester: pytest.Pytester, option: str) -> None:
    result = leak(pytester, option)

    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(WARNED)


def test_warning_of_a_leak_is_listed_where_a_mark_makes_errors_of_warnings(pytester: pytest.Pytester) -> None:
    result = leak(pytester, mark="error")

    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(WARNED)


def test_warning_of_a_leak_in_a_worker_is_listed_where_warnings_are_errors(pytester: pytest.Pytester) -> None:
    result = leak(pytester, "-p", "xdist", "-n2", "-Werror")

    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(WARNED)


def test_warning_of_a_leak_reads_the_same_where_warnings_are_errors(pytester: pytest.Pytester) -> None:
    plain = leak(pytester, "-vv").stdout.lines
    strict = leak(pytester, "-vv", "-Werror").stdout.lines

    said = [
        [VARYING.sub("...", line) for line in lines[lines.index("test_it.py::test_it") :]] for lines in (plain, strict)
    ]
    assert said[0] == said[1]


def test_warning_of_a_leak_that_is_ignored_is_not_listed(pytester: pytest.Pytester) -> None:
    leak(pytester, "-Wignore::pytest.PytestWarning").assert_outcomes(passed=1, warnings=0)


@pytest.mark.parametrize("hook", ["pytest_configure(config)", "pytest_sessionstart(session)"])
@pytest.mark.parametrize(("filters", "listed"), [("default", 1), ("error", 1), ("ignore", 0)])
def test_warning_of_the_run_is_listed_unless_it_is_ignored(
    pytester: pytest.Pytester, hook: str, filters: str, listed: int
) -> None:
    config = "config" if "config" in hook else "session.config"
    pytester.makeconftest(
        f"from pytest_mockstream.plugin.warning import warn\ndef {hook}: warn({config}, None, 'half blind')"
    )
    pytester.makepyfile(ONE_TEST)

    result = run(pytester, *BOTH, f"-ofilterwarnings={filters}")

    result.assert_outcomes(passed=1, warnings=listed)
    assert ("PytestWarning: half blind" in result.stdout.str()) == bool(listed)


UNCLOSED = """
    def test_it(mock_stream_client):
        next(mock_stream_client.complete_stream("hi"))
    """


def test_filters_of_a_conftest_are_stronger_than_ours(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import warnings
        from pytest_mockstream import UnclosedStreamWarning

        def pytest_configure():
            warnings.filterwarnings("ignore", category=UnclosedStreamWarning, message="mine")

        def pytest_collection_finish():
            ours = [entry for entry in warnings.filters if entry[2] is UnclosedStreamWarning]
            assert [action for action, *_ in ours] == ["ignore", "default"]
        """
    )
    pytester.makepyfile(ONE_TEST)

    run(pytester, *BOTH).assert_outcomes(passed=1)


@pytest.mark.parametrize("category", ["Warning", "ResourceWarning"])
def test_stream_that_nobody_closed_is_not_warned_of_where_a_conftest_ignores_it(
    pytester: pytest.Pytester, category: str
) -> None:
    pytester.makeconftest(f"import warnings\ndef pytest_configure(): warnings.simplefilter('ignore', {category})")
    pytester.makepyfile(UNCLOSED)

    run(pytester, *BOTH).assert_outcomes(passed=1, warnings=0)
