#!/usr/bin/env bash
# Installs what kancel needs on Debian 12 and 13. Run it as root or as a user with sudo.
#
#   --build      what building and running needs (default)
#   --tests      that, and what tests/run.sh needs: Java (JDK), Maven, kcat, clang, valgrind, shells
#   --runtime    only the libraries that a built kancel loads
#   --system     keep the distribution's librdkafka, whatever its age
#   --prefix DIR where a librdkafka built here goes (default: /usr/local)
#
# librdkafka is the distribution's when that is 2.8 or newer (Debian 13). Otherwise Debian's own
# newer source package is fetched, its signature checked by apt, and built into the prefix.
# With everything in place it changes nothing and takes about a second; it can be run again
# at any time.
set -euo pipefail

readonly RDKAFKA_MIN=2.8.0
readonly RDKAFKA_SUITES=(unstable trixie)

# One package a word. a|b: the first of them that the distribution has. A leading ?: left out
# where the distribution has none of them. check and libjansson-dev are for the tests, which an
# ordinary build makes as well.
readonly BUILD_PACKAGES=(
    ca-certificates gcc libc6-dev cmake ninja-build pkg-config python3
    libcurl4-openssl-dev libssl-dev libhttp-parser-dev libuv1-dev libyaml-dev uthash-dev
    libmicrohttpd-dev libgnutls28-dev check libjansson-dev
)
readonly TEST_PACKAGES=(
    'openjdk-17-jdk-headless|openjdk-21-jdk-headless|default-jdk-headless' maven kcat openssl zsh fish groff
    python3-jsonschema chromium chromium-driver valgrind
    '?clang' '?libclang-rt-dev|libclang-rt-14-dev|libclang-rt-19-dev'
)
readonly RUNTIME_PACKAGES=(
    ca-certificates 'libcurl4|libcurl4t64' 'libssl3|libssl3t64' 'libuv1|libuv1t64'
    libyaml-0-2 'libmicrohttpd12|libmicrohttpd12t64' libhttp-parser2.9
)
# What compiling librdkafka takes, and what the compiled library loads.
readonly RDKAFKA_BUILD_PACKAGES=(
    g++ dpkg-dev libsasl2-dev libzstd-dev liblz4-dev zlib1g-dev libssl-dev libcurl4-openssl-dev
)
readonly RDKAFKA_RUNTIME_PACKAGES=(libsasl2-2 libzstd1 liblz4-1 zlib1g)

say() {
    printf 'install-deps: %s\n' "$*"
}

fail() {
    printf 'install-deps: %s\n' "$*" >&2
    exit 1
}

usage() {
    sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "must run as root (or install sudo): $*"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

refreshed=
refresh_lists() {
    [ -z "$refreshed" ] || return 0
    say "refreshing apt's package lists"
    apt update
    refreshed=yes
}

# The version that apt would install of package $1; empty without one.
candidate() {
    LC_ALL=C apt-cache policy "$1" 2>/dev/null |
        awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'
}

# Is any of the names in $1 (a|b) installed?
installed() {
    local name
    for name in ${1//|/ }; do
        case "$installed_packages" in *" $name "*) return 0 ;; esac
    done
    return 1
}

read_installed() {
    # shellcheck disable=SC2016 # dpkg-query's own variables
    installed_packages=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' |
        sed -n 's/^.i *//p' | tr '\n' ' ')"
}

# Installs those of the packages given that are not there yet.
install_packages() {
    local entry name wanted=() missing=() found
    for entry in "$@"; do
        installed "${entry#\?}" || missing+=("$entry")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    refresh_lists
    for entry in "${missing[@]}"; do
        found=
        for name in $(tr '|' ' ' <<<"${entry#\?}"); do
            [ -n "$(candidate "$name")" ] || continue
            found=$name
            break
        done
        if [ -n "$found" ]; then
            wanted+=("$found")
        elif [ "${entry:0:1}" = '?' ]; then
            say "not in this distribution, left out: ${entry#\?}"
        else
            fail "this distribution has no package ${entry//|/ or }"
        fi
    done
    [ ${#wanted[@]} -gt 0 ] || return 0
    say "installing ${wanted[*]}"
    apt install -y --no-install-recommends "${wanted[@]}" >/dev/null
    read_installed
}

is_new_enough() {
    dpkg --compare-versions "$1" ge "$RDKAFKA_MIN"
}

# The version of the librdkafka that stands in the prefix; empty without one.
rdkafka_in_prefix() {
    local pc=$prefix/lib/pkgconfig/rdkafka.pc
    [ -f "$pc" ] && [ -e "$prefix/lib/librdkafka.so" ] || return 0
    sed -n 's/^Version: *//p' "$pc"
}

# Debian's archive as this machine's own apt configuration names it.
debian_archive() {
    # shellcheck disable=SC2016 # apt's own variables
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
        awk -F'|' '$1 == "Debian" && $2 == "Debian" { print $3; exit }'
}

# Fetches librdkafka's source package of suite $1 into folder $2/download. Everything stays in
# $2; apt refuses what Debian's archive key has not signed.
fetch_rdkafka_source() {
    local suite=$1 folder=$2 archive keyring=/usr/share/keyrings/debian-archive-keyring
    archive=$(debian_archive)
    [ -n "$archive" ] || fail "no Debian archive in apt's sources to fetch librdkafka from"
    [ -f "$keyring.gpg" ] && keyring+=.gpg || keyring+=.pgp
    rm -rf "$folder/lists" "$folder/cache" "$folder/download"
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/download"
    printf 'deb-src [signed-by=%s] %s %s main\n' "$keyring" "$archive" "$suite" \
        >"$folder/sources.list"
    local apt_here=(
        apt-get -qq -o Acquire::Retries=3 -o APT::Sandbox::User=root
        -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache"
        -o APT::Get::AllowUnauthenticated=false -o Acquire::AllowInsecureRepositories=false
    )
    "${apt_here[@]}" update && (cd "$folder/download" &&
        "${apt_here[@]}" source --download-only librdkafka)
}

build_rdkafka() {
    local folder suite version dsc began=$SECONDS
    install_packages "${BUILD_PACKAGES[@]}" "${RDKAFKA_BUILD_PACKAGES[@]}"
    refresh_lists
    folder=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$folder'" EXIT
    for suite in "${RDKAFKA_SUITES[@]}"; do
        say "fetching librdkafka's source package of Debian $suite"
        fetch_rdkafka_source "$suite" "$folder" && break
        say "Debian $suite gave no source package"
    done
    dsc=$(find "$folder/download" -name 'librdkafka_*.dsc' 2>/dev/null | head -n 1)
    [ -n "$dsc" ] || fail "no newer librdkafka could be fetched; --system keeps the distribution's"
    version=$(sed -n 's/^Version: *//p' "$dsc" | head -n 1)

    say "building librdkafka $version (one to two minutes on two cores)"
    mkdir "$folder/source"
    tar -xf "$folder"/download/librdkafka_*.orig.tar.* -C "$folder/source" --strip-components=1
    # The archive may lack folders that its CMakeLists.txt adds unconditionally.
    local part
    for part in tests examples; do
        mkdir -p "$folder/source/$part"
        [ -f "$folder/source/$part/CMakeLists.txt" ] || : >"$folder/source/$part/CMakeLists.txt"
    done
    if ! {
        cmake -S "$folder/source" -B "$folder/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
            -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib \
            -DRDKAFKA_BUILD_STATIC=OFF -DRDKAFKA_BUILD_TESTS=OFF -DRDKAFKA_BUILD_EXAMPLES=OFF \
            -DWITH_SSL=ON -DWITH_SASL=ON -DWITH_CURL=ON -DWITH_ZLIB=ON -DWITH_ZSTD=ON \
            -DENABLE_LZ4_EXT=ON &&
            cmake --build "$folder/build"
    } >"$folder/log" 2>&1; then
        tail -n 40 "$folder/log" >&2
        fail "librdkafka $version did not build"
    fi
    install_tree "$folder/build"
    check_rdkafka "$folder"
    say "librdkafka $version stands in $prefix ($((SECONDS - began)) s)"
}

# Installs the build of folder $1 into the prefix, which may be root's.
install_tree() {
    local place=$prefix
    while [ ! -e "$place" ]; do
        place=$(dirname "$place")
    done
    if [ -w "$place" ]; then
        cmake --install "$1" --strip >/dev/null
    else
        as_root cmake --install "$1" --strip >/dev/null
    fi
    case "$prefix" in /usr | /usr/local) as_root ldconfig ;; esac
}

# Compiles and runs a few lines against the library in the prefix: is it whole and does it have
# what production clusters ask for?
check_rdkafka() {
    cat >"$1/check.c" <<'C'
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    char features[512] = "";
    size_t size = sizeof features;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int ok = rd_kafka_conf_get(conf, "builtin.features", features, &size) == RD_KAFKA_CONF_OK &&
             strstr(features, "ssl") && strstr(features, "sasl_scram") && strstr(features, "zstd");
    rd_kafka_conf_destroy(conf);
    printf("%s: %s\n", rd_kafka_version_str(), features);
    return ok ? 0 : 1;
}
C
    gcc -isystem "$prefix/include" -o "$1/check" "$1/check.c" -L"$prefix/lib" \
        -Wl,-rpath,"$prefix/lib" -lrdkafka
    local features
    features=$("$1/check") || fail "librdkafka lacks ssl, sasl_scram or zstd: $features"
    say "librdkafka $features"
}

# Decides which librdkafka it is to be and sees to it that it is there.
provide_rdkafka() {
    local packages=("$@") version
    version=$(rdkafka_in_prefix)
    if [ -n "$version" ] && is_new_enough "$version"; then
        install_packages "${RDKAFKA_RUNTIME_PACKAGES[@]}"
        say "librdkafka $version is in $prefix"
        [ -z "$system" ] || say "--system: remove it from $prefix to use the distribution's"
        return
    fi
    installed "${packages[0]}" || refresh_lists
    version=$(candidate "${packages[0]}")
    if [ -n "$version" ] && { [ -n "$system" ] || is_new_enough "$version"; }; then
        install_packages "${packages[@]}"
        say "librdkafka $version is the distribution's"
    elif [ "$mode" = runtime ]; then
        fail "the distribution's librdkafka ${version:-(none)} is older than $RDKAFKA_MIN:" \
            "copy one built with --build into $prefix, or use --system"
    else
        say "the distribution's librdkafka ${version:-(none)} is older than $RDKAFKA_MIN"
        build_rdkafka
    fi
}

mode=build
system=
prefix=/usr/local
while [ $# -gt 0 ]; do
    case "$1" in
    --build | --tests | --runtime) mode=${1#--} ;;
    --system) system=yes ;;
    --prefix)
        [ $# -gt 1 ] || fail "--prefix wants a folder"
        prefix=$2
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done
command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    fail "this script knows Debian's packages only; the list at its top says what is needed"
read_installed
. /etc/os-release
say "$mode, on ${PRETTY_NAME:-an unnamed distribution}"

case "$mode" in
runtime)
    install_packages "${RUNTIME_PACKAGES[@]}"
    provide_rdkafka librdkafka1
    ;;
build)
    install_packages "${BUILD_PACKAGES[@]}"
    provide_rdkafka librdkafka-dev
    ;;
tests)
    install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
    provide_rdkafka librdkafka-dev
    ;;
esac
say "all there"
