//! SR, SEG and JSON: read again by dicom-rs, compared with the schema, and put in place as one step.

#[path = "common/study.rs"]
mod study;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{DataElement, Tag, VR, value::PrimitiveValue, value::Value};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use dicom_object::InMemDicomObject;
use hilum::dicom::Series;
use hilum::lesion::{Kind, Lesion, LesionMask};
use hilum::measure::Measurement;
use hilum::report::{
    Error, Existing, LeftOutSeries, OutputFile, Reason, Status, StudyReport, encode, existing_run,
    write_study,
};
use hilum::uid::UidSource;
use hilum::warning::Warning;
use proptest::prelude::*;
use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use study::{Plane, STUDY_UID, done, header, report, series, sphere};

const SIZE: [usize; 3] = [12, 33, 27];

fn names(files: &[OutputFile]) -> Vec<&str> {
    files.iter().map(|file| file.name.as_str()).collect()
}

fn dicom(files: &[OutputFile], name: &str) -> InMemDicomObject {
    let file = files.iter().find(|file| file.name == name).expect(name);
    dicom_object::from_reader(file.bytes.as_slice())
        .expect("DICOM")
        .into_inner()
}

fn json(files: &[OutputFile]) -> serde_json::Value {
    let file = files.iter().find(|file| file.name == "findings.json");
    serde_json::from_slice(&file.expect("findings.json").bytes).expect("JSON")
}

fn string(object: &InMemDicomObject, tag: Tag) -> String {
    let found = object
        .element(tag)
        .expect("present")
        .to_str()
        .expect("text");
    found.trim_end_matches(['\0', ' ']).into()
}

fn sequence(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object
        .element(tag)
        .expect("present")
        .items()
        .expect("a sequence")
}

/// One line an element, code sequences on one line, derived UIDs redacted.
fn dump(object: &InMemDicomObject, depth: usize, out: &mut String) {
    for found in object {
        let tag = found.header().tag;
        let name = StandardDataDictionary
            .by_tag(tag)
            .map_or("?", |entry| entry.alias());
        let indent = "  ".repeat(depth);
        match found.value() {
            Value::Sequence(items) => match items.items() {
                [one] if one.get(tags::CODE_VALUE).is_some() && one.iter().count() == 3 => {
                    let [value, scheme, meaning] = [
                        tags::CODE_VALUE,
                        tags::CODING_SCHEME_DESIGNATOR,
                        tags::CODE_MEANING,
                    ]
                    .map(|tag| string(one, tag));
                    writeln!(out, "{indent}{name}: ({value}, {scheme}, {meaning})")
                }
                items => {
                    writeln!(out, "{indent}{name}: {} item(s)", items.len()).expect("string");
                    for item in items {
                        writeln!(out, "{indent} -").expect("string");
                        dump(item, depth + 1, out);
                    }
                    Ok(())
                }
            },
            _ if tag == tags::PIXEL_DATA => {
                let bytes = found.to_bytes().expect("bytes").len();
                writeln!(out, "{indent}{name}: {bytes} bytes")
            }
            _ => {
                let value = found.to_str().expect("text");
                let value = if value.starts_with("2.25.") {
                    "<derived>".into()
                } else {
                    value
                };
                writeln!(out, "{indent}{name}: {}", value.trim_end_matches('\0'))
            }
        }
        .expect("string");
    }
}

fn dumped(files: &[OutputFile], name: &str) -> String {
    let mut out = String::new();
    dump(&dicom(files, name), 0, &mut out);
    out
}

fn coded_values(object: &InMemDicomObject, name: &str) -> Vec<String> {
    let mut out = Vec::new();
    for item in object
        .get(tags::CONTENT_SEQUENCE)
        .and_then(|e| e.items())
        .unwrap_or_default()
    {
        let concept = sequence(item, tags::CONCEPT_NAME_CODE_SEQUENCE);
        if string(&concept[0], tags::CODE_VALUE) == name {
            let value = sequence(item, tags::CONCEPT_CODE_SEQUENCE);
            out.push(string(&value[0], tags::CODE_VALUE));
        }
        out.extend(coded_values(item, name));
    }
    out
}

fn failed(series: &Series) -> hilum::report::SeriesRun<'_> {
    hilum::report::SeriesRun {
        status: Status::Failed,
        reason: Some(Reason {
            code: "pixel-data-short".into(),
            text: "Pixel Data (7FE0,0010) is shorter than declared".into(),
        }),
        ..done(series, Vec::new())
    }
}

fn localizer() -> LeftOutSeries {
    LeftOutSeries {
        series_instance_uid: format!("{STUDY_UID}.77"),
        modality: "CT".into(),
        status: Status::Skipped,
        reason: Reason {
            code: "localizer".into(),
            text: "a localizer is not a volume".into(),
        },
    }
}

#[test]
fn sr_of_one_nodule_reads_like_the_template() {
    let series = series(1, Plane::Axial, SIZE);
    let mut report = report(vec![done(&series, vec![sphere(&series, [5, 16, 12], 3.0)])]);
    report.warnings.push(Warning::CpuFallback);
    report.left_out.push(localizer());
    let files = encode(&report).expect("encoded");
    assert_eq!(names(&files), ["sr.dcm", "seg.dcm", "findings.json"]);
    insta::assert_snapshot!(dumped(&files, "sr.dcm"));
}

#[test]
fn seg_of_two_nodules_has_a_segment_each() {
    let series = series(1, Plane::Axial, SIZE);
    let lesions = vec![
        sphere(&series, [5, 16, 12], 2.0),
        sphere(&series, [6, 20, 20], 1.0),
    ];
    let files = encode(&report(vec![done(&series, lesions)])).expect("encoded");
    insta::assert_snapshot!(dumped(&files, "seg.dcm"));
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let series = series(1, Plane::Oblique, SIZE);
    let report = report(vec![done(&series, vec![sphere(&series, [5, 16, 12], 3.0)])]);
    assert_eq!(
        encode(&report).expect("once"),
        encode(&report).expect("twice")
    );
}

#[test]
fn timings_change_the_json_only() {
    let series = series(1, Plane::Axial, SIZE);
    let mut report = report(vec![done(&series, vec![sphere(&series, [5, 16, 12], 3.0)])]);
    let before = encode(&report).expect("before");
    report.timings_ms.insert("read".into(), 99.0);
    let after = encode(&report).expect("after");
    let changed = before.iter().zip(&after).filter(|(a, b)| a != b);
    assert_eq!(
        changed.map(|(a, _)| a.name.as_str()).collect::<Vec<_>>(),
        ["findings.json"]
    );
}

#[test]
fn the_outcome_is_coded_for_every_mix_of_runs() {
    let series = series(1, Plane::Axial, SIZE);
    let found = || done(&series, vec![sphere(&series, [5, 16, 12], 3.0)]);
    let nothing = || done(&series, Vec::new());
    for (runs, outcome) in [
        (vec![nothing()], "111241"),
        (vec![found()], "111242"),
        (vec![nothing(), failed(&series)], "111243"),
        (vec![found(), failed(&series)], "111244"),
        (vec![failed(&series)], "111245"),
        (Vec::new(), "111245"),
    ] {
        let files = encode(&report(runs)).expect("encoded");
        assert_eq!(coded_values(&dicom(&files, "sr.dcm"), "111017"), [outcome]);
        let has_seg = names(&files).contains(&"seg.dcm");
        assert_eq!(
            has_seg,
            ["111242", "111244"].contains(&outcome),
            "{outcome}"
        );
    }
}

#[test]
fn each_grid_has_its_own_seg() {
    let first = series(1, Plane::Axial, SIZE);
    let second = series(2, Plane::Oblique, SIZE);
    let runs = vec![
        done(
            &first,
            vec![
                sphere(&first, [5, 16, 12], 2.0),
                sphere(&first, [6, 20, 20], 1.0),
            ],
        ),
        done(&second, vec![sphere(&second, [5, 16, 12], 2.0)]),
        done(&first, vec![sphere(&first, [3, 8, 8], 1.0)]),
    ];
    let files = encode(&report(runs)).expect("encoded");
    assert_eq!(
        names(&files),
        ["sr.dcm", "seg-1.dcm", "seg-2.dcm", "findings.json"]
    );
    let numbers = json(&files)["lesions"]
        .as_array()
        .expect("lesions")
        .iter()
        .map(|lesion| (lesion["id"].as_u64(), lesion["segment_number"].as_u64()))
        .collect::<Vec<_>>();
    let want = [(1, 1), (2, 2), (3, 1), (4, 3)].map(|(id, n)| (Some(id), Some(n)));
    assert_eq!(numbers, want);
}

#[test]
fn frames_lie_on_their_source_slices_whatever_the_plane() {
    for plane in [Plane::Axial, Plane::Oblique, Plane::Tilted] {
        let series = series(1, plane, SIZE);
        let files = encode(&report(vec![done(
            &series,
            vec![sphere(&series, [5, 16, 12], 3.0)],
        )]));
        let seg = dicom(&files.expect("encoded"), "seg.dcm");
        let shared = &sequence(&seg, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)[0];
        let measures = &sequence(shared, tags::PIXEL_MEASURES_SEQUENCE)[0];
        assert_eq!(string(measures, tags::PIXEL_SPACING), "0.7\\0.75");
        let gap = measures.element(tags::SPACING_BETWEEN_SLICES).expect("gap");
        assert!((gap.to_float64().expect("number") - 2.5).abs() < 1e-9);
        for frame in sequence(&seg, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE) {
            let derivation = &sequence(frame, tags::DERIVATION_IMAGE_SEQUENCE)[0];
            let source = &sequence(derivation, tags::SOURCE_IMAGE_SEQUENCE)[0];
            let uid = string(source, tags::REFERENCED_SOP_INSTANCE_UID);
            let instance = series.instances.iter().find(|i| i.sop_instance_uid == uid);
            let plane = &sequence(frame, tags::PLANE_POSITION_SEQUENCE)[0];
            let position = plane
                .element(tags::IMAGE_POSITION_PATIENT)
                .expect("position");
            let position = glam::DVec3::from_slice(&position.to_multi_float64().expect("numbers"));
            let want = instance.expect("a source slice").position_lps_mm;
            assert!(position.distance(want) < 1e-9);
        }
    }
}

/// Lesions of random masks on a small grid, as (origin, size, voxels).
fn random_lesions() -> impl Strategy<Value = ([usize; 3], Vec<LesionMask>)> {
    let grid = [1_usize..5, 1_usize..14, 1_usize..14];
    grid.prop_flat_map(|grid| {
        let mask = grid.map(|n| (0..n).prop_flat_map(move |o| (Just(o), 1..=n - o)));
        let mask = mask.prop_flat_map(|axes| {
            let origin = axes.map(|(origin, _)| origin);
            let size = axes.map(|(_, size)| size);
            let voxels: usize = size.iter().product();
            prop::collection::vec(any::<bool>(), voxels).prop_map(move |mut inside| {
                inside[voxels / 2] = true;
                LesionMask {
                    origin,
                    size,
                    inside,
                }
            })
        });
        (Just(grid), prop::collection::vec(mask, 1..4))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn packed_frames_unpack_to_the_masks((grid, masks) in random_lesions()) {
        let series = series(1, Plane::Axial, grid);
        let lesions = masks.iter().map(|mask| {
            let (_, measurement) = sphere(&series, [0, 0, 0], 1.0);
            (Lesion { kind: Kind::LungNodule, confidence: 0.5, mask: mask.clone() }, measurement)
        });
        let files = encode(&report(vec![done(&series, lesions.collect())])).expect("encoded");
        let seg = dicom(&files, "seg.dcm");
        let pixels = seg.element(tags::PIXEL_DATA).expect("pixels").to_bytes().expect("bytes");
        let mut found = vec![Vec::new(); masks.len()];
        let [_, rows, columns] = grid;
        for (f, frame) in sequence(&seg, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).iter().enumerate() {
            let content = &sequence(frame, tags::SEGMENT_IDENTIFICATION_SEQUENCE)[0];
            let segment: usize = string(content, tags::REFERENCED_SEGMENT_NUMBER).parse().expect("number");
            let derivation = &sequence(frame, tags::DERIVATION_IMAGE_SEQUENCE)[0];
            let source = string(&sequence(derivation, tags::SOURCE_IMAGE_SEQUENCE)[0], tags::REFERENCED_SOP_INSTANCE_UID);
            let z = series.instances.iter().position(|i| i.sop_instance_uid == source).expect("slice");
            for pixel in 0..rows * columns {
                let bit = f * rows * columns + pixel;
                if pixels[bit / 8] >> (bit % 8) & 1 == 1 {
                    found[segment - 1].push([z, pixel / columns, pixel % columns]);
                }
            }
        }
        let want: Vec<Vec<_>> = masks.iter().map(|mask| mask.voxels().collect()).collect();
        prop_assert_eq!(found, want);
    }
}

/// Every Referenced Frame Number below a data set.
fn frame_numbers(object: &InMemDicomObject) -> Vec<String> {
    let mut found = Vec::new();
    for element in object {
        if element.header().tag == tags::REFERENCED_FRAME_NUMBER {
            found.push(string(object, tags::REFERENCED_FRAME_NUMBER));
        }
        for item in element.items().unwrap_or_default() {
            found.extend(frame_numbers(item));
        }
    }
    found
}

#[test]
fn slices_of_a_multi_frame_object_are_referenced_by_object_and_frame() {
    let mut series = series(1, Plane::Axial, SIZE);
    let count = u32::try_from(SIZE[0]).expect("few slices");
    for (frame, instance) in (1..).zip(&mut series.instances) {
        instance.sop_class_uid = uids::ENHANCED_CT_IMAGE_STORAGE.into();
        instance.sop_instance_uid = format!("{STUDY_UID}.1.1");
        // Frames may be stored from the head down.
        instance.frame_number = Some(count + 1 - frame);
    }
    let ball = sphere(&series, [5, 16, 13], 4.0);
    let slices: Vec<usize> = (0..SIZE[0])
        .filter(|z| ball.0.mask.voxels().any(|[at, _, _]| at == *z))
        .collect();
    let wanted: Vec<String> = slices.iter().map(|z| (SIZE[0] - z).to_string()).collect();
    let axes = (SIZE[0] - ball.1.axis_slice) as u64;
    let files = encode(&report(vec![done(&series, vec![ball])])).expect("encoded");
    let seg = dicom(&files, "seg.dcm");
    assert_eq!(frame_numbers(&seg), wanted);
    let referenced = &sequence(&seg, tags::REFERENCED_SERIES_SEQUENCE)[0];
    assert_eq!(
        sequence(referenced, tags::REFERENCED_INSTANCE_SEQUENCE).len(),
        1
    );
    let sr = dicom(&files, "sr.dcm");
    let evidence = &sequence(&sr, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE)[0];
    let source = &sequence(evidence, tags::REFERENCED_SERIES_SEQUENCE)[0];
    assert_eq!(sequence(source, tags::REFERENCED_SOP_SEQUENCE).len(), 1);
    let in_sr = frame_numbers(&sr);
    assert_eq!(in_sr[..slices.len()], wanted[..]);
    assert_eq!(in_sr[slices.len()..], [axes.to_string(), axes.to_string()]);
    let json = json(&files);
    assert_eq!(json["lesions"][0]["frame_number"], axes);
    assert!(schema().is_valid(&json));
}

#[test]
fn two_stacks_of_one_series_are_one_series_in_the_evidence() {
    let first = series(1, Plane::Axial, SIZE);
    let mut second = series(1, Plane::Oblique, SIZE);
    for instance in &mut second.instances {
        instance.sop_instance_uid += ".7";
    }
    let runs = vec![done(&first, Vec::new()), done(&second, Vec::new())];
    let files = encode(&report(runs)).expect("encoded");
    let sr = dicom(&files, "sr.dcm");
    let evidence = &sequence(&sr, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE)[0];
    let listed = sequence(evidence, tags::REFERENCED_SERIES_SEQUENCE);
    assert_eq!(listed.len(), 1);
    let objects = sequence(&listed[0], tags::REFERENCED_SOP_SEQUENCE);
    assert_eq!(objects.len(), 2 * SIZE[0]);
}

#[test]
fn a_label_map_holds_the_voxels_of_each_segment() {
    let series = series(1, Plane::Tilted, SIZE);
    let lesions = vec![
        sphere(&series, [4, 12, 11], 3.0),
        sphere(&series, [9, 20, 18], 4.0),
    ];
    let mut report = report(vec![done(&series, lesions)]);
    report.outputs.label_maps = true;
    let files = encode(&report).expect("encoded");
    assert_eq!(
        names(&files),
        ["sr.dcm", "seg.dcm", "labels.nii.gz", "findings.json"]
    );
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&files[2].bytes[..])
        .read_to_end(&mut bytes)
        .expect("gzip");
    let label = |[z, y, x]: [usize; 3]| {
        let at = 352 + 2 * ((z * SIZE[1] + y) * SIZE[2] + x);
        u16::from_le_bytes([bytes[at], bytes[at + 1]])
    };
    let lesions = &report.runs[0].lesions;
    for (number, (lesion, _)) in (1..).zip(lesions) {
        assert!(lesion.mask.voxels().all(|voxel| label(voxel) == number));
    }
    let labelled = bytes[352..]
        .chunks(2)
        .filter(|pair| *pair != [0, 0])
        .count();
    let inside: usize = lesions.iter().map(|(lesion, _)| lesion.mask.count()).sum();
    assert_eq!(labelled, inside);
}

#[test]
fn a_source_that_is_no_dicom_gets_no_dicom() {
    let series = series(1, Plane::Axial, SIZE);
    let mut report = report(vec![done(&series, Vec::new())]);
    report.source_header = hilum::report::no_header();
    report.outputs.dicom = false;
    report.outputs.label_maps = true;
    let files = encode(&report).expect("encoded");
    assert_eq!(names(&files), ["labels.nii.gz", "findings.json"]);
}

/// Bytes of an element of explicit VR with a short length, found by its tag and VR.
fn raw_value(file: &[u8], tag: Tag, vr: &[u8; 2]) -> Vec<u8> {
    let mut key = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    key.extend(vr);
    let at = file
        .windows(key.len())
        .position(|w| w == key)
        .expect("element")
        + key.len();
    let length = usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    file[at + 2..at + 2 + length].to_vec()
}

/// The header as a reader gets it from a file whose Patient's Name is `name`.
fn header_with_name(character_set: &str, name: &[u8]) -> InMemDicomObject {
    let mut object = header();
    object.put(study::text(
        tags::SOP_CLASS_UID,
        VR::UI,
        uids::CT_IMAGE_STORAGE,
    ));
    object.put(study::text(tags::SOP_INSTANCE_UID, VR::UI, "1.2"));
    object.put(study::text(
        tags::SPECIFIC_CHARACTER_SET,
        VR::CS,
        character_set,
    ));
    object.put(DataElement::new(
        tags::PATIENT_NAME,
        VR::PN,
        PrimitiveValue::from(name),
    ));
    let meta =
        dicom_object::FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut bytes = Vec::new();
    object
        .with_meta(meta)
        .expect("meta")
        .write_all(&mut bytes)
        .expect("bytes");
    dicom_object::from_reader(bytes.as_slice())
        .expect("DICOM")
        .into_inner()
}

fn name_survives(character_set: &str, name: &[u8]) {
    let mut report = report(Vec::new());
    report.source_header = header_with_name(character_set, name);
    let files = encode(&report).expect("encoded");
    let found = raw_value(&files[0].bytes, tags::PATIENT_NAME, b"PN");
    let same = found.iter().zip(name).take_while(|(a, b)| a == b).count();
    assert_eq!(found.get(same..), name.get(same..), "from byte {same}");
    let copied = raw_value(&files[0].bytes, tags::SPECIFIC_CHARACTER_SET, b"CS");
    assert_eq!(copied.trim_ascii_end(), character_set.as_bytes());
}

#[test]
fn a_latin_1_name_survives_byte_for_byte() {
    name_survives("ISO_IR 100", b"M\xfcller^J\xf6rg ");
}

#[test]
fn a_utf_8_name_survives_byte_for_byte() {
    name_survives("ISO_IR 192", "Wang^XiaoDong=王^小东".as_bytes());
}

#[test]
fn a_gb18030_name_with_a_backslash_byte_inside_a_character_survives() {
    name_survives("GB18030", b"Wang^XiaoDong=\xcd\xf5^\x81\x5c\xb6\xab ");
}

#[test]
fn every_two_byte_character_of_gb18030_survives() {
    let trail = || (0x40..=0xfe_u8).filter(|byte| *byte != 0x7f);
    let pairs = (0x81..=0xfe_u8).flat_map(|lead| trail().map(move |byte| [lead, byte]));
    // A3A0 is a second ideographic space: the decoder cannot tell it from A1A1.
    let name: Vec<u8> = pairs
        .filter(|pair| *pair != [0xa3, 0xa0])
        .flatten()
        .collect();
    name_survives("GB18030", &name);
}

#[test]
fn a_name_with_escape_sequences_survives() {
    name_survives(
        "\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab= ",
    );
}

#[test]
fn a_japanese_name_with_escape_sequences_survives() {
    name_survives(
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d\x5c$\x1b(B ",
    );
}

#[test]
fn bytes_that_the_character_set_does_not_know_survive() {
    name_survives("GB18030", b"A\xff^B\xff ");
}

#[test]
fn a_source_without_attributes_gives_empty_type_2_elements_and_a_valid_date() {
    let mut report = report(Vec::new());
    report.source_header = InMemDicomObject::new_empty();
    let files = encode(&report).expect("encoded");
    let sr = dicom(&files, "sr.dcm");
    for tag in [
        tags::PATIENT_NAME,
        tags::PATIENT_ID,
        tags::PATIENT_BIRTH_DATE,
        tags::PATIENT_SEX,
        tags::STUDY_DATE,
        tags::STUDY_TIME,
        tags::STUDY_ID,
        tags::ACCESSION_NUMBER,
        tags::REFERRING_PHYSICIAN_NAME,
    ] {
        assert_eq!(string(&sr, tag), "", "{tag}");
    }
    assert_eq!(string(&sr, tags::CONTENT_DATE), "19000101");
    assert_eq!(string(&sr, tags::CONTENT_TIME), "000000");
    assert!(sr.get(tags::SPECIFIC_CHARACTER_SET).is_none());
}

#[test]
fn the_content_date_is_the_study_s_and_falls_back_to_the_series() {
    let mut report = report(Vec::new());
    let content = |report: &StudyReport| {
        let sr = dicom(&encode(report).expect("encoded"), "sr.dcm");
        (
            string(&sr, tags::CONTENT_DATE),
            string(&sr, tags::CONTENT_TIME),
        )
    };
    assert_eq!(content(&report), ("20240229".into(), "101500".into()));
    report
        .source_header
        .put(study::text(tags::STUDY_DATE, VR::DA, ""));
    report
        .source_header
        .put(study::text(tags::SERIES_DATE, VR::DA, "20240301"));
    assert_eq!(content(&report).0, "20240301");
}

fn schema() -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/findings.schema.json");
    let schema = serde_json::from_slice(&fs::read(path).expect("schema")).expect("JSON");
    jsonschema::draft202012::new(&schema).expect("a schema")
}

fn every_kind_of_entry(series: &Series) -> StudyReport<'_> {
    let mut found = done(
        series,
        vec![
            sphere(series, [5, 16, 12], 3.0),
            sphere(series, [6, 20, 20], 2.0),
        ],
    );
    found.lesions[1].1.laterality = None;
    found.lesions[1].0.kind = Kind::PhysiologicUptake;
    found.warnings.push(Warning::LungMaskFallback);
    let mut report = report(vec![found, failed(series)]);
    report.warnings.push(Warning::CpuFallback);
    report.left_out.push(localizer());
    report
}

#[test]
fn findings_json_follows_its_schema() {
    let series = series(1, Plane::Axial, SIZE);
    for report in [every_kind_of_entry(&series), report(Vec::new())] {
        let json = json(&encode(&report).expect("encoded"));
        let errors: Vec<String> = schema().iter_errors(&json).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[test]
fn the_schema_demands_every_key_and_allows_more() {
    let series = series(1, Plane::Axial, SIZE);
    let whole = json(&encode(&every_kind_of_entry(&series)).expect("encoded"));
    let schema = schema();
    for key in whole.as_object().expect("an object").keys() {
        let mut less = whole.clone();
        less.as_object_mut().expect("an object").remove(key);
        assert!(!schema.is_valid(&less), "{key}");
    }
    for key in whole["lesions"][0].as_object().expect("an object").keys() {
        let mut less = whole.clone();
        less["lesions"][0]
            .as_object_mut()
            .expect("an object")
            .remove(key);
        assert!(!schema.is_valid(&less), "{key}");
    }
    let mut more = whole.clone();
    more["later"] = true.into();
    assert!(schema.is_valid(&more));
    let mut silent = whole;
    silent["series"][1]["reason"] = serde_json::Value::Null;
    assert!(!schema.is_valid(&silent), "a failed series has a reason");
}

#[test]
fn findings_json_holds_no_patient_attributes() {
    let series = series(1, Plane::Axial, SIZE);
    let files = encode(&every_kind_of_entry(&series)).expect("encoded");
    let text = String::from_utf8(files[2].bytes.clone()).expect("UTF-8");
    for secret in ["ller", "SECRET-ID", "19500102", "20240229", "A1\""] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[test]
fn findings_json_of_one_nodule() {
    let series = series(1, Plane::Axial, SIZE);
    let files = encode(&every_kind_of_entry(&series)).expect("encoded");
    let text = String::from_utf8(files[2].bytes.clone()).expect("UTF-8");
    let redacted: Vec<String> = text
        .lines()
        .map(|line| match line.find("\"2.25.") {
            Some(at) => format!("{}\"<derived>\",", &line[..at]),
            None => line.into(),
        })
        .collect();
    insta::assert_snapshot!(redacted.join("\n"));
}

fn with_run<'a>(report: StudyReport<'a>, seed: &str) -> StudyReport<'a> {
    let uid_source = UidSource::new([seed]);
    let mut provenance = report.provenance.clone();
    provenance.run_id = uid_source.run_id();
    StudyReport {
        provenance,
        uid_source,
        ..report
    }
}

fn listing(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .expect("folder")
        .map(|e| e.expect("entry").path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn a_study_is_written_to_the_folder_of_its_uid_and_nothing_else_is_left() {
    let out = tempfile::tempdir().expect("folder");
    let series = series(1, Plane::Axial, SIZE);
    let report = every_kind_of_entry(&series);
    let written = write_study(&out.path().join("new"), &report, false).expect("written");
    let dir = out.path().join("new").join(STUDY_UID);
    assert_eq!(listing(&out.path().join("new")), std::slice::from_ref(&dir));
    let want: Vec<PathBuf> = ["sr.dcm", "seg.dcm", "findings.json"]
        .map(|n| dir.join(n))
        .into();
    assert_eq!(written.files, want);
    for (path, file) in written.files.iter().zip(encode(&report).expect("encoded")) {
        assert_eq!(fs::read(path).expect("file"), file.bytes);
    }
}

#[test]
fn the_same_run_is_left_alone() {
    let out = tempfile::tempdir().expect("folder");
    let mut report = report(Vec::new());
    write_study(out.path(), &report, false).expect("first");
    let before = fs::read(out.path().join(STUDY_UID).join("findings.json")).expect("file");
    report.timings_ms.clear();
    let second = write_study(out.path(), &report, true).expect("second");
    assert!(second.unchanged);
    assert_eq!(second.files.len(), 2);
    assert_eq!(
        fs::read(out.path().join(STUDY_UID).join("findings.json")).expect("file"),
        before
    );
    let run = Existing::Run(report.provenance.run_id);
    assert_eq!(existing_run(out.path(), STUDY_UID).expect("found"), run);
}

#[test]
fn another_run_is_refused_unless_it_may_overwrite() {
    let out = tempfile::tempdir().expect("folder");
    let series = series(1, Plane::Axial, SIZE);
    let found = report(vec![done(&series, vec![sphere(&series, [5, 16, 12], 3.0)])]);
    write_study(out.path(), &found, false).expect("first");
    let other = with_run(report(Vec::new()), "other");
    let refused = write_study(out.path(), &other, false).expect_err("refused");
    assert_eq!(refused.code(), "output-exists");
    assert_eq!(listing(&out.path().join(STUDY_UID)).len(), 3);
    write_study(out.path(), &other, true).expect("replaced");
    assert_eq!(listing(&out.path().join(STUDY_UID)).len(), 2);
    assert_eq!(listing(out.path()).len(), 1);
}

#[test]
fn a_run_with_a_failed_series_is_replaced_by_another_try() {
    let out = tempfile::tempdir().expect("folder");
    let series = series(1, Plane::Axial, SIZE);
    let failed = every_kind_of_entry(&series);
    for _ in 0..2 {
        let written = write_study(out.path(), &failed, false).expect("written");
        assert!(!written.unchanged);
    }
    assert_eq!(listing(out.path()).len(), 1);
}

#[test]
fn a_folder_of_somebody_else_is_never_replaced() {
    let out = tempfile::tempdir().expect("folder");
    let dir = out.path().join(STUDY_UID);
    fs::create_dir(&dir).expect("folder");
    fs::write(dir.join("thesis.txt"), "years of work").expect("file");
    let refused = write_study(out.path(), &report(Vec::new()), true).expect_err("refused");
    assert_eq!(refused.code(), "output-not-ours");
    fs::write(dir.join("findings.json"), "{}").expect("file");
    let refused = write_study(out.path(), &report(Vec::new()), true).expect_err("refused");
    assert_eq!(refused.code(), "output-not-ours");
    assert_eq!(listing(out.path()), [dir]);
}

#[test]
fn an_output_folder_that_is_a_file_is_an_environment_error() {
    let out = tempfile::tempdir().expect("folder");
    let file = out.path().join("out");
    fs::write(&file, "").expect("file");
    let error = write_study(&file, &report(Vec::new()), false).expect_err("refused");
    assert_eq!(error.class(), hilum::Class::Environment);
    assert_eq!(listing(out.path()), [file]);
}

#[test]
fn a_study_uid_that_is_a_path_is_refused() {
    let out = tempfile::tempdir().expect("folder");
    let mut report = report(Vec::new());
    report.study_instance_uid = "../1.2".into();
    let error = write_study(&out.path().join("in"), &report, true).expect_err("refused");
    assert_eq!(error.code(), "study-uid-invalid");
    assert!(listing(out.path()).is_empty());
}

fn refusal(change: impl FnOnce(&mut Lesion, &mut Measurement)) -> Error {
    let series = series(1, Plane::Axial, SIZE);
    let (mut lesion, mut measurement) = sphere(&series, [5, 16, 12], 3.0);
    change(&mut lesion, &mut measurement);
    encode(&report(vec![done(&series, vec![(lesion, measurement)])])).expect_err("refused")
}

#[test]
fn lesions_that_cannot_be_true_are_refused() {
    assert_eq!(
        refusal(|_, m| m.mean_hu = f64::NAN).code(),
        "measurement-invalid"
    );
    assert_eq!(
        refusal(|_, m| m.axis_slice = 12).code(),
        "measurement-invalid"
    );
    assert_eq!(
        refusal(|l, _| l.confidence = 1.5).code(),
        "measurement-invalid"
    );
    assert_eq!(
        refusal(|l, _| l.mask.inside.fill(false)).code(),
        "lesion-mask-invalid"
    );
    assert_eq!(
        refusal(|l, _| l.mask.origin[2] += 25).code(),
        "lesion-mask-invalid"
    );
    assert_eq!(
        refusal(|l, _| l.mask.inside.truncate(3)).code(),
        "lesion-mask-invalid"
    );
}

/// Leaves outputs and sources under the target folder, where outside validators can be run on them.
fn keep(name: &str, report: &StudyReport, series: &[&Series]) {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("report")
        .join(name);
    let _ = fs::remove_dir_all(&root);
    for (i, series) in series.iter().enumerate() {
        study::write_sources(&root.join("source").join(i.to_string()), series);
    }
    write_study(&root.join("out"), report, false).expect("written");
}

#[test]
fn samples_for_outside_validators_are_written() {
    let size = [20, 65, 51];
    for (name, plane) in [
        ("axial", Plane::Axial),
        ("oblique", Plane::Oblique),
        ("tilted", Plane::Tilted),
    ] {
        let source = series(1, plane, size);
        let found = vec![
            sphere(&source, [8, 30, 25], 8.0),
            sphere(&source, [15, 40, 10], 4.0),
        ];
        keep(name, &report(vec![done(&source, found)]), &[&source]);
    }
    let first = series(1, Plane::Axial, size);
    let second = series(2, Plane::Tilted, size);
    let runs = vec![
        done(&first, vec![sphere(&first, [8, 30, 25], 8.0)]),
        done(&second, vec![sphere(&second, [8, 30, 25], 6.0)]),
        failed(&first),
    ];
    keep("two-grids", &report(runs), &[&first, &second]);
    keep(
        "nothing-found",
        &report(vec![done(&first, Vec::new())]),
        &[&first],
    );
    keep("failed", &report(vec![failed(&first)]), &[&first]);
    let mut left_out = report(Vec::new());
    left_out.left_out.push(localizer());
    keep("left-out", &left_out, &[&first]);
}

#[test]
fn a_real_series_is_reported() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/ct/LIDC-IDRI-0001");
    if !dir.exists() {
        println!("SKIPPED: {} is missing", dir.display());
        return;
    }
    let inventory = hilum::dicom::read_paths(&[dir], &|_| {});
    let series = &inventory.studies[0].series[0];
    let lesions = vec![
        sphere(series, [60, 300, 140], 12.0),
        sphere(series, [90, 250, 370], 4.0),
    ];
    let mut report = report(vec![done(series, lesions)]);
    report.study_instance_uid = inventory.studies[0].study_instance_uid.clone();
    report.source_header = hilum::dicom::header(&series.instances[0]).expect("header");
    let sr = dicom(&encode(&report).expect("encoded"), "sr.dcm");
    assert_eq!(string(&sr, tags::PATIENT_ID), "LIDC-IDRI-0001");
    keep("lidc-idri-0001", &report, &[]);
}
