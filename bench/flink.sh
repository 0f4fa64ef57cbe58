#!/usr/bin/env bash
# A real Apache Flink for the benchmark, without containers: one JobManager, and one TaskManager with two slots.
# They write to the S3 that scripts/servers.sh has started.
#
#   bench/flink.sh install                download it once and build the job, into a cache outside the checkout
#   bench/flink.sh start DIR              start a session cluster on free ports, with conf, logs and pids under DIR
#   bench/flink.sh run DIR ARGUMENTS...   submit the job of flink-peer/ and print its id
#   bench/flink.sh stop DIR               stop the cluster
#
# start reads LINEAGE_TEST_S3, LINEAGE_TEST_S3_ACCESS_KEY and LINEAGE_TEST_S3_SECRET_KEY, and leaves DIR/env with
# the address of the JobManager and the pids. The cache is that of scripts/servers.sh. Linux only.
# shellcheck disable=SC2317 # functions that are called by a name in a variable look unreachable to it
set -euo pipefail

# The newest 1.20, from the source archive that PyFlink takes its jars from. The S3 plug-in, and what the job is
# built with, are of an older patch release: the newest that Maven Central had all of. Patch releases of Flink
# are compatible.
readonly FLINK_VERSION=1.20.5
readonly FLINK_SHA256=e6aee62ea1a1fe7b32e28894ad079f3f1a50a372a4caac3df52405267f4228c8
readonly PLUGIN=flink-s3-fs-hadoop
readonly PLUGIN_VERSION=1.20.1
readonly PLUGIN_SHA256=4dabe5d51519984f88d677c477b99c5e18cec924af2e41816da67df527a5c679
readonly MAVEN_COPY=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy

readonly JAVA_MIN=17
readonly START_TIMEOUT=60
readonly STOP_TIMEOUT=20

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
readonly CACHE=${LINEAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lineage}

say() { printf 'flink: %s\n' "$*" >&2; }
fail() {
    printf 'flink: error: %s\n' "$*" >&2
    exit 1
}

peer_sources() {
    find "$HERE/flink-peer" -type f -print0 | sort -z
    printf '%s\0' "$HERE/../avro/input_event.avsc"
}

readonly FLINK_HOME=$CACHE/flink-$FLINK_VERSION-$PLUGIN-$PLUGIN_VERSION
# The job's folder carries what it is built from in its name, so a change of the sources builds anew.
PEER_HOME=$CACHE/flink-peer-$(peer_sources | xargs -0 cat | sha256sum | cut -c1-12)
readonly PEER_HOME

# ---------------------------------------------------------------- install

check_tools() {
    local missing=() major
    # 17.0.15 -> 17; nothing when there is no Java.
    major=$(javac -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p')
    ((${major:-0} >= JAVA_MIN)) || missing+=("a JDK of version $JAVA_MIN or newer: apt-get install openjdk-17-jdk-headless")
    command -v mvn >/dev/null || missing+=("Maven: apt-get install maven")
    python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=("Python 3 with venv: apt-get install python3-venv")
    if ((${#missing[@]} > 0)); then
        say "missing, please install:"
        printf '  - %s\n' "${missing[@]}" >&2
        exit 1
    fi
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
        fail "installing $name failed; see above, then run '$0 install' again"
    }
    chmod 755 "$STAGING"
    # A second install that ran at the same time may have been first. Its result is the same.
    mv -T "$STAGING" "$home" 2>/dev/null || [[ -d $home ]] || fail "cannot rename $STAGING to $home"
    remove_staging
    say "installed $name in $((SECONDS - begin)) s"
}

# Makers run as the left side of `||`, where `set -e` is off: so each step is chained.
make_flink() {
    local work=$1/work
    python3 -m venv "$work/venv" &&
        echo "apache-flink-libraries==$FLINK_VERSION --hash=sha256:$FLINK_SHA256" >"$work/requirements.txt" &&
        "$work/venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps \
            --no-binary apache-flink-libraries --require-hashes -r "$work/requirements.txt" -d "$work" &&
        tar -xzf "$work"/apache*flink*libraries-"$FLINK_VERSION".tar.gz -C "$1" --strip-components=2 --no-same-owner \
            --wildcards '*/deps/lib/*.jar' '*/deps/bin/bash-java-utils.jar' &&
        rm -r "$work" &&
        mvn -q -B "$MAVEN_COPY" -Dartifact="org.apache.flink:$PLUGIN:$PLUGIN_VERSION" \
            -DoutputDirectory="$1/plugins/$PLUGIN" &&
        sha256sum --check --strict --quiet <<<"$PLUGIN_SHA256  $1/plugins/$PLUGIN/$PLUGIN-$PLUGIN_VERSION.jar"
}

# flink-peer.jar holds all that the job needs, original-flink-peer.jar the job alone.
make_peer() {
    mvn -q -B -f "$HERE/flink-peer/pom.xml" -Dbuild.folder="$1/build" package &&
        mv "$1/build/flink-peer.jar" "$1/build/original-flink-peer.jar" "$1" &&
        rm -r "$1/build"
}

STAGING=
remove_staging() {
    [[ -z $STAGING ]] || rm -rf "$STAGING" "$STAGING.log"
    STAGING=
}

install() {
    check_tools
    mkdir -p "$CACHE"
    trap remove_staging EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    install_component "Flink $FLINK_VERSION" "$FLINK_HOME" make_flink
    install_component "the Flink job" "$PEER_HOME" make_peer
}

check_installed() {
    local home
    for home in "$FLINK_HOME" "$PEER_HOME"; do
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

write_conf() {
    local dir=$1
    mkdir -p "$dir/conf" "$dir/tmp"
    # Addresses and folders apart, this is the configuration that Flink ships, with two slots and 2 GB for the
    # TaskManager. parent-first: the job is part of the cluster's own class path, so that what the JVM has
    # compiled for one job serves the next one, as in a job that has been running for long.
    cat >"$dir/conf/config.yaml" <<CONF
jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: $(free_port)
jobmanager.bind-host: 127.0.0.1
jobmanager.memory.process.size: 1600m
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.memory.process.size: 2g
# An upload that ends after its job, in a thread of the plug-in, is no leak.
classloader.check-leaked-classloader: false
taskmanager.numberOfTaskSlots: 2
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: $REST_PORT
io.tmp.dirs: "$dir/tmp"
classloader.resolve-order: parent-first
s3.endpoint: "$LINEAGE_TEST_S3"
s3.path.style.access: true
s3.access-key: "$LINEAGE_TEST_S3_ACCESS_KEY"
s3.secret-key: "$LINEAGE_TEST_S3_SECRET_KEY"
CONF
    cat >"$dir/conf/log4j.properties" <<'CONF'
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-60c %x - %m%n
CONF
}

# What Flink's own configuration asks of a JDK 17.
JVM=(java)
for package in java.base/sun.net.util java.rmi/sun.rmi.registry java.security.jgss/sun.security.krb5; do
    JVM+=("--add-exports=$package=ALL-UNNAMED")
done
for package in java.lang java.net java.io java.nio java.lang.reflect java.text java.time java.util \
    java.util.concurrent java.util.concurrent.atomic java.util.concurrent.locks sun.nio.ch; do
    JVM+=("--add-opens=java.base/$package=ALL-UNNAMED")
done

# The flags of the JVM and the settings of the process, from its memory settings, as Flink's scripts ask for them.
RESOURCES=()
SETTINGS=()
read_resources() {
    local dir=$1 question=$2 answer
    answer=$("${JVM[@]}" -cp "$FLINK_HOME/bin/bash-java-utils.jar:$FLINK_HOME/lib/*" \
        org.apache.flink.runtime.util.bash.BashJavaUtils "$question" --configDir "$dir/conf" 2>"$dir/resources.log" |
        sed -n 's/^BASH_JAVA_UTILS_EXEC_RESULT://p') || {
        cat "$dir/resources.log" >&2
        fail "$question failed; see above"
    }
    read -r -a RESOURCES <<<"$(sed -n 1p <<<"$answer")"
    read -r -a SETTINGS <<<"$(sed -n 2p <<<"$answer")"
}

main_class() {
    case $1 in
        jobmanager) echo org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint ;;
        taskmanager) echo org.apache.flink.runtime.taskexecutor.TaskManagerRunner ;;
    esac
}

# A session of its own: Ctrl-C in the terminal must reach the benchmark, which stops the cluster.
launch() {
    local name=$1 dir=$2
    FLINK_CONF_DIR=$dir/conf FLINK_PLUGINS_DIR=$FLINK_HOME/plugins setsid nohup \
        "${JVM[@]}" "${RESOURCES[@]}" -Dlog4j.configurationFile="file:$dir/conf/log4j.properties" \
        -cp "$FLINK_HOME/lib/*:$PEER_HOME/flink-peer.jar" \
        "$(main_class "$name")" --configDir "$dir/conf" "${SETTINGS[@]}" >"$dir/$name.log" 2>&1 </dev/null &
    local pid=$!
    echo "$pid" >"$dir/$name.pid"
    # Until the new process has become Java, is_ours would not know it.
    while ! is_ours "$name" "$dir" && kill -0 "$pid" 2>/dev/null; do
        sleep 0.05
    done
}

# Signals are noted by start and acted on here, so that none can come between a process's start and its pid file.
INTERRUPTED=
wait_for_line() {
    local name=$1 dir=$2 line=$3 begin=$SECONDS
    until grep -q "$line" "$dir/$name.log"; do
        [[ -z $INTERRUPTED ]] || fail "interrupted while the $name was starting"
        if ! is_ours "$name" "$dir" || ((SECONDS - begin > START_TIMEOUT)); then
            tail -n 30 "$dir/$name.log" >&2
            fail "the $name does not come up; the end of its log is above, the whole in $dir/$name.log"
        fi
        sleep 0.2
    done
    say "the $name is up after $((SECONDS - begin)) s"
}

start() {
    local dir name
    check_installed
    for name in LINEAGE_TEST_S3 LINEAGE_TEST_S3_ACCESS_KEY LINEAGE_TEST_S3_SECRET_KEY; do
        [[ -n ${!name:-} ]] || fail "$name is not set; see scripts/servers.sh env"
    done
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    for name in jobmanager taskmanager; do
        ! is_ours "$name" "$dir" || fail "the $name runs already in $dir; run '$0 stop $dir' first"
    done

    trap 'INTERRUPTED=yes' INT TERM
    # Half a start leaves nothing running.
    STARTING_IN=$dir
    trap 'stop "$STARTING_IN"' EXIT
    REST_PORT=$(free_port)
    write_conf "$dir"
    read_resources "$dir" GET_JM_RESOURCE_PARAMS
    launch jobmanager "$dir"
    wait_for_line jobmanager "$dir" 'Rest endpoint listening at'
    read_resources "$dir" GET_TM_RESOURCE_PARAMS
    launch taskmanager "$dir"
    wait_for_line taskmanager "$dir" 'Successful registration at resource manager'
    {
        printf 'export FLINK_REST=http://127.0.0.1:%q\n' "$REST_PORT"
        printf 'export FLINK_JOBMANAGER_PID=%q\n' "$(cat "$dir/jobmanager.pid")"
        printf 'export FLINK_TASKMANAGER_PID=%q\n' "$(cat "$dir/taskmanager.pid")"
        printf 'export FLINK_VERSION=%q\n' "$FLINK_VERSION"
    } >"$dir/env"
    [[ -z $INTERRUPTED ]] || fail "interrupted"
    trap - EXIT
}

# ---------------------------------------------------------------- run

run() {
    check_installed
    local dir answer id
    dir=$(cd "$1" && pwd)
    shift
    answer=$(FLINK_CONF_DIR=$dir/conf FLINK_PLUGINS_DIR=$FLINK_HOME/plugins "${JVM[@]}" \
        -Dlog4j.configurationFile="file:$dir/conf/log4j.properties" -cp "$FLINK_HOME/lib/*:$PEER_HOME/flink-peer.jar" \
        org.apache.flink.client.cli.CliFrontend run --detached --class com.lineage.bench.LineageJob \
        "$PEER_HOME/original-flink-peer.jar" "$@" 2>&1) || {
        echo "$answer" >&2
        fail "the job could not be submitted; see above"
    }
    id=$(sed -n 's/^Job has been submitted with JobID \([0-9a-f]*\)$/\1/p' <<<"$answer")
    [[ -n $id ]] || fail "the client names no job: $answer"
    echo "$id"
}

# ---------------------------------------------------------------- stop

# Is the process of the pid file still the one that was started in this folder? Pids are used again.
is_ours() {
    local name=$1 dir=$2 pid command
    pid=$(cat "$dir/$name.pid" 2>/dev/null) && [[ -n $pid ]] || return 1
    command=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
    [[ $command == java*" $(main_class "$name") --configDir $dir/conf"* ]]
}

stop_one() {
    local name=$1 dir=$2 begin=$SECONDS
    ! is_ours "$name" "$dir" || kill -TERM "$(cat "$dir/$name.pid")" 2>/dev/null || true
    while is_ours "$name" "$dir"; do
        if ((SECONDS - begin > STOP_TIMEOUT)); then
            say "the $name did not stop within $STOP_TIMEOUT s and is killed"
            kill -KILL "$(cat "$dir/$name.pid")" 2>/dev/null || true
            begin=$SECONDS
        fi
        sleep 0.1
    done
    rm -f "$dir/$name.pid"
}

stop() {
    [[ -d $1 ]] || return 0
    # Not to be interrupted: a second Ctrl-C would leave a process behind.
    trap '' INT TERM
    local dir
    dir=$(cd "$1" && pwd)
    stop_one taskmanager "$dir"
    stop_one jobmanager "$dir"
    rm -f "$dir/env"
}

usage() {
    sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed -n '/shellcheck/!s/^# \{0,1\}//p' >&2
    exit 2
}

main() {
    case "${1:-} $#" in
        'install 1') install ;;
        'start 2') start "$2" ;;
        'stop 2') stop "$2" ;;
        'run '[0-9]*) (($# > 2)) || usage && run "${@:2}" ;;
        *) usage ;;
    esac
    # Bash reads a script as it goes, and this file may change while a long install runs.
    exit
}

main "$@"
