#!/usr/bin/env bash
# Sekisho on one machine: a controller, probes, and either a lab network or your own domain.
set -euo pipefail
umask 022

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STATE=${SEKISHO_QUICKSTART_STATE:-/var/lib/sekisho-quickstart}
STATE=${STATE%/}
PROFILE=${SEKISHO_QUICKSTART_PROFILE:-release}
LAB=${SEKISHO_QUICKSTART_LAB:-demo}
FLEET_PORT=${SEKISHO_FLEET_PORT:-7443}
WEB_PORT=${SEKISHO_WEB_PORT:-8080}
RUN_AS=sekisho

# The programs of this run talk to the controller of this run, whatever the caller's environment names.
unset SEKISHO_SERVER SEKISHO_TOKEN SEKISHO_DATA_DIR SEKISHO_DATABASE_URL SEKISHO_CONFIG SEKISHO_ENROLMENT_TOKEN

MARK=$STATE/.sekisho-quickstart
BIN=$STATE/bin
LOGS=$STATE/logs
DATA=$STATE/controller
LAB_VANTAGES=(vlan10 vlan20 vlan30)
LAB_SCOPE=10.77.1.0/24
# How long, in seconds, a controller, a probe's session, and the end of a process may take.
PATIENCE_READY=120
PATIENCE_ONLINE=60
PATIENCE_STOP=30

usage() {
    cat <<END
Usage: deploy/quickstart.sh                         a lab with three VLANs and a Samba domain controller
       deploy/quickstart.sh DOMAIN [OPTIONS]        your own domain, as seen from this machine
       deploy/quickstart.sh --down                  remove everything that it started and wrote

Options with DOMAIN:
  --dns IP              DNS server to ask for the domain; may be repeated. Default: this machine's own
  --allow CIDR[:PORTS]  what the probe may test; may be repeated. Default: the domain controllers that the
                        SRV records name. The DNS servers of --dns are always allowed, on port 53

Installs what is missing (Debian packages), builds the programs, starts a controller with a database of its own
and one probe per VLAN (with DOMAIN: one on this machine), applies an inventory, runs a sweep and shows the matrix.
Everything runs as the ordinary user $RUN_AS and stays up until --down. Needs Debian 12 or a relative, Rust, and root.

Environment:
  SEKISHO_FLEET_PORT=7443              where probes connect
  SEKISHO_WEB_PORT=8080                where operators connect, on 127.0.0.1
  SEKISHO_QUICKSTART_STATE=DIR         everything that it writes [/var/lib/sekisho-quickstart]
  SEKISHO_QUICKSTART_LAB=demo          name of the lab
  SEKISHO_QUICKSTART_PROFILE=release   dev builds faster, and runs slower

Examples:
  deploy/quickstart.sh
  deploy/quickstart.sh corp.example.com --dns 10.0.0.10
  deploy/quickstart.sh corp.example.com --dns 10.0.0.10 --allow 10.0.0.0/24 --allow 10.1.0.10:53,88,389,445
  deploy/quickstart.sh --down
END
}

# ---- telling ----

# What is being done, and the log that tells most about it, for the last words of a run that fails.
DOING=''
LOG=''

say() { printf '   %s\n' "$*"; }

step() {
    DOING=$1
    LOG=${2:-}
    printf '== %s\n' "$1"
}

die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

# How to call this script again, with the same settings.
again() {
    local name value prefix=''
    # Only what the caller has set: the defaults of this script have other names.
    for name in SEKISHO_QUICKSTART_STATE SEKISHO_QUICKSTART_LAB SEKISHO_QUICKSTART_PROFILE SEKISHO_FLEET_PORT \
        SEKISHO_WEB_PORT; do
        value=${!name:-}
        if [[ $value ]]; then prefix+="$name=$value "; fi
    done
    printf '%s%s%s' "$prefix" "$0" "${*:+ $*}"
}

last_words() {
    local status=$?
    if ((status == 0)) || [[ ! $DOING ]]; then return 0; fi
    {
        printf '\nquickstart: it ended at "%s" (status %d)\n' "$DOING" "$status"
        if [[ $LOG && -s $LOG ]]; then
            printf '  the last lines of %s:\n' "$LOG"
            tail -n 8 "$LOG" | sed 's/^/    /'
        elif [[ -d $LOGS ]]; then
            printf '  logs: %s\n' "$LOGS"
        fi
        printf '  go on from there: %s\n' "$(again "${ARGUMENTS[@]}")"
        printf '  remove all of it: %s\n' "$(again --down)"
    } >&2
}

# shellcheck source=deploy/packages.sh
source "$REPO/deploy/packages.sh"

# ---- state ----

check_settings() {
    local port
    [[ $(id -u) -eq 0 ]] ||
        die "run this as root: it makes a system user and, for the lab, network namespaces (for example: sudo $0)"
    [[ $STATE =~ ^/[A-Za-z0-9._/-]+$ && $STATE != *..* && $STATE =~ [A-Za-z0-9] ]] ||
        die "SEKISHO_QUICKSTART_STATE=$STATE is not usable: name an absolute path without special characters"
    [[ $PROFILE == release || $PROFILE == dev ]] ||
        die "SEKISHO_QUICKSTART_PROFILE=$PROFILE is not known; it is release or dev"
    for port in "$FLEET_PORT" "$WEB_PORT"; do
        [[ $port =~ ^[1-9][0-9]{3,4}$ && $port -ge 1024 && $port -le 65535 ]] ||
            die "$port is not usable as a port; SEKISHO_FLEET_PORT and SEKISHO_WEB_PORT are from 1024 to 65535"
    done
    [[ $FLEET_PORT != "$WEB_PORT" ]] || die "SEKISHO_FLEET_PORT and SEKISHO_WEB_PORT must differ"
}

# Makes the state directory, or takes over what an earlier run left there. Only one run works on it at a time.
open_state() {
    local kind=$1
    if [[ -d $STATE && ! -e $MARK ]] && [[ -n $(ls -A "$STATE") ]]; then
        die "$STATE holds other things; name a new directory with SEKISHO_QUICKSTART_STATE"
    fi
    mkdir -p "$STATE"
    touch "$MARK"
    lock_state
    # A run that ended before anything was started may be followed by one for something else.
    if [[ -d $DATA || -e $STATE/lab ]] && [[ $(<"$STATE/kind") != "$kind" ]]; then
        die "$STATE is in use for: $(<"$STATE/kind"); remove that with: $(again --down)"
    fi
    printf '%s\n' "$kind" >"$STATE/kind"
    mkdir -p "$BIN" "$LOGS" "$STATE/pids" "$STATE/probes"
    if [[ -e $STATE/lab ]]; then LAB=$(<"$STATE/lab"); fi
}

# The lock is for this process alone: what may outlive it is started with 9<&-, so that it does not inherit the lock.
lock_state() {
    exec 9<"$STATE"
    flock --wait "${1:-0}" 9 || die "another $0 works on $STATE at this moment"
}

# ---- processes ----

# Processes of this state directory, whoever started them.
ours() {
    find /proc -mindepth 2 -maxdepth 2 -name exe -lname "$BIN/$1" 2>/dev/null | cut -d/ -f3 || true
}

# Whether the process that was started under this name still runs, and is not a stranger with the same number.
runs() {
    local pid exe
    pid=$(cat "$STATE/pids/$1" 2>/dev/null) || return 1
    exe=/proc/$pid/exe
    # In a mount namespace, as a lab's processes are, the path may read differently: then the file itself counts.
    [[ $(readlink "$exe") == "$BIN/"* || $exe -ef $BIN/sekisho || $exe -ef $BIN/sekisho-probe ]]
}

# start NAME COMMAND...: in the background, away from this terminal.
start() {
    local name=$1
    shift
    : >"$LOGS/$name.log"
    (cd / && exec setsid "$@" >"$LOGS/$name.log" 2>&1 </dev/null 9<&-) &
    printf '%s\n' $! >"$STATE/pids/$name"
}

# Ends processes in order; those that do not listen are killed. Names a function that lists them.
stop() {
    local pids deadline=$((SECONDS + PATIENCE_STOP))
    mapfile -t pids < <("$@")
    if ((${#pids[@]})); then kill -TERM "${pids[@]}" 2>/dev/null || true; fi
    while mapfile -t pids < <("$@") && ((${#pids[@]})); do
        if ((SECONDS >= deadline)); then
            kill -KILL "${pids[@]}" 2>/dev/null || true
        fi
        sleep 0.1
    done
}

# What is left of the private PostgreSQL when its controller was killed.
postgres_of_state() {
    local pid
    pid=$(head -n 1 "$DATA/postgres/data/postmaster.pid" 2>/dev/null) || return 0
    if [[ $(readlink "/proc/$pid/cwd") == "$DATA/postgres/data" ]]; then printf '%s\n' "$pid"; fi
}

# as_user NODE: sets PREFIX to what runs a command as the ordinary user, in a VLAN of the lab or on this machine.
as_user() {
    if [[ $1 == local ]]; then
        PREFIX=(setpriv "--reuid=$RUN_AS" "--regid=$RUN_AS" --clear-groups --inh-caps=-all --ambient-caps=-all
            --no-new-privs --)
    else
        PREFIX=("$BIN/sekisho-lab" exec --name "$LAB" --user "$RUN_AS" "$1" --)
    fi
}

sekisho() { "$BIN/sekisho" --data-dir "$DATA" "$@"; }

# ---- steps ----

check_port() {
    local port=$1 purpose=$2 variable=$3 user
    [[ $(ss -Hltn "sport = :$port") ]] || return 0
    user=$(ss -Hltnp "sport = :$port" | sed -n 's/.*users:((\("[^"]*",pid=[0-9]*\).*/\1/p' | head -n 1)
    printf -v "$variable" %s $((port + 1))
    die "port $port ($purpose) is in use${user:+ by $user}; choose another one: $(again "${ARGUMENTS[@]}")"
}

check_ports() {
    if runs controller; then return 0; fi
    # Nothing is begun yet, so nothing has to be told about going on.
    DOING=''
    check_port "$FLEET_PORT" "for probes" SEKISHO_FLEET_PORT
    check_port "$WEB_PORT" "for operators" SEKISHO_WEB_PORT
}

# Cargo runs as whoever owns the checkout where that is who called sudo: the build directory stays theirs.
build() {
    local packages=() target owner home program as=()
    for program in "$@"; do packages+=(-p "$program"); done
    find_cargo
    owner=$(stat -c %U "$REPO")
    home=$(getent passwd "$owner" | cut -d: -f6)
    if [[ ${SUDO_USER:-root} != root && $owner == "$SUDO_USER" && -x $home/.cargo/bin/cargo ]]; then
        as=(runuser -u "$owner" -- env "HOME=$home" "PATH=$PATH")
    fi
    step "building $* ($PROFILE); the first time takes several minutes"
    (cd "$REPO" && "${as[@]}" cargo build --locked --profile "$PROFILE" "${packages[@]}")
    target=$(cd "$REPO" && "${as[@]}" cargo metadata --locked --no-deps --format-version 1 |
        sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    if [[ $PROFILE == dev ]]; then target+=/debug; else target+=/release; fi
    # Copies: the ordinary user can run them wherever the checkout is, and a later build does not disturb them.
    for program in "$@"; do
        install -m 755 "$target/$program" "$BIN/.$program"
        mv "$BIN/.$program" "$BIN/$program"
    done
}

make_user() {
    if ! getent passwd "$RUN_AS" >/dev/null; then
        step "making the system user $RUN_AS"
        touch "$STATE/made-user"
        useradd --system --user-group --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin "$RUN_AS"
    fi
}

# The address of the lab on this machine, where it is up.
lab_address() {
    "$BIN/sekisho-lab" list | awk -v name="$LAB" '$1 == name && $2 == "ready" { print $3 }'
}

lab_up() {
    step "bringing the lab $LAB up: three VLANs, two routers, a domain controller" "$LOGS/lab.log"
    if [[ ! -e $STATE/lab ]] && "$BIN/sekisho-lab" list | awk 'NR > 1 { print $1 }' | grep -qxF -- "$LAB"; then
        die "there is a lab $LAB already, and it is not of this script; choose another name with SEKISHO_QUICKSTART_LAB, or remove it with: $BIN/sekisho-lab down --name $LAB"
    fi
    printf '%s\n' "$LAB" >"$STATE/lab"
    : >"$LOG"
    "$BIN/sekisho-lab" up --name "$LAB" --cache "$STATE/lab-cache" >"$LOGS/lab.log" 2>&1 9<&-
}

controller_up() {
    local listen=$1 pid deadline=$((SECONDS + PATIENCE_READY))
    if runs controller; then return 0; fi
    step "starting the controller and its database" "$LOGS/controller.log"
    if [[ ! -d $DATA ]]; then install -d -m 700 -o "$RUN_AS" -g "$RUN_AS" "$DATA"; fi
    as_user local
    start controller "${PREFIX[@]}" "$BIN/sekisho" serve --data-dir "$DATA" \
        --fleet-listen "$listen:$FLEET_PORT" --web-listen "127.0.0.1:$WEB_PORT"
    pid=$(<"$STATE/pids/controller")
    until grep -q '^ready ' "$LOGS/controller.log"; do
        [[ -e /proc/$pid ]] || die "the controller did not start"
        ((SECONDS < deadline)) || die "the controller is not ready after $PATIENCE_READY s"
        sleep 0.2
    done
    say "$(grep -m 1 '^ready ' "$LOGS/controller.log")"
}

# probe_up VANTAGE URL ALLOW...: enrols a probe where that was not done, and starts it.
probe_up() {
    local vantage=$1 url=$2 allow=() rule state=$STATE/probes/$1
    shift 2
    if runs "probe-$vantage"; then return 0; fi
    for rule in "$@"; do allow+=(--allow "$rule"); done
    as_user "$vantage"
    if [[ $(cat "$state.enrolled" 2>/dev/null) != "$url" ]]; then
        step "enrolling the probe of vantage $vantage, allowed to test $*" "$LOGS/enrol-$vantage.log"
        rm -rf "$state"
        install -d -m 700 -o "$RUN_AS" -g "$RUN_AS" "$state"
        # By standard input: what is on a command line, everybody on this machine can read.
        sekisho probe token --vantage "$vantage" --ttl 10m |
            "${PREFIX[@]}" "$BIN/sekisho-probe" enroll --controller "$url" --token - --state-dir "$state" \
                "${allow[@]}" >"$LOGS/enrol-$vantage.log" 2>&1
        printf '%s\n' "$url" >"$state.enrolled"
    fi
    start "probe-$vantage" "${PREFIX[@]}" "$BIN/sekisho-probe" run --state-dir "$state"
}

# Waits until each of the vantages has a probe that is connected.
probes_online() {
    local deadline=$((SECONDS + PATIENCE_ONLINE)) online vantage waiting=yes
    step "waiting until the probes have their sessions" "$LOGS/probe-$1.log"
    while [[ $waiting ]]; do
        ((SECONDS < deadline)) || die "no session of a probe in $waiting after $PATIENCE_ONLINE s"
        online=$(sekisho probe list --format csv | awk -F, 'NR > 1 && $5 == "online" { print $2 }')
        waiting=''
        for vantage in "$@"; do
            grep -qxF -- "$vantage" <<<"$online" || { waiting=$vantage LOG=$LOGS/probe-$vantage.log; }
        done
        [[ ! $waiting ]] || sleep 0.3
    done
}

apply() {
    step "applying the inventory $1"
    sekisho apply "$1" | sed 's/^/   /'
}

sweep() {
    local status=0
    step "running a sweep" "$LOGS/controller.log"
    echo
    sekisho sweep run --wait || status=$?
    # 3: some flows were missed. The matrix says which.
    ((status == 0 || status == 3)) || exit "$status"
}

# ---- lab ----

lab_is_whole() {
    local vantage
    [[ -e $STATE/done ]] && runs controller && [[ $(lab_address) ]] || return 1
    for vantage in "${LAB_VANTAGES[@]}"; do runs "probe-$vantage" || return 1; done
}

quickstart_lab() {
    local address vantage
    check_settings
    open_state "the lab $LAB"
    if lab_is_whole; then
        printf 'It is up already.\n'
        next_lab
        return
    fi
    step "looking for the packages that are needed"
    mapfile -t packages < <(packages_lab)
    install_packages "${PACKAGES_BUILD[@]}" "${PACKAGES_CONTROLLER[@]}" "${packages[@]}" 9<&-
    check_ports
    build sekisho sekisho-probe sekisho-lab 9<&-
    make_user
    lab_up
    address=$(lab_address)
    [[ $address ]] || die "the lab $LAB did not come up"
    # Only the lab reaches this address: nothing of the demonstration listens on this machine's network.
    controller_up "$address"
    apply "$REPO/tests/lab/inventory.toml"
    for vantage in "${LAB_VANTAGES[@]}"; do
        probe_up "$vantage" "https://$address:$FLEET_PORT" "$LAB_SCOPE"
    done
    probes_online "${LAB_VANTAGES[@]}"
    sweep
    touch "$STATE/done"
    next_lab
}

next_lab() {
    local lab=''
    if [[ $LAB != demo ]]; then lab=" --name $LAB"; fi
    cat <<END

Sekisho runs. To go on, in any root shell:

  export PATH=$BIN:\$PATH
  export SEKISHO_DATA_DIR=$DATA

  sekisho matrix
  sekisho probe list

  # Open what the router refuses to VLAN 20, and test that VLAN again:
  echo 'flush chain ip sekisho restricted' | sekisho-lab nft$lab --node edge -
  sekisho sweep run --vantage vlan20 --wait

  # The same test without a controller, from the guests' VLAN:
  sekisho-lab exec$lab --user nobody vlan30 -- sekisho-probe check corp.example --dns 10.77.1.10

  # The HTTP API:
  curl -s -H "Authorization: Bearer \$(cat \$SEKISHO_DATA_DIR/admin.token)" http://127.0.0.1:$(web_port)/api/v1/sweeps

Logs are in $LOGS. Remove everything with:

  $(again --down)
END
}

web_port() { sed 's/.*://' "$DATA/server.url"; }

# ---- a domain of the user's ----

read_domain() {
    DOMAIN=$1
    DNS=()
    ALLOW=()
    [[ $DOMAIN =~ ^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?$ ]] || die "\"$DOMAIN\" is not the DNS name of a domain; see $0 --help"
    shift
    while (($#)); do
        case $1 in
        --dns) DNS+=("${2:-}") ;;
        --allow) ALLOW+=("${2:-}") ;;
        *) die "what is \"$1\"? See $0 --help" ;;
        esac
        [[ ${2:-} =~ ^[][0-9A-Fa-f.:/,a-z-]+$ ]] || die "$1 needs a value; see $0 --help"
        shift 2
    done
    for address in "${DNS[@]}"; do
        [[ $address =~ ^[0-9.]+$ || $address =~ ^[0-9A-Fa-f:.]+$ ]] || die "--dns $address is not an IP address"
    done
}

# One address as a rule of a scope file; with ports, if they are named.
rule_of() {
    case $1 in
    *:*) printf '%s\n' "${2:+[}$1/128${2:+]:$2}" ;;
    *) printf '%s\n' "$1/32${2:+:$2}" ;;
    esac
}

# Prints the addresses that the domain's SRV records name. Each gets one ping: a check without any test there is not.
domain_controllers() {
    local status=0 dns=() address
    for address in "${DNS[@]}"; do dns+=(--dns "$address"); done
    as_user local
    "${PREFIX[@]}" "$BIN/sekisho-probe" check "$DOMAIN" "${dns[@]}" --service icmp --format json \
        >"$LOGS/discovery.json" 2>"$LOGS/discovery.log" || status=$?
    # 2 and 3 speak of the ping alone.
    ((status == 0 || status == 2 || status == 3)) || return "$status"
    sed -n 's/^ *"address": "\([^"]*\)",\{0,1\}$/\1/p' "$LOGS/discovery.json" | sort -u
}

# The subnet of the interface that leads to what is tested: what the vantage stands for.
subnet() {
    local device to=${DNS[0]:-${SCOPE[0]:-}}
    to=${to%%[/:]*}
    [[ $to =~ ^[0-9.]+$ ]] || return 0
    device=$(ip -o route get "$to" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
    [[ $device ]] || return 0
    ip -o -4 route show dev "$device" scope link 2>/dev/null | awk '$1 ~ /\// && $1 !~ /^169\.254\./ { print $1; exit }'
}

write_inventory() {
    local address list='' net
    for address in "${DNS[@]}"; do list+="${list:+, }\"$address\""; done
    net=$(subnet)
    {
        printf '[[domain]]\nname = "%s"\n' "$DOMAIN"
        if [[ $list ]]; then printf 'dns_servers = [%s]\n' "$list"; fi
        printf 'discover = true\n\n[[vantage]]\nname = "local"\n'
        if [[ $net ]]; then printf 'subnet = "%s"\n' "$net"; fi
    } >"$STATE/inventory.toml"
}

# Sets SCOPE: what the user allowed, or the domain controllers; and the DNS servers.
choose_scope() {
    local found address
    SCOPE=("${ALLOW[@]}")
    if ((${#SCOPE[@]} == 0)); then
        step "asking for the domain controllers of $DOMAIN" "$LOGS/discovery.log"
        found=$(domain_controllers) || die "no domain controller of $DOMAIN is found; name a DNS server of the domain with --dns IP, or what may be tested with --allow CIDR"
        [[ $found ]] || die "no domain controller of $DOMAIN is found"
        while read -r address; do SCOPE+=("$(rule_of "$address")"); done <<<"$found"
    fi
    for address in "${DNS[@]}"; do
        # A domain controller that is also the DNS server is allowed as a whole already.
        [[ " ${SCOPE[*]} " == *" $(rule_of "$address") "* ]] || SCOPE+=("$(rule_of "$address" 53)")
    done
}

domain_is_whole() { [[ -e $STATE/done ]] && runs controller && runs probe-local; }

quickstart_domain() {
    read_domain "$@"
    check_settings
    open_state "$*"
    if domain_is_whole; then
        printf 'It is up already.\n'
        next_domain
        return
    fi
    step "looking for the packages that are needed"
    install_packages "${PACKAGES_BUILD[@]}" "${PACKAGES_CONTROLLER[@]}" 9<&-
    check_ports
    build sekisho sekisho-probe 9<&-
    make_user
    # Before anything is started: the most likely fault is here.
    if [[ ! -e $STATE/probes/local.enrolled ]]; then choose_scope; else SCOPE=(); fi
    # On every address: probes in other subnets can join. They need a token; everybody else is turned away.
    controller_up 0.0.0.0
    [[ -e $STATE/inventory.toml ]] || write_inventory
    apply "$STATE/inventory.toml"
    probe_up local "https://127.0.0.1:$FLEET_PORT" "${SCOPE[@]}"
    probes_online local
    sweep
    touch "$STATE/done"
    next_domain
}

next_domain() {
    cat <<END

Sekisho runs. To go on, in any root shell:

  export PATH=$BIN:\$PATH
  export SEKISHO_DATA_DIR=$DATA

  sekisho matrix
  sekisho sweep run --wait

  # What the probe may test (the controller cannot widen it):
  cat $STATE/probes/local/scope.toml

  # A second probe, in another subnet: add a [[vantage]] to the inventory, apply it, and enrol on a machine there.
  editor $STATE/inventory.toml
  sekisho apply $STATE/inventory.toml
  sekisho probe token --vantage NAME
  sekisho-probe enroll --controller https://$(hostname):$FLEET_PORT --token TOKEN --state-dir DIR --allow CIDR
  sekisho-probe run --state-dir DIR

Logs are in $LOGS. Remove everything with:

  $(again --down)
END
}

# ---- down ----

quickstart_down() {
    check_settings
    if [[ ! -e $MARK ]]; then
        printf 'Nothing is up: there is no %s of this script.\n' "$STATE"
        return
    fi
    # A run that was just cut off may need a moment.
    lock_state 15
    DOING='taking everything down'
    say "stopping the probes"
    stop ours sekisho-probe
    say "stopping the controller and its database"
    stop ours sekisho
    stop postgres_of_state
    if [[ -e $STATE/lab ]]; then
        LAB=$(<"$STATE/lab")
        say "taking the lab $LAB down"
        "$BIN/sekisho-lab" down --name "$LAB" >/dev/null
    fi
    stop ours '*'
    if [[ -e $STATE/made-user ]] && getent passwd "$RUN_AS" >/dev/null; then
        say "removing the system user $RUN_AS"
        userdel "$RUN_AS" 2>/dev/null || say "the user $RUN_AS stays: somebody else uses it"
    fi
    say "removing $STATE"
    # The mark goes last: what a run that is cut off here leaves, the next one removes.
    find "$STATE" -mindepth 1 -not -path "$MARK" -delete
    rm -rf "$STATE"
    printf 'Everything is removed. Installed packages and the build directory stay.\n'
}

# ---- main ----

ARGUMENTS=("$@")
trap last_words EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

case ${1:-} in
-h | --help) usage ;;
--down) quickstart_down ;;
'') quickstart_lab ;;
-*) die "what is \"$1\"? See $0 --help" ;;
*) quickstart_domain "$@" ;;
esac
