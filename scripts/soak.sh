#!/usr/bin/env bash
# Sends 30,000 small studies (every second one of two slices) to a node on four associations at a time, 25 studies each, and looks
# at its memory and descriptors each second. One study in twenty is run (and left alone for its coverage), the others are kept by
# a rule of `never`. Then the node starts again eight days later (libfaketime) and removes them all.
# Writes docs/operations-memory.svg; exit code 1 where memory or descriptors grow.
# usage: scripts/soak.sh [STUDIES]    (30000; about 20 minutes on two cores; fewer end before the allocator is warm, and seem to grow)
source "$(dirname "$0")/node-common.sh"
install_missing libfaketime
studies="${1:-30000}"
each=25
slice=testdata/phantom-chest/series/000050.dcm

read -r dicom http <<<"$(free_ports 2)"
node() {
    start_hilum hilum "$dicom" "$http" "$@" < <(
        printf '[node.completion]\nidle_s = 2\n'
        peer keeps KEEPS
        peer runs RUNS
        printf '[[node.rules]]\nname = "runs"\nsender = ["RUNS"]\n[[node.rules]]\nname = "keeps"\nwhen = "never"\n'
    )
}

# lane N: every fourth association.
lane() {
    local i title
    for ((i = $1; i < studies / each; i += 4)); do
        title=KEEPS
        ((i % 20)) || title=RUNS
        storescu --required --aetitle "$title" --call HILUM +IR $((1 + i / 4 % 2)) +IS 1 --repeat $((each * (1 + i / 4 % 2))) \
            127.0.0.1 "$dicom" "$slice"
    done
}
state() { rest "$http" /status | json "x['studies']['$1']"; }
settled() { [ "$(state receiving)" = 0 ] && [ "$(state queued)" = 0 ] && [ "$(state running)" = 0 ]; }

say "$studies studies"
node
node_pid=$pid
python3 scripts/soak.py sample "$node_pid" "$http" "$work/samples.csv" &
sampler=$!
sleep 5
lanes=()
for i in 0 1 2 3; do
    lane "$i" &
    lanes+=($!)
done
for i in "${lanes[@]}"; do wait "$i"; done
until_true 300 settled || echo "some studies are not settled" >&2
sleep 20
kept="$(find "$work/hilum/instances" -mindepth 1 -maxdepth 1 | wc -l)"
rest "$http" /status | json "'of the studies that were run: ' + str({k: v for k, v in x['studies'].items() if v}) + ' ' + str(x['dead_letters'])"
end "$node_pid"
wait "$sampler"
du -sh --apparent-size "$work/hilum/node.sqlite" "$work/hilum/audit.jsonl" | sed "s#$work/hilum/##"
python3 scripts/soak.py report "$work/samples.csv" docs/operations-memory.svg | tee "$work/report"
"$hilum" audit verify --dir "$work/hilum"

say "Eight days later"
start_s=$SECONDS
node env LD_PRELOAD="$(dpkg -L libfaketime | grep -m1 '/libfaketime\.so')" FAKETIME=+8d DONT_FAKE_MONOTONIC=1
removed() { [ -z "$(ls "$work/hilum/instances")" ]; }
until_true 1800 removed || { echo "not all are removed" >&2; exit 1; }
echo "all $kept studies are removed within $((SECONDS - start_s)) s of the start"
sed -n 's/^VmHWM:[[:space:]]*/its memory at most: /p' "/proc/$pid/status"

say "$(machine)"
[ "$kept" = "$studies" ] || { echo "$kept studies are kept" >&2; exit 1; }
python3 - "$work/report" <<'PYTHON'
import re, sys
text = open(sys.argv[1]).read()
growth = float(re.search(r"half: ([-+.0-9]+) MiB", text)[1])
first, last = re.search(r"descriptors: (\d+) at the start, .* (\d+) at the end", text).groups()
if growth > 1 or int(last) > int(first) + 4:
    sys.exit("memory or descriptors grow")
PYTHON
