# shellcheck shell=bash
# A Docker engine and its compose for scripts that need them; sourced after common.sh, never run. What is
# missing is installed where that is possible (root on Debian), else it is an error: nothing is left out silently.

ENGINE_TIMEOUT=60

# A client of Docker 23 or newer without its plug-in buildx builds in the old way only.
choose_builder() { docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0; }

apt_install() {
    if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
        fail "missing, and only root on Debian can install it from here: $*"
    fi
    say "installing $*"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"; } >&2
}

# Sets COMPOSE to the one that is there.
# shellcheck disable=SC2034 # who sources this uses it
COMPOSE=()
# shellcheck disable=SC2034
find_compose() {
    if docker compose version >/dev/null 2>&1; then
        COMPOSE=(docker compose)
    else
        command -v docker-compose >/dev/null || apt_install docker-compose
        COMPOSE=(docker-compose)
    fi
}

engine_answers() { docker info >/dev/null 2>&1; }

# Starts an engine unless one runs. ENGINE is the pid of the one that was started here.
ENGINE=
start_engine() {
    local log=$1 begin=$SECONDS
    command -v docker >/dev/null || apt_install docker.io
    if engine_answers; then
        say "using the Docker engine that runs"
        return
    fi
    [[ $EUID == 0 ]] || fail "no Docker engine answers, and only root can start one"
    command -v dockerd >/dev/null || apt_install docker.io
    if engine_answers; then return; fi
    setsid nohup dockerd >"$log" 2>&1 </dev/null &
    ENGINE=$!
    until engine_answers; do
        if ! kill -0 "$ENGINE" 2>/dev/null || ((SECONDS - begin > ENGINE_TIMEOUT)); then
            tail -n 20 "$log" >&2
            fail "the Docker engine does not start; the end of its log is above"
        fi
        sleep 0.2
    done
    say "started a Docker engine"
}

stop_engine() {
    [[ -n $ENGINE ]] || return 0
    kill "$ENGINE" 2>/dev/null || true
    wait "$ENGINE" 2>/dev/null || true
    ENGINE=
}
