# shellcheck shell=bash
# What has to be installed, and where cargo is. Sourced by deploy/quickstart.sh and tests/run.sh.
#
# The caller sets REPO (top of the repository) and defines `say` (one line of progress) and `die` (a line, and the end).
# shellcheck disable=SC2034 # the lists are for the callers

# Who came by `su` has no sbin in PATH, and dpkg wants it.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# Debian packages of each purpose. A package counts as there when dpkg has it, or something that provides it.
PACKAGES_BUILD=(gcc libc6-dev)
PACKAGES_CONTROLLER=(postgresql iproute2 util-linux passwd)
PACKAGES_STATIC=(shellcheck)
PACKAGES_PYTHON=(python3-venv)
# What alerts are sent to in tests: a mail server, and Alertmanager.
PACKAGES_CHANNELS=(python3-aiosmtpd prometheus-alertmanager)
# What reads the numbers in tests.
PACKAGES_MONITORING=(prometheus)

# The packages of the lab, from its own list.
packages_lab() {
    grep -v '^[[:space:]]*\(#\|$\)' "$REPO/tests/lab/packages.txt"
}

# PostgreSQL may also come from elsewhere: what counts is its programs.
has_postgresql() {
    local dir
    for dir in /usr/lib/postgresql/*/bin; do
        [[ -x $dir/postgres && -x $dir/initdb ]] && return 0
    done
    command -v postgres >/dev/null && command -v initdb >/dev/null
}

# Prints those of the named packages that are not installed.
packages_missing() {
    local installed name
    command -v dpkg-query >/dev/null || return 0
    # "installed NAME" and "installed NAME PROVIDED, PROVIDED (= 1)": one name per line comes out.
    # shellcheck disable=SC2016 # the fields are dpkg's
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides}\n' |
        sed -n 's/^installed //p' | sed 's/([^)]*)//g' | tr -s ', ' '\n' | sort -u)
    for name in "$@"; do
        if [[ $name == postgresql ]] && has_postgresql; then continue; fi
        if [[ $name == gcc || $name == libc6-dev ]] && command -v cc >/dev/null; then continue; fi
        grep -qxF -- "$name" <<<"$installed" || printf '%s\n' "$name"
    done | awk '!seen[$0]++'
}

# Installs what is missing of the named packages, and says so. Does nothing, and asks no server, when all are there.
install_packages() {
    local missing guard=/usr/sbin/policy-rc.d guarded='' status=0
    mapfile -t missing < <(packages_missing "$@")
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null ||
        die "this needs what Debian calls: ${missing[*]}; there is no apt-get here, so install it and start again"
    [[ $(id -u) -eq 0 ]] || die "these packages are missing, and only root can install them: ${missing[*]}"
    say "installing: ${missing[*]}"
    # Only programs are needed: neither a file server nor a database of this machine's own is started by this.
    if [[ ! -e $guard ]]; then
        guarded=yes
        printf '#!/bin/sh\nexit 101\n' >"$guard"
        chmod 755 "$guard"
    fi
    apt_get update -qq && apt_get install -qq -y --no-install-recommends "${missing[@]}" || status=$?
    if [[ $guarded ]]; then rm -f "$guard"; fi
    ((status == 0)) || die "apt-get could not install: ${missing[*]} (status $status, see above)"
    if [[ $guarded ]] && command -v systemctl >/dev/null; then
        packages_keep_stopped "${missing[@]}"
    fi
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# Nor at the next boot, for services that came with what was installed just now. chrony is another matter: it took the
# place of whatever kept this machine's clock.
packages_keep_stopped() {
    local name services=()
    for name in "$@"; do
        case $name in
        postgresql) services+=(postgresql.service) ;;
        samba) services+=(smbd.service nmbd.service) ;;
        samba-ad-dc) services+=(samba-ad-dc.service) ;;
        prometheus) services+=(prometheus.service) ;;
        winbind) services+=(winbind.service) ;;
        chrony) systemctl start --quiet chrony.service 2>/dev/null || true ;;
        esac
    done
    ((${#services[@]})) || return 0
    if systemctl disable --quiet "${services[@]}" 2>/dev/null; then
        say "left stopped and disabled: ${services[*]}"
    fi
}

# Puts cargo into PATH where it is installed but not found, as after `sudo`.
find_cargo() {
    local owner home
    command -v cargo >/dev/null && return 0
    owner=${SUDO_USER:-$(stat -c %U "$REPO")}
    for home in "${HOME:-/root}" "$(getent passwd "$owner" | cut -d: -f6)"; do
        if [[ -x $home/.cargo/bin/cargo ]]; then
            PATH=$home/.cargo/bin:$PATH
            # The toolchains of whoever installed it; what cargo downloads stays with who runs it.
            [[ $home == "${HOME:-/root}" ]] || export RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
            return 0
        fi
    done
    if [[ -x /usr/local/cargo/bin/cargo ]]; then
        PATH=/usr/local/cargo/bin:$PATH
        return 0
    fi
    die "cargo is not found; install Rust from https://rustup.rs, or add its directory to PATH, and start again"
}
