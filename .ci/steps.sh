# What `run` and `run-all` share; sourced by them at the root of the repository.
#
# Nothing may hang here: a test that does is ended after `test_limit`, a step after its own limit, and either shows the
# stacks of all threads first. A step that passes takes a third of its limit at most on two cores.
set -euo pipefail
unset PYTHONDONTWRITEBYTECODE # tests start interpreters by the hundred; compiling for each takes longer than testing
export PYTHONFAULTHANDLER=1
ulimit -c 0 # a step is ended with a signal that would leave its core
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
own_pythons=${XDG_CACHE_HOME:-$HOME/.cache}/pytest-mockstream/pythons
test_limit=300 # seconds; the slowest test takes 17 on two busy cores
export PYTEST_ADDOPTS="-o faulthandler_timeout=$test_limit -o faulthandler_exit_on_timeout=true"
in_parallel="-n logical --dist=worksteal"

step() { # NAME
    current_step=$1
    echo "== $(date +%T) $current_step"
}

limit() { # SECONDS COMMAND...: on time-out Python's faulthandler shows the stacks of each process of the command
    local seconds=$1 status=0
    shift
    timeout --signal=ABRT --kill-after=30 "$seconds" "$@" </dev/null || status=$?
    case $status in
        0) ;;
        124 | 137)
            sleep 2 # the command's own processes may still be writing their stacks
            echo "== FAILED: $current_step: ended after its limit of $seconds s: $*"
            ;;
        *) echo "== FAILED: $current_step: exit status $status: $*" ;;
    esac
    return "$status"
}

pythons() { # every CPython >= 3.11 on this machine, one of each minor version, oldest first: VERSION PATH
    local candidate
    for candidate in python3 python3.{11..20} "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python \
        "$own_pythons"/usr/bin/python3.{11..20}; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        "$candidate" -c '
import sys
if sys.version_info >= (3, 11) and sys.implementation.name == "cpython":
    print(f"{sys.version_info.major}.{sys.version_info.minor}", sys.executable)' 2>/dev/null || true
    done | sort -V -u -k1,1
}

environment() { # PYTHON FOLDER EXTRA: one with the wheel; by a pip outside of it, for not every Python brings its own
    limit 60 "$1" -m venv --without-pip "$2"
    limit 600 .venv/bin/pip --python "$2/bin/python" install -q "$(echo "$work"/dist/*.whl)[$3]"
}

readme_test() { # the README's test command: the last of its lines that makes an environment and runs pytest
    grep -E '^python3 -m venv .*/pytest( |$)' README.md | tail -n 1
}

wheel() { # builds it, and `outside`: a folder with the tests and without the package
    limit 300 .venv/bin/python -m build -q --outdir "$work/dist"
    limit 60 .venv/bin/twine check --strict "$work"/dist/*
    mkdir "$work/outside"
    cp -r tests examples .ci .github README.md CHANGELOG.md pyproject.toml "$work/outside"
}

test_wheel() { # SECONDS ENVIRONMENT ARGS...: run tests against the wheel of an environment
    local seconds=$1 python=$2
    shift 2
    # shellcheck disable=SC2086 # several options
    (cd "$work/outside" && tests "$python/bin/pytest" limit "$seconds" "$python/bin/pytest" -q $in_parallel "$@")
}

tests() { # PYTEST COMMAND...: run tests; the few that fail are run once more, by themselves and one after the other
    local pytest=$1 status=0 failed=()
    shift
    rm -rf .pytest_cache
    "$@" || status=$?
    [ "$status" = 1 ] || return "$status"
    mapfile -d "" failed < <(python3 -c '
import json, pathlib
failed = pathlib.Path(".pytest_cache/v/cache/lastfailed")
for name in json.loads(failed.read_text()) if failed.exists() else ():
    print(name, end="\0")')
    [ ${#failed[@]} -ge 1 ] && [ ${#failed[@]} -le 5 ] || return 1
    echo "== $(date +%T) once more, alone: ${failed[*]}"
    limit 600 "$pytest" -q -rs --slow -p no:randomly "${failed[@]}" || return
    printf '%s\n' "${failed[@]/#/== FLAKY: $current_step: }" >>"$work/flaky"
}

tell_flaky() { # which tests failed beside others, and passed alone
    [ ! -f "$work/flaky" ] || cat "$work/flaky"
}

browser() { # tells whether there is a Chromium; installs Debian's where it may
    command -v chromium chromium-browser google-chrome >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        limit 300 apt-get update -q && limit 600 apt-get install -y -q --no-install-recommends chromium && return
    fi
    echo "== no browser: the tests of pages are skipped (install chromium)"
    return 1
}
