#!/bin/sh
# Installs Mesa's software Vulkan driver (lavapipe) from Debian 12's backports, so that shaders can be tested without a GPU.
# Run as root, or source it and call install_lavapipe.
set -eu

# Prints "URI<TAB>keyring" of the first Debian archive among the machine's own apt sources (deb822 files, then one-line files).
debian_archive() {
    awk '
        FNR == 1 || /^[[:space:]]*$/ { uri = ""; key = ""; main_suite = 0 }
        /^URIs:/ { uri = $2 }
        /^Suites:/ { for (i = 2; i <= NF; i++) if ($i == "bookworm") main_suite = 1 }
        /^Signed-By:/ { key = $2 }
        uri != "" && main_suite && key != "" { print uri "\t" key; exit }
    ' /etc/apt/sources.list.d/*.sources /dev/null 2>/dev/null
    awk '
        $1 == "deb" {
            key = ""; at = 2
            if ($2 ~ /^\[/) {
                for (i = 2; i <= NF; i++) {
                    if (match($i, /signed-by=[^]]*/)) key = substr($i, RSTART + 10, RLENGTH - 10)
                    if ($i ~ /\]$/) { at = i + 1; break }
                }
            }
            if ($(at + 1) == "bookworm") { print $at "\t" key; exit }
        }
    ' /etc/apt/sources.list /etc/apt/sources.list.d/*.list /dev/null 2>/dev/null
}

add_backports() {
    if apt-cache policy | grep -q 'bookworm-backports/main'; then
        return 0
    fi
    archive=$(debian_archive | head -n 1)
    if [ -z "$archive" ]; then
        echo "No Debian 12 (bookworm) archive among the apt sources: add the bookworm-backports suite by hand." >&2
        return 1
    fi
    uri=$(printf '%s' "$archive" | cut -f 1)
    key=$(printf '%s' "$archive" | cut -f 2)
    list=/etc/apt/sources.list.d/hilum-backports.sources
    printf 'Types: deb\nURIs: %s\nSuites: bookworm-backports\nComponents: main\n' "$uri" > "$list"
    if [ -n "$key" ]; then
        printf 'Signed-By: %s\n' "$key" >> "$list"
    fi
    apt-get update -q
}

install_lavapipe() {
    # Debian 12's own Mesa (22.3) is too old to rely on.
    installed=$(dpkg-query -W -f '${Version}' mesa-vulkan-drivers 2>/dev/null || true)
    if dpkg --compare-versions "${installed:-0}" ge 25; then
        echo "lavapipe is already installed (Mesa $installed)."
        return 0
    fi
    echo "Installing lavapipe (mesa-vulkan-drivers of bookworm-backports) and the Vulkan loader."
    add_backports
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y -t bookworm-backports --no-install-recommends \
        mesa-vulkan-drivers libvulkan1
}

case "${0##*/}" in
    install-lavapipe.sh) install_lavapipe ;;
esac
