use super::super::testing::{
    self, config, file_bytes, image, intake_of, key, object, send, send_bytes, sender, store,
};
use super::*;
use crate::node::StudyState;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use tempfile::tempdir;

const STUDY: &str = "1.2.3";

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

#[test]
fn an_instance_is_a_file_of_its_study_and_nothing_is_left_in_incoming() {
    let dir = tempdir().unwrap();
    let (store, bytes) = (store(dir.path()), file_bytes(image(STUDY, 1)));
    assert!(send_bytes(&intake_of(&store), &bytes, &Claim::default()).unwrap());
    let path = dir.path().join("instances/1.2.3/1.2.3.1.1.dcm");
    assert_eq!(fs::read(path).unwrap(), bytes);
    assert!(files(&dir.path().join("incoming")).is_empty());
    assert_eq!(
        store.study(STUDY).unwrap(),
        Some((StudyState::Receiving, 0))
    );
    assert_eq!(store.receiving().unwrap(), [(STUDY.to_owned(), 1)]);
}

#[tokio::test]
async fn accept_answers_once_the_instance_is_kept() {
    let dir = tempdir().unwrap();
    let intake = testing::intake(dir.path());
    let mut incoming = intake.begin().unwrap();
    incoming.write(&file_bytes(image(STUDY, 1))).unwrap();
    let accepted = intake.accept(incoming, Claim::default(), sender()).await;
    assert!(accepted.unwrap().is_new);
}

#[test]
fn the_same_bytes_again_are_accepted_once_and_other_bytes_refused() {
    let dir = tempdir().unwrap();
    let intake = testing::intake(dir.path());
    assert!(send(&intake, image(STUDY, 1)).unwrap());
    assert!(!send(&intake, image(STUDY, 1)).unwrap());
    let mut other = image(STUDY, 1);
    other.put(DataElement::new(tags::SERIES_DESCRIPTION, VR::LO, "other"));
    let refusal = send(&intake, other).unwrap_err();
    assert_eq!(
        (refusal.code(), refusal.dimse_status()),
        ("other-content", 0x0111)
    );
    let first = fs::read(dir.path().join("instances/1.2.3/1.2.3.1.1.dcm")).unwrap();
    assert_eq!(first, file_bytes(image(STUDY, 1)));
}

#[test]
fn one_instance_uid_in_two_studies_is_other_content() {
    let dir = tempdir().unwrap();
    let intake = testing::intake(dir.path());
    assert!(send(&intake, image(STUDY, 1)).unwrap());
    let mut other = image("1.2.4", 1);
    let uid = PrimitiveValue::from("1.2.3.1.1");
    other.put(DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, uid));
    assert_eq!(send(&intake, other).unwrap_err().code(), "other-content");
    assert_eq!(files(&dir.path().join("instances")), [STUDY]);
}

#[test]
fn of_many_that_bring_one_instance_at_once_one_brings_it_first() {
    let dir = tempdir().unwrap();
    let intake = testing::intake(dir.path());
    let bytes = file_bytes(image(STUDY, 1));
    let first = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let is_new = send_bytes(&intake, &bytes, &Claim::default()).unwrap();
                first.fetch_add(u32::from(is_new), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(first.into_inner(), 1);
}

#[test]
fn an_object_has_to_be_what_was_announced() {
    let dir = tempdir().unwrap();
    let intake = testing::intake(dir.path());
    let bytes = file_bytes(image(STUDY, 1));
    let right = Claim {
        sop_class_uid: Some(uids::CT_IMAGE_STORAGE.into()),
        sop_instance_uid: Some("1.2.3.1.1\0".into()),
        study_instance_uid: Some(STUDY.into()),
    };
    let other = Some("1.2.9".to_owned());
    let (mut class, mut instance, mut study) = (right.clone(), right.clone(), right.clone());
    class.sop_class_uid.clone_from(&other);
    instance.sop_instance_uid.clone_from(&other);
    study.study_instance_uid = other;
    for (claim, wanted) in [
        (class, "SOPClassUID"),
        (instance, "SOPInstanceUID"),
        (study, "StudyInstanceUID"),
    ] {
        match send_bytes(&intake, &bytes, &claim).unwrap_err() {
            Refusal::NotAsAnnounced { attribute } => assert_eq!(attribute, wanted),
            other => panic!("{other}"),
        }
    }
    assert!(send_bytes(&intake, &bytes, &right).unwrap());
}

#[test]
fn what_is_no_object_and_what_is_too_large_leaves_nothing() {
    let dir = tempdir().unwrap();
    let intake = testing::intake(dir.path());
    let refused = |bytes: &[u8]| send_bytes(&intake, bytes, &Claim::default()).unwrap_err();
    assert_eq!(refused(b"no object").code(), "not-readable");
    assert_eq!(refused(&vec![0; (1 << 20) + 1]).code(), "object-too-large");
    let mut escaping = image(STUDY, 1);
    let uid = PrimitiveValue::from("../../1.2");
    escaping.put(DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, uid));
    assert_eq!(send(&intake, escaping).unwrap_err().code(), "not-readable");
    for folder in ["incoming", "instances"] {
        assert!(files(&dir.path().join(folder)).is_empty(), "{folder}");
    }
}

#[test]
fn with_too_little_room_nothing_more_is_begun() {
    let dir = tempdir().unwrap();
    let mut config = config();
    config.storage.min_free_bytes = u64::MAX;
    let (intake, _) = Intake::open(&store(dir.path()), key(dir.path()), &config, |_| true).unwrap();
    let refusal = intake.begin().unwrap_err();
    assert_eq!(
        (refusal.code(), refusal.dimse_status()),
        ("out-of-resources", 0xA700)
    );
}

#[test]
fn a_folder_that_cannot_be_written_refuses_and_is_used_again_once_it_can() {
    let dir = tempdir().unwrap();
    let intake = testing::intake(dir.path());
    let (instances, aside) = (dir.path().join("instances"), dir.path().join("aside"));
    fs::rename(&instances, &aside).unwrap();
    fs::write(&instances, "no folder").unwrap();
    let refusal = send(&intake, image(STUDY, 1)).unwrap_err();
    assert_eq!((refusal.code(), refusal.dimse_status()), ("io", 0xA700));
    fs::remove_file(&instances).unwrap();
    fs::rename(&aside, &instances).unwrap();
    assert!(send(&intake, image(STUDY, 1)).unwrap());
}

#[test]
fn a_database_without_room_refuses_leaves_no_file_and_loses_nothing() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let intake = intake_of(&store);
    store.allow_no_more_pages(true);
    let mut numbers = 1..1000;
    let full = numbers.find_map(|number| {
        let refusal = send(&intake, image(STUDY, number)).err();
        refusal.map(|refusal| (number, refusal.code()))
    });
    let (number, code) = full.unwrap();
    assert_eq!(code, "out-of-resources");
    let kept = number as usize - 1;
    assert_eq!(files(&dir.path().join("instances/1.2.3")).len(), kept);
    assert_eq!(store.instance_uids(STUDY).unwrap().len(), kept);
    store.allow_no_more_pages(false);
    assert!(send(&intake, image(STUDY, number)).unwrap());
}

#[test]
fn arrivals_are_told_with_their_number_also_those_that_come_again() {
    let dir = tempdir().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let hear = move |arrivals: &[Arrival]| {
        heard.lock().unwrap().extend_from_slice(arrivals);
        true
    };
    let (intake, _) = Intake::open(&store(dir.path()), key(dir.path()), &config(), hear).unwrap();
    for number in [1, 2, 2] {
        send(&intake, image(STUDY, number)).unwrap();
    }
    drop(intake);
    let told = told.lock().unwrap();
    let counts = told
        .iter()
        .map(|told| (told.receipt.is_some(), told.arrived.instances));
    assert_eq!(
        counts.collect::<Vec<_>>(),
        [(true, 1), (true, 2), (false, 2)]
    );
    assert!(
        told.iter()
            .all(|told| told.arrived.receiving && told.arrived.reopens.is_none())
    );
}

#[test]
fn what_was_acknowledged_and_not_told_is_told_at_the_next_start() {
    let dir = tempdir().unwrap();
    let told = |is_recorded: bool| {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let hear = move |arrivals: &[Arrival]| {
            heard.lock().unwrap().extend_from_slice(arrivals);
            is_recorded
        };
        (told, hear)
    };
    let (first, no_log) = told(false);
    let (intake, _) = Intake::open(&store(dir.path()), key(dir.path()), &config(), no_log).unwrap();
    for number in [1, 2] {
        send(&intake, image(STUDY, number)).unwrap();
    }
    drop(intake);
    let (second, log) = told(true);
    drop(Intake::open(&store(dir.path()), key(dir.path()), &config(), log).unwrap());
    let receipts = |told: &Mutex<Vec<Arrival>>| {
        let told = told.lock().unwrap();
        told.iter()
            .map(|told| told.receipt.clone().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(receipts(&second).len(), 2);
    assert_eq!(receipts(&second), receipts(&first));
    let (third, log) = told(true);
    drop(Intake::open(&store(dir.path()), key(dir.path()), &config(), log).unwrap());
    assert_eq!(receipts(&third), []);
}

#[test]
fn a_report_is_kept_but_opens_no_study() {
    let dir = tempdir().unwrap();
    let store = store(dir.path());
    let intake = intake_of(&store);
    let report = object(STUDY, 9, uids::COMPREHENSIVE3_DSR_STORAGE, "SR");
    assert!(send(&intake, report).unwrap());
    assert_eq!(store.study(STUDY).unwrap(), Some((StudyState::Kept, 0)));
    send(&intake, image(STUDY, 1)).unwrap();
    assert_eq!(
        store.study(STUDY).unwrap(),
        Some((StudyState::Receiving, 0))
    );
}

#[test]
fn a_start_removes_what_nobody_was_told_of_and_reports_what_is_missing() {
    let dir = tempdir().unwrap();
    let intake = testing::intake(dir.path());
    for number in [1, 2] {
        send(&intake, image(STUDY, number)).unwrap();
    }
    drop(intake);
    let study = dir.path().join("instances/1.2.3");
    fs::rename(study.join("1.2.3.1.2.dcm"), study.join("1.2.3.1.3.dcm")).unwrap();
    fs::write(study.join("notes.txt"), "not ours").unwrap();
    fs::write(dir.path().join("incoming/half"), "half").unwrap();
    fs::create_dir_all(dir.path().join("results/1.2.9/1")).unwrap();
    fs::create_dir_all(dir.path().join("instances/1.2.9")).unwrap();
    fs::write(dir.path().join("instances/1.2.9/1.2.9.1.dcm"), "purged").unwrap();
    let (intake, recovery) =
        Intake::open(&store(dir.path()), key(dir.path()), &config(), |_| true).unwrap();
    let wanted = Recovery {
        unfinished: 1,
        unrecorded: 3,
        missing: vec!["1.2.3.1.2".into()],
    };
    assert_eq!(recovery, wanted);
    assert_eq!(files(&study), ["1.2.3.1.1.dcm", "notes.txt"]);
    assert_eq!(files(&dir.path().join("instances")), [STUDY]);
    assert!(files(&dir.path().join("results")).is_empty());
    // Sent again, it is whole again.
    assert!(!send(&intake, image(STUDY, 2)).unwrap());
    assert!(study.join("1.2.3.1.2.dcm").exists());
}

#[test]
fn no_name_and_no_id_of_a_patient_is_in_the_database() {
    let dir = tempdir().unwrap();
    let intake = testing::intake(dir.path());
    send(&intake, image(STUDY, 1)).unwrap();
    drop(intake);
    let patient = store(dir.path()).patient(STUDY).unwrap();
    assert_eq!(patient, Some(key(dir.path()).link("Secret-ID")));
    for file in ["node.sqlite", "node.sqlite-wal"] {
        let bytes = fs::read(dir.path().join(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("Secret"), "{file}");
    }
}
