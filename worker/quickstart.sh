#!/usr/bin/env bash
# Shows kancel at work on this machine alone: builds it, starts a small Kafka broker, a simulator of the four providers and
# one worker, sends nine commands and shows what comes back.
#
#   worker/quickstart.sh          does all that and tidies up; exit 0 only if every answer is as expected
#   worker/quickstart.sh --keep   leaves everything running and says how to talk to it
#
# For a bare Debian 12 or 13: what is missing is installed by docker/install-deps.sh (as root or with sudo). Nothing listens
# but on 127.0.0.1, on free ports.
set -euo pipefail
export LC_ALL=C

readonly ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly BUILD=${KANCEL_BUILD:-$ROOT/build}
readonly PATIENCE=60 # seconds that anything may take to start

keep=false
for word in "$@"; do
    case $word in
    --keep) keep=true ;;
    -h | --help)
        sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    *)
        printf 'quickstart: unknown option %s (there are --keep and --help)\n' "$word" >&2
        exit 2
        ;;
    esac
done

bold='' dim='' green='' yellow='' red='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' yellow=$'\e[33m' red=$'\e[31m' plain=$'\e[0m'
fi

step() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
fail() {
    printf '%squickstart: %s%s\n' "$red" "$*" "$plain" >&2
    exit 1
}

# ---- what was started, and its end ----

folder=$(mktemp -d "${TMPDIR:-/tmp}/kancel-quickstart-XXXXXX")
pids=()
names=()

# start NAME COMMAND...: in the background, its output in a file of that name.
start() {
    local name=$1
    shift
    "$@" >"$folder/$name.log" 2>&1 </dev/null &
    pids+=($!)
    names+=("$name")
}

# Last started, first stopped; the worker drains.
stop_all() {
    local i
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
}

finish() {
    local code=$?
    if $keep && [ "$code" -eq 0 ]; then
        return
    fi
    stop_all
    if [ "$code" -ne 0 ] && [ -s "$folder/worker.log" ]; then
        printf '%slast lines of the worker (%s):%s\n' "$dim" "$folder/worker.log" "$plain" >&2
        tail -n 20 "$folder/worker.log" >&2
    else
        rm -rf "$folder"
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# await WHAT COMMAND...: until it succeeds; fails when a process has ended or time is over.
await() {
    local what=$1 until=$((SECONDS + PATIENCE)) i
    shift
    until "$@" >/dev/null 2>&1; do
        for i in "${!pids[@]}"; do
            kill -0 "${pids[i]}" 2>/dev/null || {
                cat "$folder/${names[i]}.log" >&2
                fail "${names[i]} has ended before $what"
            }
        done
        [ "$SECONDS" -lt "$until" ] || fail "no sign of $what within $PATIENCE s"
        sleep 0.05
    done
}

# ---- parts ----

quietly() { # shows a command's output only when it fails
    "$@" >"$folder/step.log" 2>&1 || {
        tail -n 40 "$folder/step.log" >&2
        fail "failed: $*"
    }
}

build() {
    step 'Installing what is missing (docker/install-deps.sh)'
    quietly "$ROOT/docker/install-deps.sh"
    step "Building in $BUILD (a minute or two at first)"
    if [ -f "$BUILD/CMakeCache.txt" ]; then
        quietly cmake -S "$ROOT" -B "$BUILD"
    else
        quietly cmake -S "$ROOT" -B "$BUILD" -G Ninja -DCMAKE_BUILD_TYPE=Release
    fi
    quietly cmake --build "$BUILD" --parallel --target kancel kancel-broker kancel-simulator
}

http_get() ( # PORT PATH: true for an answer of 200
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3
    IFS= read -r line <&3
    [[ $line == *' 200 '* ]]
)

admin_port() { sed -n 's/.*admin_port=\([0-9]*\).*/\1/p' "$folder/worker.log" | tail -n 1; }
is_listening() { [ -s "$folder/worker.log" ] && [ -n "$(admin_port)" ]; }
is_ready() { http_get "$(admin_port)" /readyz; }

start_parts() {
    step 'Starting a broker, a simulator of the providers and a worker'
    start broker "$BUILD/tests/simulator/kancel-broker" --port 0 --port-file "$folder/broker.port" \
        --topic task-commands:4 --topic task-results:4 --topic task-commands-dead:1
    start simulator "$BUILD/tests/simulator/kancel-simulator" --listen 127.0.0.1:0 \
        --port-file "$folder/simulator.port"
    await 'the broker' test -s "$folder/broker.port"
    await 'the simulator' test -s "$folder/simulator.port"
    write_config "127.0.0.1:$(cat "$folder/broker.port")" \
        "http://127.0.0.1:$(cat "$folder/simulator.port")"
    quietly "$BUILD/kancel" check -q -c "$folder/kancel.yaml"
    start worker "$BUILD/kancel" worker -c "$folder/kancel.yaml"
    await 'the worker' is_listening
    await 'the worker being ready' is_ready
}

write_config() { # BROKER SIMULATOR
    cat >"$folder/kancel.yaml" <<YAML
kafka:
  bootstrap_servers: $1
admin:
  listen: 127.0.0.1:0
accounts:
  enos-demo:
    provider: enos
    endpoint: $2
    org_id: org-1
    auth: {app_key: app-key, app_secret: app-secret}
  scnet-demo:
    provider: scnet
    endpoint: $2/efile
    auth: {token: scnet-token}
  iotda-demo:
    provider: iotda
    endpoint: $2
    project_id: 0123456789abcdef0123456789abcdef
    auth: {token: iotda-token}
  koodrive-demo:
    provider: koodrive
    endpoint: $2
    user_id: '1505'
    auth: {token: Bearer+koodrive-token}
YAML
}

# ---- commands and answers ----

# One a line: the outcome and state that are expected, and the command. Ids that begin with 9990000 are tasks that have
# ended already (the simulator's rule). The last one is malformed: `target` instead of `targets` must not stop everything.
readonly COMMANDS='
succeeded cancelling {"id":"q-1","operation":"cancel","provider":"enos","task":{"channelId":"ch-1","taskId":"dl-1"}}
succeeded succeeded  {"id":"q-2","operation":"status","provider":"enos","task":{"channelId":"ch-1","taskId":"9990000200"}}
partial   cancelled  {"id":"q-3","operation":"cancel","provider":"scnet","task":{"taskIds":["copy-1","9990000200"]}}
succeeded running    {"id":"q-4","operation":"status","provider":"scnet","task":{"taskIds":["copy-2"]}}
succeeded cancelling {"id":"q-5","operation":"cancel","provider":"iotda","task":{"taskId":"5c90fa7d","targets":["d-1","d-2"]}}
succeeded running    {"id":"q-6","operation":"status","provider":"iotda","task":{"taskId":"5c90fa7e"}}
succeeded cancelled  {"id":"q-7","operation":"cancel","provider":"koodrive","task":{"jobId":"1289250105886769024"}}
succeeded succeeded  {"id":"q-8","operation":"status","provider":"koodrive","task":{"jobId":"9990000200"}}
invalid   -          {"id":"q-9","operation":"cancel","provider":"iotda","task":{"taskId":"5c90fa7f","target":["d-1"]}}
'

member() { # NAME JSON: the first member of that name that is a string, else -
    local found
    found=$(grep -o "\"$1\":\"[^\"]*\"" <<<"$2" | head -n 1) || true
    found=${found#*:\"}
    found=${found%\"}
    printf '%s' "${found:--}"
}

milliseconds() { # JSON: from taking the command to knowing the answer
    local from to
    from=$(date -d "$(member receivedAt "$1")" +%s%3N)
    to=$(date -d "$(member finishedAt "$1")" +%s%3N)
    printf '%d' $((to - from))
}

# Without a configuration `send` looks only at the message itself, so that the malformed one goes out.
send_all() {
    sed -n 's/^[a-z]* *[-a-z]* *{/{/p' <<<"$COMMANDS" |
        "$BUILD/kancel" send --brokers "127.0.0.1:$(cat "$folder/broker.port")" --wait=30s --json - \
            >"$folder/results.jsonl" || true
}

colour_of() {
    case $1 in
    succeeded) printf '%s' "$green" ;;
    partial | refused | invalid) printf '%s' "$yellow" ;;
    *) printf '%s' "$red" ;;
    esac
}

# One line of the table; false when it is not what was expected.
show() { # OUTCOME STATE COMMAND
    local id result outcome state ms note='' status=0
    id=$(member id "$3")
    result=$(grep "\"commandId\":\"$id\"" "$folder/results.jsonl" | head -n 1) || true
    if [ -z "$result" ]; then
        outcome=none state=- ms=-
    else
        outcome=$(member outcome "$result")
        state=$(member state "${result%%\"items\"*}")
        ms=$(milliseconds "$result")
    fi
    if [ "$outcome" != "$1" ] || [ "$state" != "$2" ]; then
        note="${red}expected $1 $2${plain}"
        status=1
    elif [ "$outcome" = invalid ]; then
        note=$dim$(member message "$result")$plain
    fi
    printf '%-8s %-9s %-9s %s%-10s%s %-10s %5s  %s\n' "$id" "$(member provider "$3")" \
        "$(member operation "$3")" "$(colour_of "$outcome")" "$outcome" "$plain" "$state" "$ms" "$note"
    return $status
}

show_all() {
    local outcome state command good=0 all=0
    printf '\n%s%-8s %-9s %-9s %-10s %-10s %5s%s\n' "$bold" command provider operation outcome state \
        ms "$plain"
    while read -r outcome state command; do
        [ -n "$outcome" ] || continue
        all=$((all + 1))
        if show "$outcome" "$state" "$command"; then
            good=$((good + 1))
        fi
    done <<<"$COMMANDS"
    printf '\n'
    [ "$good" -eq "$all" ] || fail "only $good of $all answers are as expected"
    printf '%sAll %d answers are as expected.%s\n' "$green" "$all" "$plain"
}

say_how() {
    printf '\nIt goes on running. Talk to it:\n'
    printf '  %s send -c %s -w koodrive cancel 42\n' "$BUILD/kancel" "$folder/kancel.yaml"
    printf '  %s send -c %s -w iotda cancel 5c90fa80 --targets d-1,d-2\n' "$BUILD/kancel" \
        "$folder/kancel.yaml"
    printf '  %s check -c %s\n' "$BUILD/kancel" "$folder/kancel.yaml"
    printf 'Page:      http://127.0.0.1:%s/\n' "$(admin_port)"
    printf 'Metrics:   http://127.0.0.1:%s/metrics\n' "$(admin_port)"
    printf 'Simulator: http://127.0.0.1:%s/_simulator/ledger\n' "$(cat "$folder/simulator.port")"
    printf 'Logs:      %s\n' "$folder"
    printf 'Stop it:   kill %s; sleep 1; kill %s %s\n' "${pids[2]}" "${pids[1]}" "${pids[0]}"
}

build
start_parts
step 'Sending eight commands and a malformed one'
send_all
show_all
if $keep; then
    say_how
else
    step 'Stopping what was started'
fi
