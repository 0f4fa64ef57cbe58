# shellcheck shell=bash
# What scripts that install and start servers have in common; sourced, never run.
#
# Who sources it sets PROGRAM (the beginning of each message), START_TIMEOUT and STOP_TIMEOUT in seconds, and
# defines is_ours NAME DIR: whether the process of DIR/NAME.pid is still the one that was started there. (Pids
# are used again.)

CACHE=${LINEAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lineage}
readonly CACHE

say() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }
fail() {
    printf '%s: error: %s\n' "$PROGRAM" "$*" >&2
    exit 1
}

# Prints the comment at the beginning of the script that was called.
usage() {
    sed -n '2,/^set/p' "$0" | sed -n '/shellcheck/!s/^# \{0,1\}//p' >&2
    exit 2
}

# ---------------------------------------------------------------- install

# Everything that is missing is said at once, before anything is downloaded.
refuse_if_missing() {
    (($# > 0)) || return 0
    say "missing, please install:"
    printf '  - %s\n' "$@" >&2
    exit 1
}

STAGING=
remove_staging() {
    [[ -z $STAGING ]] || rm -rf "$STAGING" "$STAGING.log"
    STAGING=
}

begin_install() {
    mkdir -p "$CACHE"
    trap remove_staging EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# Makes a component in a folder beside its place and renames it when it is whole, so that an interrupted
# install is never taken for a finished one.
install_component() {
    local name=$1 home=$2 make=$3
    [[ ! -d $home ]] || return 0
    say "installing $name"
    local begin=$SECONDS
    STAGING=$(mktemp -d "$CACHE/staging.XXXXXX")
    "$make" "$STAGING" >"$STAGING.log" 2>&1 || {
        tail -n 20 "$STAGING.log" >&2
        fail "installing $name failed; see above, then try again"
    }
    chmod 755 "$STAGING"
    # A second install that ran at the same time may have been first. Its result is the same.
    mv -T "$STAGING" "$home" 2>/dev/null || [[ -d $home ]] || fail "cannot rename $STAGING to $home"
    remove_staging
    say "installed $name in $((SECONDS - begin)) s"
}

check_installed() {
    local home
    for home in "$@"; do
        [[ -d $home ]] || fail "not installed: $home; run '$0 install' first"
    done
}

# ---------------------------------------------------------------- start

# Below the range that the kernel takes client ports from, so that a connection of ours cannot occupy
# a port between this check and the server's own bind.
free_port() {
    local port
    for _ in {1..200}; do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no free port found between 20000 and 32000"
}

refuse_if_running() {
    local dir=$1 name
    shift
    for name in "$@"; do
        ! is_ours "$name" "$dir" || fail "$name runs already in $dir; run '$0 stop $dir' first"
    done
}

# Signals are noted and acted on by wait_until, so that none can come between a process's start and its pid file.
INTERRUPTED=
STARTING_IN=
begin_start() {
    trap 'INTERRUPTED=yes' INT TERM
    # Half a start leaves nothing running.
    STARTING_IN=$1
    trap 'stop "$STARTING_IN"' EXIT
}

end_start() {
    [[ -z $INTERRUPTED ]] || fail "interrupted"
    trap - EXIT
}

# Sessions of their own: Ctrl-C in the terminal must reach the script, which stops the processes after its
# work, and not the processes under the running work.
launch() {
    local name=$1 dir=$2
    shift 2
    setsid nohup "$@" >"$dir/$name.log" 2>&1 </dev/null &
    local pid=$!
    echo "$pid" >"$dir/$name.pid"
    # Until the new process has become what it is to be, is_ours would not know it.
    while ! is_ours "$name" "$dir" && kill -0 "$pid" 2>/dev/null; do
        sleep 0.05
    done
}

# Waits until `answers DIR` succeeds.
wait_until() {
    local name=$1 dir=$2 answers=$3 begin=$SECONDS trouble
    until "$answers" "$dir"; do
        [[ -z $INTERRUPTED ]] || fail "interrupted while $name was starting"
        trouble=
        is_ours "$name" "$dir" || trouble="stopped while starting"
        ((SECONDS - begin <= START_TIMEOUT)) || trouble="does not answer after $START_TIMEOUT s"
        if [[ -n $trouble ]]; then
            tail -n 30 "$dir/$name.log" >&2
            fail "$name $trouble; the end of its log is above, the whole in $dir/$name.log"
        fi
        sleep 0.2
    done
    say "$name is up after $((SECONDS - begin)) s"
}

# ---------------------------------------------------------------- stop

ask_to_stop() {
    ! is_ours "$1" "$2" || kill -TERM "$(cat "$2/$1.pid")" 2>/dev/null || true
}

wait_for_stop() {
    local name=$1 dir=$2 begin=$SECONDS
    while is_ours "$name" "$dir"; do
        if ((SECONDS - begin > STOP_TIMEOUT)); then
            say "$name did not stop within $STOP_TIMEOUT s and is killed"
            kill -KILL "$(cat "$dir/$name.pid")" 2>/dev/null || true
            begin=$SECONDS
        fi
        sleep 0.1
    done
    rm -f "$dir/$name.pid"
}
