"""Says what the SDKs of AWS and Google Cloud need in the environment, as far as there is nothing of the kind.

Both look for credentials in many places and in the end ask the machine that they run on, over the network
(https://docs.aws.amazon.com/boto3/latest/guide/credentials.html,
https://cloud.google.com/docs/authentication/application-default-credentials). What somebody has set in any of these
places stays in force; without it they get credentials that are none, so that they ask nobody.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pytest_mockstream.doors.guard import FAKE_KEY

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_REGION = "us-east-1"
_AWS_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_AWS_PROFILES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")  # the first that is set counts, to botocore
_AWS_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    *_AWS_PROFILES,
)
#: The settings of a profile that say where its credentials come from.
_AWS_SOURCES = {
    "aws_access_key_id",
    "credential_process",
    "login_session",
    "role_arn",
    "sso_session",
    "sso_start_url",
    "web_identity_token_file",
}
#: The variable that names a file with credentials of Google's.
GOOGLE = "GOOGLE_APPLICATION_CREDENTIALS"
#: An access token that is valid for ever, in a file as ``gcloud auth application-default login`` writes it. Its new
#: tokens come from Google, whoever answers there.
_GOOGLE_FILE = Path(__file__).with_name("google_credentials.json")
#: As gcloud writes it for workforce identities: such a file says where new tokens come from.
_GOOGLE_FILE_OF_SERVER = {
    "type": "external_account_authorized_user",
    "audience": "//iam.googleapis.com/locations/global/workforcePools/mockstream/providers/mockstream",
    "client_id": "mockstream-fake-client",
    "client_secret": FAKE_KEY,
    "refresh_token": FAKE_KEY,
    "token": FAKE_KEY,
    "expiry": "2999-01-01T00:00:00Z",
}


def lacking(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are to be added to an environment."""
    return _lacking_of_aws(environment) | _lacking_of_google(environment)


def _lacking_of_aws(environment: Mapping[str, str]) -> dict[str, str]:
    added: dict[str, str] = {}
    profile = _aws_profile(environment)
    if not (_any_set(environment, _AWS_CREDENTIALS) or profile.keys() & _AWS_SOURCES):
        added = {
            "AWS_ACCESS_KEY_ID": FAKE_KEY,
            "AWS_SECRET_ACCESS_KEY": FAKE_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    if not (_any_set(environment, _AWS_REGIONS) or profile.get("region")):
        added["AWS_DEFAULT_REGION"] = _REGION
    return {name: value for name, value in added.items() if not environment.get(name)}


def _aws_profile(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the profile in use, from both of AWS's files."""
    name = next((environment[one] for one in _AWS_PROFILES if environment.get(one)), "default")
    home = Path("~/.aws").expanduser()
    config = Path(environment.get("AWS_CONFIG_FILE") or home / "config").expanduser()
    credentials = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials").expanduser()
    return _section(config, name if name == "default" else f"profile {name}") | _section(credentials, name)


def _section(path: Path, name: str) -> dict[str, str]:
    """Return a section of an INI file; nothing if there is no such file, or one that cannot be read."""
    if not path.is_file():
        return {}
    from configparser import Error, RawConfigParser  # only those who have such a file pay for it

    parser = RawConfigParser(strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (Error, OSError, UnicodeError):  # its reader will say so
        return {}
    return dict(parser[name]) if parser.has_section(name) else {}


def _lacking_of_google(environment: Mapping[str, str]) -> dict[str, str]:
    if environment.get(GOOGLE) or _gcloud_file(environment).is_file():
        return {}
    return {GOOGLE: str(_GOOGLE_FILE)}


@contextmanager
def google_file(token_url: str) -> Iterator[str]:
    """Keep a file with credentials of Google's, while the block lasts, whose new tokens come from this URL."""
    with tempfile.TemporaryDirectory(prefix="mockstream-") as folder:
        path = Path(folder, "google_credentials.json")
        path.write_text(json.dumps({**_GOOGLE_FILE_OF_SERVER, "token_url": token_url}), encoding="utf-8")
        yield str(path)


def _gcloud_file(environment: Mapping[str, str]) -> Path:
    if folder := environment.get("CLOUDSDK_CONFIG"):
        home = Path(folder)
    elif sys.platform == "win32":
        home = Path(os.environ.get("APPDATA") or Path("~").expanduser()) / "gcloud"
    else:
        home = Path("~/.config/gcloud").expanduser()
    return home / "application_default_credentials.json"


def _any_set(environment: Mapping[str, str], names: Iterable[str]) -> bool:
    return any(environment.get(name) for name in names)
