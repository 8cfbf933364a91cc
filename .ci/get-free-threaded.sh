#!/usr/bin/env bash
# Build a CPython without the global interpreter lock, and print its path.
#
#     get-free-threaded.sh DEST [VERSION]        for example: get-free-threaded.sh ~/.cache/pythons 3.13
#
# Debian has no package of one, so it is built from Debian's source of the given minor version: the newest that the
# mirror of this machine still has, of its development release or of an older one. Needs apt, a C compiler and the headers
# of libffi, OpenSSL, SQLite and zlib; no root. That takes ten minutes on two cores. What is there and works is not built
# again.
#
# An environment on it is made with `-m venv --without-pip`. Seen on 2026-11-29, with 3.13.15: of what the tests need,
# all but uvloop, check-jsonschema, vcrpy, langchain-openai and newer versions of hypothesis (take `hypothesis<6.150`)
# installs there; grpcio compiles for many minutes, and of rpds-py an older version has a wheel (`pip --prefer-binary`).
set -euo pipefail

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ $# -ge 1 ] || { echo "usage: get-free-threaded.sh DEST [VERSION]" >&2; exit 2; }
version=${2:-3.13}
mkdir -p "$1"
dest=$(realpath "$1")/$version-free-threaded
python=$dest/bin/python${version}t
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

works() {
    "$python" -c 'import ctypes, sqlite3, ssl, sys, venv; sys.exit(sys._is_gil_enabled())' 2>/dev/null
}

say_no() { # REASON
    echo "get-free-threaded.sh: $1" >&2
    exit 1
}

mirror() { # of this machine's own Debian, as get-python.sh finds it
    # shellcheck disable=SC2016 # apt expands it
    apt-get indextargets --format '$(CREATED_BY) $(COMPONENT) $(REPO_URI)' |
        sed -n 's|^Packages main \(.*/debian/*\)$|\1|p' | sed -n 1p
}

configure_apt() { # MIRROR: let it see sources alone
    mkdir -p "$scratch"/{state/lists/partial,cache/archives/partial,etc}
    : >"$scratch/status"
    for release in sid forky trixie; do
        echo "deb-src [signed-by=$keyring] $1 $release main"
    done >"$scratch/etc/sources.list"
    cat >"$scratch/apt.conf" <<END
Dir::State "$scratch/state";
Dir::State::status "$scratch/status";
Dir::Cache "$scratch/cache";
Dir::Log "$scratch";
Dir::Etc::sourcelist "$scratch/etc/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
Debug::NoLocking "true";
END
    [ "$(id -u)" != 0 ] || echo 'APT::Sandbox::User "root";' >>"$scratch/apt.conf" # its own user cannot write here
    export APT_CONFIG=$scratch/apt.conf
    apt-get -qq update
}

get_source() { # the newest that the mirror has: its lists may name what it no longer gives
    local known
    for known in $(apt-cache showsrc "python$version" 2>/dev/null | sed -n 's/^Version: //p' | sort -rVu); do
        if (cd "$scratch" && apt-get -qq source --tar-only --download-only "python$version=$known") 2>"$scratch/log"; then
            return 0
        fi
    done
    return 1
}

if ! works; then
    command -v apt-get cc make >/dev/null || say_no "apt, a C compiler and make are needed"
    mirror=$(mirror)
    [ -n "$mirror" ] || say_no "apt has no mirror of Debian"
    configure_apt "$mirror" || say_no "apt cannot read the sources from $mirror"
    get_source || say_no "$mirror has no source of Python $version"
    tar -xf "$scratch/python$version"_*.orig.tar.* -C "$scratch"
    cd "$scratch/Python-$version".*/
    {
        ./configure -q --disable-gil --prefix="$dest" --disable-test-modules --with-ensurepip=no
        make -s -j2
        make -s install
    } >"$scratch/build.log" 2>&1 || { tail -20 "$scratch/build.log" >&2; say_no "Python $version did not build"; }
fi
works || say_no "Python $version was built, and lacks a module that the tests need, or has the lock"
echo "$python"
