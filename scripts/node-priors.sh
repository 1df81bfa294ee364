#!/usr/bin/env bash
# A node that fetches earlier studies from real peers on loopback: dcmqrscp (C-GET, C-MOVE) and Orthanc (C-GET, C-MOVE, WADO-RS).
# One line a check, a summary, exit code 1 where one failed.
# usage: scripts/node-priors.sh    (about a minute; KEEP=1 keeps the folder with the logs)
source "$(dirname "$0")/node-common.sh"
# study NAME DATE PATIENT: eight slices of the phantom as a study of its own, too few for any model; its UID is ${uid[NAME]}.
declare -A uid
study() {
    mkdir "$work/$1"
    cp testdata/phantom-chest/series/00000{1,2,3,4,5,6,7,8}.dcm "$work/$1/"
    uid[$1]="$(python3 -c 'import uuid; print(f"2.25.{uuid.uuid4().int}")')"
    dcmodify --quiet --no-backup --gen-inst-uid --modify "StudyInstanceUID=${uid[$1]}" --modify "SeriesInstanceUID=${uid[$1]}.1" \
        --insert "StudyDate=$2" --insert "PatientID=$3" "$work/$1"/*.dcm
}
# holds NODE STUDY N: so many instances of it are kept.
holds() { [ "$(find "$work/$1/instances/${uid[$2]}" -name '*.dcm' 2>/dev/null | wc -l)" = "$3" ]; }
# events NODE KIND N [TEXT]: so many events of a kind stand in the decision log, with that text.
events() { [ "$(grep "\"kind\":\"$2\"" "$work/$1/audit.jsonl" | grep -c -- "${4:-}")" = "$3" ]; }
# syntaxes NODE STUDY: transfer syntaxes of what is kept.
syntaxes() { dcmdump +P TransferSyntaxUID "$work/$1/instances/${uid[$2]}"/*.dcm | sed -n 's/.*=\([A-Za-z0-9]*\).*/\1/p' | sort -u; }

# The patient's id: nothing that a node writes beside the images may have it.
patient=PRIORS-4711
secrets() { grep -rlF -- "$patient" "$work/$1.log" "$work/$1"/audit.* "$work/$1"/node.sqlite*; }

read -r hilum_dicom hilum_http pacs_dicom pacs_http qr_port lost_port <<<"$(free_ports 6)"

# qr NAME PORT HOST-LINE: a dcmqrscp.
qr() {
    mkdir "$work/$1"
    cat >"$work/$1.cfg" <<CFG
NetworkTCPPort = $2
MaxPDUSize = 131072
MaxAssociations = 16
HostTable BEGIN
$3
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
DCMQR $work/$1 RW (200, 1024mb) ANY
AETable END
CFG
    start "$1" dcmqrscp --config "$work/$1.cfg"
}

# node NAME PRIORS [COMMAND...]: a node whose rule asks for two earlier studies, as the table says.
node() {
    local name="$1" priors="$2"
    shift 2
    start_hilum "$name" "$hilum_dicom" "$hilum_http" "$@" < <(
        peer pacs PACS "$pacs_dicom"
        peer qr DCMQR "$qr_port"
        peer lost DCMQR "$lost_port"
        peer sender STORESCU
        printf '[node.completion]\nidle_s = 2\n[node.retry]\nmax_attempts = 1\n[[node.rules]]\nname = "all"\npriors = 2\n'
        printf '[node.priors]\n%s\n' "$priors"
    )
    hilum_pid=$pid
}
sends() { storescu --required --aetitle STORESCU --call HILUM +sd 127.0.0.1 "$hilum_dicom" "$work/$1"; }

say "Starts Orthanc and dcmqrscp twice; they get four earlier studies, a later one, and one of another patient"
start_orthanc pacs "$pacs_dicom" "$pacs_http" "$hilum_dicom" "$hilum_http"
qr qr "$qr_port" "hilum = (HILUM, 127.0.0.1, $hilum_dicom)"
qr lost "$lost_port" "nobody = (NOBODY, 127.0.0.1, $hilum_dicom)"
study current 20240630 $patient
study latest 20240601 $patient
study second 20240501 $patient
study third 20240401 $patient
study old 20100101 $patient
study later 20240701 $patient
study other 20240615 $patient-2
# dcmqrscp sends what it has as it is, or not at all: what is compressed lies in Orthanc alone.
mkdir "$work/compressed"
for file in "$work/latest"/*.dcm; do dcmcjpeg --encode-lossless-sv1 "$file" "$work/compressed/${file##*/}"; done
storescu --propose-lossless --required --call PACS +sd 127.0.0.1 "$pacs_dicom" "$work/compressed"
for name in latest second third old later other; do
    [ $name = latest ] || storescu --required --call PACS +sd 127.0.0.1 "$pacs_dicom" "$work/$name"
    for port in "$qr_port" "$lost_port"; do storescu --required --call DCMQR +sd 127.0.0.1 "$port" "$work/$name"; done
done

# fetches NAME WHAT SYNTAX: checks of a node that was started.
fetches() {
    say "$2"
    check "the study that asks is taken" sends current
    check "two earlier studies are fetched" until_true 60 events "$1" prior-fetched 2
    check "the latest, 8 instances" holds "$1" latest 8
    check "and the one before, 8 instances" holds "$1" second 8
    check "as it lies there: $3" test "$(syntaxes "$1" latest)" = "$3"
    check "none that is older, later or of another patient" sh -c "[ \$(ls '$work/$1/instances' | wc -l) = 3 ]"
    check "both are kept as priors" until_true 30 sh -c "[ \$(grep -c 'kept and not run.*why=\"prior\"' '$work/$1.log') = 2 ]"
    check "and not run" events "$1" job-started 0 "${uid[latest]}"
    end "$hilum_pid"
}

# ends NAME: a node that has stopped.
ends() {
    check "the decision log is whole" "$hilum" audit verify --dir "$work/$1"
    check "the patient's id is in no log and not in the database" fails secrets "$1"
    check "no program panicked, and no error is in the log" fails grep -E 'panicked| ERROR ' "$work/$1.log"
}

node by-get $'by = "c-get"\nfrom = "pacs"'
fetches by-get "Orthanc, C-GET" JPEGLossless
node by-get $'by = "c-get"\nfrom = "pacs"'
check "a restart asks nobody again" sh -c "sleep 3; [ \$(grep -c '\"kind\":\"priors-asked\"' '$work/by-get/audit.jsonl') = 1 ]"
check "a prior is sent" sends second
check "and is a study like any other: it runs" until_true 60 events by-get job-started 1 "${uid[second]}"
check "and asks for its own" until_true 30 events by-get priors-asked 1 "${uid[second]}"
end "$hilum_pid"
ends by-get

node by-move $'by = "c-move"\nfrom = "pacs"'
fetches by-move "Orthanc, C-MOVE" JPEGLossless
ends by-move

node by-web $'by = "wado-rs"\nurl = "http://127.0.0.1:'"$pacs_http"$'/dicom-web"' env HILUM_LOG=trace,ureq::run=trace,ureq::util=trace
fetches by-web "Orthanc, QIDO-RS and WADO-RS; the node logs all that it can" JPEGLossless
ends by-web

node by-qr-get $'by = "c-get"\nfrom = "qr"'
fetches by-qr-get "dcmqrscp, C-GET" LittleEndianExplicit
ends by-qr-get

node by-qr-move $'by = "c-move"\nfrom = "qr"'
fetches by-qr-move "dcmqrscp, C-MOVE" LittleEndianExplicit
ends by-qr-move

say "A peer that does not know where to move to"
node lost-node $'by = "c-move"\nfrom = "lost"'
check "the study that asks is taken" sends current
check "the failure stands in the decision log" until_true 60 events lost-node priors-failed 1 '"code":"peer-status","given_up":true'
check "and in the status" sh -c "curl -sf --noproxy '*' http://127.0.0.1:$hilum_http/status | grep -q '\"failed\":{\"peer-status\":1}'"
check "with the peer's status in the log" grep -q 'C-MOVE with status 0xa801' "$work/lost-node.log"
check "the study that asks is run all the same" until_true 60 events lost-node job-done 1
end "$hilum_pid"
ends lost-node

say "$passed passed, $failed failed; $(machine)"
[ "$failed" = 0 ]
