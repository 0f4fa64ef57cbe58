#!/usr/bin/env bash
# A real Apache Flink for the benchmark, without containers: one JobManager, and one TaskManager with two slots.
# They write to the S3 that scripts/servers.sh has started.
#
#   bench/flink.sh install                download it once and build the job, into a cache outside the checkout
#   bench/flink.sh start DIR              start a session cluster on free ports, with conf, logs and pids under DIR
#   bench/flink.sh run DIR ARGUMENTS...   submit the job of flink-peer/ and print its id
#   bench/flink.sh stop DIR               stop the cluster
#   bench/flink.sh cli ARGUMENTS...       Flink's own command line, for any JobManager: list -m HOST:PORT
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
readonly PROGRAM=flink
readonly START_TIMEOUT=60
readonly STOP_TIMEOUT=20

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
# shellcheck source=scripts/servers/common.sh
source "$HERE/../scripts/servers/common.sh"

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
    refuse_if_missing "${missing[@]}"
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

install() {
    check_tools
    begin_install
    install_component "Flink $FLINK_VERSION" "$FLINK_HOME" make_flink
    install_component "the Flink job" "$PEER_HOME" make_peer
}

# ---------------------------------------------------------------- start

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

launch_flink() {
    local name=$1 dir=$2
    FLINK_CONF_DIR=$dir/conf FLINK_PLUGINS_DIR=$FLINK_HOME/plugins launch "$name" "$dir" \
        "${JVM[@]}" "${RESOURCES[@]}" -Dlog4j.configurationFile="file:$dir/conf/log4j.properties" \
        -cp "$FLINK_HOME/lib/*:$PEER_HOME/flink-peer.jar" \
        "$(main_class "$name")" --configDir "$dir/conf" "${SETTINGS[@]}"
}

jobmanager_answers() { grep -q 'Rest endpoint listening at' "$1/jobmanager.log"; }
taskmanager_answers() { grep -q 'Successful registration at resource manager' "$1/taskmanager.log"; }

start() {
    local dir name
    check_installed "$FLINK_HOME" "$PEER_HOME"
    for name in LINEAGE_TEST_S3 LINEAGE_TEST_S3_ACCESS_KEY LINEAGE_TEST_S3_SECRET_KEY; do
        [[ -n ${!name:-} ]] || fail "$name is not set; see scripts/servers.sh env"
    done
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    refuse_if_running "$dir" jobmanager taskmanager

    begin_start "$dir"
    REST_PORT=$(free_port)
    write_conf "$dir"
    read_resources "$dir" GET_JM_RESOURCE_PARAMS
    launch_flink jobmanager "$dir"
    wait_until jobmanager "$dir" jobmanager_answers
    read_resources "$dir" GET_TM_RESOURCE_PARAMS
    launch_flink taskmanager "$dir"
    wait_until taskmanager "$dir" taskmanager_answers
    {
        printf 'export FLINK_REST=http://127.0.0.1:%q\n' "$REST_PORT"
        printf 'export FLINK_JOBMANAGER_PID=%q\n' "$(cat "$dir/jobmanager.pid")"
        printf 'export FLINK_TASKMANAGER_PID=%q\n' "$(cat "$dir/taskmanager.pid")"
        printf 'export FLINK_VERSION=%q\n' "$FLINK_VERSION"
    } >"$dir/env"
    end_start
}

# ---------------------------------------------------------------- run

run() {
    check_installed "$FLINK_HOME" "$PEER_HOME"
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

# ---------------------------------------------------------------- cli

CLI_CONF=
cli() {
    check_installed "$FLINK_HOME"
    CLI_CONF=$(mktemp -d)
    trap 'rm -rf "$CLI_CONF"' EXIT
    # It wants to have a configuration; the address is among the arguments.
    echo 'rest.address: localhost' >"$CLI_CONF/config.yaml"
    FLINK_CONF_DIR=$CLI_CONF "${JVM[@]}" -cp "$FLINK_HOME/lib/*" org.apache.flink.client.cli.CliFrontend "$@"
}

# ---------------------------------------------------------------- stop

is_ours() {
    local name=$1 dir=$2 pid command
    pid=$(cat "$dir/$name.pid" 2>/dev/null) && [[ -n $pid ]] || return 1
    command=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
    [[ $command == java*" $(main_class "$name") --configDir $dir/conf"* ]]
}

stop() {
    [[ -d $1 ]] || return 0
    # Not to be interrupted: a second Ctrl-C would leave a process behind.
    trap '' INT TERM
    local dir name
    dir=$(cd "$1" && pwd)
    for name in taskmanager jobmanager; do
        ask_to_stop "$name" "$dir"
        wait_for_stop "$name" "$dir"
    done
    rm -f "$dir/env"
}

main() {
    case "${1:-} $#" in
        'install 1') install ;;
        'start 2') start "$2" ;;
        'stop 2') stop "$2" ;;
        'cli '[0-9]*) (($# > 1)) || usage && cli "${@:2}" ;;
        'run '[0-9]*) (($# > 2)) || usage && run "${@:2}" ;;
        *) usage ;;
    esac
    # Bash reads a script as it goes, and this file may change while a long install runs.
    exit
}

main "$@"
