#!/usr/bin/env bash
# Runs the tests, and installs what they need: on Debian 12 or a relative, with Rust and root.
set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<'END'
Usage: tests/run.sh [PART ...]

Without a part: everything, in this order: static, build, every test of the workspace.

  static  format, clippy, banned dependencies, scripts, systemd units, paths named in the documents
  unit    what needs neither database nor network
  db      the controller against a real PostgreSQL
  lab     the lab itself: namespaces, access lists, a Samba domain controller
  e2e     controller and probes in the lab

The lab needs root, for network namespaces; apt-get needs it where something is missing. It ends at the first part
that fails.
END
}

say() { printf '== %s\n' "$*"; }

die() {
    printf 'tests/run.sh: %s\n' "$*" >&2
    exit 1
}

# shellcheck source=deploy/packages.sh
source "$REPO/deploy/packages.sh"

# ---- parts ----

# A dependency that must not come in: a second TLS stack or a second crypto library.
absent() {
    local said status=0
    said=$(cargo tree --quiet --workspace --target all --invert "$1" 2>&1) || status=$?
    if ((status == 0)) && [[ ! $said || $said == *"nothing to print"* ]]; then return 0; fi
    if [[ $said == *"did not match any packages"* ]]; then return 0; fi
    printf '%s\n' "$said"
    die "$1 must not be among the dependencies"
}

# What a document names as a path: `a/b`, `a/`, `a.md`, `a.toml`, `a.sh`, `a.lock`.
# shellcheck disable=SC2016 # the backticks are Markdown's
named_paths() {
    grep -o '`[^` ]*`' "$1" | tr -d '`' | sort -u |
        grep -E '^[A-Za-z0-9_.][A-Za-z0-9_.*-]*(/[A-Za-z0-9_.*-]*)+$|^[A-Za-z0-9_.-]+\.(md|toml|sh|lock)$'
}

# Every path that a document names is there.
paths_exist() {
    local path status=0
    while read -r path; do
        compgen -G "$REPO/$path" >/dev/null && continue
        printf '%s names %s, which is not there\n' "$1" "$path"
        status=1
    done < <(named_paths "$REPO/$1")
    return "$status"
}

# The units are sound, as far as systemd can tell without the programs being installed.
units_valid() {
    local unit place
    command -v systemd-analyze >/dev/null || return 0
    place=$(mktemp -d)
    for unit in deploy/systemd/*.service; do
        sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' "$unit" >"$place/${unit##*/}"
    done
    systemd-analyze verify "$place"/*.service
    rm -r "$place"
}

static() {
    local document
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    absent aws-lc-rs
    absent openssl-sys
    shellcheck --external-sources --source-path="$REPO" deploy/*.sh tests/*.sh .ci/run
    units_valid
    for document in ARCHITECTURE.md CONTRIBUTING.md; do
        paths_exist "$document"
    done
}

# Programs from PyPI that tests work with, each list of them in a folder of its own.
python() {
    local list folder
    for list in tests/python/*.txt; do
        folder=target/$(basename "$list" .txt)
        cmp --quiet "$list" "$folder/installed.txt" && continue
        python3 -m venv --clear "$folder"
        "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$list"
        cp "$list" "$folder/installed.txt"
    done
}

# Tests of the lab and from end to end run these programs.
programs() { cargo build --workspace; }

# The options that pick test programs by their files. Always with --workspace: a single package would be built with
# other features, and with it half of its dependencies once more.
pick() {
    local path
    TARGETS=()
    for path in "$@"; do
        path=${path%/main.rs}
        path=${path##*/}
        TARGETS+=(--test "${path%.rs}")
    done
}

unit() {
    pick probe/checks/tests/*.rs probe/checks/tests/*/main.rs
    cargo test --workspace --lib --bins "${TARGETS[@]}"
}

db() {
    pick controller/tests/*/main.rs
    cargo test --workspace "${TARGETS[@]}"
}

lab() {
    pick tests/lab/tests/*.rs
    cargo test --workspace "${TARGETS[@]}"
}

e2e() {
    pick tests/suites/*.rs
    cargo test --workspace "${TARGETS[@]}"
}

all() {
    cargo test --workspace
}

# ---- run ----

RAN=()
CURRENT=''

part() {
    local began=$SECONDS
    CURRENT=$1
    say "$1"
    # Not in a condition: `set -e` holds inside.
    "$1"
    RAN+=("$(printf '%-8s ok  %4d s' "$1" $((SECONDS - began)))")
    CURRENT=''
}

report() {
    local status=$?
    if ((${#RAN[@]})); then printf '   %s\n' "${RAN[@]}"; fi
    if [[ $CURRENT ]]; then
        printf '   %-8s FAILED\n' "$CURRENT"
        ((status)) || status=1
    fi
    exit "$status"
}

main() {
    local wanted=("$@") name root='' parts=() packages=("${PACKAGES_BUILD[@]}")
    for name in "${wanted[@]}"; do
        case $name in
        -h | --help)
            usage
            return
            ;;
        static) packages+=("${PACKAGES_STATIC[@]}") parts+=(static) ;;
        unit) parts+=(unit) ;;
        db) packages+=("${PACKAGES_CONTROLLER[@]}" "${PACKAGES_CHANNELS[@]}" "${PACKAGES_PYTHON[@]}") parts+=(programs python db) ;;
        lab | e2e)
            root=yes
            mapfile -t -O "${#packages[@]}" packages < <(packages_lab)
            packages+=("${PACKAGES_CONTROLLER[@]}" "${PACKAGES_MONITORING[@]}" "${PACKAGES_PYTHON[@]}")
            parts+=(programs python "$name")
            ;;
        *)
            usage >&2
            exit 1
            ;;
        esac
    done
    if ((${#wanted[@]} == 0)); then
        root=yes
        mapfile -t -O "${#packages[@]}" packages < <(packages_lab)
        packages+=("${PACKAGES_CONTROLLER[@]}" "${PACKAGES_CHANNELS[@]}" "${PACKAGES_MONITORING[@]}" "${PACKAGES_PYTHON[@]}"
            "${PACKAGES_STATIC[@]}")
        parts=(static programs python all)
    fi
    [[ ! $root || $(id -u) -eq 0 ]] ||
        die "run this as root: the lab needs network namespaces (for example: sudo tests/run.sh ${wanted[*]})"
    cd "$REPO"
    install_packages "${packages[@]}"
    find_cargo
    cargo --version
    trap report EXIT
    # Several parts may need the programs: they are built once.
    while read -r name; do part "$name" </dev/null; done < <(printf '%s\n' "${parts[@]}" | awk '!seen[$0]++')
    say "everything that was asked for has passed:"
}

main "$@"
