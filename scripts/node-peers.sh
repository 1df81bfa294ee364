#!/usr/bin/env bash
# A node among real peers on loopback: Orthanc (C-STORE, C-FIND, C-MOVE, Storage Commitment, DICOMweb) and dcmtk (echoscu,
# storescu, dcmsend, movescu, dcmqrscp, storescp, over TLS too). One line a check, a summary, exit code 1 where one failed.
# usage: scripts/node-peers.sh    (about two minutes; KEEP=1 keeps the folder with the logs)
source "$(dirname "$0")/node-common.sh"
uid_of() { dcmdump +P "$2" "$1" | sed 's/.*\[\(.*\)\].*/\1/'; }

# study FOLDER: eight slices of the phantom as a study of its own, too few for any model; sets $study.
study() {
    mkdir "$work/$1"
    cp testdata/phantom-chest/series/00000{1,2,3,4,5,6,7,8}.dcm "$work/$1/"
    study="$(python3 -c 'import uuid; print(f"2.25.{uuid.uuid4().int}")')"
    dcmodify --quiet --no-backup --gen-inst-uid --modify "StudyInstanceUID=$study" --modify "SeriesInstanceUID=$study.1" "$work/$1"/*.dcm
}
# holds NODE STUDY N: so many instances of it are kept.
holds() { [ "$(find "$work/$1/instances/$2" -name '*.dcm' | wc -l)" = "$3" ]; }
# logged NODE TEXT
logged() { grep -q -- "$2" "$work/$1/audit.jsonl"; }
# counter NAME VALUE: of the main node, at least.
counter() { rest "$hilum_http" /metrics | awk -v name="$1" -v least="$2" '$1 == name {found = $2 >= least} END {exit !found}'; }
# modalities ORTHANC-PORT STUDY: of the study's series there, sorted.
modalities() {
    rest "$1" /tools/find --data "{\"Level\":\"Series\",\"Expand\":true,\"Query\":{\"StudyInstanceUID\":\"$2\"}}" |
        json '" ".join(sorted(s["MainDicomTags"]["Modality"] for s in x))'
}
has_modalities() { [ "$(modalities "$1" "$2")" = "$3" ]; }
orthanc_id() { rest "$1" /tools/lookup --data "$2" | json 'x[0]["ID"]'; }
# waited NODE STUDY KIND: s from the last write to its instances, which comes just before their last answer, to its first event of
# that kind in the decision log.
waited() {
    python3 - "$work/$1" "$2" "$3" <<'PYTHON'
import datetime, json, pathlib, sys
node, study, kind = sys.argv[1:]
last = max(path.stat().st_mtime for path in pathlib.Path(node, "instances", study).iterdir())
for line in pathlib.Path(node, "audit.jsonl").open():
    record = json.loads(line)
    if (record["event"].get("study_instance_uid"), record["event"]["kind"]) == (study, kind):
        print(f"{datetime.datetime.fromisoformat(record['time'].replace('Z', '+00:00')).timestamp() - last:.2f}")
        break
PYTHON
}
# within SECONDS NODE STUDY KIND
within() { python3 -c 'import sys; sys.exit(not float(sys.argv[1] or "inf") <= float(sys.argv[2]))' "$(waited "${@:2}")" "$1"; }

read -r hilum_dicom hilum_http pacs_dicom pacs_http web_dicom web_http qr_port scp_port tls_port tls_http <<<"$(free_ports 10)"

say "Starts Orthanc twice, dcmqrscp, storescp and two nodes"
start_orthanc pacs "$pacs_dicom" "$pacs_http" "$hilum_dicom" "$hilum_http"
start_orthanc web "$web_dicom" "$web_http" "$hilum_dicom" "$hilum_http"
mkdir "$work/qr" "$work/scp"
cat >"$work/qr.cfg" <<CFG
NetworkTCPPort = $qr_port
MaxPDUSize = 131072
MaxAssociations = 16
HostTable BEGIN
hilum = (HILUM, 127.0.0.1, $hilum_dicom)
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
DCMQR $work/qr RW (200, 1024mb) ANY
AETable END
CFG
start dcmqrscp dcmqrscp --config "$work/qr.cfg"
start storescp storescp --output-directory "$work/scp" "$scp_port"
start_hilum hilum "$hilum_dicom" "$hilum_http" < <(
    peer pacs PACS "$pacs_dicom"
    peer dcmqr DCMQR "$qr_port"
    peer archive STORESCP "$scp_port"
    peer sender STORESCU
    cat <<TOML
[node.completion]
idle_s = 20
count_by = "pacs"
[[node.destinations]]
name = "pacs"
kind = "dicom"
peer = "pacs"
commitment = true
[[node.destinations]]
name = "web"
kind = "stow"
url = "http://127.0.0.1:$web_http/dicom-web"
[[node.destinations]]
name = "archive"
kind = "dicom"
peer = "archive"
TOML
)
hilum_pid=$pid

openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=authority -keyout "$work/ca.key" -out "$work/ca.crt" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout "$work/tls.key" -out "$work/tls.csr" 2>/dev/null
openssl x509 -req -days 1 -in "$work/tls.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -out "$work/tls.crt" \
    -extfile <(printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n') 2>/dev/null
start_hilum second "$tls_port" "$tls_http" < <(
    peer sender STORESCU
    peer dcmqr DCMQR "$qr_port"
    cat <<TOML
[node.completion]
idle_s = 6
count_by = "dcmqr"
[node.dicom.tls]
certificate = "$work/tls.crt"
key = "$work/tls.key"
peer_ca = "$work/ca.crt"
TOML
)

say "Who is let in"
check "echoscu is answered" echoscu --aetitle STORESCU --call HILUM 127.0.0.1 "$hilum_dicom"
check "echoscu that calls another title is rejected" fails echoscu --aetitle STORESCU --call OTHER 127.0.0.1 "$hilum_dicom"
check "echoscu of an unknown title is rejected" fails echoscu --aetitle NOBODY --call HILUM 127.0.0.1 "$hilum_dicom"
check "Orthanc's C-ECHO is answered" rest "$pacs_http" /modalities/hilum/echo --data '{}'
check "hilum doctor reaches Orthanc, dcmqrscp and storescp by C-ECHO" sh -c \
    "'$hilum' doctor --json --config '$work/hilum.toml' | python3 -c '
import json, sys
checks = {c[\"what\"]: c[\"finding\"] for c in json.load(sys.stdin)[\"checks\"]}
print(checks)
sys.exit(not all(f != \"failed\" for w, f in checks.items() if w.startswith(\"peer\")) or not any(w.startswith(\"peer\") for w in checks))'"

say "Orthanc sends a study; SR and SEG go to Orthanc, committed to, to another Orthanc by STOW-RS and to storescp"
chest=testdata/phantom-chest/series
study="$(uid_of $chest/000001.dcm StudyInstanceUID)"
storescu --required --call PACS +sd 127.0.0.1 "$pacs_dicom" $chest
check "Orthanc's C-STORE of 96 instances fails none" sh -c "curl -sf --noproxy '*' --data '$(orthanc_id "$pacs_http" "$study")' \
    http://127.0.0.1:$pacs_http/modalities/hilum/store | grep -q '\"FailedInstancesCount\" : 0'"
check "the node keeps 96" holds hilum "$study" 96
check "SR and SEG are in Orthanc (REST)" until_true 240 has_modalities "$pacs_http" "$study" "CT SEG SR"
check "Orthanc has committed to them" until_true 60 logged hilum '"kind":"committed"'
check "they are delivered to it" until_true 20 counter 'hilum_deliveries_total{destination="pacs",outcome="delivered"}' 1
check "SR and SEG are in the other Orthanc (STOW-RS, REST)" until_true 60 has_modalities "$web_http" "$study" "SEG SR"
check "storescp has two files" until_true 60 sh -c "[ \$(find '$work/scp' -type f | wc -l) = 2 ]"
check "dcmdump reads their SOP classes" sh -c "dcmdump +P SOPClassUID '$work'/scp/* | sort -u | tr -d '\n' | grep -q 'Comprehensive3DSR.*Segmentation'"
check "with counts a study runs within 2 s of its last instance" within 2 hilum "$study" job-started
echo "        $(waited hilum "$study" job-started) s from the last instance to its run; Orthanc was asked for the count"
check "Orthanc serves them by WADO-RS" sh -c "curl -sf --noproxy '*' 'http://127.0.0.1:$web_http/dicom-web/studies/$study/metadata' | grep -q 1.2.840.10008.5.1.4.1.1.66.4"

say "Every way in"
study by-storescu
check "storescu" storescu --required --call HILUM +sd 127.0.0.1 "$hilum_dicom" "$work/by-storescu"
check "its 8 instances are kept" holds hilum "$study" 8
check "storescu sends them once more" storescu --required --call HILUM +sd 127.0.0.1 "$hilum_dicom" "$work/by-storescu"
study by-dcmsend
check "dcmsend" dcmsend --aetitle STORESCU --call HILUM +sd 127.0.0.1 "$hilum_dicom" "$work/by-dcmsend"
check "its 8 instances are kept" holds hilum "$study" 8
study by-move
storescu --required --call DCMQR +sd 127.0.0.1 "$qr_port" "$work/by-move"
check "movescu has dcmqrscp send a study" movescu --study --aetitle STORESCU --call DCMQR --move HILUM \
    --key QueryRetrieveLevel=STUDY --key "StudyInstanceUID=$study" 127.0.0.1 "$qr_port"
check "its 8 instances are kept" until_true 10 holds hilum "$study" 8
study by-orthanc-move
storescu --required --call PACS +sd 127.0.0.1 "$pacs_dicom" "$work/by-orthanc-move"
check "movescu has Orthanc send a study" movescu --study --aetitle STORESCU --call PACS --move HILUM \
    --key QueryRetrieveLevel=STUDY --key "StudyInstanceUID=$study" 127.0.0.1 "$pacs_dicom"
check "its 8 instances are kept" until_true 10 holds hilum "$study" 8
study by-stow
storescu --required --call WEB +sd 127.0.0.1 "$web_dicom" "$work/by-stow"
check "Orthanc's DICOMweb plugin sends a study by STOW-RS" rest "$web_http" /dicom-web/servers/hilum/stow \
    --data "{\"Resources\":[\"$(orthanc_id "$web_http" "$study")\"],\"Synchronous\":true}"
check "its 8 instances are kept" holds hilum "$study" 8

say "TLS, and a peer that does not count"
study by-tls
tls=(+tls "$work/tls.key" "$work/tls.crt" --add-cert-file "$work/ca.crt")
check "echoscu without TLS is not heard" fails echoscu --aetitle STORESCU --call HILUM -ta 5 -td 5 127.0.0.1 "$tls_port"
check "echoscu without a certificate is not heard" fails echoscu --anonymous-tls --add-cert-file "$work/ca.crt" --aetitle STORESCU \
    --call HILUM 127.0.0.1 "$tls_port"
check "storescu over TLS with certificates" storescu "${tls[@]}" --required --call HILUM +sd 127.0.0.1 "$tls_port" "$work/by-tls"
check "its 8 instances are kept" holds second "$study" 8
check "dcmqrscp does not know the count: silence decides, and the log says how long it was" until_true 30 \
    grep -q 'waited_ms=6[0-9]* reason=Idle' "$work/second.log"
echo "        $(waited second "$study" study-complete) s from the last instance, with idle_s = 6"

say "What is left"
check "no program panicked, and no error is in the logs" fails grep -E 'panicked| ERROR ' "$work/hilum.log" "$work/second.log"
end "$hilum_pid"
check "the decision log is whole" "$hilum" audit verify --dir "$work/hilum"
patient="$(uid_of $chest/000001.dcm PatientName)"
check "no patient's name is in the logs" fails grep -qF "$patient" "$work/hilum.log" "$work/hilum/audit.jsonl"

say "$passed passed, $failed failed ($(machine))"
[ "$failed" = 0 ]
