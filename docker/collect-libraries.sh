#!/bin/sh
# collect-libraries.sh PROGRAM FOLDER: copies into FOLDER what PROGRAM needs to run without a
# distribution around it: the libraries it loads, the resolver's settings, certificates, a user.
set -eu
program=$1
folder=$2

# glibc loads what resolves names by itself; SASL loads its mechanisms from a folder.
copy() {
    mkdir -p "$folder$(dirname "$1")"
    cp -L "$1" "$folder$1"
}
libraries() {
    ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\/.*ld-linux/ { print $1 }'
}
libraries "$program" | sort -u | while read -r file; do
    copy "$file"
done

mkdir -p "$folder/etc/ssl/certs" "$folder/etc/kancel" "$folder/tmp"
chmod 1777 "$folder/tmp"
cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
mkdir -p "$folder/usr/lib/ssl"
ln -sf /etc/ssl/certs "$folder/usr/lib/ssl/certs"
ln -sf /etc/ssl/certs/ca-certificates.crt "$folder/usr/lib/ssl/cert.pem"
printf 'kancel:x:65532:65532:kancel:/:/sbin/nologin\n' >"$folder/etc/passwd"
printf 'kancel:x:65532:\n' >"$folder/etc/group"
printf 'hosts: files dns\n' >"$folder/etc/nsswitch.conf"
