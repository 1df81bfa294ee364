//! Command sets, by the bytes of the standard and what hostile peers make of them.

use super::*;

fn instance() -> InstanceRef {
    InstanceRef {
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
        sop_instance_uid: "1.2.34".into(),
    }
}

fn problem(bytes: &[u8]) -> (u16, &'static str) {
    match Message::parse(bytes).unwrap_err() {
        Error::MalformedCommand {
            element, problem, ..
        } => (element, problem),
        other => panic!("{other}"),
    }
}

fn message(command: Command) -> Message {
    Message {
        id: 513,
        has_data_set: false,
        command,
    }
}

#[test]
fn a_c_echo_request_is_that_of_the_standard() {
    let expected = [
        &[0, 0, 0, 0, 4, 0, 0, 0, 56, 0, 0, 0][..],
        &[0, 0, 2, 0, 18, 0, 0, 0],
        b"1.2.840.10008.1.1\0",
        &[0, 0, 0, 1, 2, 0, 0, 0, 0x30, 0],
        &[0, 0, 0x10, 1, 2, 0, 0, 0, 1, 2],
        &[0, 0, 0, 8, 2, 0, 0, 0, 1, 1],
    ];
    assert_eq!(message(Command::Echo).bytes(), expected.concat());
}

#[test]
fn every_command_is_read_as_it_was_written() {
    let action = |action_type| Command::Action {
        instance: instance(),
        action_type,
    };
    let report = Command::EventReport {
        instance: instance(),
        event_type: 2,
    };
    let find = Command::Find {
        sop_class_uid: "1.2.3".into(),
    };
    let sop_class_uid = || "1.2.3".to_owned();
    let get = Command::Get {
        sop_class_uid: sop_class_uid(),
    };
    let to_us = Command::Move {
        sop_class_uid: sop_class_uid(),
        destination: "HILUM".into(),
    };
    let commands = [
        Command::Echo,
        Command::Store(instance()),
        find,
        Command::Cancel,
    ]
    .into_iter()
    .chain([action(1), report, Command::Unknown { field: 0x110 }])
    .chain([get, to_us]);
    for command in commands {
        let mut request = message(command);
        request.has_data_set = true;
        assert_eq!(Message::parse(&request.bytes()).unwrap(), request);
        let answer = request.response(0xa700);
        assert_eq!(Message::parse(&answer.bytes()).unwrap(), answer);
    }
}

#[test]
fn a_response_says_how_far_a_retrieval_is_if_it_says_a_number_at_all() {
    let mut answer = message(Command::Get {
        sop_class_uid: "1.2.3".into(),
    })
    .response(0xff00);
    let Command::Response { progress, .. } = &mut answer.command else {
        panic!("a response");
    };
    *progress = Some(Progress {
        remaining: 4,
        completed: 3,
        failed: 2,
        warning: 1,
    });
    assert_eq!(Message::parse(&answer.bytes()).unwrap(), answer);
    let element =
        |number: [u8; 2], value: u8| [&[0, 0], &number[..], &[2, 0, 0, 0, value, 0]].concat();
    let sparse = [
        element([0, 1], 0x10),
        element([0x20, 1], 1),
        element([0, 8], 1),
        element([0, 9], 0),
        element([0x21, 0x10], 5),
    ];
    let mut sparse = sparse.concat();
    sparse[9] = 0x80;
    let Command::Response { progress, .. } = Message::parse(&sparse).unwrap().command else {
        panic!("a response");
    };
    assert_eq!(progress.map(|p| (p.completed, p.failed)), Some((5, 0)));
}

#[test]
fn a_command_cut_off_anywhere_is_malformed() {
    let whole = message(Command::Store(instance())).bytes();
    for end in 0..whole.len() {
        assert!(Message::parse(&whole[..end]).is_err(), "{end} bytes");
    }
}

#[test]
fn elements_that_are_missing_doubled_or_of_other_sizes_are_malformed() {
    let whole = message(Command::Echo).bytes();
    let element = |number: u8, value: &[u8]| {
        let length = u8::try_from(value.len()).unwrap();
        [&[0, 0, 0, number, length, 0, 0, 0], value].concat()
    };
    let without_status = [element(1, &[0x30, 0x80]), element(8, &[1, 1])].concat();
    assert_eq!(problem(&without_status), (0x0120, "missing"));
    let twice = [whole.clone(), element(1, &[0x30, 0])].concat();
    assert_eq!(problem(&twice), (0x0100, "given twice"));
    assert_eq!(problem(&element(1, &[1])), (0x0100, "not of two bytes"));
    let other_group = [&[8, 0, 5, 0, 0, 0, 0, 0], whole.as_slice()].concat();
    assert_eq!(problem(&other_group), (0x0005, "of another group"));
    let mut long = message(Command::Store(instance()));
    long.command = Command::Store(InstanceRef {
        sop_instance_uid: "1".repeat(70),
        ..instance()
    });
    assert_eq!(problem(&long.bytes()), (0x1000, "no UID"));
}
