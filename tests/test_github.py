"""What GitHub reads is valid, and says what the project says; nothing here needs a network."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import pytest_mockstream

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
PLATFORMS = {
    "ubuntu-latest": "Operating System :: POSIX :: Linux",
    "macos-latest": "Operating System :: MacOS",
    "windows-latest": "Operating System :: Microsoft :: Windows",
}
PINNED = re.compile(r"[\w-]+/[\w./-]+@(v\d+|release/v\d+|[0-9a-f]{40})|\./\.github/workflows/\w+\.yml")
EXPRESSION = re.compile(r"\$\{\{.*?\}\}")


def load(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def jobs() -> dict[str, Any]:
    return {f"{path.name}: {name}": job for path in WORKFLOWS for name, job in load(path)["jobs"].items()}


def steps() -> list[dict[str, Any]]:
    return [step for job in jobs().values() for step in job.get("steps", ())]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.github-issue-forms", FORMS),
        ("vendor.github-issue-config", [GITHUB / "ISSUE_TEMPLATE" / "config.yml"]),
        ("vendor.dependabot", [GITHUB / "dependabot.yml"]),
    ],
)
def test_files_follow_their_schema(schema: str, files: list[Path]) -> None:
    assert files

    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "ok -- validation done\n")


def test_actions_are_pinned() -> None:
    used = [entry["uses"] for entry in [*jobs().values(), *steps()] if "uses" in entry]

    assert used
    assert [name for name in used if not PINNED.fullmatch(name)] == []


def test_scripts_of_steps_are_valid_shell() -> None:
    scripts = [EXPRESSION.sub("x", step["run"]) for step in steps() if "run" in step]

    done = [
        (script, subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False).stderr)  # noqa: S607 - on the path of every CI machine
        for script in scripts
    ]

    assert scripts
    assert [(script, said) for script, said in done if said] == []


def test_scripts_take_no_text_from_outside_but_by_the_environment() -> None:
    safe = re.compile(r"\$\{\{ matrix\.\w+ \}\}")

    assert [step["run"] for step in steps() if EXPRESSION.search(safe.sub("", step.get("run", "")))] == []


def test_jobs_may_only_read_but_for_the_one_that_publishes() -> None:
    rights = {name: job["permissions"] for name, job in jobs().items() if "permissions" in job}

    assert rights.pop("release.yml: publish") == {"id-token": "write"}
    assert all(right == {"contents": "read"} for right in rights.values())
    assert {path.name: load(path)["permissions"] for path in WORKFLOWS} == {
        "ci.yml": {"contents": "read"},
        "release.yml": {},
    }


def test_needed_jobs_exist() -> None:
    for path in WORKFLOWS:
        found = load(path)["jobs"]
        for job in found.values():
            needs = job.get("needs", [])
            assert {needs} <= {*found} if isinstance(needs, str) else {*needs} <= {*found}


def test_one_job_tells_whether_all_others_passed() -> None:
    found = load(GITHUB / "workflows" / "ci.yml")["jobs"]

    assert {*found["passed"]["needs"]} == {*found} - {"passed"}


def test_ci_runs_on_every_platform_and_python_that_is_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    matrix = load(GITHUB / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))

    assert matrix["os"] == [*PLATFORMS]
    assert matrix["python"] == versions
    assert project["requires-python"] == f">={versions[0]}"


def test_platforms_that_a_classifier_names_must_pass() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    job = load(GITHUB / "workflows" / "ci.yml")["jobs"]["test"]

    named = [system for system, classifier in PLATFORMS.items() if classifier in project["classifiers"]]
    binding = " && ".join(f"matrix.os != '{system}'" for system in named)
    assert job["continue-on-error"] == f"${{{{ {binding} }}}}"


def test_bug_report_asks_for_the_leak_report_and_versions() -> None:
    fields = {field["id"]: field for field in load(GITHUB / "ISSUE_TEMPLATE" / "bug_report.yml")["body"]}

    assert "--mockstream-report=" in fields["report"]["attributes"]["description"]
    assert all(fields[name]["validations"]["required"] for name in ("what", "test", "report", "versions"))


def test_contributing_shows_every_room() -> None:
    text = (GITHUB / "CONTRIBUTING.md").read_text(encoding="utf-8")
    package = Path(pytest_mockstream.__file__).parent

    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert {*re.findall(r"^\| \d \| `(\w+)/`", text, re.MULTILINE)} == rooms


@pytest.mark.parametrize("path", sorted(GITHUB.glob("*.md")), ids=lambda path: path.name)
def test_code_that_a_page_names_exists(path: Path) -> None:
    package = Path(pytest_mockstream.__file__).parent
    folders = (ROOT, package.parent, package, package / "doors")

    named = re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", path.read_text(encoding="utf-8"))
    assert [name for name in named if not any((folder / name).exists() for folder in folders)] == []


def test_a_release_runs_every_step_of_run_all() -> None:
    script = ROOT / ".ci" / "run-all"
    steps_of_script = re.search(r"^all_steps=\((.*)\)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    job = load(GITHUB / "workflows" / "release.yml")["jobs"]["all"]

    assert steps_of_script is not None
    assert job["strategy"]["matrix"]["step"] == steps_of_script[1].split()
