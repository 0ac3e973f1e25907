#!/bin/sh
# packages.sh [PACKAGE…]: installs the Debian packages that building and testing need, and those named, and says which. Needs root or sudo only when one is missing.
# The server is the one of PG_CONFIG, any version in Debian's layout (/usr/lib/postgresql/17/bin/pg_config, there already
# or not); without any pg_config it is the distribution's own. A server from elsewhere brings its headers, PL/Perl,
# PL/Python and pgTAP itself.
# A PostgreSQL installed by this script gets no cluster of its own: the tests start theirs in the build folder.
set -eu
if [ "$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi

is_installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
need_root() {
    [ -z "$as_root" ] || command -v sudo >/dev/null && return
    echo "$1 and neither root nor sudo is at hand; install them and run make again." >&2; exit 1
}
# The major version in a path of Debian's layout; nothing for another path.
debian_version() { printf '%s\n' "$1" | sed -n 's|^/usr/lib/postgresql/\([0-9][0-9]*\)/bin.*|\1|p'; }

packages="make g++ perl openssl curl git
 libcurl4-openssl-dev nlohmann-json3-dev libsimdjson-dev libyaml-cpp-dev libssl-dev
 libmicrohttpd-dev libgnutls28-dev zstd
 libprotozero-dev libdeflate-dev libzstd-dev
 libgtest-dev libprotoc-dev libipc-run-perl $*"
# Any Node.js from 18.19 on will do.
command -v node >/dev/null && command -v npm >/dev/null || packages="$packages nodejs npm"

pg_config=${PG_CONFIG:-pg_config}
if directory=$("$pg_config" --bindir 2>/dev/null); then
    version=$(debian_version "$directory")
elif [ "$pg_config" != pg_config ]; then
    version=$(debian_version "$pg_config")
    [ -n "$version" ] || { echo "PG_CONFIG=$pg_config cannot be run, and is none of Debian's." >&2; exit 1; }
else
    need_root "PostgreSQL is missing"
    $as_root apt-get update -qq
    version=$(apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p')
fi
[ -z "$version" ] || packages="$packages postgresql-$version postgresql-server-dev-$version postgresql-$version-pgtap
 postgresql-plperl-$version postgresql-plpython3-$version"

missing=
for package in $packages; do is_installed "$package" || missing="$missing $package"; done
[ -n "$missing" ] || exit 0
echo "Installing Debian packages:$missing"
need_root "These packages are missing"
no_cluster=/etc/postgresql-common/createcluster.d/dbnet-tests.conf
case "$missing" in *postgresql-[0-9]*)
    $as_root mkdir -p "${no_cluster%/*}"
    echo 'create_main_cluster = false' | $as_root tee "$no_cluster" >/dev/null
    trap '$as_root rm -f "$no_cluster"' EXIT ;;
esac
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
