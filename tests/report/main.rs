//! SR, SEG and JSON: read again by dicom-rs, compared with the schema, and put in place as one step.

#[path = "../common/study.rs"]
mod study;

mod agreement;
mod assessment;
mod findings;
mod folder;
mod header;
mod objects;
mod pet;
mod refusals;
mod samples;
mod structures;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, value::Value};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_object::InMemDicomObject;
use hilum::Class;
use hilum::dicom::Series;
use hilum::lesion::Kind;
use hilum::report::{LeftOutSeries, OutputFile, Reason, SeriesRun, Status, StudyReport};
use hilum::warning::Warning;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use study::{STUDY_UID, done, report, sphere};

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

fn failed(series: &Series) -> SeriesRun<'_> {
    SeriesRun {
        status: Status::Failed,
        reason: Some(Reason {
            code: "pixel-data-short".into(),
            text: "Pixel Data (7FE0,0010) is shorter than declared".into(),
            class: Class::Input,
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
            class: Class::Unsupported,
        },
    }
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

fn schema() -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/findings.schema.json");
    let schema = serde_json::from_slice(&fs::read(path).expect("schema")).expect("JSON");
    jsonschema::draft202012::new(&schema).expect("a schema")
}
