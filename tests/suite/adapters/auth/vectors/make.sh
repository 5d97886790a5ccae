#!/bin/sh
# Makes the certificates and keys beside it with OpenSSL 3, valid from 2020 for a
# hundred years. They protect nothing: every one is public, and the password of
# those that have one is "canary".
set -eu
cd "$(dirname "$0")"
shelf=$(mktemp -d)
trap 'rm -r "$shelf"' EXIT
cat >"$shelf/ca.cnf" <<END
[ca]
default_ca = shelf
[shelf]
database = $shelf/index
new_certs_dir = $shelf
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
END
rsa() { openssl genpkey -quiet -algorithm RSA -pkeyopt "rsa_keygen_bits:$2" -out "$1"; }
sign() {
  : >"$shelf/index"
  openssl req -new -key "$1" -subj "/CN=$3" -out "$shelf/request"
  openssl ca -config "$shelf/ca.cnf" -batch -selfsign -keyfile "$1" -in "$shelf/request" -notext -out "$2" \
    -startdate 20200101000000Z -enddate 21200101000000Z
}

rsa key.pem 2048
sign key.pem certificate.pem edm-agent-test
rsa other.key.pem 2048
sign other.key.pem other.certificate.pem edm-agent-other
rsa small.key.pem 1024
sign small.key.pem small.certificate.pem edm-agent-small
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.key.pem
sign ec.key.pem ec.certificate.pem edm-agent-ec

openssl pkey -in key.pem -traditional -out key.pkcs1.pem
openssl pkcs8 -topk8 -in key.pem -passout pass:canary -out key.locked.pem
openssl rsa -in key.pem -traditional -aes256 -passout pass:canary -out key.old.pem
pack() { openssl pkcs12 -export -inkey key.pem -in certificate.pem -certfile other.certificate.pem -name test "$@"; }
pack -passout pass:canary -out modern.p12
pack -passout pass:canary -legacy -out legacy.p12
pack -passout pass: -out open.p12
openssl pkcs12 -export -nokeys -in certificate.pem -passout pass:canary -out keyless.p12
