# Sourced by node-peers.sh, node-priors.sh, reception.sh and soak.sh: nodes and peers on free loopback ports, ended when the script ends.
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

install_missing curl dcmtk openssl orthanc orthanc-dicomweb procps python3
[ -n "${HILUM:-}" ] && hilum="$HILUM" || { need_rust; build_hilum; }

work="$(mktemp -d "${TMPDIR:-/tmp}/hilum-node-XXXXXX")"
started=()
export TCP_NODELAY=1 # dcmtk's programs and Orthanc: else one small packet of each answer waits 40 ms for an acknowledgement
trap end_all EXIT
trap 'exit 130' INT TERM

# end PID: asks a program to end that this script started, and waits for it; after twenty seconds it is killed.
end() {
    local i
    kill "$1" 2>/dev/null || true
    for i in $(seq 200); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

end_all() {
    local status=$? pid
    for pid in "${started[@]}"; do end "$pid"; done
    if [ -n "${KEEP:-}" ]; then echo "Kept: $work" >&2; else rm -rf "$work"; fi
    exit "$status"
}

# free_ports N: as many ports of the loopback address that nobody listens on.
free_ports() {
    python3 -c 'import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for one in held:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))' "$1"
}

# start NAME COMMAND...: runs it in the background with its output in $work/NAME.log; its id is $pid.
start() {
    local name="$1"
    shift
    "$@" >"$work/$name.log" 2>&1 </dev/null &
    pid=$!
    started+=("$pid")
}

passed=0 failed=0
# check WHAT COMMAND...: a line that says whether it succeeded; the script ends with `[ "$failed" = 0 ]`.
check() {
    local what="$1" log="$work/check.log"
    shift
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1)) && printf 'ok      %s\n' "$what"
    else
        failed=$((failed + 1)) && printf 'FAILED  %s\n' "$what"
        tail -5 "$log" | sed 's/^/        /'
    fi
}
fails() { ! "$@"; }

# until_true SECONDS COMMAND...: tries until it succeeds.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# rest PORT PATH [CURL-OPTION...]: Orthanc's REST.
rest() {
    local url="http://127.0.0.1:$1$2"
    shift 2
    curl --silent --show-error --fail --max-time 300 --noproxy '*' "$@" "$url"
}

# json EXPRESSION: of the JSON on stdin, which is named x.
json() { python3 -c 'import json, sys; x = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

# start_orthanc NAME DICOM-PORT HTTP-PORT HILUM-DICOM-PORT HILUM-HTTP-PORT [COMMAND...]: an Orthanc of its own folder, called NAME
# in capitals, that knows a node. It syncs each file that it stores, as it does unless told otherwise.
start_orthanc() {
    local name="$1" dicom="$2" http="$3" hilum_dicom="$4" hilum_http="$5" plugin
    shift 5
    plugin="$(find /usr/lib/orthanc /usr/share/orthanc/plugins -name 'libOrthancDicomWeb.so*' | sort | head -1)"
    mkdir -p "$work/$name"
    cat >"$work/$name.json" <<JSON
{
  "Name": "$name", "StorageDirectory": "$work/$name", "IndexDirectory": "$work/$name", "TemporaryDirectory": "$work",
  "DicomAet": "${name^^}", "DicomPort": $dicom, "HttpPort": $http, "RemoteAccessAllowed": false,
  "DicomModalities": { "hilum": { "AET": "HILUM", "Host": "127.0.0.1", "Port": $hilum_dicom, "AllowStorageCommitment": true } },
  "DicomAlwaysAllowMove": true, "DicomAlwaysAllowFind": true,
  "MaximumPduLength": 131072, "StorageCompression": false, "SyncStorageArea": true, "OverwriteInstances": false,
  "Plugins": ["$plugin"],
  "DicomWeb": { "Enable": true, "Root": "/dicom-web/", "Servers": { "hilum": { "Url": "http://127.0.0.1:$hilum_http/" } } }
}
JSON
    start "$name" "$@" Orthanc "$work/$name.json"
    until_true 60 rest "$http" /system || { tail -5 "$work/$name.log" >&2; return 1; }
}

# start_hilum NAME DICOM-PORT HTTP-PORT [COMMAND...] < <(TABLES): a node in $work/NAME, with these tables in its configuration. No
# pipe: what this starts would not be known outside of it.
start_hilum() {
    local name="$1" dicom="$2" http="$3"
    shift 3
    mkdir -p "$work/$name"
    {
        cat <<TOML
[device]
kind = "cpu"
[models]
enabled = ["lung-nodule-lite"]
[node]
dir = "$work/$name"
[node.dicom]
bind = "127.0.0.1:$dicom"
[node.http]
bind = "127.0.0.1:$http"
[node.storage]
min_free_bytes = 1000000000
TOML
        cat
    } >"$work/$name.toml"
    HILUM_LOG=error,hilum=info NO_COLOR=1 start "$name" "$@" "$hilum" serve --config "$work/$name.toml"
    until_true 120 rest "$http" /health/live || { tail -5 "$work/$name.log" >&2; return 1; }
}

# peer NAME AE-TITLE [PORT]: a table of the configuration.
peer() {
    printf '[[node.peers]]\nname = "%s"\nae_title = "%s"\nhost = "127.0.0.1"\nmay_store = true\n' "$1" "$2"
    [ -z "${3:-}" ] || printf 'port = %s\n' "$3"
}

machine() {
    echo "$(nproc) cores ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)), $(free -g | awk '/^Mem:/ {print $2}') GiB," \
        "$(findmnt -n -o FSTYPE -T "$work"), Linux $(uname -r);" \
        "Orthanc $(Orthanc --version | sed -n '1s/.* //p'), dcmtk $(dcmdump --version | sed -n '1s/.*dcmdump v\([^ ]*\).*/\1/p')"
}
