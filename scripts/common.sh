# Sourced by demo.sh and test.sh: where things are built, and installing what is missing.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Outside the clone, so that every clone on a machine builds the dependencies once.
cache="${XDG_CACHE_HOME:-$HOME/.cache}/hilum"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"

say() { printf '\n== %s\n' "$*"; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# install_missing PACKAGE...: Debian packages that are not there yet.
install_missing() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    say "Installing ${missing[*]} (Debian packages)"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# Sets $python to the Python of the outside verifiers, with scripts/verify-requirements.txt.
need_python() {
    install_missing python3-venv
    python="$cache/verify-venv/bin/python"
    [ -x "$python" ] || /usr/bin/python3 -m venv "$cache/verify-venv"
    "$python" -m pip install --quiet --disable-pip-version-check --requirement scripts/verify-requirements.txt
}

need_rust() {
    command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs, then run this again." >&2; exit 3; }
    # The C++ codecs (JPEG-LS) are built from source.
    install_missing cmake g++ git
    leave_other_checkouts_behind
}

# Tests look for their files where the checkout lay when they were compiled; cargo does not see that it lies elsewhere now.
leave_other_checkouts_behind() {
    local stamp="$CARGO_TARGET_DIR/checkout"
    [ "$(cat "$stamp" 2>/dev/null)" = "$PWD" ] && return
    cargo clean --release --package hilum --quiet
    mkdir -p "$CARGO_TARGET_DIR"
    echo "$PWD" >"$stamp"
}

# The executable with the same features as the tests: a test target beside it keeps cargo from building the tree twice.
build_hilum() {
    say "Building (the first time takes about ten minutes on two cores)"
    cargo build --release --locked --quiet --bin hilum --test shaders
    hilum="$CARGO_TARGET_DIR/release/hilum"
}
