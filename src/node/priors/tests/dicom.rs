//! Peers by C-FIND, C-GET and C-MOVE.

use super::*;
use crate::node::dimse::field;
use crate::node::scu::scripted::{
    Script, Server, received, respond, scripted_often, tell, tell_on, text, us,
};
use crate::node::testing::{object, send as send_to};
use dicom_dictionary_std::uids;
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;
use dicom_ul::pdu::{AbortRQSource, Pdu};
use std::net::TcpListener;

const CT: &str = uids::CT_IMAGE_STORAGE;

const CLASSES: &[&str] = &[
    uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND,
    uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET,
    uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE,
    CT,
];

const FIND: u16 = field::FIND | field::RESPONSE;
const GET: u16 = field::GET | field::RESPONSE;
const MOVE: u16 = field::MOVE | field::RESPONSE;

impl Rig {
    /// One association of the peer for each of these.
    fn with_peer(mut self, scripts: Vec<Script>) -> Self {
        let peer = scripted_often(CLASSES.into(), uids::EXPLICIT_VR_LITTLE_ENDIAN, scripts);
        self.config.priors.from.clone_from(&peer.name);
        self.config.peers = vec![peer];
        self
    }
}

fn study(uid: &str, patient: &str, date: &str) -> InMemDicomObject {
    InMemDicomObject::from_element_iter([
        text(tags::STUDY_INSTANCE_UID, VR::UI, uid),
        text(tags::PATIENT_ID, VR::LO, patient),
        text(tags::STUDY_DATE, VR::DA, date),
        text(tags::MODALITIES_IN_STUDY, VR::CS, "CT"),
    ])
}

/// Answers a C-FIND with these studies.
fn names(studies: Vec<InMemDicomObject>) -> Script {
    Box::new(move |server| {
        let asked = String::from_utf8_lossy(&received(server, true)).into_owned();
        assert!(
            asked.contains(PATIENT) && asked.contains("20240630"),
            "{asked}"
        );
        for study in studies {
            respond(server, FIND, 0xff00, Some(study));
        }
        respond(server, FIND, 0, None);
    })
}

fn names_the_prior() -> Script {
    names(vec![study(PRIOR, PATIENT, "20240101")])
}

/// Sends an instance on an association for C-GET; the status of the answer.
fn sends(server: &mut Server, object: InMemDicomObject) -> u16 {
    let uid = object.element(tags::SOP_INSTANCE_UID).unwrap();
    let uid = uid.to_str().unwrap().into_owned();
    let request = [
        text(tags::AFFECTED_SOP_CLASS_UID, VR::UI, CT),
        us(tags::COMMAND_FIELD, field::STORE),
        us(tags::MESSAGE_ID, 7),
        us(tags::PRIORITY, 0),
        text(tags::AFFECTED_SOP_INSTANCE_UID, VR::UI, &uid),
    ];
    tell_on(server, Some(CT), &request, Some(object));
    let Ok(Pdu::PData { data }) = server.receive() else {
        return 0xffff;
    };
    let syntax = IMPLICIT_VR_LITTLE_ENDIAN.erased();
    let response = InMemDicomObject::read_dataset_with_ts(data[0].data.as_slice(), &syntax);
    let response = response.unwrap();
    response.element(tags::STATUS).unwrap().to_int().unwrap()
}

/// The last answer to a C-GET or C-MOVE.
fn ends(server: &mut Server, field: u16, status: u16, completed: u16, failed: u16) {
    let answer = [
        us(tags::COMMAND_FIELD, field),
        us(tags::MESSAGE_ID_BEING_RESPONDED_TO, 1),
        us(tags::STATUS, status),
        us(tags::NUMBER_OF_COMPLETED_SUBOPERATIONS, completed),
        us(tags::NUMBER_OF_FAILED_SUBOPERATIONS, failed),
        us(tags::NUMBER_OF_WARNING_SUBOPERATIONS, 0),
    ];
    tell(server, &answer, None);
}

/// Sends so many images of the prior for a C-GET.
fn gives(images: u32) -> Script {
    Box::new(move |server| {
        let asked = String::from_utf8_lossy(&received(server, true)).into_owned();
        assert!(asked.contains(PRIOR) && !asked.contains(PATIENT), "{asked}");
        for number in 1..=images {
            assert_eq!(sends(server, image(PRIOR, number)), 0);
            respond(server, GET, 0xff00, None);
        }
        ends(server, GET, 0, 2, 0);
    })
}

#[test]
fn the_latest_earlier_study_of_the_patient_comes_by_c_get_and_nobody_elses() {
    let others = vec![
        study("1.2.5", "Secret-ID-2", "20240301"),
        study("1.2.6", PATIENT, "20240801"),
        study(STUDY, PATIENT, "20240630"),
        study(PRIOR, PATIENT, "20240101"),
    ];
    let rig = rig(PriorsBy::CGet).with_peer(vec![names(others), gives(2)]);
    rig.work();
    assert!(rig.is_done());
    assert_eq!(rig.instances(PRIOR), 2);
    assert!(rig.is_prior());
    let senders = rig.store.facts(PRIOR).unwrap().senders;
    assert_eq!(senders, ["HILUM"], "the title of the test's peer");
    let asked = &rig.logged("priors-asked")[0];
    assert_eq!(
        (&asked["chosen"], &asked["to_fetch"]),
        (&1.into(), &1.into())
    );
    let fetched = &rig.logged("prior-fetched")[0];
    assert_eq!(
        (&fetched["prior"], &fetched["instances"]),
        (&PRIOR.into(), &2.into())
    );
}

#[test]
fn a_study_without_earlier_ones_is_done_once_it_asked() {
    let rig = rig(PriorsBy::CGet).with_peer(vec![names(Vec::new())]);
    rig.work();
    assert!(rig.is_done());
    assert_eq!(rig.logged("priors-asked")[0]["chosen"], 0);
}

#[test]
fn instances_of_another_study_or_class_are_refused_and_the_others_kept() {
    let gives: Script = Box::new(|server| {
        received(server, true);
        assert_eq!(sends(server, image("1.2.7", 1)), 0xa900);
        let other_class = object(PRIOR, 3, uids::MR_IMAGE_STORAGE, "MR");
        assert_eq!(sends(server, other_class), 0xa900);
        assert_eq!(sends(server, image(PRIOR, 2)), 0);
        ends(server, GET, 0xb000, 1, 3);
    });
    let rig = rig(PriorsBy::CGet).with_peer(vec![names_the_prior(), gives]);
    rig.work();
    assert!(rig.is_done());
    assert_eq!((rig.instances(PRIOR), rig.instances("1.2.7")), (1, 0));
    let fetched = &rig.logged("prior-fetched")[0];
    assert_eq!(
        (&fetched["instances"], &fetched["left_out"]),
        (&1.into(), &3.into())
    );
    let refused = rig.logged("instance-refused");
    let codes: Vec<_> = refused.iter().map(|event| &event["code"]).collect();
    assert_eq!(codes, ["not-as-announced", "not-as-announced"]);
}

#[test]
fn a_peer_that_aborts_in_the_middle_is_asked_for_the_rest_and_not_again_which_there_are() {
    let breaks: Script = Box::new(|server| {
        received(server, true);
        assert_eq!(sends(server, image(PRIOR, 1)), 0);
        let source = AbortRQSource::ServiceUser;
        server.send(&Pdu::AbortRQ { source }).unwrap();
    });
    let rig = rig(PriorsBy::CGet).with_peer(vec![names_the_prior(), breaks, gives(2)]);
    rig.work();
    assert_eq!(rig.failing().as_deref(), Some("aborted-by-peer"));
    assert_eq!(rig.instances(PRIOR), 1);
    assert!(rig.is_prior());
    let failed = &rig.logged("priors-failed")[0];
    assert_eq!(
        (&failed["attempt"], &failed["given_up"]),
        (&1.into(), &false.into())
    );
    rig.work_again();
    assert!(rig.is_done());
    assert_eq!(rig.instances(PRIOR), 2);
    assert_eq!(rig.logged("priors-asked").len(), 1);
}

#[test]
fn a_study_that_fails_keeps_the_next_one_not_back() {
    let both = vec![
        study("1.2.2", PATIENT, "20240201"),
        study(PRIOR, PATIENT, "20240101"),
    ];
    let fails: Script = Box::new(|server| {
        received(server, true);
        respond(server, GET, 0xa702, None);
    });
    let rig = rig(PriorsBy::CGet).with_peer(vec![names(both), fails, gives(2)]);
    rig.work();
    assert_eq!(rig.failing().as_deref(), Some("peer-status"));
    assert_eq!(rig.logged("prior-fetched").len(), 1);
    assert_eq!(rig.instances(PRIOR), 2);
}

#[test]
fn a_peer_that_never_answers_is_given_up_after_as_many_tries_as_allowed() {
    let mut rig = rig(PriorsBy::CGet);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = crate::node::scp::harness::peer("PACS", "127.0.0.1");
    peer.port = Some(silent.local_addr().unwrap().port());
    rig.config.priors.from.clone_from(&peer.name);
    rig.config.peers = vec![peer];
    rig.work();
    assert_eq!(rig.failing().as_deref(), Some("association-idle"));
    rig.work_again();
    rig.work_again();
    assert_eq!(rig.counts().failed.get("association-idle"), Some(&1));
    assert_eq!(rig.logged("priors-failed")[2]["given_up"], true);
}

#[test]
fn a_peer_that_sends_without_end_is_given_up() {
    let floods: Script = Box::new(|server| {
        received(server, true);
        let nameless = || {
            let mut image = image(PRIOR, 1);
            image.put(text(tags::SOP_INSTANCE_UID, VR::UI, "no-uid"));
            image
        };
        while sends(server, nameless()) == 0x0117 {}
    });
    let rig = rig(PriorsBy::CGet).with_peer(vec![names_the_prior(), floods]);
    rig.work();
    assert_eq!(rig.failing().as_deref(), Some("too-many-instances"));
    assert_eq!(rig.instances(PRIOR), 0);
}

#[test]
fn with_a_full_disk_the_peer_is_asked_to_send_no_more_and_asked_again_later() {
    let gives: Script = Box::new(|server| {
        received(server, true);
        assert_eq!(sends(server, image(PRIOR, 1)), 0xffff, "it is aborted");
    });
    let mut rig = rig(PriorsBy::CGet).with_peer(vec![names_the_prior(), gives]);
    rig.config.storage.min_free_bytes = u64::MAX;
    rig.work();
    assert_eq!(rig.failing().as_deref(), Some("out-of-resources"));
    assert_eq!(rig.instances(PRIOR), 0);
}

#[test]
fn a_study_that_does_not_say_whom_it_is_of_asks_nobody() {
    let mut nameless = asking();
    nameless.remove_element(tags::PATIENT_ID);
    let rig = rig_of(PriorsBy::CGet, nameless).with_peer(Vec::new());
    rig.work();
    let failed = rig.counts().failed;
    assert_eq!(failed.get("priors-nothing-to-ask-by"), Some(&1));
}

#[test]
fn a_node_that_stops_goes_on_after_its_next_start() {
    let rig = rig(PriorsBy::CGet).with_peer(vec![names_the_prior(), gives(2)]);
    rig.stop.store(true, Ordering::Relaxed);
    let silent: Script = Box::new(|server| drop(server.receive()));
    let stopped = rig.with_peer(vec![silent]);
    stopped.work();
    assert_eq!(stopped.logged("priors-failed").len(), 0);
    stopped.stop.store(false, Ordering::Relaxed);
    let again = stopped.with_peer(vec![names_the_prior(), gives(2)]);
    again.work_again();
    assert!(again.is_done());
    assert_eq!(again.instances(PRIOR), 2);
}

/// Answers a C-MOVE after so many images came here by the listening side.
fn moves(rig: &Rig, images: u32, (status, completed, failed): (u16, u16, u16)) -> Script {
    let intake = rig.intake();
    Box::new(move |server| {
        let asked = String::from_utf8_lossy(&received(server, true)).into_owned();
        assert!(asked.contains(PRIOR), "{asked}");
        for number in 1..=images {
            send_to(&intake, image(PRIOR, number)).unwrap();
            respond(server, MOVE, 0xff00, None);
        }
        ends(server, MOVE, status, completed, failed);
    })
}

#[test]
fn a_study_comes_by_c_move_although_some_of_it_is_left_out() {
    let rig = rig(PriorsBy::CMove);
    let moves = moves(&rig, 2, (0xb000, 2, 1));
    let rig = rig.with_peer(vec![names_the_prior(), moves]);
    rig.work();
    assert!(rig.is_done());
    assert!(rig.is_prior());
    let fetched = &rig.logged("prior-fetched")[0];
    assert_eq!(
        (&fetched["instances"], &fetched["left_out"]),
        (&2.into(), &1.into())
    );
}

#[test]
fn a_peer_that_does_not_know_where_to_move_to_is_a_failure_and_tried_again() {
    let rig = rig(PriorsBy::CMove);
    let moves = moves(&rig, 0, (0xa801, 0, 0));
    let rig = rig.with_peer(vec![names_the_prior(), moves]);
    rig.work();
    assert_eq!(rig.failing().as_deref(), Some("peer-status"));
}

#[test]
fn a_study_that_was_moved_elsewhere_did_not_arrive() {
    let rig = rig(PriorsBy::CMove);
    let moves = moves(&rig, 0, (0, 300, 0));
    let rig = rig.with_peer(vec![names_the_prior(), moves]);
    rig.work();
    assert_eq!(rig.failing().as_deref(), Some("priors-not-arrived"));
}
