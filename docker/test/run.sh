#!/usr/bin/env bash
# Proves the image, the compose file, the chart and the package, for real: builds the image, looks
# into it, brings the compose file up and has a command answered through it, scrapes and queries the
# metrics, renders and validates the chart, installs the package into a bare system.
#
#   docker/test/run.sh [FOLDER]      as root on Debian 12 or 13; about five minutes, files lie in
#                                    FOLDER (default: a temporary one, removed)
#
# A container engine of its own is started and stopped. Where the public images cannot be pulled,
# stand-ins of the same names are made from the distribution's packages and Maven Central; Grafana is
# then left out, and its dashboard's queries are put to Prometheus instead.
set -euo pipefail

cd "$(dirname "$0")/../.."
folder=${1:-}
[ -n "$folder" ] || { folder=$(mktemp -d); remove=yes; }
mkdir -p "$folder"
export DOCKER_HOST=unix://$folder/docker.sock DOCKER_BUILDKIT=0 COMPOSE_PROJECT_NAME=kancel-test
compose=(docker-compose -f docker/compose.yaml)
passed=0

step() { printf '\n== %s (after %d s)\n' "$*" "$SECONDS"; }
pass() { passed=$((passed + 1)); printf 'ok   %s\n' "$*"; }
fail() { printf 'FAIL %s\n' "$*" >&2; exit 1; }
# until_true SECONDS WHAT COMMAND...
until_true() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >"$folder/last" 2>&1; do
        [ $SECONDS -lt $end ] || { cat "$folder/last" >&2; fail "waited for: $what"; }
        sleep 0.5
    done
}

finish() {
    local code=$?
    "${compose[@]}" down --volumes --timeout 5 >/dev/null 2>&1 || true
    [ ! -f "$folder/docker.pid" ] || kill "$(cat "$folder/docker.pid")" || true
    [ -z "${remove:-}" ] || { wait; rm -rf "$folder" 2>/dev/null || true; }
    exit $code
}
trap finish EXIT

step "packages"
export DEBIAN_FRONTEND=noninteractive
type dockerd docker-compose debootstrap promtool >/dev/null 2>&1 && python3 -c 'import yaml' || {
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends docker.io docker-compose iptables debootstrap \
        prometheus python3-yaml >/dev/null
}
update-alternatives --set iptables /usr/sbin/iptables-legacy >/dev/null 2>&1 || true
dockerd --data-root "$folder/data" --exec-root "$folder/exec" -H "$DOCKER_HOST" \
    --pidfile "$folder/docker.pid" >"$folder/dockerd.log" 2>&1 </dev/null &
until_true 60 "the container engine" docker info

step "images"
if ! docker image inspect debian:trixie-slim >/dev/null 2>&1 && ! docker pull -q debian:trixie-slim 2>/dev/null; then
    debootstrap --variant=minbase trixie "$folder/trixie" >"$folder/debootstrap.log"
    tar -C "$folder/trixie" -c . | docker import - debian:trixie-slim >/dev/null
fi
for target in simulator kancel; do
    image=kancel; [ $target = kancel ] || image=kancel-simulator
    docker build --network=host --build-arg VERSION=1.2.3 --target $target -f docker/Dockerfile -t $image . \
        >"$folder/build-$target.log" 2>&1 || { tail -30 "$folder/build-$target.log"; fail "docker build"; }
done
size=$(docker image inspect -f '{{.Size}}' kancel)
[ "$size" -lt 60000000 ] || fail "the image has $size bytes, at most 60 MB are allowed"
pass "the image has $((size / 1000000)) MB"
hardened=(--rm --read-only --cap-drop ALL --security-opt no-new-privileges)
[ "$(docker run "${hardened[@]}" kancel --version)" = "kancel 1.2.3" ] || fail "--version"
pass "runs as $(docker image inspect -f '{{.Config.User}}' kancel), read-only, without capabilities"
! docker run --rm --entrypoint /bin/sh kancel -c true 2>/dev/null || fail "there is a shell in the image"
pass "no shell in it"
docker run "${hardened[@]}" kancel check >"$folder/last" 2>&1 && fail "no configuration, and check was content"
grep -q "kancel.yaml" "$folder/last" || fail "check does not name the file that is missing"
pass "a missing configuration is named"
container=$(docker create kancel)
docker cp -q "$container:/usr/share/kancel/sbom.cdx.json" "$folder/sbom.json"
docker rm "$container" >/dev/null
python3 - "$folder/sbom.json" <<'P' || fail "the bill of materials"
import json, sys
bill = json.load(open(sys.argv[1]))
names = {each['name'] for each in bill['components']}
assert {'librdkafka1', 'libyaml-0-2'} <= names, names
assert bill['metadata']['component']['version'] == '1.2.3'
P
pass "the bill of materials names the libraries"

step "compose"
config=docker/compose.yaml
pulled=yes
for image in $(sed -n 's/^ *image: \(.*\/.*\)/\1/p' $config | sort -u); do
    docker image inspect "$image" >/dev/null 2>&1 || docker pull -q "$image" 2>/dev/null || pulled=
done
services=(kafka topics simulator worker prometheus)
if [ -z "$pulled" ]; then
    echo "public images cannot be pulled here: stand-ins for Kafka and Prometheus, no Grafana"
    mkdir -p "$folder/kafka"
    cp -r docker/test/bin "$folder/kafka/"
    # tests/system/kafka.py keeps the jars; a broker started and stopped fetches them.
    [ -d ~/.cache/kancel/kafka-4.4.0 ] || { python3 tests/system/kafka.py up "$folder/broker"; python3 tests/system/kafka.py down "$folder/broker"; }
    cp -r ~/.cache/kancel/kafka-4.4.0 "$folder/kafka/libs"
    docker build -q --network=host -f docker/test/kafka.Dockerfile -t "$(sed -n 's/^ *image: \(apache.*\)/\1/p' $config | head -1)" "$folder/kafka" >/dev/null 2>&1
    docker build -q --network=host -f docker/test/prometheus.Dockerfile -t "$(sed -n 's/^ *image: \(prom.*\)/\1/p' $config)" "$folder/kafka" >/dev/null 2>&1
else
    services+=(grafana)
fi
"${compose[@]}" up --detach --no-build "${services[@]}" >"$folder/up.log" 2>&1 || { tail -20 "$folder/up.log"; fail "compose up"; }
healthy() { [ "$("${compose[@]}" ps -q worker | xargs docker inspect -f '{{.State.Health.Status}}' | sort | uniq -c | xargs)" = "2 healthy" ]; }
until_true 90 "two healthy workers" healthy
pass "both workers are healthy by the image's own check"
send() { "${compose[@]}" run --rm send "$@" 2>&1; }
send koodrive cancel 1289250105886769024 >"$folder/last" || { cat "$folder/last"; fail "kancel send through compose"; }
grep -q succeeded "$folder/last" || fail "no result: $(cat "$folder/last")"
pass "a command sent through compose was answered"
query() {
    docker exec "$("${compose[@]}" ps -q prometheus)" promtool query instant http://localhost:9090 "$1"
}
both_up() { [ "$(query 'sum(up{job="kancel"})' | grep -c '=> 2 ')" = 1 ]; }
until_true 60 "Prometheus to see both workers" both_up
address=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$("${compose[@]}" ps -q worker | head -1)")
python3 -c 'import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1]).read().decode())' "http://$address:9464/metrics" |
    promtool check metrics >"$folder/last" 2>&1 || { cat "$folder/last"; fail "promtool check metrics"; }
[ ! -s "$folder/last" ] || { cat "$folder/last"; fail "promtool has remarks"; }
pass "promtool has no remark on the metrics"
answered() { query 'sum(kancel_results_total{account="drive"})' | grep -q '=> 1 '; }
until_true 60 "the result in Prometheus" answered
pass "Prometheus scrapes both and knows the result"
if [ -f docker/compose/grafana/kancel.json ]; then
    python3 - docker/compose/grafana/kancel.json >"$folder/queries" <<'P'
import json, sys
def panels(each):
    for panel in each.get('panels', []):
        yield panel
        yield from panels(panel)
for panel in panels(json.load(open(sys.argv[1]))):
    for target in panel.get('targets', []):
        print(target['expr'].replace('$__rate_interval', '1m').replace('$account', '.*'))
P
    while read -r expression; do
        query "$expression" >"$folder/last" 2>&1 </dev/null || { cat "$folder/last"; fail "dashboard: $expression"; }
    done <"$folder/queries"
    pass "Prometheus takes all $(wc -l <"$folder/queries") queries of the dashboard"
fi
worker=$("${compose[@]}" ps -q worker | head -1)
docker stop -t 40 "$worker" >/dev/null
[ "$(docker inspect -f '{{.State.ExitCode}}' "$worker")" = 0 ] || fail "docker stop: exit $(docker inspect -f '{{.State.ExitCode}}' "$worker")"
pass "docker stop drains: exit 0"
send scnet status a1 >"$folder/last" || { cat "$folder/last"; fail "the other worker did not take over"; }
pass "the other worker answers"

step "chart"
if ! command -v helm >/dev/null; then
    command -v go >/dev/null || apt-get -qq install -y golang-go >/dev/null
    GOBIN=$folder/bin GOFLAGS=-mod=mod go install helm.sh/helm/v3/cmd/helm@v3.22.0 2>"$folder/helm.log" || { tail -3 "$folder/helm.log"; fail "helm"; }
    PATH=$folder/bin:$PATH
fi
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q kubernetes-validate 2>/dev/null
chart=docker/kubernetes
helm lint $chart >"$folder/last" || { cat "$folder/last"; fail "helm lint"; }
for options in "" "--set staticMembership=true --set secrets[0].name=iot" \
    "--set scaling.enabled=true --set serviceMonitor.enabled=true --set scaling.authenticationRef=sasl"; do
    # shellcheck disable=SC2086 # several words
    helm template t $chart --kube-version 1.31.0 $options >"$folder/rendered.yaml" || fail "helm template $options"
    "$folder/venv/bin/python" docker/test/validate.py "$folder/rendered.yaml" || fail "rendered with: $options"
    pass "the chart renders and fits Kubernetes' schemas${options:+: $options}"
done
python3 - "$folder/rendered.yaml" >"$folder/chart.yaml" <<'P'
import sys, yaml
print(next(each['data']['kancel.yaml'] for each in yaml.safe_load_all(open(sys.argv[1])) if each and each['kind'] == 'ConfigMap'))
P
! helm template t $chart --kube-version 1.31.0 --set replicas=two >/dev/null 2>&1 || fail "a wrong value was taken"
! helm template t $chart --kube-version 1.31.0 --set replicsa=2 >/dev/null 2>&1 || fail "an unknown value was taken"
pass "the values' schema refuses wrong types and unknown names"

step "package"
cat >"$folder/package.sh" <<'S'
set -e
/src/docker/install-deps.sh --build >/dev/null
apt-get -qq install -y --no-install-recommends file dpkg-dev >/dev/null
cmake -S /src -B /build -G Ninja -DKANCEL_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr -DKANCEL_VERSION=1.2.3 >/dev/null
cmake --build /build >/dev/null && cd /build && cpack >/dev/null && cp kancel*.deb kancel*.tar.gz /out/
S
mkdir -p "$folder/out"
docker run --rm --network=host -v "$PWD:/src:ro" -v "$folder/package.sh:/package.sh:ro" -v "$folder/out:/out" debian:trixie-slim \
    bash /package.sh >"$folder/package.log" 2>&1 || { tail -20 "$folder/package.log"; fail "cpack"; }
docker run --rm --network=host -v "$folder/out:/out:ro" debian:trixie-slim bash -ec '
    apt-get -qq update && apt-get -qq install -y --no-install-recommends /out/*.deb systemd >/dev/null 2>&1
    kancel --version
    id kancel >/dev/null && test "$(stat -c %U:%G:%a /etc/kancel)" = root:kancel:750
    systemd-analyze verify --man=no kancel.service
    systemd-analyze security --offline=yes kancel.service | tail -1
    apt-get -qq remove -y kancel >/dev/null 2>&1 && test ! -e /usr/bin/kancel' >"$folder/last" 2>&1 ||
    { cat "$folder/last"; fail "the package"; }
pass "the .deb installs, its unit verifies ($(grep -o 'exposure.*: [0-9.]* [A-Z]*' "$folder/last")), it goes again"
tar -tzf "$folder"/out/kancel*.tar.gz | grep -q bin/kancel || fail "the archive"
pass "the archive holds the same"

printf '\n%d passed, 0 failed (%d s)\n' "$passed" "$SECONDS"
