#!/bin/sh
# packages.sh [PACKAGE…]: installs the Debian packages that building and testing need, and those named, and says which. Needs root or sudo only when one is missing.
# A PostgreSQL installed by this script gets no cluster of its own: the tests start theirs in the build folder.
set -eu
packages="make g++ perl openssl curl git
 libcurl4-openssl-dev nlohmann-json3-dev libsimdjson-dev libyaml-cpp-dev libssl-dev
 libmicrohttpd-dev libgnutls28-dev zstd
 libprotozero-dev libdeflate-dev libzstd-dev
 libgtest-dev libprotoc-dev libipc-run-perl $*"
# Any Node.js from 18.19 on will do.
command -v node >/dev/null && command -v npm >/dev/null || packages="$packages nodejs npm"
# Another server than Debian's own brings its own headers and pgTAP.
if ! "${PG_CONFIG:-pg_config}" --version 2>/dev/null | grep -qE 'PostgreSQL (16|17|18)'; then
    packages="$packages postgresql-15 postgresql-server-dev-15 postgresql-15-pgtap
 postgresql-plperl-15 postgresql-plpython3-15"
fi
missing=
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "Installing Debian packages:$missing"
if [ "$(id -u)" = 0 ]; then as_root=; elif command -v sudo >/dev/null; then as_root=sudo; else
    echo "These packages are missing and neither root nor sudo is at hand; install them and run make again." >&2; exit 1
fi
no_cluster=/etc/postgresql-common/createcluster.d/dbnet-tests.conf
case "$missing" in *postgresql-15*)
    $as_root mkdir -p "${no_cluster%/*}"
    echo 'create_main_cluster = false' | $as_root tee "$no_cluster" >/dev/null
    trap '$as_root rm -f "$no_cluster"' EXIT ;;
esac
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
