"""Popular libraries used properly are silent, whichever test comes first; used wrongly, the report names the object.

One table: the code that uses a library properly, three tests of it, and the code that does not close what it makes.
Nothing leaves the machine: ports are closed, servers are local, models are the libraries' own fakes.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import pytest
from leak_runs import Runner

ORDERS = {"as written": [1, 2, 3], "the other way round": [3, 2, 1]}


@dataclass(frozen=True)
class Library:
    """How a library is used.

    Attributes:
        modules: without which it is not installed.
        proper: three tests that leave nothing, or only what the library keeps for good.
        wrong: tests that leave something open; empty where it has nothing that could be left open.
        name: of the object that the report names.
        remedy: that it gives.
        ini: of the run of what is wrong: an optional kind, where nothing is left but that.
    """

    modules: tuple[str, ...]
    proper: str
    wrong: str = ""
    name: str = ""
    remedy: str = ""
    ini: str = ""


LIBRARIES = {
    "sentry-sdk": Library(
        ("sentry_sdk",),
        """
import sentry_sdk
def report():
    if not sentry_sdk.is_initialized():
        sentry_sdk.init("http://key@127.0.0.1:9/1", auto_enabling_integrations=False, shutdown_timeout=0)
    with sentry_sdk.start_transaction(name="job"):
        sentry_sdk.capture_message("hello")
def test_1(): report()
async def test_2(): report()
def test_3():
    client = sentry_sdk.Client("http://key@127.0.0.1:9/1", auto_enabling_integrations=False)
    client.capture_event({"message": "hello"})
    client.close(timeout=0)
""",
        """
import sentry_sdk
def capture():
    client = sentry_sdk.Client("http://key@127.0.0.1:9/1", auto_enabling_integrations=False)
    client.capture_event({"message": "hello"})
    KEPT.append(client)
def test_1(): capture()
def test_2(): capture()
""",
        "sentry_sdk.Client",
        "call its close()",
    ),
    "opentelemetry": Library(
        ("opentelemetry", "opentelemetry.sdk"),
        """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader, ConsoleMetricExporter
READY = []
def provider():
    made = TracerProvider()
    made.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    return made
def work():
    if not READY:
        trace.set_tracer_provider(provider())
        READY.append(True)
    with trace.get_tracer("app").start_as_current_span("work"):
        pass
def test_1(): work()
async def test_2(): work()
def test_3():
    mine = provider()
    with mine.get_tracer("app").start_as_current_span("work"):
        pass
    mine.shutdown()
    meters = MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter(out=open(os.devnull, "w")))])
    meters.shutdown()
""",
        """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
def test_1(request):
    mine = TracerProvider()
    mine.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    with mine.get_tracer("app").start_as_current_span("work"):
        pass
    request.node.kept = mine
""",
        "opentelemetry.BatchSpanProcessor",
        "Call its shutdown().",
    ),
    "apscheduler": Library(
        ("apscheduler",),
        """
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.asyncio import AsyncIOScheduler
_scheduler = None
def scheduler():
    global _scheduler
    if _scheduler is None:
        _scheduler = BackgroundScheduler()
        _scheduler.add_job(int, "interval", seconds=0.01)
        _scheduler.start()
    return _scheduler
def test_1():
    scheduler().get_jobs()
    time.sleep(0.05)
async def test_2():
    scheduler().get_jobs()
    mine = AsyncIOScheduler()
    mine.start()
    mine.shutdown()
def test_3():
    mine = BackgroundScheduler()
    mine.start()
    mine.shutdown()
""",
        """
from apscheduler.schedulers.background import BackgroundScheduler
def test_1():
    mine = BackgroundScheduler()
    mine.start()
""",
        "apscheduler.BackgroundScheduler",
        "Call its shutdown().",
    ),
    "grpc.aio": Library(
        ("grpc",),
        """
import grpc, grpc.aio, weakref
CHANNELS = weakref.WeakKeyDictionary()
class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        async def echo(request, context):
            return request
        return grpc.unary_unary_rpc_method_handler(echo)
async def talk():
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Echo()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert await channel.unary_unary("/echo/Echo")(b"hello") == b"hello"
    kept = CHANNELS.setdefault(asyncio.get_running_loop(), grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
    assert await kept.unary_unary("/echo/Echo")(b"hello") == b"hello"
    await server.stop(None)
async def test_1(): await talk()
async def test_2(): await talk()
def test_3(): asyncio.run(talk())
""",
        """
import grpc.aio
async def test_1(request):
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    request.node.kept = server
""",
        "grpc.Server",
        "Await its stop().",
    ),
    "pymongo": Library(
        ("pymongo",),
        """
import pymongo
from pymongo.errors import PyMongoError
URL = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=20"
_client = None
def client():
    global _client
    if _client is None:
        _client = pymongo.MongoClient(URL)
    return _client
def ping(client):
    with pytest.raises(PyMongoError):
        client.admin.command("ping")
def test_1(): ping(client())
async def test_2():
    async with pymongo.AsyncMongoClient(URL) as mine:
        with pytest.raises(PyMongoError):
            await mine.admin.command("ping")
def test_3():
    ping(client())
    with pymongo.MongoClient(URL) as mine:
        ping(mine)
""",
        """
import pymongo
def test_1(request):
    mine = pymongo.MongoClient("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=20")
    with pytest.raises(pymongo.errors.PyMongoError):
        mine.admin.command("ping")
    request.node.kept = mine
""",
        "pymongo.MongoClient",
        "Use it in `with`, or call its close().",
    ),
    "pymongo async": Library(
        ("pymongo",),
        """
import pymongo, weakref
from pymongo.errors import PyMongoError
URL = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=20"
CLIENTS = weakref.WeakKeyDictionary()
async def ping():
    loop = asyncio.get_running_loop()
    if loop not in CLIENTS:
        CLIENTS[loop] = pymongo.AsyncMongoClient(URL)
    with pytest.raises(PyMongoError):
        await CLIENTS[loop].admin.command("ping")
async def test_1(): await ping()
async def test_2(): await ping()
async def test_3():
    async with pymongo.AsyncMongoClient(URL) as mine:
        with pytest.raises(PyMongoError):
            await mine.admin.command("ping")
""",
        """
import pymongo
async def test_1(request):
    mine = pymongo.AsyncMongoClient("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=20")
    with pytest.raises(pymongo.errors.PyMongoError):
        await mine.admin.command("ping")
    request.node.kept = mine
""",
        "pymongo.AsyncMongoClient",
        "Use it in `async with`, or await its aclose().",
    ),
    "redis": Library(
        ("redis", "fakeredis"),
        """
import fakeredis, functools
@functools.cache
def store(): return fakeredis.FakeRedis()
@functools.cache
def listener():
    pubsub = store().pubsub()
    pubsub.subscribe(news=lambda message: None)
    return pubsub.run_in_thread(sleep_time=0.01, daemon=True)
def test_1():
    listener()
    store().set("a", 1)
async def test_2():
    async with fakeredis.FakeAsyncRedis() as mine:
        async with mine.pubsub() as pubsub:
            await pubsub.subscribe("news")
            await mine.publish("news", "hello")
            await pubsub.get_message(timeout=0.1)
def test_3():
    listener()
    pubsub = store().pubsub()
    pubsub.subscribe(more=lambda message: None)
    thread = pubsub.run_in_thread(sleep_time=0.01)
    thread.stop()
    thread.join()
""",
        """
import fakeredis
def test_1():
    pubsub = fakeredis.FakeRedis().pubsub()
    pubsub.subscribe(news=lambda message: None)
    pubsub.run_in_thread(sleep_time=0.01, daemon=True)
""",
        "redis.PubSubWorkerThread",
        "Call its stop().",
    ),
    "aiosqlite": Library(
        ("aiosqlite",),
        """
import aiosqlite
async def query():
    async with aiosqlite.connect(":memory:") as db:
        async with db.execute("select 1") as cursor:
            assert await cursor.fetchone() == (1,)
async def test_1(): await query()
async def test_2():
    db = await aiosqlite.connect(":memory:")
    await db.close()
def test_3(): asyncio.run(query())
""",
        """
import aiosqlite
async def test_1(request):
    db = await aiosqlite.connect(":memory:")
    await db.execute("select 1")
    request.node.kept = db
""",
        "aiosqlite.Connection",
        "Use it in `async with`, or await its close().",
    ),
    "SQLAlchemy asyncio": Library(
        ("sqlalchemy", "aiosqlite", "greenlet"),
        """
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool
_engine = None
def engine():
    global _engine
    if _engine is None:
        _engine = create_async_engine("sqlite+aiosqlite://")
    return _engine
async def test_1():
    async with engine().connect() as connection:
        assert (await connection.execute(text("select 1"))).scalar() == 1
async def test_2():
    async with async_sessionmaker(engine())() as session:
        assert await session.scalar(text("select 1")) == 1
async def test_3():
    mine = create_async_engine("sqlite+aiosqlite://", poolclass=NullPool)
    async with mine.connect() as connection:
        await connection.execute(text("select 1"))
    await mine.dispose()
""",
        """
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
async def test_1(request):
    mine = create_async_engine("sqlite+aiosqlite://")
    async with mine.connect() as connection:
        await connection.execute(text("select 1"))
    request.node.kept = mine
""",
        "sqlalchemy.AsyncEngine",
        "Await its dispose().",
    ),
    # Nothing of it can be left open: its one monitor lives as long as the process.
    "tqdm": Library(
        ("tqdm",),
        """
import io
from tqdm import tqdm
from tqdm.asyncio import tqdm as atqdm
def count():
    for _ in tqdm(range(3), file=io.StringIO()): pass
def test_1(): count()
async def test_2():
    async for _ in atqdm(range(3), file=io.StringIO()): pass
def test_3():
    count()
    with tqdm(total=3, file=io.StringIO()) as bar: bar.update(3)
""",
    ),
    # Nothing of it can be left open but the generator of awatch(), which is the user's.
    "watchfiles": Library(
        ("watchfiles",),
        """
from watchfiles import awatch, watch
async def test_1(tmp_path):
    over = asyncio.Event()
    async for changes in awatch(tmp_path, stop_event=over, rust_timeout=20, yield_on_timeout=True): over.set()
async def test_2(tmp_path):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            async for changes in awatch(tmp_path, rust_timeout=20): pass
def test_3(tmp_path):
    for changes in watch(tmp_path, rust_timeout=20, yield_on_timeout=True): break
""",
    ),
    # A sink with a queue that nobody removes is kept by its one logger, which grows: that is no second holder.
    "loguru": Library(
        ("loguru",),
        """
from loguru import logger
logger.remove()
READY = []
def setup():
    if not READY:
        READY.append(logger.add(lambda message: None, enqueue=True))
def test_1():
    setup()
    logger.info("hello")
async def test_2():
    setup()
    logger.info("hello")
    await logger.complete()
def test_3():
    mine = logger.add(lambda message: None, enqueue=True)
    logger.info("hello")
    logger.remove(mine)
""",
    ),
    # It starts nothing but jobs of the loop's own pool.
    "structlog": Library(
        ("structlog",),
        """
import structlog
log = structlog.wrap_logger(structlog.PrintLogger(open(os.devnull, "w")), wrapper_class=structlog.stdlib.BoundLogger,
    processors=[structlog.processors.JSONRenderer()])
def test_1(): structlog.get_logger().info("hello")
async def test_2():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0), cache_logger_on_first_use=True)
    await structlog.get_logger().ainfo("hello")
async def test_3():
    await asyncio.gather(*(structlog.get_logger().ainfo("hello") for _ in range(3)))
""",
    ),
    "prometheus-client": Library(
        ("prometheus_client",),
        """
import functools, prometheus_client, urllib.request
COUNT = prometheus_client.Counter("hits", "help")
@functools.cache
def exporter(): return prometheus_client.start_http_server(0, addr="127.0.0.1")
def test_1():
    COUNT.inc()
    exporter()
async def test_2():
    COUNT.inc()
    exporter()
def test_3():
    server, thread = prometheus_client.start_http_server(0, addr="127.0.0.1")
    urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics").read()
    server.shutdown()
    server.server_close()
    thread.join()
""",
        """
import prometheus_client
def test_1(): prometheus_client.start_http_server(0, addr="127.0.0.1")
""",
        "prometheus_client.ThreadingWSGIServer",
        "Call its shutdown().",
    ),
    "boto3": Library(
        ("boto3",),
        """
import boto3, botocore.stub, functools, io
from boto3.s3.transfer import TransferConfig, create_transfer_manager
@functools.cache
def s3(): return boto3.client("s3", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
@functools.cache
def manager(): return create_transfer_manager(s3(), TransferConfig())
def upload(manager):
    with botocore.stub.Stubber(s3()) as stub:
        stub.add_response("put_object", {})
        manager.upload(io.BytesIO(b"hello"), "bucket", "key").result()
def test_1(): upload(manager())
def test_2():
    with botocore.stub.Stubber(s3()) as stub:
        stub.add_response("put_object", {})
        s3().upload_fileobj(io.BytesIO(b"hello"), "bucket", "key")
def test_3():
    with create_transfer_manager(s3(), TransferConfig()) as mine: upload(mine)
    upload(manager())
""",
        """
import boto3, botocore.stub, io
from boto3.s3.transfer import TransferConfig, create_transfer_manager
def test_1(request):
    s3 = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    mine = create_transfer_manager(s3, TransferConfig())
    with botocore.stub.Stubber(s3) as stub:
        stub.add_response("put_object", {})
        mine.upload(io.BytesIO(b"hello"), "bucket", "key").result()
    request.node.kept = mine
""",
        "s3transfer.TransferManager",
        "Use it in `with`, or call its shutdown().",
    ),
    "langfuse": Library(
        ("langfuse",),
        """
import langfuse
os.environ.update(LANGFUSE_PUBLIC_KEY="pk", LANGFUSE_SECRET_KEY="sk")
os.environ.update(LANGFUSE_BASE_URL="http://127.0.0.1:9", LANGFUSE_TIMEOUT="1")
@langfuse.observe()
def work(): return 1
@langfuse.observe()
async def awork(): return 1
def test_1(): work()
async def test_2(): await awork()
def test_3():
    langfuse.get_client()
    work()
""",
        """
import langfuse
def make():
    return langfuse.Langfuse(public_key=os.urandom(4).hex(), secret_key="sk", base_url="http://127.0.0.1:9", timeout=1)
def test_1(): make()
def test_2(): make()
""",
        "langfuse.Langfuse",
        "Share one, or close each. Call its shutdown().",
    ),
    "logfire": Library(
        ("logfire",),
        """
import logfire
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from logfire.testing import TestExporter
READY = []
def span():
    if not READY:
        logfire.configure(send_to_logfire=False, console=False,
            additional_span_processors=[BatchSpanProcessor(TestExporter())])
        READY.append(True)
    with logfire.span("work"): pass
def test_1(): span()
async def test_2(): span()
def test_3():
    mine = logfire.configure(local=True, send_to_logfire=False, console=False,
        additional_span_processors=[BatchSpanProcessor(TestExporter())])
    with mine.span("work"): pass
    mine.shutdown()
""",
        """
import logfire
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from logfire.testing import TestExporter
def test_1(request):
    mine = logfire.configure(local=True, send_to_logfire=False, console=False,
        additional_span_processors=[BatchSpanProcessor(TestExporter())])
    with mine.span("work"): pass
    request.node.kept = mine
""",
        "opentelemetry.BatchSpanProcessor",
        "Call its shutdown().",
    ),
    # What it starts it keeps for the process and for each loop; it has nothing that a user could close.
    "litellm": Library(
        ("litellm",),
        """
import litellm
litellm.suppress_debug_info = True
MESSAGES = [{"role": "user", "content": "hi"}]
async def test_1(): await litellm.acompletion("gpt-4o", MESSAGES, mock_response="hello")
def test_2(): litellm.completion("gpt-4o", MESSAGES, mock_response="hello")
async def test_3():
    router = litellm.Router([{"model_name": "m", "litellm_params": {"model": "gpt-4o", "mock_response": "hello"}}])
    await router.acompletion("m", MESSAGES)
    async for _ in await litellm.acompletion("gpt-4o", MESSAGES, mock_response="hello", stream=True): pass
""",
    ),
    "langchain": Library(
        ("langchain_core",),
        """
from contextlib import aclosing
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda, RunnableParallel
MODEL = FakeListChatModel(responses=["hello"])
async def test_1():
    async with aclosing(MODEL.astream("hi")) as stream:
        async for _ in stream: break
async def test_2():
    assert (await MODEL.ainvoke("hi")).content == "hello"
    await RunnableLambda(len).abatch(["a", "b"])
    async with aclosing(RunnableParallel(a=MODEL, b=MODEL).astream("hi")) as stream:
        async for _ in stream: break
def test_3():
    RunnableParallel(a=MODEL, b=MODEL).invoke("hi")
    RunnableLambda(len).batch(["a", "b"])
""",
        """
from langsmith import Client
def test_1(request):
    mine = Client(api_url="http://127.0.0.1:9", api_key="x", info={})
    request.node.kept = mine
""",
        "langsmith.Client",
        "Call its close().",
    ),
    "openai-agents": Library(
        ("agents",),
        """
import agents
from agents.tracing import add_trace_processor, trace, custom_span
from agents.tracing.processors import BatchTraceProcessor
class Exporter(agents.tracing.TracingExporter if hasattr(agents.tracing, "TracingExporter") else object):
    def export(self, items): pass
def traced():
    with trace("work"):
        with custom_span("step"): pass
def test_1(): traced()
async def test_2(): traced()
def test_3():
    mine = BatchTraceProcessor(Exporter())
    add_trace_processor(mine)
    traced()
    mine.shutdown()
""",
        """
from agents.tracing.processors import BatchTraceProcessor
class Exporter:
    def export(self, items): pass
class Span: pass
def test_1(request):
    mine = BatchTraceProcessor(Exporter())
    mine.on_span_end(Span())
    request.node.kept = mine
""",
        "agents.BatchTraceProcessor",
        "Call its shutdown().",
    ),
    "llama-index": Library(
        ("llama_index", "llama_index.core"),
        """
from llama_index.core.llms import MockLLM
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.workflow import Workflow, StartEvent, StopEvent, step
class Flow(Workflow):
    @step
    async def only(self, event: StartEvent) -> StopEvent:
        return StopEvent(result=1)
LLM = MockLLM(max_tokens=3)
async def test_1(): assert await Flow().run() == 1
async def test_2():
    answer = await SimpleChatEngine.from_defaults(llm=LLM).astream_chat("hi")
    async for _ in answer.async_response_gen(): pass
def test_3():
    answer = SimpleChatEngine.from_defaults(llm=LLM).stream_chat("hi")
    for _ in answer.response_gen: pass
""",
        """
from llama_index.core.workflow import Workflow, Context, Event, StartEvent, StopEvent, HumanResponseEvent, step
class Flow(Workflow):
    @step
    async def ask(self, context: Context, event: StartEvent) -> StopEvent:
        await context.wait_for_event(HumanResponseEvent)
        return StopEvent(result=1)
async def test_1(request):
    handler = Flow(timeout=None).run()
    await asyncio.sleep(0.05)
    request.node.kept = handler
""",
        "WorkflowHandler",
        "cancel",
    ),
    "httpx": Library(
        ("httpx",),
        """
import httpx
_client = None
def client():
    global _client
    if _client is None:
        _client = httpx.Client()
    return _client
def test_1(server): assert client().get(server).text == "hello"
async def test_2(server):
    async with httpx.AsyncClient() as mine:
        assert (await mine.get(server)).text == "hello"
async def test_3(server):
    client().get(server)
    async with httpx.AsyncClient() as mine, mine.stream("GET", server) as response:
        async for _ in response.aiter_bytes(): break
""",
        """
import httpx
async def test_1(request, server):
    request.node.kept = mine = httpx.AsyncClient()
    await mine.get(server)
""",
        "httpx.AsyncClient",
        "Use it in `async with`, or await its aclose().",
        "mockstream_leak_kinds = socket\n",
    ),
    "httpx sync": Library(
        ("httpx",),
        """
import httpx
def test_1(server):
    with httpx.Client() as mine: mine.get(server)
def test_2(server):
    with httpx.Client() as mine, mine.stream("GET", server) as response: response.read()
def test_3(server): httpx.get(server)
""",
        """
import httpx
def test_1(request, server):
    request.node.kept = mine = httpx.Client()
    mine.get(server)
""",
        "httpx.Client",
        "Use it in `with`, or call its close().",
        "mockstream_leak_kinds = socket\n",
    ),
    "aiohttp client": Library(
        ("aiohttp",),
        """
import aiohttp
async def get(server):
    async with aiohttp.ClientSession() as mine, mine.get(server) as response: await response.read()
async def test_1(server): await get(server)
async def test_2(server): await get(server)
def test_3(server): asyncio.run(get(server))
""",
        """
import aiohttp
async def test_1(request, server):
    request.node.kept = mine = aiohttp.ClientSession()
    async with mine.get(server) as response: await response.read()
""",
        "aiohttp.ClientSession",
        "Use it in `async with`, or await its close().",
        "mockstream_leak_kinds = socket\n",
    ),
    "requests": Library(
        ("requests",),
        """
import functools, requests
@functools.cache
def session(): return requests.Session()
def test_1(server): session().get(server)
def test_2(server):
    with requests.Session() as mine: mine.get(server)
def test_3(server): requests.get(server)
""",
        """
import requests
def test_1(request, server):
    request.node.kept = mine = requests.Session()
    mine.get(server)
""",
        "requests.Session",
        "Use it in `with`, or call its close().",
        "mockstream_leak_kinds = socket\n",
    ),
    "aiohttp": Library(
        ("aiohttp",),
        """
import aiohttp
from aiohttp import web
async def serve():
    app = web.Application()
    async def hello(request): return web.Response(text="hello")
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"
async def test_1(server):
    async with aiohttp.ClientSession() as mine, mine.get(server) as response:
        assert await response.text() == "hello"
async def test_2():
    runner, url = await serve()
    async with aiohttp.ClientSession() as mine, mine.get(url) as response:
        assert await response.text() == "hello"
    await runner.cleanup()
async def test_3():
    runner, url = await serve()
    mine = aiohttp.ClientSession()
    async with mine.get(url) as response:
        assert await response.text() == "hello"
    await mine.close()
    await runner.cleanup()
""",
        """
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
async def test_1(request):
    request.node.kept = mine = TestClient(TestServer(web.Application()))
    await mine.start_server()
    async with mine.get("/") as response:
        await response.read()
""",
        "aiohttp.TestClient",
        "Use it in `async with`, or await its close().",
    ),
    "websockets": Library(
        ("websockets",),
        """
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.sync.client import connect as connect_sync
from websockets.sync.server import serve as serve_sync
async def echo(websocket):
    async for message in websocket: await websocket.send(message)
def echo_sync(websocket):
    for message in websocket: websocket.send(message)
async def test_1():
    async with serve(echo, "127.0.0.1", 0) as server:
        async with connect("ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1]) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
async def test_2():
    async with serve(echo, "127.0.0.1", 0) as server:
        websocket = await connect("ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1])
        await websocket.close()
def test_3():
    with serve_sync(echo_sync, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with connect_sync("ws://127.0.0.1:%d" % server.socket.getsockname()[1]) as websocket:
            websocket.send("hello")
            assert websocket.recv() == "hello"
        server.shutdown()
        thread.join()
""",
        """
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
async def echo(websocket):
    async for message in websocket: await websocket.send(message)
async def test_1(request):
    server = await serve(echo, "127.0.0.1", 0)
    websocket = await connect("ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1])
    request.node.kept0 = websocket
    request.node.kept1 = server
""",
        "websockets.ClientConnection",
        "Use it in `async with`, or await its close().",
    ),
    "dramatiq": Library(
        ("dramatiq",),
        """
import dramatiq, functools
from dramatiq.brokers.stub import StubBroker
BROKER = StubBroker()
dramatiq.set_broker(BROKER)
DONE = []
@dramatiq.actor
def work(): DONE.append(1)
@functools.cache
def worker():
    made = dramatiq.Worker(BROKER, worker_timeout=20, worker_threads=2)
    made.start()
    return made
def test_1():
    worker()
    work.send()
    BROKER.join("default")
async def test_2():
    worker()
    work.send()
def test_3():
    other = StubBroker()
    mine = dramatiq.Worker(other, worker_timeout=20, worker_threads=1)
    mine.start()
    mine.stop()
""",
        """
import dramatiq
from dramatiq.brokers.stub import StubBroker
def test_1():
    mine = dramatiq.Worker(StubBroker(), worker_timeout=20, worker_threads=1)
    mine.start()
""",
        "dramatiq.Worker",
        "Call its stop().",
    ),
    # A worker in the process is for tests only, and ends with its `with` statement.
    "celery": Library(
        ("celery",),
        """
import celery
from celery.contrib.testing.worker import start_worker
APP = celery.Celery("app", broker="memory://", backend="cache+memory://")
@APP.task
def add(a, b): return a + b
def test_1():
    with start_worker(APP, perform_ping_check=False, shutdown_timeout=20):
        assert add.delay(1, 2).get(timeout=20) == 3
def test_2(): assert add.apply((1, 2)).get() == 3
def test_3(): add.delay(1, 2).forget()
""",
    ),
}

CONFTEST = """
import http.server, threading, pytest
class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")
    def log_message(self, *args):
        pass
SERVER = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
threading.Thread(target=SERVER.serve_forever, daemon=True).start()
@pytest.fixture
def server():
    return "http://127.0.0.1:%d/" % SERVER.server_port
"""


@pytest.fixture
def run(run_leaks: Runner, request: pytest.FixtureRequest) -> Runner:
    """Run tests of the library that is asked for, if it is installed."""
    name = request.node.callspec.params["library"]
    for module in LIBRARIES[name].modules:
        if find_spec(module) is None:  # importing it here would start in this process what the test is about
            pytest.skip(f"{module} is not installed")
    return run_leaks


@pytest.mark.parametrize("order", ["as written", pytest.param("the other way round", marks=pytest.mark.slow)])
@pytest.mark.parametrize("library", LIBRARIES)
def test_proper_use_fails_nobody_in_whatever_order(library: str, order: str, run: Runner) -> None:
    chosen = [f"test_it.py::test_{number}" for number in ORDERS[order]]

    result = run(LIBRARIES[library].proper, "-p", "no:randomly", *chosen, conftest=CONFTEST)

    result.result.assert_outcomes(passed=3)
    assert {owner for _, owner, _, _ in result.leaks} <= {"singleton", "import"}


@pytest.mark.parametrize("library", [name for name, used in LIBRARIES.items() if used.wrong])
def test_object_that_is_left_open_is_named_with_its_remedy(library: str, run: Runner) -> None:
    used = LIBRARIES[library]

    result = run(used.wrong, ini=used.ini, conftest=CONFTEST)

    assert result.leaks
    assert used.name in result.text
    assert used.remedy in result.text
