//! A batch of one good study and everything that can be wrong with files beside it.

use super::{
    assert_whole, copy, files, findings, names, printed, process, put, set_study, study,
    write_study,
};
use dicom_core::{PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::DefaultDicomObject;
use std::fs;
use std::path::Path;
use std::process::Output;
use tempfile::{TempDir, tempdir};

/// The UID under which the good study lies in a batch.
const GOOD: &str = "1.2.3";

/// A folder `in` with the good study, and room for `out` beside it.
fn batch() -> TempDir {
    let folder = tempdir().expect("folder");
    copy(study(), &folder.path().join("in/good"), |file, number| {
        set_study(file, GOOD, number);
    });
    folder
}

/// Runs the batch; whatever else is in it, the good study is done and only OUT was written to.
fn run(folder: &TempDir, options: &[&str]) -> Output {
    let out = folder.path().join("out");
    let before = files(folder.path());
    let run = process(&[&folder.path().join("in")], &out)
        .args(options)
        .assert()
        .code(1);
    assert_whole(&out, GOOD);
    assert_ne!(findings(&out, GOOD)["lesions"], serde_json::json!([]));
    let outside = files(folder.path())
        .into_iter()
        .filter(|path| !path.starts_with(&out));
    assert_eq!(outside.collect::<Vec<_>>(), before);
    let temporary = |name: &String| name.contains(".tmp") || name.contains(".old");
    assert!(!names(&out).iter().any(temporary), "{:?}", names(&out));
    run.get_output().clone()
}

/// Lines of stderr that name `code`.
fn lines<'a>(stderr: &'a str, code: &str) -> Vec<&'a str> {
    let code = format!("[{code}]");
    stderr.lines().filter(|line| line.contains(&code)).collect()
}

#[test]
fn files_that_are_no_dicom_fail_one_by_one_and_the_rest_is_done() {
    let folder = batch();
    let bad = folder.path().join("in/bad");
    fs::create_dir(&bad).expect("folder");
    let whole = fs::read(&files(study())[0]).expect("slice");
    let noise: Vec<u8> = (0..5000_u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[1])
        .collect();
    let mut prefixed = vec![0; 128];
    prefixed.extend(b"DICM");
    prefixed.extend(&noise);
    for (name, bytes) in [
        ("truncated.dcm", &whole[..whole.len() - 100]),
        ("header-alone.dcm", &whole[..200]),
        ("empty.dcm", &[]),
        ("random.dcm", &noise),
        ("random-after-mark.dcm", &prefixed),
        ("text.dcm", b"no DICOM at all"),
        ("notes.txt", b"passed over in silence"),
    ] {
        fs::write(bad.join(name), bytes).expect("file");
    }
    let (_, stderr) = printed(&run(&folder, &[]));
    for (code, name) in [
        ("truncated", "truncated.dcm"),
        ("truncated", "header-alone.dcm"),
        ("empty-file", "empty.dcm"),
        ("not-dicom", "random.dcm"),
        ("not-dicom", "text.dcm"),
    ] {
        assert!(
            lines(&stderr, code).iter().any(|line| line.ends_with(name)),
            "{name}: {stderr}"
        );
    }
    assert!(
        stderr.contains("random-after-mark.dcm") && !stderr.contains("notes.txt"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 6, "{stderr}");
}

#[test]
fn a_path_that_is_missing_is_one_failure_among_others() {
    let folder = batch();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/nonexistent", folder.path().join("in/dangling")).expect("link");
    let (_, stderr) = printed(&run(&folder, &["/nonexistent/study"]));
    assert!(
        lines(&stderr, "io")
            .iter()
            .any(|line| line.contains("/nonexistent/study")),
        "{stderr}"
    );
    #[cfg(unix)]
    assert!(
        lines(&stderr, "io")
            .iter()
            .any(|line| line.contains("dangling")),
        "{stderr}"
    );
}

/// The id that no process of a person has.
#[cfg(unix)]
const NOBODY: u32 = 65534;

#[test]
#[cfg(unix)]
fn a_folder_without_permission_is_a_failure_and_the_rest_is_done() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let folder = batch();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    };
    let (locked, out) = (folder.path().join("in/locked"), folder.path().join("out"));
    fs::create_dir(&locked).expect("folder");
    fs::create_dir(&out).expect("folder");
    mode(folder.path(), 0o755);
    mode(&out, 0o777);
    mode(&locked, 0o000);
    let mut hilum = std::process::Command::new(env!("CARGO_BIN_EXE_hilum"));
    hilum
        .arg("process")
        .arg(folder.path().join("in"))
        .arg("--out")
        .arg(&out);
    hilum.args(["--device", "cpu"]).env_remove("HILUM_LOG");
    if fs::metadata(folder.path()).expect("metadata").uid() == 0 {
        // Nothing is locked for root.
        hilum.uid(NOBODY).gid(NOBODY);
    }
    let output = match hilum.output() {
        Ok(output) => output,
        Err(error) => return println!("SKIPPED, NO LOCKED FOLDER WAS TRIED: {error}"),
    };
    mode(&locked, 0o755);
    let (_, stderr) = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        lines(&stderr, "io")
            .iter()
            .any(|line| line.contains("locked")),
        "{stderr}"
    );
    assert_whole(&out, GOOD);
}

/// A study whose every slice is changed by `edit`.
fn add(folder: &TempDir, uid: &str, edit: impl Fn(&mut DefaultDicomObject)) {
    copy(
        study(),
        &folder.path().join("in").join(uid),
        |file, number| {
            set_study(file, uid, number);
            edit(file);
        },
    );
}

#[test]
fn studies_with_impossible_values_fail_by_the_attribute_and_the_rest_is_done() {
    let folder = batch();
    let short = PrimitiveValue::U16(vec![7; 100].into());
    add(&folder, "1.2.10", |f| {
        put(f, tags::PIXEL_DATA, VR::OW, short.clone());
    });
    add(&folder, "1.2.11", |f| {
        put(f, tags::PIXEL_SPACING, VR::DS, "0\\0");
    });
    add(&folder, "1.2.12", |f| {
        put(f, tags::PIXEL_SPACING, VR::DS, "NaN\\NaN");
    });
    add(&folder, "1.2.13", |f| {
        put(f, tags::ROWS, VR::US, 65535_u16);
        put(f, tags::COLUMNS, VR::US, 65535_u16);
    });
    add(&folder, "1.2.14", |f| put(f, tags::ROWS, VR::US, 0_u16));
    add(&folder, "1.2.15", |f| {
        put(f, tags::IMAGE_POSITION_PATIENT, VR::DS, "NaN\\0\\0");
    });
    add(&folder, "1.2.16", |f| {
        put(f, tags::RESCALE_SLOPE, VR::DS, "inf");
    });
    let (stdout, stderr) = printed(&run(&folder, &["--json"]));
    for (uid, code, keyword) in [
        ("1.2.10.1", "pixel-data-length", "PixelData (7FE0,0010)"),
        ("1.2.11.1", "bad-value", "PixelSpacing (0028,0030)"),
        ("1.2.12.1", "bad-value", "PixelSpacing (0028,0030)"),
        ("1.2.13.1", "pixel-data-length", "PixelData (7FE0,0010)"),
        ("1.2.14.1", "bad-value", "Rows (0028,0010)"),
        ("1.2.15.1", "bad-value", "ImagePositionPatient (0020,0032)"),
        ("1.2.16.1", "bad-value", "RescaleSlope (0028,1053)"),
    ] {
        let found = lines(&stderr, code);
        let named = |line: &&str| line.contains(keyword) && line.contains(uid);
        assert!(
            found.iter().any(named),
            "{uid} [{code}] {keyword}:\n{stderr}"
        );
    }
    let json: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(json["studies"].as_array().expect("studies").len(), 8);
    for uid in ["1.2.10", "1.2.13", "1.2.16"] {
        let findings = findings(&folder.path().join("out"), uid);
        assert_eq!(findings["series"][0]["status"], "failed", "{findings}");
        assert_eq!(findings["lesions"], serde_json::json!([]));
    }
}

#[test]
fn a_study_of_two_patients_is_refused_and_nothing_of_it_is_written() {
    let folder = batch();
    let to = folder.path().join("in/mixed");
    copy(study(), &to, |file, number| {
        set_study(file, "1.2.20", number);
        if number % 2 == 0 {
            put(file, tags::PATIENT_ID, VR::LO, "7654321");
        }
    });
    let (stdout, stderr) = printed(&run(&folder, &[]));
    let said = lines(&stderr, "several-patients");
    assert!(
        said.iter()
            .any(|line| line.contains("PatientID (0010,0020)")),
        "{stderr}"
    );
    assert!(!folder.path().join("out/1.2.20").exists());
    assert!(!(stdout + &stderr).contains("7654321"));
}

#[test]
fn a_uid_that_is_a_path_leads_nowhere() {
    let folder = batch();
    for (i, uid) in ["../../escaped", "/tmp/escaped", "..", "1.2/../../escaped"]
        .iter()
        .enumerate()
    {
        let target = folder.path().join("in").join(i.to_string());
        copy(study(), &target, |file, _| {
            put(file, tags::STUDY_INSTANCE_UID, VR::UI, *uid);
        });
    }
    let (_, stderr) = printed(&run(&folder, &[]));
    assert!(
        lines(&stderr, "bad-value")
            .iter()
            .any(|l| l.contains("StudyInstanceUID (0020,000D)")),
        "{stderr}"
    );
    assert_eq!(names(&folder.path().join("out")), [GOOD]);
    assert!(!Path::new("/tmp/escaped").exists());
}

#[test]
fn one_damaged_slice_at_the_end_is_told_and_the_rest_of_its_series_is_done() {
    // One slice fewer of the others' study is less than a lung can hold.
    let folder = tempdir().expect("folder");
    let larger = write_study("damaged-study", [48, 48, 48]);
    copy(&larger, &folder.path().join("in/good"), |file, number| {
        set_study(file, GOOD, number);
    });
    let last = files(&folder.path().join("in/good")).pop().expect("slices");
    let mut file = dicom_object::open_file(&last).expect("DICOM");
    put(
        &mut file,
        tags::PIXEL_DATA,
        VR::OW,
        PrimitiveValue::U16(vec![7; 100].into()),
    );
    file.write_to_file(&last).expect("written");
    let (_, stderr) = printed(&run(&folder, &[]));
    let found = lines(&stderr, "pixel-data-length");
    assert!(
        found.len() == 1 && found[0].ends_with("000048.dcm"),
        "{stderr}"
    );
    let findings = findings(&folder.path().join("out"), GOOD);
    let warnings = findings["warnings"].as_array().expect("list");
    assert!(
        warnings.iter().any(|w| w["code"] == "instances-left-out"),
        "{findings}"
    );
}

#[test]
fn nothing_to_read_is_a_failure_that_says_so() {
    let folder = tempdir().expect("folder");
    let run = process(&[folder.path()], &folder.path().join("out"))
        .assert()
        .code(1);
    assert!(printed(run.get_output()).1.contains("no DICOM"));
    assert!(names(folder.path()).is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn absurd_sizes_allocate_nothing() {
    let folder = batch();
    add(&folder, "1.2.13", |f| {
        put(f, tags::ROWS, VR::US, 65535_u16);
        put(f, tags::COLUMNS, VR::US, 65535_u16);
    });
    // A slice of the declared size would take 8 GiB.
    let script = r#"ulimit -v 6000000 && exec "$1" process "$2" --out "$3" --device cpu"#;
    let mut sh = std::process::Command::new("sh");
    sh.args(["-c", script, "sh", env!("CARGO_BIN_EXE_hilum")]);
    let output = sh
        .arg(folder.path().join("in"))
        .arg(folder.path().join("out"))
        .output()
        .expect("sh");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_whole(&folder.path().join("out"), GOOD);
}
