#!/usr/bin/env bash
# Checks that this machine can build and test ipam, and installs missing packages.
#
# Installs packages on Debian and its derivatives, as root or with passwordless sudo; otherwise lists the missing packages.
# Changes nothing if all packages are installed.
#
# The argument `browser` adds the packages for scripts/browser.sh.
set -euo pipefail

WITH=${1:-}

say() { printf 'need: %s\n' "$*" >&2; }

# Prints the Debian packages whose program or header is missing.
missing_packages() {
    command -v cc >/dev/null || echo gcc
    command -v make >/dev/null || echo make
    # The bundled SQLite and aws-lc are C and need the C library's headers.
    if command -v cc >/dev/null && ! echo '#include <stdlib.h>' | cc -E -x c - >/dev/null 2>&1; then
        echo libc6-dev
    fi
    has_postgresql || echo postgresql
    has_pgbouncer || echo pgbouncer
    has_other_clocks || echo faketime
    if [ "$WITH" = browser ]; then
        command -v chromium >/dev/null || echo chromium
        command -v certutil >/dev/null || echo libnss3-tools
        command -v openssl >/dev/null || echo openssl
        command -v curl >/dev/null || echo curl
        command -v python3 >/dev/null || echo python3
    fi
}

# The tests search the same paths; on Debian neither program is in PATH.
has_postgresql() {
    command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

has_pgbouncer() {
    command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]
}

# libfaketime, which changes the time that a process sees.
has_other_clocks() {
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null
}

# Runs a command as root without a prompt; fails if that is not possible.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

can_install() {
    command -v apt-get >/dev/null && as_root true 2>/dev/null
}

# Prevents Debian's packages from starting a database and a pooler; the tests start their own.
install_packages() {
    local no_cluster=/etc/postgresql-common/createcluster.d/ipam.conf
    say "installing: $*"
    as_root apt-get update -qq >&2
    as_root mkdir -p "$(dirname "$no_cluster")"
    echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" libc6-dev >&2
    as_root rm "$no_cluster"
    case " $* " in *" pgbouncer "*) silence_pgbouncer ;; esac
}

silence_pgbouncer() {
    as_root service pgbouncer stop >&2 && as_root update-rc.d pgbouncer disable >&2 ||
        say "the service pgbouncer could not be stopped and disabled; it is not needed"
}

need_packages() {
    local packages
    mapfile -t packages < <(missing_packages)
    [ "${#packages[@]}" -eq 0 ] && return
    if can_install; then
        install_packages "${packages[@]}"
        mapfile -t packages < <(missing_packages)
        [ "${#packages[@]}" -eq 0 ] && return
    fi
    say "missing: ${packages[*]}"
    say "install a C compiler with its headers, and make; for the tests, PostgreSQL, pgbouncer and faketime; on Debian and Ubuntu:"
    say "    sudo apt-get update && sudo apt-get install -y ${packages[*]} libc6-dev"
    exit 1
}

# True if dotted version $1 is at least $2.
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

need_rust() {
    local wanted found
    wanted=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        say "cargo is installed and not in PATH; run: . \"${CARGO_HOME:-$HOME/.cargo}/env\""
        exit 1
    fi
    if ! command -v cargo >/dev/null; then
        say "missing: Rust $wanted (cargo). Install rustup, which reads rust-toolchain.toml: https://rustup.rs"
        exit 1
    fi
    # With rustup this line also installs the toolchain that rust-toolchain.toml names.
    found=$(cargo --version | cut -d ' ' -f 2)
    if ! at_least "$found" "$wanted"; then
        say "cargo is version $found and $wanted is needed. Install rustup, which reads rust-toolchain.toml: https://rustup.rs"
        exit 1
    fi
}

cd "$(dirname "$0")/.."
need_packages
need_rust
