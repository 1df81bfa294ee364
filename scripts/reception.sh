#!/usr/bin/env bash
# How fast a node takes a CT of 300 slices of 512 × 512, beside Orthanc: the same sender (storescu) and files, one association
# and four, by turns, each receiver new and empty in each round. Prints each round, medians, and the syncs that each makes.
# Three receivers: Hilum; Orthanc with SyncStorageArea, as durable as it can be set; and that with its index synced at each
# commit too, as Hilum's is (a small shim makes SQLite's PRAGMA SYNCHRONOUS=NORMAL a FULL).
# usage: scripts/reception.sh [ROUNDS]    (7; about five minutes on two cores, which should have nothing else to do)
source "$(dirname "$0")/node-common.sh"
install_missing gcc libc6-dev strace
rounds="${1:-7}"

say "A series of 300 slices"
"$hilum" phantom --preset adult --out "$work/adult" >/dev/null
mkdir "$work/whole" "$work"/quarter-{1,2,3,4}
i=0
for file in "$work"/adult/series/*.dcm; do
    ln "$file" "$work/whole/"
    ln "$file" "$work/quarter-$((i++ * 4 / 300 + 1))/"
done
read -r total_bytes <<<"$(du -sb "$work/whole" | cut -f1)"

cat >"$work/full.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
typedef int (*Prepare)(void *, const char *, int, void **, const char **);
typedef int (*Exec)(void *, const char *, void *, void *, char **);
static const char *full(const char *sql) {
    return sql && strstr(sql, "SYNCHRONOUS=NORMAL") ? "PRAGMA SYNCHRONOUS=FULL;" : sql;
}
int sqlite3_prepare_v2(void *db, const char *sql, int bytes, void **statement, const char **tail) {
    Prepare next = (Prepare)dlsym(RTLD_NEXT, "sqlite3_prepare_v2");
    return next(db, full(sql), full(sql) == sql ? bytes : -1, statement, tail);
}
int sqlite3_exec(void *db, const char *sql, void *callback, void *argument, char **message) {
    return ((Exec)dlsym(RTLD_NEXT, "sqlite3_exec"))(db, full(sql), callback, argument, message);
}
C
gcc -shared -fPIC -O1 -o "$work/full.so" "$work/full.c" -ldl

say "What a sync costs here: median and 95th percentile of 200, ms, of 4 KiB appended and of 512 KiB in a new file"
python3 - "$work" <<'PYTHON'
import os, sys, time
def report(name, times):
    times.sort()
    print(f"{name}: {1e3 * times[len(times) // 2]:.2f}, {1e3 * times[len(times) * 95 // 100]:.2f}")
appended, new = [], []
log = os.open(f"{sys.argv[1]}/sync", os.O_CREAT | os.O_WRONLY)
for i in range(200):
    os.write(log, os.urandom(4096))
    start = time.perf_counter()
    os.fdatasync(log)
    appended.append(time.perf_counter() - start)
for i in range(200):
    path = f"{sys.argv[1]}/sync-{i}"
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    os.write(file, os.urandom(512 << 10))
    start = time.perf_counter()
    os.fsync(file)
    new.append(time.perf_counter() - start)
    os.close(file)
    os.unlink(path)
report("4 KiB appended", appended)
report("512 KiB in a new file", new)
PYTHON

# receive RECEIVER [TRACER...]: starts it in an empty folder; $port is where it takes associations.
receive() {
    local receiver="$1"
    shift
    read -r port http <<<"$(free_ports 2)"
    rm -rf "${work:?}/$receiver"
    case "$receiver" in
    hilum)
        start_hilum hilum "$port" "$http" "$@" < <(
            printf '[node.completion]\nidle_s = 3600\n'
            peer sender STORESCU
        )
        ;;
    orthanc) start_orthanc orthanc "$port" "$http" 1 1 "$@" ;;
    orthanc-index) start_orthanc orthanc-index "$port" "$http" 1 1 "$@" env LD_PRELOAD="$work/full.so" ;;
    esac
}

# kept RECEIVER: how many instances it holds.
kept() {
    case "$1" in
    hilum) find "$work/hilum/instances" -name '*.dcm' | wc -l ;;
    *) rest "$http" /statistics | json 'x["CountInstances"]' ;;
    esac
}

# send ASSOCIATIONS: sends the series; its time in ms is $ms.
send() {
    local folders=("$work/whole") pids=() start folder one
    [ "$1" = 1 ] || folders=("$work"/quarter-*)
    start="$(date +%s%N)"
    for folder in "${folders[@]}"; do
        storescu --required --max-pdu 131072 --call HILUM +sd 127.0.0.1 "$port" "$folder" &
        pids+=($!)
    done
    for one in "${pids[@]}"; do wait "$one"; done
    ms=$((($(date +%s%N) - start) / 1000000))
}

# round RECEIVER ASSOCIATIONS
round() {
    receive "$1"
    sync
    send "$2"
    [ "$(kept "$1")" = 300 ] || { echo "$1 holds not all of what it acknowledged" >&2; return 1; }
    end "$pid"
    echo "$1 $2 $ms" >>"$work/rounds"
    printf '%s, %s association(s): %s ms\n' "$1" "$2" "$ms"
}

receivers=(hilum orthanc orthanc-index)
say "Rounds"
for i in $(seq "$rounds"); do
    # Whoever goes first is another one each time.
    for k in 0 1 2; do
        for associations in 1 4; do
            round "${receivers[$(((i + k) % 3))]}" "$associations"
        done
    done
done

say "Syncs for 300 instances (strace -f -c; a round of its own)"
for receiver in "${receivers[@]}"; do
    for associations in 1 4; do
        receive "$receiver" strace -f -qq -e trace=fsync,fdatasync,sync_file_range,msync -o "$work/trace"
        before="$(grep -c 'sync(' "$work/trace" || true)"
        send "$associations"
        echo "$receiver, $associations association(s): $(($(grep -c 'sync(' "$work/trace") - before))"
        # strace ends with what it traces.
        end "$(pgrep -P "$pid" | head -1)"
        end "$pid"
    done
done

say "Medians on $(machine)"
python3 - "$work/rounds" "$total_bytes" <<'PYTHON'
import statistics, sys
rounds = [line.split() for line in open(sys.argv[1])]
mb = int(sys.argv[2]) / 1e6
median = {}
for receiver in ("hilum", "orthanc", "orthanc-index"):
    for associations in ("1", "4"):
        ms = sorted(int(t) for r, a, t in rounds if (r, a) == (receiver, associations))
        median[receiver, associations] = statistics.median(ms)
        s = median[receiver, associations] / 1000
        print(f"{receiver}, {associations} association(s): {s:.2f} s ({ms[0] / 1000:.2f} to {ms[-1] / 1000:.2f}), "
              f"{300 / s:.0f} instances/s, {mb / s:.0f} MB/s")
for other in ("orthanc", "orthanc-index"):
    for associations in ("1", "4"):
        ratio = median[other, associations] / median["hilum", associations]
        print(f"rate of hilum : rate of {other}, {associations} association(s): {ratio:.2f}")
PYTHON
