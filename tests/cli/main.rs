//! The executable from outside: exit codes, what goes to stdout and stderr, what is written where.

mod audit;
mod bad_input;
mod benchmark;
mod evaluate;
mod help;
mod inference;
mod interrupt;
mod models;
mod nnunet;
mod odd;
mod output;
mod pet;
mod priors;
mod privacy;
mod serve;
mod suv;
mod verbs;

use assert_cmd::Command;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::DefaultDicomObject;
use hilum::phantom::{LesionSpec, Lesions, Params, Phantom, WriteOptions, write_series};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Words of the patient's name and ids in the studies of these tests.
const SECRETS: [&str; 5] = ["Zebulon", "Quagga", "ID-7Q4X", "7654321", "Okapi"];

/// The executable on the CPU's side of the machine: no GPU driver is found.
fn hilum() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hilum"));
    for name in ["HILUM_LOG", "NO_COLOR"] {
        command.env_remove(name);
    }
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        command.env(name, "/nonexistent/driver.json");
    }
    command
}

/// `hilum process` on the CPU.
fn process(paths: &[&Path], out: &Path) -> Command {
    let mut command = hilum();
    command
        .arg("process")
        .args(paths)
        .arg("--out")
        .arg(out)
        .args(["--device", "cpu"]);
    command
}

/// A chest of one patch of the network, with a lesion, in 44 slices; made once.
fn study() -> &'static Path {
    static STUDY: OnceLock<PathBuf> = OnceLock::new();
    STUDY.get_or_init(|| write_study("cli-study", [44, 48, 48]))
}

/// A phantom of `size` voxels of 1 mm in the right lung, with the patient's name and id in every file.
fn write_study(name: &str, size: [usize; 3]) -> PathBuf {
    let params = Params {
        size,
        spacing_mm: [1.0; 3],
        lesions: Lesions::List(vec![LesionSpec::solid_sphere(14.0)]),
        ..Params::tiny()
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let phantom = Phantom::new(&params).expect("phantom");
    let options = WriteOptions {
        overwrite: true,
        ..WriteOptions::default()
    };
    let series = write_series(&phantom, &folder, options)
        .expect("written")
        .series;
    copy(&series, &series, |file, _| {
        put(file, tags::PATIENT_NAME, VR::PN, "Quagga^Zebulon");
        put(file, tags::PATIENT_ID, VR::LO, "ID-7Q4X");
        put(file, tags::REFERRING_PHYSICIAN_NAME, VR::PN, "Okapi^Doctor");
    });
    series
}

/// Copies the files of a series to `to`, each changed by `edit`, which is told the number of the slice.
fn copy(from: &Path, to: &Path, edit: impl Fn(&mut DefaultDicomObject, usize)) {
    fs::create_dir_all(to).expect("folder");
    for (number, path) in files(from).iter().enumerate() {
        let mut file = dicom_object::open_file(path).expect("DICOM");
        edit(&mut file, number);
        file.write_to_file(to.join(path.file_name().expect("name")))
            .expect("written");
    }
}

fn put(file: &mut DefaultDicomObject, tag: Tag, vr: VR, value: impl Into<PrimitiveValue>) {
    file.put(DataElement::new(tag, vr, value.into()));
}

/// Makes a copy another study, so that several lie side by side.
fn set_study(file: &mut DefaultDicomObject, uid: &str, number: usize) {
    put(file, tags::STUDY_INSTANCE_UID, VR::UI, uid);
    put(file, tags::SERIES_INSTANCE_UID, VR::UI, format!("{uid}.1"));
    put(
        file,
        tags::SOP_INSTANCE_UID,
        VR::UI,
        format!("{uid}.1.{number}"),
    );
}

/// Every file below a folder, hidden ones too, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(folder).sort_by_file_name();
    let entries = all.into_iter().map(|entry| entry.expect("readable"));
    entries
        .filter(|e| !e.file_type().is_dir())
        .map(walkdir::DirEntry::into_path)
        .collect()
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("folder");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
    let mut names: Vec<_> = entries.map(|entry| name(entry.expect("entry"))).collect();
    names.sort();
    names
}

/// `findings.json` of a study, which follows its schema.
fn findings(out: &Path, study_uid: &str) -> Value {
    let path = out.join(study_uid).join("findings.json");
    let findings = serde_json::from_slice(&fs::read(path).expect("findings")).expect("JSON");
    let schema = include_str!("../../docs/findings.schema.json");
    let schema = serde_json::from_str(schema).expect("schema");
    let schema = jsonschema::draft202012::new(&schema).expect("schema");
    let errors: Vec<String> = schema
        .iter_errors(&findings)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    findings
}

/// The only study in OUT is whole: its UID.
fn only_whole_study(out: &Path) -> String {
    let names = names(out);
    let [uid] = &names[..] else {
        panic!("one study expected: {names:?}")
    };
    assert_whole(out, uid);
    uid.clone()
}

/// SR and SEG can be read again, and nothing else lies beside them.
fn assert_whole(out: &Path, uid: &str) {
    let dir = out.join(uid);
    assert_eq!(names(&dir), ["findings.json", "seg.dcm", "sr.dcm"]);
    for name in ["seg.dcm", "sr.dcm"] {
        let file = dicom_object::open_file(dir.join(name)).expect(name);
        let study = file
            .element(tags::STUDY_INSTANCE_UID)
            .expect("study")
            .to_str();
        assert_eq!(study.expect("text"), uid);
    }
    assert_eq!(findings(out, uid)["study_instance_uid"], *uid);
}

/// What a finished command printed: stdout and stderr.
fn printed(output: &std::process::Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr))
}
