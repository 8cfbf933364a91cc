"""Both doors by one name: each test is run in process, and then over HTTP."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--backwards", action="store_true", help="run the last test first")
    parser.addoption("--first", action="store_true", help="run the first test only")


def pytest_collection_modifyitems(config, items):
    if config.getoption("backwards"):
        items.reverse()
    if config.getoption("first"):
        del items[1:]


@pytest.fixture(params=["mock_stream_sdk", "mock_stream_server"], ids=["in_process", "server"])
def door(request):
    return request.getfixturevalue(request.param)
