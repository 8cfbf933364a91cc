"""What a library makes at first use and keeps fails nobody, whichever test comes first; what a test left open does."""

from __future__ import annotations

import threading

import pytest
from leak_runs import Run, Runner

from pytest_mockstream.leaks.holders import Search

CLIENTS = """
import asyncio, contextvars, functools, threading, weakref
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

class Client:
    '''Works in a thread that it starts when it is made.'''
    def __init__(self, name="client"):
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
    def _run(self):
        self._over.wait()
    def close(self):
        self._over.set()
        self._thread.join()

class Detached:
    '''Keeps no handle on its thread.'''
    def __init__(self):
        self.queue = Queue()
        threading.Thread(target=self._run, daemon=True).start()
    def _run(self):
        self.queue.get()

class Subclass(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.start()
    def run(self):
        self.over.wait()

class Pooled:
    def __init__(self, size=1):
        self.pool = ThreadPoolExecutor(size)
    def work(self):
        self.pool.submit(int).result()
    def shutdown(self):
        self.pool.shutdown()

class Ticker(threading.Timer):
    pass

class AsyncClient:
    '''Has a task in the loop that it was made in.'''
    def __init__(self):
        self.task = asyncio.get_running_loop().create_task(self._run())
    async def _run(self):
        await asyncio.get_running_loop().create_future()
    async def aclose(self):
        self.task.cancel()
    async def __aenter__(self):
        return self
    async def __aexit__(self, *error):
        await self.aclose()

def executor_by_weak_reference(client):
    def run(reference):
        threading.Event().wait()
    threading.Thread(target=run, args=(weakref.ref(client),), daemon=True).start()
"""

#: How libraries keep what they made at first use: their code, and how it is used.
KEEPING = {
    "a module's variable": (
        "_client = None\ndef use():\n    global _client\n    if _client is None:\n        _client = Client()\n",
        "lib.use()",
    ),
    "a module's variable, the thread itself": (
        "_thread = None\ndef _run():\n    threading.Event().wait()\n"
        "def use():\n    global _thread\n    if _thread is None:\n"
        "        _thread = threading.Thread(target=_run, daemon=True)\n        _thread.start()\n",
        "lib.use()",
    ),
    "a client that has no handle on its thread": (
        "_client = None\ndef use():\n    global _client\n    _client = _client or Detached()\n",
        "lib.use()",
    ),
    "a subclass of Thread": ("_one = []\ndef use():\n    if not _one:\n        _one.append(Subclass())\n", "lib.use()"),
    "a cached function": ("@functools.cache\ndef use():\n    return Client()\n", "lib.use()"),
    "a cached function with arguments": ("@functools.lru_cache\ndef use(name):\n    return Client()\n", "lib.use('a')"),
    "an attribute of a class": (
        "class Single:\n    one = None\n    @classmethod\n    def get(cls):\n"
        "        cls.one = cls.one or Client()\n        return cls.one\ndef use():\n    Single.get()\n",
        "lib.use()",
    ),
    "an attribute of a function": (
        "def use():\n    if not hasattr(use, 'client'):\n        use.client = Client()\n",
        "lib.use()",
    ),
    "a closure": (
        "def once(make):\n    made = []\n    @functools.wraps(make)\n    def get():\n"
        "        made or made.append(make())\n        return made[0]\n    return get\n"
        "@once\ndef use():\n    return Client()\n",
        "lib.use()",
    ),
    "a thread-local variable": (
        "_local = threading.local()\ndef use():\n    if not hasattr(_local, 'client'):\n"
        "        _local.client = Client()\n",
        "lib.use()",
    ),
    "a context variable": (
        "_var = contextvars.ContextVar('client')\ndef use():\n    if _var.get(None) is None:\n"
        "        _var.set(Client())\n",
        "lib.use()",
    ),
    "a registry of a registry": (
        "class Hub:\n    def __init__(self):\n        self.clients = {}\n_hub = Hub()\n"
        "def use():\n    _hub.clients.setdefault('main', None) or _hub.clients.update(main=Client())\n",
        "lib.use()",
    ),
    "a pool made at first use": (
        "@functools.cache\ndef _pool():\n    return ThreadPoolExecutor(2)\n"
        "def use():\n    _pool().submit(int).result()\n",
        "lib.use()",
    ),
    "a timer": (
        "_timer = None\ndef _flush():\n    pass\ndef use():\n    global _timer\n    if _timer is None:\n"
        "        _timer = Ticker(3600, _flush)\n        _timer.daemon = True\n        _timer.start()\n",
        "lib.use()",
    ),
    "a thread that knows its client by a weak reference": (
        "_one = []\ndef use():\n    if not _one:\n        _one.append(Pooled())\n"
        "        executor_by_weak_reference(_one[0])\n",
        "lib.use()",
    ),
    "a variable of the user's": ("", "import app; app.client()"),
}
APP = """
import lib
_client = None
def client():
    global _client
    if _client is None:
        _client = lib.Client()
    return _client
"""
TWO = "import lib\ndef test_first(): {use}\ndef test_second(): {use}\nasync def test_third(): {use}\n"


@pytest.fixture
def run(run_leaks: Runner, pytester: pytest.Pytester) -> Runner:
    """Run tests with a library that is installed, and with an application that is not."""

    def go(source: str, *options: str, library: str = "", **settings: str) -> Run:
        folder = pytester.mkdir("site-packages")
        (folder / "lib.py").write_text(CLIENTS + library)
        pytester.makepyfile(app=APP)
        ini = "pythonpath = . site-packages\n" + settings.pop("ini", "")
        return run_leaks("import lib\n" + source, *options, ini=ini, **settings)

    return go


@pytest.mark.parametrize("order", ["", pytest.param("test_second or test_third", marks=pytest.mark.slow)])
@pytest.mark.parametrize("keeping", KEEPING)
def test_what_a_library_keeps_fails_nobody(keeping: str, order: str, run: Runner) -> None:
    library, use = KEEPING[keeping]

    result = run(TWO.format(use=use), "-k", order, library=library)

    result.result.assert_outcomes(passed=2 if order else 3, deselected=1 if order else 0)
    assert {(owner, outcome) for _, owner, _, outcome in result.leaks} == {("singleton", "allowed")}
    assert "by a library: it lives as long as the process" in result.text


def test_what_a_library_keeps_is_listed_once(run: Runner) -> None:
    library, use = KEEPING["a module's variable"]

    result = run(TWO.format(use=use), library=library)

    assert [(test, kind) for test, _, kind, _ in result.leaks] == [("test_first", "thread")]
    assert result.data["leaks"][0]["kept_by"] == "lib._client"
    assert "kept by lib._client" in result.text


def test_pool_that_grows_is_one_holder(run: Runner) -> None:
    library = """
_one = None
def use(count):
    global _one
    _one = _one or Pooled(4)
    barrier = threading.Barrier(count)
    [future.result() for future in [_one.pool.submit(barrier.wait) for _ in range(count)]]
"""
    result = run("def test_a(): lib.use(1)\ndef test_b(): lib.use(3)\n", library=library)

    result.result.assert_outcomes(passed=2)
    assert {owner for _, owner, _, _ in result.leaks} == {"singleton"}


def test_task_kept_for_each_loop_is_none_of_the_tests(run: Runner) -> None:
    library = """
_clients = weakref.WeakKeyDictionary()
def use():
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = AsyncClient()
"""
    result = run("async def test_a(): lib.use()\nasync def test_b(): lib.use()\n", library=library)

    result.result.assert_outcomes(passed=2)
    assert {owner for _, owner, _, _ in result.leaks} == {"singleton"}


def test_task_that_a_library_keeps_on_the_loop_is_none_of_the_tests(run: Runner) -> None:
    library = """
def use():
    loop = asyncio.get_running_loop()
    if not hasattr(loop, "lib_client"):
        loop.lib_client = AsyncClient()
"""
    result = run("async def test_a(): lib.use()\nasync def test_b(): lib.use()\n", library=library)

    result.result.assert_outcomes(passed=2)
    assert {owner for _, owner, _, _ in result.leaks} == {"singleton"}


def test_what_a_singleton_starts_later_fails_nobody(run: Runner) -> None:
    library = """
class Starter(Client):
    def _run(self):
        while not self._over.wait(0.01):
            if wanted.is_set():
                wanted.clear()
                child = threading.Thread(target=self._over.wait, daemon=True)
                child.start()
                done.set()
wanted, done = threading.Event(), threading.Event()
_one = []
def use():
    _one or _one.append(Starter())
"""
    source = "def test_a(): lib.use()\ndef test_b():\n    lib.wanted.set()\n    lib.done.wait()\n"

    result = run(source, library=library)

    result.result.assert_outcomes(passed=2)


# What is a leak.

OWN = {
    "a local variable": ("def test_a():\n    client = lib.Client()\n", "lib.Client", "Call its close()."),
    "nothing": ("def test_a(): lib.Client()\n", "lib.Client", "Call its close()."),
    "a list of the test's": ("def test_a():\n    held = [lib.Client()]\n", "lib.Client", "Call its close()."),
    "a pool of a client": ("def test_a():\n    p = lib.Pooled()\n    p.work()\n    KEEP = p\n", "", ""),
    "an async client": (
        "async def test_a():\n    client = lib.AsyncClient()\n",
        "lib.AsyncClient",
        "Use it in `async with`, or await its aclose().",
    ),
}


@pytest.mark.parametrize("own", [name for name in OWN if name != "a pool of a client"])
def test_object_that_a_test_left_open_is_named(own: str, run: Runner) -> None:
    source, name, remedy = OWN[own]

    result = run(source)

    assert [(owner, outcome) for _, owner, _, outcome in result.leaks] == [("test", "error")]
    assert f"It is part of {name}. {remedy}" in result.text


@pytest.mark.parametrize("own", [name for name in OWN if name != "nothing"])
def test_object_that_a_test_closed_is_silent(own: str, run: Runner) -> None:
    closed = {
        "a local variable": "def test_a(): lib.Client().close()\n",
        "a list of the test's": "def test_a(): [lib.Client()][0].close()\n",
        "a pool of a client": "def test_a():\n    p = lib.Pooled()\n    p.work()\n    p.shutdown()\n",
        "an async client": "async def test_a():\n    async with lib.AsyncClient(): pass\n",
    }

    result = run(closed[own])

    result.result.assert_outcomes(passed=1)
    assert result.leaks == []


NO_HOLDERS = {
    "a global that is a function of threading's": ("from threading import RLock, current_thread\n", "lib.Client()"),
    "the argument of a cached method": (
        "class Caching(Client):\n    @functools.lru_cache\n    def look(self, what): return what\n"
        "def use(): Caching().look(1)\n",
        "lib.use()",
    ),
    "a cache that an object has for itself": (
        "class Caching(Client):\n    def __init__(self):\n        super().__init__()\n"
        "        self.look = functools.lru_cache(self.look_up)\n    def look_up(self, what): return what\n"
        "def use(): Caching().look(1)\n",
        "lib.use()",
    ),
}


@pytest.mark.parametrize("no_holder", NO_HOLDERS)
def test_what_merely_refers_to_something_holds_nothing(no_holder: str, run: Runner) -> None:
    library, use = NO_HOLDERS[no_holder]

    result = run(f"def test_a(): {use}\n", library=library)

    assert [(owner, outcome) for _, owner, _, outcome in result.leaks] == [("test", "error")]
    assert "It is part of lib.C" in result.text


def test_fixture_whose_value_is_a_function_does_not_keep_its_modules_globals(run_leaks: Runner) -> None:
    source = """
@pytest.fixture(scope="session")
def starter():
    return leak_thread
def test_a(starter): KEPT.append(starter())
"""
    result = run_leaks(source)

    assert [(owner, outcome) for _, owner, _, outcome in result.leaks] == [("test", "error")]


NAMED = {
    "the one that the user has called, though others refer to it": (
        "class Broker:\n    def close(self): pass\n"
        "class Worker(Client):\n    def __init__(self, broker):\n        super().__init__()\n"
        "        self.broker = broker\n        broker.worker = self\n",
        "lib.Worker(lib.Broker())",
        "lib.Worker. Call its close().",
    ),
    "the one that was dropped, and not its parts": (
        "class Whole:\n    def __init__(self):\n        Client()\n    def shutdown(self): pass\n",
        "lib.Whole()",
        "lib.Whole. Call its shutdown().",
    ),
    "the one that a loop has called, by who is above it": (
        "class Owner:\n    def __init__(self):\n        self.parts = []\n    def close(self): pass\n"
        "class Part(AsyncClient):\n    def __init__(self, owner):\n        super().__init__()\n"
        "        owner.parts.append(self)\n        self.owner = owner\n"
        "def use(): asyncio.get_running_loop().call_soon(Part, Owner())\n",
        "lib.use()",
        "lib.Owner. Call its close().",
    ),
    "a class that is exported under another name": (
        "class _Hidden(Client): pass\nShown = _Hidden\n",
        "lib.Shown()",
        "lib.Shown.",
    ),
    "a class that a function makes": (
        "def make():\n    class Made(Client): pass\n    return Made()\n",
        "lib.make()",
        "lib.Client. Call its close().",
    ),
    "a with statement that fits the method": (
        "class Both(Client):\n    def __enter__(self): return self\n    def __exit__(self, *error): self.close()\n"
        "    async def __aenter__(self): return self\n    async def __aexit__(self, *error): self.close()\n",
        "lib.Both()",
        "lib.Both. Use it in `with`, or call its close().",
    ),
    "a server whose with statement does not end it": (
        "import socketserver\nclass Server(socketserver.TCPServer): pass\n"
        "def use():\n    server = Server(('127.0.0.1', 0), None)\n"
        "    threading.Thread(target=server.serve_forever, daemon=True).start()\n",
        "lib.use()",
        "lib.Server. Call its shutdown().",
    ),
    "the client of compiled code": (
        "exec(compile('def wait(): threading.Event().wait(5)', 'src/lib.pyx', 'exec'))\n"
        "class Compiled:\n    def __init__(self):\n        threading.Thread(target=wait, daemon=True).start()\n"
        "    def close(self): pass\n",
        "lib.Compiled()",
        "lib.Compiled. Call its close().",
    ),
}


@pytest.mark.parametrize("named", NAMED)
def test_object_is_named_as_its_user_knows_it(named: str, run: Runner) -> None:
    library, use, said = NAMED[named]

    result = run(f"import types\nasync def test_a():\n    {use}\n    await asyncio.sleep(0)\n", library=library)

    assert [(owner, outcome) for _, owner, _, outcome in result.leaks] == [("test", "error")]
    assert f"It is part of {said}" in result.text


CONNECTED = """
import socket
class Pool:
    def __init__(self): self.connections = []
class Blocking:
    def __init__(self, address):
        self.pool = Pool()
        self.pool.connections.append(socket.create_connection(address))
    def close(self): self.pool.connections[0].close()
class Awaiting:
    async def connect(self, address):
        self.reader, self.writer = await asyncio.open_connection(*address)
    async def aclose(self): self.writer.close()
"""
CONNECTS = {
    "Blocking": ("Blocking(SERVER.getsockname())", "call its close()"),
    "Awaiting": ("Awaiting()\n    await client.connect(SERVER.getsockname())", "await its aclose()"),
}


@pytest.mark.parametrize("client", CONNECTS)
def test_connection_names_its_client(client: str, run: Runner) -> None:
    connect, remedy = CONNECTS[client]
    source = f"""
import socket
SERVER = socket.create_server(("127.0.0.1", 0))
async def test_a(request):
    request.node.client = client = lib.{connect}
"""
    result = run(source, library=CONNECTED, ini="mockstream_leak_kinds = socket\n")

    assert [(owner, kind) for _, owner, kind, _ in result.leaks] == [("test", "socket")]
    assert f"It is part of lib.{client}. {remedy.capitalize()}." in result.text


def test_client_that_is_kept_keeps_what_only_c_knows(run: Runner) -> None:
    library = """
def _wait(): threading.Event().wait()
class Loose:
    def __init__(self):
        threading.Thread(target=_wait, daemon=True).start()
    def close(self): pass
@functools.cache
def use(): return Loose()
"""
    result = run("def test_a(): lib.use()\ndef test_b(): lib.use()\n", library=library)

    result.result.assert_outcomes(passed=2)
    assert [leak["kept_by"] for leak in result.data["leaks"]] == ["lib.use"]


def test_client_that_is_kept_does_not_keep_what_a_test_starts_with_it(run: Runner) -> None:
    library = """
def _wait(): threading.Event().wait()
class Loose:
    def listen(self):
        threading.Thread(target=_wait, daemon=True).start()
    def close(self): pass
@functools.cache
def use(): return Loose()
"""
    result = run("def test_a(): lib.use().listen()\ndef test_b(): lib.use().listen()\n", library=library)

    result.result.assert_outcomes(passed=2, errors=2)


def test_second_holder_of_another_test_convicts_both(run: Runner) -> None:
    library = "_all = []\ndef make():\n    _all.append(Client())\n"

    result = run("def test_a(): lib.make()\ndef test_b(): lib.make()\n", library=library)

    result.result.assert_outcomes(passed=2, errors=1)
    assert [(test, outcome) for test, _, _, outcome in result.leaks] == [
        ("test_a", "allowed"),
        ("test_b", "error"),
        ("test_b", "error"),
    ]
    assert "The same line made another lib.Client in an earlier test, which is still alive" in result.text
    assert "Share one, or close each. Call its close()." in result.text


def test_second_holder_after_the_first_was_closed_is_one(run: Runner) -> None:
    library = """
_one = None
def renew():
    global _one
    if _one is not None:
        _one.close()
    _one = Client()
"""
    result = run("def test_a(): lib.renew()\ndef test_b(): lib.renew()\n", library=library)

    result.result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "start",
    [
        "threading.Thread(target=OVER.wait, daemon=True)",
        "threading.Thread(target=mine, daemon=True)",
        "threading.Timer(3600, mine)",
    ],
)
def test_thread_of_the_users_own_is_the_tests_wherever_it_is_kept(start: str, run: Runner) -> None:
    source = f"""
OVER = threading.Event()
def mine(): OVER.wait(5)
def test_a():
    thread = {start}
    thread.daemon = True
    thread.start()
    KEPT.append(thread)
"""
    result = run(source)

    assert [(owner, outcome) for _, owner, _, outcome in result.leaks] == [("test", "error")]


def test_library_that_runs_a_function_of_the_users_makes_it_no_singleton(run: Runner) -> None:
    library = """
_one = []
def run_in_background(function):
    thread = threading.Thread(target=function, daemon=True)
    _one.append(thread)
    thread.start()
"""
    result = run("def test_a(): lib.run_in_background(lambda: threading.Event().wait(5))\n", library=library)

    assert [(owner, outcome) for _, owner, _, outcome in result.leaks] == [("test", "error")]


def test_job_of_the_users_keeps_a_pool_of_a_library_from_being_idle(run: Runner) -> None:
    library = "_one = Pooled()\ndef use(job):\n    return _one.pool.submit(job)\n"

    result = run("def test_a(): lib.use(lambda: time.sleep(3))\n", library=library)

    assert [(owner, outcome) for _, owner, _, outcome in result.leaks] == [("test", "error")]


# Fixtures.


WORKERS = """
class Workers:
    def __init__(self):
        self.over, self.known = threading.Event(), {}
    def get(self, name):
        if name not in self.known:
            self.known[name] = threading.Thread(target=self.over.wait, daemon=True)
            self.known[name].start()
        return self.known[name]
    def close(self):
        self.over.set()
        for thread in self.known.values():
            thread.join()
@pytest.fixture(scope="session")
def workers():
    made = Workers()
    yield made
    %s
@pytest.fixture
def worker(workers):
    return workers.get("one")
def test_first(worker): pass
def test_second(worker): pass
"""


def test_what_a_wider_fixture_keeps_is_not_the_tests(run: Runner) -> None:
    result = run(WORKERS % "made.close()")

    result.result.assert_outcomes(passed=2)
    assert result.leaks == []


def test_what_a_wider_fixture_keeps_and_does_not_end_is_its_own(run: Runner) -> None:
    result = run(WORKERS % "pass")

    assert [(owner, outcome) for _, owner, _, outcome in result.leaks] == [("fixture:workers:session", "error")]


# What is left on purpose, and what was there before.


def test_what_an_ignored_task_starts_later_is_nobodys(run_leaks: Runner) -> None:
    source = """
wanted = asyncio.Event()
async def keep():
    await wanted.wait()
    KEPT.append(asyncio.ensure_future(asyncio.sleep(3600)))
async def test_first():
    KEPT.append(asyncio.create_task(keep(), name="keeper"))
    await asyncio.sleep(0)
async def test_second():
    wanted.set()
    await asyncio.sleep(0.01)
"""
    ini = "mockstream_leak_ignore = keeper\nasyncio_default_test_loop_scope = session\n"

    result = run_leaks(source, ini=ini)

    result.result.assert_outcomes(passed=2)
    assert result.leaks == []


def test_pool_that_a_conftest_file_makes_is_an_imports(run_leaks: Runner) -> None:
    conftest = "from concurrent.futures import ThreadPoolExecutor\nPOOL = ThreadPoolExecutor(1)\n"
    source = "from conftest import POOL\ndef test_it(): assert POOL.submit(int).result() == 0\n"

    result = run_leaks(source, conftest=conftest)

    result.result.assert_outcomes(passed=1)


def test_what_a_thread_of_a_conftest_file_makes_is_an_imports(run_leaks: Runner) -> None:
    conftest = """
import socket, threading
WANTED, STARTED, OVER = threading.Event(), threading.Event(), threading.Event()
SOCKETS = []
def serve():
    WANTED.wait()
    threading.Thread(target=OVER.wait, daemon=True).start()
    SOCKETS.extend(socket.socketpair())
    STARTED.set()
threading.Thread(target=serve, daemon=True).start()
"""
    source = "from conftest import WANTED, STARTED\ndef test_it():\n    WANTED.set()\n    STARTED.wait()\n"

    result = run_leaks(source, conftest=conftest, ini="mockstream_leak_kinds = socket\n")

    result.result.assert_outcomes(passed=1)
    assert [(owner, outcome) for _, owner, _, outcome in result.leaks] == [("import", "allowed")]


# What tries to get past the check.

EVASIONS = {
    "a chain of tasks, each of which starts the next": """
async def link():
    await asyncio.sleep(0.01)
    KEPT.append(asyncio.create_task(link()))
async def test_a(): KEPT.append(asyncio.create_task(link()))
""",
    "a chain of tasks, each of which has a timer start the next": """
async def link():
    await asyncio.sleep(0.01)
    asyncio.get_running_loop().call_later(0.01, start)
def start(): KEPT.append(asyncio.create_task(link()))
async def test_a(): start()
""",
    "a chain of threads, each of which starts the next": """
def link(left):
    time.sleep(0.01)
    if left: start(left - 1)
def start(left): threading.Thread(target=link, args=(left,), daemon=True).start()
def test_a(): start(100)
""",
    "a chain of threads, each of which has a timer start the next": """
def tick(left):
    if left:
        timer = threading.Timer(0.01, tick, (left - 1,))
        timer.daemon = True
        timer.start()
def test_a(): tick(100)
""",
    "a function that is called like a finaliser": """
async def test_a():
    def __del__():
        leak_task()
    __del__()
    await asyncio.sleep(0)
""",
    "a thread that is named like asyncio's": """
def test_a(): threading.Thread(target=time.sleep, args=(5,), daemon=True, name="waitpid-7").start()
""",
    "a loop of its own, in a thread": """
def test_a():
    loop = asyncio.new_event_loop()
    KEPT.append(loop)
    threading.Thread(target=loop.run_forever, daemon=True).start()
""",
    "a thread that is named like a debugger's": """
def test_a(): threading.Thread(target=time.sleep, args=(5,), daemon=True, name="pydevd.X").start()
""",
    "a thread that is named like the timer of pytest-timeout": """
def test_a(): threading.Thread(target=time.sleep, args=(5,), daemon=True, name="pytest_timeout x").start()
""",
    "a task that answers its cancellation with KeyboardInterrupt": """
async def odd():
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
async def test_a():
    KEPT.append(asyncio.create_task(odd()))
    await asyncio.sleep(0)
""",
    "a task that answers its cancellation with SystemExit": """
async def odd():
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        raise SystemExit(3) from None
async def test_a():
    KEPT.append(asyncio.create_task(odd()))
    await asyncio.sleep(0)
""",
}


@pytest.mark.parametrize("evasion", EVASIONS)
def test_leak_does_not_get_past(evasion: str, run_leaks: Runner) -> None:
    result = run_leaks(EVASIONS[evasion] + "async def test_b(): pass\n")

    result.result.assert_outcomes(passed=2, errors=1)
    assert {(test, outcome) for test, _, _, outcome in result.leaks} == {("test_a", "error")}


def test_chain_of_tasks_that_comes_to_an_end_is_silent(run_leaks: Runner) -> None:
    source = """
async def link(left):
    await asyncio.sleep(0.002)
    if left:
        KEPT.append(asyncio.create_task(link(left - 1)))
async def test_a(): KEPT.append(asyncio.create_task(link(5)))
"""
    result = run_leaks(source, "--mockstream-grace=5")

    result.result.assert_outcomes(passed=1)


def test_chain_of_threads_and_tasks_is_seen_to_its_end(run_leaks: Runner) -> None:
    source = """
def work(loop, left):
    time.sleep(0.002)
    loop.call_soon_threadsafe(go_on, loop, left)
def go_on(loop, left):
    async def wait():
        await asyncio.sleep(0.002)
        if left: start(loop, left - 1)
    KEPT.append(loop.create_task(wait()))
def start(loop, left):
    threading.Thread(target=work, args=(loop, left), daemon=True).start()
@pytest.mark.assert_no_leaks(grace=0.05)
async def test_a(): start(asyncio.get_running_loop(), 200)
@pytest.mark.assert_no_leaks(grace=5)
async def test_b(): start(asyncio.get_running_loop(), 2)
"""
    result = run_leaks(source, ini="asyncio_default_test_loop_scope = session\n")

    result.result.assert_outcomes(passed=2, errors=1)
    assert {(test, outcome) for test, _, _, outcome in result.leaks} == {("test_a", "error")}


class Kept:
    """What a thread-local variable has."""


def test_thread_local_variable_is_a_holder_by_itself() -> None:
    local, kept = threading.local(), Kept()
    local.kept = kept

    holder = Search([kept], frozenset({"lib"}), ()).holder()

    assert holder is not None
    assert (holder.kind, holder.thing) == ("thread-local", kept)


def test_counts_add_up_over_several_loops(run_leaks: Runner) -> None:
    source = """
def test_a():
    async def main(count):
        KEPT.extend(asyncio.ensure_future(asyncio.sleep(60)) for _ in range(count))
    asyncio.run(main(1))
    asyncio.run(main(2))
"""
    result = run_leaks(source)

    assert "test_a left 3 things running (tasks 0 -> 3, threads 1 -> 1)" in result.text


# What the report says.


def test_line_that_waits_is_the_librarys_outermost_where_none_is_the_users(run: Runner) -> None:
    library = """
def inner(event):
    event.wait(5)
def outer():
    inner(threading.Event())
"""
    result = run("def test_a(): threading.Thread(target=lib.outer, daemon=True).start()\n", library=library)

    assert "waits at lib.py:" in result.text
    assert " in outer: inner(threading.Event())" in result.text


def test_line_of_a_library_is_told_beside_the_users(run: Runner) -> None:
    result = run("def test_a(): lib.Client()\n")

    result.result.stdout.fnmatch_lines(["    created at test_it.py:* in test_a, through lib.py:* in Client.__init__"])


EXEMPTIONS = {
    "by its name": ("threading.Thread(target=lib.Client._run, args=(C,), name='the beat')", "['the beat']"),
    "by its function": ("threading.Thread(target=mine)", "['test_it.mine']"),
    "by a name to be given": ("threading.Thread(target=time.sleep, args=(5,))", None),
}


@pytest.mark.parametrize("exemption", EXEMPTIONS)
def test_exemption_that_is_offered_lets_no_stranger_go(exemption: str, run: Runner) -> None:
    start, said = EXEMPTIONS[exemption]
    source = f"""
class C: _over = threading.Event()
def mine(): C._over.wait(5)
def test_a():
    thread = {start}
    thread.daemon = True
    thread.start()
"""
    result = run(source)

    assert (f"assert_no_leaks(ignore={said})" if said else "give it a name, then ignore that name") in result.text


@pytest.mark.parametrize(
    ("ignore", "silent"),
    [
        ("mine", True),
        ("test_it.mine", True),
        ("other.mine", False),
        ("start", True),
        ("test_it.start", True),
        ("outer", False),
        ("stack:outer", True),
        ("wait", False),
        ("stack:wait", True),
    ],
)
def test_ignore_means_the_thing_or_its_creator_and_the_whole_stack_only_if_asked(
    ignore: str, silent: bool, run_leaks: Runner
) -> None:
    source = """
def mine(): threading.Event().wait(5)
def start(): threading.Thread(target=mine, daemon=True).start()
def outer(): start()
def test_a(): outer()
"""
    result = run_leaks(source, ini=f"mockstream_leak_ignore = {ignore}\n")

    assert bool(result.leaks) is not silent


DIAGNOSES = {
    "two tasks that wait for each other": (
        "async def one(): await KEPT[1]\nasync def two(): await KEPT[0]\n"
        "async def test_a():\n    KEPT.append(asyncio.create_task(one(), name='1'))\n"
        "    KEPT.append(asyncio.create_task(two(), name='2'))\n    await asyncio.sleep(0)\n",
        "It and task '2' wait for each other.",
    ),
    "two threads that join each other": (
        "GO = threading.Event()\ndef one(): KEPT[1].join()\ndef two():\n    GO.wait()\n    KEPT[0].join()\n"
        "def test_a():\n    KEPT.extend(threading.Thread(target=f, name=f.__name__, daemon=True) for f in (one, two))\n"
        "    KEPT[1].start()\n    KEPT[0].start()\n    GO.set()\n",
        "It and thread 'two' wait for each other.",
    ),
    "a pipe": (
        "import multiprocessing\ndef test_a():\n    KEPT.append(multiprocessing.Pipe())\n"
        "    threading.Thread(target=KEPT[0][0].recv, daemon=True).start()\n",
        "It reads from a pipe that nobody writes to.",
    ),
    "a child process": (
        "import subprocess, sys\ndef test_a():\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3)'])\n"
        "    threading.Thread(target=child.wait, daemon=True).start()\n",
        "It waits for a child process to end.",
    ),
    "a socket": (
        "import socket\ndef test_a():\n    KEPT.extend(socket.socketpair())\n"
        "    threading.Thread(target=KEPT[0].makefile('rb').read, args=(1,), daemon=True).start()\n",
        None,
    ),
    "a full memory stream": (
        "import anyio\nasync def pump(send):\n    while True: await send.send(1)\n"
        "async def test_a():\n    KEPT.extend(anyio.create_memory_object_stream(1))\n"
        "    KEPT.append(asyncio.create_task(pump(KEPT[0])))\n    await asyncio.sleep(0)\n    await asyncio.sleep(0)\n",
        "It is blocked on a full memory stream: its consumer stopped reading.",
    ),
    "an empty memory stream": (
        "import anyio\nasync def read(receive): await receive.receive()\n"
        "async def test_a():\n    KEPT.extend(anyio.create_memory_object_stream(1))\n"
        "    KEPT.append(asyncio.create_task(read(KEPT[1])))\n    await asyncio.sleep(0)\n",
        "It waits on an empty memory stream that nobody fills.",
    ),
}


@pytest.mark.parametrize("waiting", [name for name, (_, said) in DIAGNOSES.items() if said])
def test_what_is_certain_is_told(waiting: str, run_leaks: Runner) -> None:
    source, said = DIAGNOSES[waiting]

    assert said is not None
    assert said in run_leaks(source).text


# The end of the run.


def test_singleton_that_could_have_been_closed_is_noted_at_the_end(run: Runner) -> None:
    library, use = KEEPING["a module's variable"]

    result = run(TWO.format(use=use), library=library)

    result.result.assert_outcomes(passed=3)
    assert "still open at the end: lib.Client, kept by lib._client: its close() closes it" in result.text


def test_singleton_that_is_closed_before_the_end_is_not_noted(run: Runner) -> None:
    library, use = KEEPING["a module's variable"]

    result = run(TWO.format(use=use) + "def test_last(): lib._client.close()\n", library=library)

    result.result.assert_outcomes(passed=4)
    assert "still open at the end" not in result.text
