#!/usr/bin/env bash
# Images under the names of official ones, for an engine that cannot pull these.
#
#   scripts/stand-ins.sh make IMAGE...      pulls each image, or makes a stand-in, and says which it did
#   scripts/stand-ins.sh pull IMAGE         pulls it, or fails: for images that no stand-in can be made of
#   scripts/stand-ins.sh remove IMAGE...    takes those names away from stand-ins, which stay in the engine's cache
#
# They are made of what scripts/servers.sh and scripts/clients.sh install, this machine's Rust, and a Debian by
# debootstrap; the recipes are in scripts/stand-ins. They have the paths, the users and the programs that the
# official images have, as far as docker-compose.yml and Dockerfile use them, and not the same versions of all
# programs: MinIO is the one of scripts/servers.sh. Root on Debian only.
set -euo pipefail

readonly PROGRAM=stand-ins
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
# shellcheck source=scripts/servers/common.sh
source "$HERE/servers/common.sh"
# shellcheck source=scripts/servers/engine.sh
source "$HERE/servers/engine.sh"

readonly RECIPES=$HERE/stand-ins
# What every stand-in carries, so that it is never taken for the image that it stands in for.
readonly LABEL=lineage.stand-in
readonly CACHED=lineage-stand-in
readonly PULL_SECONDS=600

exists() { docker image inspect "$1" >/dev/null 2>&1; }
is_stand_in() { [[ $(docker image inspect --format "{{index .Config.Labels \"$LABEL\"}}" "$1" 2>/dev/null) == yes ]]; }

CONTEXT=
remove_context() {
    [[ -z $CONTEXT ]] || rm -rf "$CONTEXT"
    CONTEXT=
}
new_context() {
    remove_context
    CONTEXT=$(mktemp -d "${TMPDIR:-/tmp}/lineage-stand-in.XXXXXX")
}

# What a recipe says and what it is built on: the cache is keyed by both.
recipe_key() {
    { cat "$RECIPES/$1"/* "$RECIPES/only-coreutils.sh" && docker image inspect --format '{{.Id}}' debian:bookworm-slim; } |
        sha256sum | cut -c1-12
}

# Builds the recipe in CONTEXT under the name of the cache.
build() {
    cp "$RECIPES/$1"/* "$CONTEXT"
    local log
    log=$(docker build --label "$LABEL=yes" --tag "$2" "$CONTEXT" 2>&1) || {
        tail -n 20 <<<"$log" >&2
        fail "the image of $1 cannot be built"
    }
    remove_context
}

make_debian() {
    local suite=${1%-slim} cached=$CACHED:debian-${1%-slim}
    exists "$cached" || {
        say "making a Debian $suite by debootstrap"
        new_context
        debootstrap --variant=minbase "$suite" "$CONTEXT/root" >"$CONTEXT/log" || {
            tail -n 20 "$CONTEXT/log" >&2
            fail "debootstrap failed"
        }
        rm -rf "$CONTEXT/root/var/cache/apt/archives"/*.deb "$CONTEXT/root/var/lib/apt/lists"/*
        tar -C "$CONTEXT/root" -c . | docker import --change "LABEL $LABEL=yes" --change 'CMD ["bash"]' - "$cached" >/dev/null
        remove_context
    }
    docker tag "$cached" "debian:$1"
}

# Of the toolchain only what compiles: its documentation is larger than the rest.
make_rust() {
    local version sysroot cached
    version=$(rustc --version | cut -d' ' -f2)
    [[ $version == "${1%%-*}".* ]] || fail "Dockerfile builds with Rust ${1%%-*}, and this machine has $version"
    cached=$CACHED:rust-$version-$(recipe_key rust)
    exists "$cached" || {
        say "making an image of Rust $version"
        sysroot=$(rustc --print sysroot)
        new_context
        mkdir -p "$CONTEXT/toolchain/bin"
        cp "$sysroot/bin/cargo" "$sysroot/bin/rustc" "$CONTEXT/toolchain/bin"
        cp -r "$sysroot/lib" "$CONTEXT/toolchain"
        cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$CONTEXT/ca-certificates.crt"
        build rust "$cached"
    }
    docker tag "$cached" "rust:$1"
}

make_kafka() {
    [[ -e $KAFKA_HOME/kafka-clients-$1.jar ]] ||
        fail "docker-compose.yml has Kafka $1, and scripts/servers/kafka-pom.xml another version"
    local cached
    cached=$CACHED:kafka-$1-$(recipe_key kafka)
    exists "$cached" || {
        say "making an image of Kafka $1"
        new_context
        mkdir "$CONTEXT/libs"
        cp "$KAFKA_HOME"/*.jar "$CONTEXT/libs"
        build kafka "$cached"
    }
    docker tag "$cached" "apache/kafka:$1"
}

# make_of_mc RECIPE IMAGE TAG PROGRAM...
make_of_mc() {
    local recipe=$1 image=$2 tag=$3 cached
    shift 3
    cached=$CACHED:$recipe-$(printf '%s\n' "$@" | sha256sum | cut -c1-12)-$(recipe_key "$recipe")
    exists "$cached" || {
        say "making an image of $recipe"
        new_context
        cp "$@" "$RECIPES/only-coreutils.sh" "$CONTEXT"
        build "$recipe" "$cached"
    }
    docker tag "$cached" "$image:$tag"
}

make_prometheus() {
    local home cached
    home=$("$HERE/clients.sh" prometheus "${1#v}")
    cached=$CACHED:prometheus-$1-$(recipe_key prometheus)
    exists "$cached" || {
        say "making an image of Prometheus $1"
        new_context
        cp "$home/prometheus" "$home/promtool" "$CONTEXT"
        build prometheus "$cached"
    }
    docker tag "$cached" "prom/prometheus:$1"
}

make_stand_in() {
    local tag=${1#*:}
    case $1 in
        debian:*) make_debian "$tag" ;;
        rust:*) make_rust "$tag" ;;
        apache/kafka:*) make_kafka "$tag" ;;
        minio/minio:*) make_of_mc minio minio/minio "$tag" "$MINIO_HOME/minio" "$MC_HOME/mc" ;;
        minio/mc:*) make_of_mc mc minio/mc "$tag" "$MC_HOME/mc" ;;
        prom/prometheus:*) make_prometheus "$tag" ;;
        *) fail "no recipe for $1" ;;
    esac
}

# The others are built on this one.
base_first() {
    printf '%s\n' "$@" | grep '^debian:' || true
    printf '%s\n' "$@" | grep -v '^debian:' || true
}

prepare() {
    if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
        fail "the official images cannot be pulled, and only root on Debian can make stand-ins"
    fi
    command -v debootstrap >/dev/null || apt_install debootstrap
    choose_builder
    "$HERE/servers.sh" install
    eval "$("$HERE/servers.sh" homes)"
}

pull() {
    if exists "$1" && ! is_stand_in "$1"; then
        say "$1: official, pulled before"
    else
        timeout "$PULL_SECONDS" docker pull --quiet "$1" >/dev/null 2>&1 || return
        say "$1: official, pulled"
    fi
}

make() {
    local image prepared=
    for image in $(base_first "$@"); do
        pull "$image" || {
            [[ -n $prepared ]] || prepare
            prepared=yes
            make_stand_in "$image"
            say "$image: a stand-in"
        }
    done
}

remove() {
    local image
    for image in "$@"; do
        ! is_stand_in "$image" || docker rmi --no-prune "$image" >/dev/null
    done
}

main() {
    trap remove_context EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    case "${1:-}" in
        make) make "${@:2}" ;;
        pull) pull "${2:-}" ;;
        remove) remove "${@:2}" ;;
        *) usage ;;
    esac
    # Bash reads a script as it goes, and this file may change while a long build runs.
    exit
}

main "$@"
