"""What AWS's and Google's SDKs need to make a client is there, and nothing that somebody has set is in its shadow."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pytest_mockstream import MockStreamSDK
from pytest_mockstream.doors.cloud import lacking
from pytest_mockstream.doors.server import MockStreamServer

KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"}
GOOGLE = "GOOGLE_APPLICATION_CREDENTIALS"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Is an empty home, in an environment that knows no cloud."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "CLOUDSDK_", "ANTHROPIC_")):
            monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_all_is_lacking_where_there_is_nothing(home: Path) -> None:
    assert lacking({}).keys() == KEYS | {"AWS_DEFAULT_REGION", GOOGLE}


@pytest.mark.parametrize(
    "given",
    [
        {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s"},
        {"AWS_PROFILE": "work"},
        {"AWS_DEFAULT_PROFILE": "work"},
        {"AWS_BEARER_TOKEN_BEDROCK": "t"},
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/f", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/c"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/c"},
    ],
)
def test_credentials_in_the_environment_stay_alone(home: Path, given: dict[str, str]) -> None:
    assert not lacking(given).keys() & KEYS


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("credentials", "[default]\naws_access_key_id = AKIA\naws_secret_access_key = s\n"),
        ("config", "[default]\ncredential_process = /bin/creds\n"),
        ("config", "[default]\nsso_session = work\n[sso-session work]\nsso_region = eu-west-1\n"),
        ("config", "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n"),
        ("config", "[default]\ns3 =\n  max_concurrent_requests = 9\nlogin_session = x\n"),
    ],
)
def test_credentials_in_a_file_stay_alone(home: Path, file: str, text: str) -> None:
    write(home / ".aws" / file, text)

    assert not lacking({}).keys() & KEYS


@pytest.mark.parametrize(
    "text", ["", "[other]\naws_access_key_id = AKIA\n", "[profile x]\nrole_arn = r\n", "no INI file"]
)
@pytest.mark.parametrize("file", ["credentials", "config"])
def test_files_without_credentials_of_the_profile_in_use_leave_them_lacking(home: Path, file: str, text: str) -> None:
    write(home / ".aws" / file, text)

    assert lacking({}).keys() >= KEYS


@pytest.mark.parametrize(
    ("given", "file", "text"),
    [
        ({"AWS_REGION": "eu-west-1"}, "config", ""),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "config", ""),
        ({}, "config", "[default]\nregion = eu-west-1\n"),
        ({}, "credentials", "[default]\nregion = eu-west-1\n"),
        ({"AWS_PROFILE": "work"}, "config", "[profile work]\nregion = eu-west-1\n"),
        ({"AWS_DEFAULT_PROFILE": "a", "AWS_PROFILE": "b"}, "config", "[profile a]\nregion = eu-west-1\n"),
    ],
)
def test_region_that_is_set_stays(home: Path, given: dict[str, str], file: str, text: str) -> None:
    write(home / ".aws" / file, text)

    assert "AWS_DEFAULT_REGION" not in lacking(given)


def test_region_of_another_profile_is_none(home: Path) -> None:
    write(home / ".aws" / "config", "[profile work]\nregion = eu-west-1\n[default]\noutput = json\n")

    assert lacking({})["AWS_DEFAULT_REGION"] == "us-east-1"


def test_files_are_where_the_environment_says(home: Path) -> None:
    config = write(home / "my config", "[default]\nregion = eu-west-1\n")
    credentials = write(home / "my credentials", "[default]\naws_access_key_id = AKIA\n")

    added = lacking({"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(credentials)})

    assert added.keys() == {GOOGLE}


def test_credentials_of_google_stay(home: Path) -> None:
    assert GOOGLE not in lacking({GOOGLE: "/mine.json"})
    write(home / "gcloud" / "application_default_credentials.json", "{}")
    assert GOOGLE not in lacking({"CLOUDSDK_CONFIG": str(home / "gcloud")})
    assert GOOGLE in lacking({})


def test_credentials_that_gcloud_has_written_stay(home: Path) -> None:
    folder = home / "gcloud" if os.name == "nt" else home / ".config" / "gcloud"
    write(folder / "application_default_credentials.json", "{}")

    assert GOOGLE not in lacking({})


def test_what_is_lent_is_taken_back(home: Path) -> None:
    before = dict(os.environ)

    with MockStreamSDK():
        assert os.environ["AWS_ACCESS_KEY_ID"] == os.environ["AWS_SECRET_ACCESS_KEY"] == "mockstream-fake-key"
        assert Path(os.environ[GOOGLE]).is_file()

    assert dict(os.environ) == before


def test_server_adds_to_its_environment_what_is_lacking(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with MockStreamServer() as server:
        environment = server.environment()

    assert environment["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] == environment["ANTHROPIC_BEDROCK_BASE_URL"] == server.url
    assert environment["ANTHROPIC_VERTEX_BASE_URL"] == f"{server.url}/v1"
    assert GOOGLE in environment
    assert not environment.keys() & {*KEYS, "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"}


async def test_client_of_botocore_is_made_from_what_is_lent(home: Path) -> None:
    session: Any = pytest.importorskip("aioboto3").Session
    write(home / ".aws" / "config", "[default]\nregion = eu-central-1\n")

    with MockStreamSDK() as sdk:
        sdk.respond("Paris.")
        async with session().client("bedrock-runtime") as client:
            answer = await client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "hi"}]}])
        assert client.meta.region_name == "eu-central-1"
        assert [request.headers["host"] for request in sdk.requests] == ["bedrock-runtime.eu-central-1.amazonaws.com"]

    assert answer["output"]["message"]["content"] == [{"text": "Paris."}]


def test_credentials_of_google_are_made_from_what_is_lent(home: Path) -> None:
    google_auth: Any = pytest.importorskip("google.auth")

    with MockStreamSDK() as sdk:
        credentials, _ = google_auth.default()
        assert (credentials.token, credentials.expired, credentials.valid) == ("mockstream-fake-key", False, True)
        assert sdk.requests == []


@pytest.mark.parametrize("host", ["169.254.169.254", "169.254.170.2", "metadata.google.internal"])
def test_machine_that_is_asked_for_credentials_cannot_be_reached(host: str) -> None:
    httpx: Any = pytest.importorskip("httpx")

    with MockStreamSDK() as sdk:
        with pytest.raises(httpx.ConnectError):
            httpx.put(f"http://{host}/latest/api/token")
        sdk.verify()


def test_token_of_google_is_given_and_is_no_request() -> None:
    httpx: Any = pytest.importorskip("httpx")

    with MockStreamSDK() as sdk:
        answered = httpx.post("https://oauth2.googleapis.com/token", data={"grant_type": "refresh_token"})
        assert answered.json()["access_token"]
        assert sdk.requests == []


def test_server_that_can_write_no_file_tells_its_environment_all_the_same(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    with MockStreamServer() as server:
        environment = server.environment()

    assert environment["OPENAI_BASE_URL"] == server.base_url("openai")
    assert GOOGLE in environment
