#!/usr/bin/env bash
# Real servers for the tests and for trying things out, without containers: a Kafka broker (KRaft, one
# node), a MinIO, its client mc, versitygw as a second S3 server, and a Python with DuckDB and PyArrow as readers
# of Parquet that are not ours. A schema registry (Apicurio) is installed too, and started by the tests that need
# it.
#
#   scripts/servers.sh install      download and build them once, into a cache outside the checkout
#   scripts/servers.sh start DIR    start them on free ports, with data, logs and pids under DIR
#   scripts/servers.sh env DIR      print their addresses; use as: eval "$(scripts/servers.sh env DIR)"
#   scripts/servers.sh stop DIR     stop them (the data stays in DIR)
#   scripts/servers.sh homes        print the folders that they are installed in, likewise
#
# A server that the environment names already (LINEAGE_TEST_KAFKA, LINEAGE_TEST_S3) is used and not started.
# The cache is LINEAGE_CACHE, or else the `lineage` folder in the user's cache folder. Linux only.
# shellcheck disable=SC2317 # functions that are called by a name in a variable look unreachable to it
set -euo pipefail

# The Kafka version stands in servers/kafka-pom.xml, what its jars must be in servers/kafka-libs.sha256,
# the Python wheels in servers/requirements.txt. Go checks these against its checksum database.
readonly MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
readonly MC_VERSION=v0.0.0-20250313080218-cf909e1063a9
# In memory, with Confluent's API below apis/ccompat/v7. Newer ones need Java 21.
readonly REGISTRY_VERSION=3.0.9
readonly REGISTRY_SHA256=2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43
readonly MAVEN_GET=org.apache.maven.plugins:maven-dependency-plugin:2.8:get
readonly VERSITYGW_VERSION=v1.8.0
readonly MAVEN_COPY=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies

readonly JAVA_MIN=17
# From 1.21 on, Go fetches by itself the newer version that MinIO asks for.
readonly GO_MIN=1.21

readonly PROGRAM=servers
readonly START_TIMEOUT=60
readonly STOP_TIMEOUT=10
readonly S3_USER=minioadmin
readonly S3_PASSWORD=minioadmin
# MinIO's own key management, for the tests of encryption: nothing else is encrypted by it.
readonly S3_KMS_KEY=lineage-key:bGluZWFnZS10ZXN0cy1lbmNyeXB0LXdpdGgtdGhpcyE=

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
# shellcheck source=scripts/servers/common.sh
source "$HERE/servers/common.sh"

# A component's folder carries what defines it in its name, so a change of the pins installs anew.
pins_of() { cat "$@" | sha256sum | cut -c1-12; }
KAFKA_HOME=$CACHE/kafka-$(pins_of "$HERE/servers/kafka-pom.xml" "$HERE/servers/kafka-libs.sha256")
PYTHON_HOME=$CACHE/python-$(pins_of "$HERE/servers/requirements.txt")
readonly KAFKA_HOME PYTHON_HOME
readonly MINIO_HOME=$CACHE/minio-$MINIO_VERSION
readonly MC_HOME=$CACHE/mc-$MC_VERSION
readonly REGISTRY_HOME=$CACHE/apicurio-registry-$REGISTRY_VERSION
readonly VERSITYGW_HOME=$CACHE/versitygw-$VERSITYGW_VERSION

# ---------------------------------------------------------------- install

# 1.8.0 -> 8, 17.0.15 -> 17; nothing when there is no Java.
java_major() {
    java -version 2>&1 | sed -n 's/^[^"]*version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p' | head -n 1
}

has_java() {
    local major
    major=$(java_major || true)
    ((${major:-0} >= JAVA_MIN))
}

has_go() {
    local version
    version=$(go version 2>/dev/null | sed -n 's/.* go\([0-9.]*\).*/\1/p')
    [[ -n $version && $(printf '%s\n' "$GO_MIN" "$version" | sort -V | head -n 1) == "$GO_MIN" ]]
}

check_tools() {
    local missing=()
    has_java || missing+=("a Java runtime of version $JAVA_MIN or newer: apt-get install openjdk-17-jdk-headless")
    # For the tests of a secured broker: nothing else here gives a key a password.
    command -v openssl >/dev/null || missing+=("openssl: apt-get install openssl")
    if [[ ! -d $KAFKA_HOME || ! -d $REGISTRY_HOME ]]; then
        command -v mvn >/dev/null || missing+=("Maven: apt-get install maven")
    fi
    if [[ ! -d $MINIO_HOME || ! -d $MC_HOME || ! -d $VERSITYGW_HOME ]]; then
        has_go || missing+=("Go $GO_MIN or newer: apt-get install golang (on Debian 12: -t bookworm-backports)")
    fi
    if [[ ! -d $PYTHON_HOME ]]; then
        python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=("Python 3 with venv: apt-get install python3-venv")
    fi
    refuse_if_missing "${missing[@]}"
}

# Makers run as the left side of `||`, where `set -e` is off: so each step is chained.
make_kafka() {
    # Maven writes no file beside a pom that it only reads, but wants it to be called what -f says.
    mvn -q -B -f "$HERE/servers/kafka-pom.xml" "$MAVEN_COPY" \
        -DincludeScope=runtime -DoutputDirectory="$1" &&
        (cd "$1" && sha256sum --check --strict --quiet "$HERE/servers/kafka-libs.sha256") &&
        check_no_other_jar "$1"
}

check_no_other_jar() {
    local listed found
    listed=$(wc -l <"$HERE/servers/kafka-libs.sha256") &&
        found=$(find "$1" -name '*.jar' | wc -l) &&
        { ((listed == found)) || { echo "$found jars where $listed have a checksum in kafka-libs.sha256" && return 1; }; }
}

go_install() {
    GOBIN=$1 GOFLAGS=-trimpath CGO_ENABLED=0 go install -ldflags='-s -w' "$2"
}
make_minio() { go_install "$1" "github.com/minio/minio@$MINIO_VERSION"; }
make_mc() { go_install "$1" "github.com/minio/mc@$MC_VERSION"; }
make_versitygw() { go_install "$1" "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW_VERSION"; }

# Only bin/python of it is used: the other programs in bin carry the name of the staging folder.
make_python() {
    python3 -m venv "$1" &&
        "$1/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes \
            -r "$HERE/servers/requirements.txt" &&
        "$1/bin/python" -c 'import duckdb, pyarrow.parquet, pyroaring'
}

# Maven Central does not have the parent of its pom. Version 2.8 of `get` asks for the archive alone, newer ones
# and `copy` do not.
make_registry() {
    local name=apicurio-registry-app
    local archive=$1/m2/io/apicurio/$name/$REGISTRY_VERSION/$name-$REGISTRY_VERSION-all.tar.gz
    mvn -q -B "$MAVEN_GET" -Dtransitive=false -Dmaven.repo.local="$1/m2" \
        -Dartifact="io.apicurio:$name:$REGISTRY_VERSION:tar.gz:all" &&
        echo "$REGISTRY_SHA256  $archive" | sha256sum --check --strict --quiet &&
        tar xzf "$archive" -C "$1" && rm -r "$1/m2"
}

install() {
    check_tools
    begin_install
    if [[ ! -d $KAFKA_HOME || ! -d $MINIO_HOME || ! -d $MC_HOME || ! -d $VERSITYGW_HOME || ! -d $PYTHON_HOME ||
        ! -d $REGISTRY_HOME ]]; then
        say "installing into $CACHE: some eight minutes on two cores, the first time only"
    fi
    install_component Kafka "$KAFKA_HOME" make_kafka
    install_component "Python with DuckDB and PyArrow" "$PYTHON_HOME" make_python
    install_component "Apicurio Registry" "$REGISTRY_HOME" make_registry
    install_component mc "$MC_HOME" make_mc
    install_component MinIO "$MINIO_HOME" make_minio
    install_component versitygw "$VERSITYGW_HOME" make_versitygw
}

# ---------------------------------------------------------------- start

start_kafka() {
    local dir=$1 port controller_port cluster_id
    port=$(free_port)
    controller_port=$(free_port)
    # 16 bytes in Kafka's alphabet, with no '-' that could be taken for an option. Random, because a client
    # tells clusters apart by it.
    cluster_id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d '=')
    KAFKA_ADDRESS=127.0.0.1:$port
    cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$dir/kafka-data
num.partitions=10
# A mistyped topic must be an error, not a new topic.
auto.create.topics.enable=false
# One broker has one replica; one partition instead of 50 makes the first commit and transaction quick.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# A topic that is compacted is so at once, instead of after 15 s.
log.cleaner.backoff.ms=100
PROPERTIES
    java -cp "$KAFKA_HOME/*" kafka.tools.StorageTool format -t "$cluster_id" -c "$dir/server.properties" \
        >"$dir/kafka.log" 2>&1 || {
        tail -n 30 "$dir/kafka.log" >&2
        fail "Kafka's storage could not be formatted in $dir/kafka-data"
    }
    launch kafka "$dir" java -Xmx1g "-XX:ErrorFile=$dir/kafka-crash.log" \
        -Dorg.slf4j.simpleLogger.showDateTime=true '-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS' \
        -cp "$KAFKA_HOME/*" kafka.Kafka "$dir/server.properties"
}

# The line comes after the broker has registered and is no longer fenced; an open port comes earlier.
kafka_answers() {
    grep -q 'Kafka Server started' "$1/kafka.log" && (exec 3<>"/dev/tcp/${KAFKA_ADDRESS/://}") 2>/dev/null
}

start_minio() {
    local dir=$1 port console_port
    port=$(free_port)
    console_port=$(free_port)
    S3_ADDRESS=127.0.0.1:$port
    mkdir -p "$dir/minio-data"
    launch minio "$dir" env "MINIO_ROOT_USER=$S3_USER" "MINIO_ROOT_PASSWORD=$S3_PASSWORD" MINIO_UPDATE=off \
        "MINIO_KMS_SECRET_KEY=$S3_KMS_KEY" "$MINIO_HOME/minio" server --address "$S3_ADDRESS" --console-address "127.0.0.1:$console_port" "$dir/minio-data"
}

minio_answers() {
    MC_HOST_started=http://$S3_USER:$S3_PASSWORD@$S3_ADDRESS \
        "$MC_HOME/mc" --config-dir "$1/mc" ls started >/dev/null 2>&1
}

# Keeps what it knows of an object beside the files: not every file system has attributes of its own.
start_versitygw() {
    local dir=$1
    VERSITYGW_ADDRESS=127.0.0.1:$(free_port)
    mkdir -p "$dir/versitygw-data" "$dir/versitygw-meta"
    launch versitygw "$dir" env "ROOT_ACCESS_KEY=$S3_USER" "ROOT_SECRET_KEY=$S3_PASSWORD" \
        "$VERSITYGW_HOME/versitygw" --port "$VERSITYGW_ADDRESS" --quiet \
        posix --sidecar "$dir/versitygw-meta" "$dir/versitygw-data"
}

versitygw_answers() {
    MC_HOST_started=http://$S3_USER:$S3_PASSWORD@$VERSITYGW_ADDRESS \
        "$MC_HOME/mc" --config-dir "$1/mc" ls started >/dev/null 2>&1
}

write_env() {
    local dir=$1
    {
        printf 'export LINEAGE_TEST_KAFKA=%q\n' "${LINEAGE_TEST_KAFKA:-$KAFKA_ADDRESS}"
        printf 'export LINEAGE_TEST_S3=%q\n' "${LINEAGE_TEST_S3:-http://$S3_ADDRESS}"
        printf 'export LINEAGE_TEST_S3_ACCESS_KEY=%q\n' "${LINEAGE_TEST_S3_ACCESS_KEY:-$S3_USER}"
        printf 'export LINEAGE_TEST_S3_SECRET_KEY=%q\n' "${LINEAGE_TEST_S3_SECRET_KEY:-$S3_PASSWORD}"
        printf 'export LINEAGE_TEST_VERSITYGW=%q\n' "http://$VERSITYGW_ADDRESS"
        printf 'export LINEAGE_TEST_PYTHON=%q\n' "$PYTHON_HOME/bin/python"
        printf 'export LINEAGE_TEST_KAFKA_LIBS=%q\n' "$KAFKA_HOME"
        printf 'export LINEAGE_TEST_REGISTRY_JAR=%q\n' "$REGISTRY_HOME/apicurio-registry-app-$REGISTRY_VERSION-runner.jar"
        printf 'export LINEAGE_TEST_MC=%q\n' "$MC_HOME/mc"
        printf 'export LINEAGE_TEST_MINIO=%q\n' "$MINIO_HOME/minio"
        # For tests that kill and pause the servers.
        printf 'export LINEAGE_TEST_SERVERS=%q\n' "$dir"
    } >"$dir/env.new"
    mv "$dir/env.new" "$dir/env"
}

KAFKA_ADDRESS=
S3_ADDRESS=
VERSITYGW_ADDRESS=
start() {
    local dir
    check_installed "$KAFKA_HOME" "$MINIO_HOME" "$MC_HOME" "$VERSITYGW_HOME" "$PYTHON_HOME" "$REGISTRY_HOME"
    has_java || fail "no Java of version $JAVA_MIN or newer; run '$0 install' to see how to get it"
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    refuse_if_running "$dir" kafka minio versitygw
    [[ ! -e $dir/kafka-data ]] || fail "$dir holds the data of an earlier start; give an empty folder, or remove it"

    begin_start "$dir"
    [[ -n ${LINEAGE_TEST_KAFKA:-} ]] || start_kafka "$dir"
    [[ -n ${LINEAGE_TEST_S3:-} ]] || start_minio "$dir"
    start_versitygw "$dir"
    [[ -n ${LINEAGE_TEST_S3:-} ]] || wait_until minio "$dir" minio_answers
    wait_until versitygw "$dir" versitygw_answers
    [[ -n ${LINEAGE_TEST_KAFKA:-} ]] || wait_until kafka "$dir" kafka_answers
    write_env "$dir"
    end_start
}

print_env() {
    [[ -f $1/env ]] || fail "no servers were started in $1"
    cat "$1/env"
}

print_homes() {
    check_installed "$KAFKA_HOME" "$MINIO_HOME" "$MC_HOME"
    printf '%s=%q\n' KAFKA_HOME "$KAFKA_HOME" MINIO_HOME "$MINIO_HOME" MC_HOME "$MC_HOME"
}

# ---------------------------------------------------------------- stop

is_ours() {
    local name=$1 dir=$2 pid command
    pid=$(cat "$dir/$name.pid" 2>/dev/null) && [[ -n $pid ]] || return 1
    command=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
    case $name in
        # Right after the start it may be setsid, nohup or env still, with the whole command behind them.
        kafka) [[ $command == *kafka.Kafka*" $dir/server.properties"* ]] ;;
        minio) [[ $command == *"/minio server "*" $dir/minio-data"* ]] ;;
        versitygw) [[ $command == *"/versitygw --port "*" $dir/versitygw-data"* ]] ;;
    esac
}

stop() {
    [[ -d $1 ]] || return 0
    # Not to be interrupted: a second Ctrl-C would leave a server behind.
    trap '' INT TERM
    local dir
    dir=$(cd "$1" && pwd)
    ask_to_stop kafka "$dir"
    ask_to_stop minio "$dir"
    ask_to_stop versitygw "$dir"
    wait_for_stop kafka "$dir"
    wait_for_stop minio "$dir"
    wait_for_stop versitygw "$dir"
    rm -f "$dir/env"
}

main() {
    case "${1:-} $#" in
        'install 1') install ;;
        'start 2') start "$2" ;;
        'env 2') print_env "$2" ;;
        'stop 2') stop "$2" ;;
        'homes 1') print_homes ;;
        *) usage ;;
    esac
    # Bash reads a script as it goes, and this file may change while a long install runs.
    exit
}

main "$@"
