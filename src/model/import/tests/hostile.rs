//! Checkpoints that would run code, take memory or time, or are damaged: refused by code.

use super::nnunet;
use crate::model::import::Error;
use crate::model::import::checkpoint::StateDict;
use flate2::Crc;

/// Opens a file of these bytes and reads every tensor.
fn read_all(bytes: &[u8]) -> Result<usize, Error> {
    let path = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(path.path(), bytes).expect("written");
    let file = StateDict::open(path.path())?;
    let names = file.names().map(|name| {
        let shape = file.shape(name).expect("there");
        file.read(name, &shape).map(drop)
    });
    names
        .collect::<Result<Vec<()>, Error>>()
        .map(|read| read.len())
}

fn code(bytes: &[u8]) -> &'static str {
    match read_all(bytes) {
        Ok(_) => "read",
        Err(error) => error.code(),
    }
}

/// A record of an archive, which may lie about itself.
struct Record<'a> {
    name: &'a str,
    data: &'a [u8],
    method: u16,
    bytes: u32,
}

/// A zip archive of stored records.
fn archive(records: &[(&str, &[u8])]) -> Vec<u8> {
    let records: Vec<Record> = records
        .iter()
        .map(|(name, data)| Record {
            name,
            data,
            method: 0,
            bytes: u32::try_from(data.len()).expect("small"),
        })
        .collect();
    lying(&records)
}

fn lying(records: &[Record]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for record in records {
        let mut crc = Crc::new();
        crc.update(record.data);
        let at = u32::try_from(file.len()).expect("small");
        let name = u16::try_from(record.name.len()).expect("short");
        let mut common = Vec::new();
        for value in [20u16, 0, record.method, 0, 0] {
            common.extend(value.to_le_bytes());
        }
        for value in [crc.sum(), record.bytes, record.bytes] {
            common.extend(value.to_le_bytes());
        }
        common.extend(name.to_le_bytes());
        common.extend([0; 2]);
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(record.name.as_bytes());
        file.extend(record.data);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(record.name.as_bytes());
    }
    let [at, bytes] = [file.len(), directory.len()].map(|n| u32::try_from(n).expect("small"));
    let count = u16::try_from(records.len()).expect("few").to_le_bytes();
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count, count].concat());
    file.extend(bytes.to_le_bytes());
    file.extend(at.to_le_bytes());
    file.extend([0; 2]);
    file
}

/// A checkpoint with this program for a pickle and a storage of four numbers.
fn checkpoint(program: &[u8]) -> Vec<u8> {
    let pickle = [b"\x80\x02", program, b"."].concat();
    archive(&[("a/data.pkl", &pickle), ("a/data/0", &[0; 16])])
}

fn unicode(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("short").to_le_bytes();
    [b"X", &length[..], text.as_bytes()].concat()
}

/// Numbers as LONG1.
fn number(value: i64) -> Vec<u8> {
    [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
}

/// `{'w': _rebuild_tensor_v2(storage of so many elements, offset, (size,), (stride,))}`
fn tensor(elements: i64, offset: i64, size: i64, stride: i64) -> Vec<u8> {
    let mut program = b"}".to_vec();
    program.extend(unicode("w"));
    program.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    program.extend(unicode("storage"));
    program.extend(b"ctorch\nFloatStorage\n");
    program.extend(unicode("0"));
    program.extend(unicode("cpu"));
    program.extend(number(elements));
    program.extend(b"tQ");
    program.extend(number(offset));
    program.extend(number(size));
    program.extend(b"\x85");
    program.extend(number(stride));
    program.extend(b"\x85tRs");
    program
}

#[test]
fn what_a_test_builds_is_what_is_read() {
    assert_eq!(code(&checkpoint(&tensor(4, 0, 4, 1))), "read");
    assert_eq!(code(&checkpoint(&tensor(4, 1, 2, 2))), "read");
}

#[test]
fn a_pickle_with_code_is_refused_by_what_it_calls_and_never_executed() {
    let dir = tempfile::tempdir().expect("folder");
    let marker = dir.path().join("executed");
    let command = unicode(&format!("touch '{}'", marker.display()));
    let call = |name: &[u8]| [b"c", name, b"\n(", &command, b"tR"].concat();
    let stack_global = [
        &unicode("os")[..],
        &unicode("system"),
        b"\x93(",
        &command,
        b"tR",
    ]
    .concat();
    let hidden = [
        &tensor(4, 0, 4, 1)[..],
        &unicode("x"),
        &call(b"builtins\neval"),
        b"s",
    ]
    .concat();
    for (program, name) in [
        (call(b"posix\nsystem"), "posix.system"),
        (call(b"os\nsystem"), "os.system"),
        (call(b"builtins\nexec"), "builtins.exec"),
        (call(b"torch\nload"), "torch.load"),
        (call(b"torch.hub\nload"), "torch.hub.load"),
        (call(b"numpy\nload"), "numpy.load"),
        (call(b"builtins\ngetattr"), "builtins.getattr"),
        (stack_global, "os.system"),
        (hidden, "builtins.eval"),
    ] {
        let error = read_all(&checkpoint(&program)).expect_err("refused");
        assert_eq!(error.code(), "checkpoint-foreign", "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(!marker.exists());
}

#[test]
fn opcodes_that_weights_have_no_use_for_are_refused() {
    for program in [
        &b"(iposix\nsystem\n"[..],
        b"(cbuiltins\nset\no",
        b"\x82\x01",
        b"I1\n",
        b"P0\n",
        b"\x97",
        b")R",
        b"h\x07",
        b"\x85",
        b"e",
        b"N)R",
    ] {
        let found = code(&checkpoint(program));
        assert_eq!(found, "checkpoint-malformed", "{program:?}");
    }
}

#[test]
fn tensors_beyond_their_storage_or_with_a_number_twice_are_refused() {
    const GIGA: i64 = 1 << 30;
    for (tensor, wanted) in [
        (tensor(25 * GIGA, 0, 25 * GIGA, 1), "checkpoint-malformed"),
        (tensor(25 * GIGA, 24 * GIGA, 4, 1), "checkpoint-malformed"),
        (tensor(4, 0, 5, 1), "checkpoint-tensor-mismatch"),
        (tensor(4, 3, 2, 1), "checkpoint-tensor-mismatch"),
        (
            tensor(4, i64::MAX, 2, i64::MAX),
            "checkpoint-tensor-mismatch",
        ),
        (tensor(i64::MAX, 0, i64::MAX, 1), "import-limit"),
        (tensor(4, 0, 25 * GIGA, 0), "checkpoint-tensor-mismatch"),
        (tensor(4, 0, 0, 1), "checkpoint-tensor-mismatch"),
        (tensor(-4, 0, 4, 1), "checkpoint-malformed"),
    ] {
        let found = code(&checkpoint(&tensor));
        let accepted = [wanted, "import-limit"].contains(&found);
        assert!(accepted, "{found}, {wanted} is needed");
    }
}

#[test]
fn records_that_are_compressed_or_lie_about_their_size_are_refused() {
    let pickle = [b"\x80\x02", &tensor(4, 0, 4, 1)[..], b"."].concat();
    let file = |method, bytes| {
        let first = Record {
            name: "a/data.pkl",
            data: &pickle,
            method: 0,
            bytes: u32::try_from(pickle.len()).expect("small"),
        };
        let second = Record {
            name: "a/data/0",
            data: &[0; 16],
            method,
            bytes,
        };
        lying(&[first, second])
    };
    assert_eq!(code(&file(0, 16)), "read");
    assert_eq!(code(&file(8, 16)), "checkpoint-container");
    assert_eq!(code(&file(0, 15)), "checkpoint-malformed");
    assert_eq!(code(&file(0, 0x7fff_ffff)), "checkpoint-malformed");
    // Stands for a size of 64 bits that is nowhere.
    assert_eq!(code(&file(0, u32::MAX)), "checkpoint-malformed");
    let twice = archive(&[("a/data.pkl", &pickle), ("a/data.pkl", &pickle)]);
    assert_eq!(code(&twice), "checkpoint-malformed");
    let two = archive(&[("a/data.pkl", &pickle), ("b/data.pkl", &pickle)]);
    assert_eq!(code(&two), "checkpoint-malformed");
    let big_endian = archive(&[("a/data.pkl", &pickle), ("a/byteorder", b"big")]);
    assert_eq!(code(&big_endian), "checkpoint-container");
}

#[test]
fn other_containers_are_refused_with_what_to_do() {
    for (bytes, wanted) in [
        (
            &b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."[..],
            "checkpoint-container",
        ),
        (b"", "checkpoint-malformed"),
        (b"PK\x03\x04", "checkpoint-malformed"),
        (
            b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            "checkpoint-malformed",
        ),
        (b"./storages", "checkpoint-malformed"),
    ] {
        assert_eq!(code(bytes), wanted, "{bytes:?}");
    }
}

#[test]
fn cycles_repetitions_and_nesting_cost_no_more_than_their_bytes() {
    let cyclic = b"}q\0X\x01\0\0\0xh\0s".to_vec();
    let mut doubled = b"]q\0".to_vec();
    for level in 1..=200u8 {
        doubled.extend([b'h', level - 1, b'h', level - 1, 0x86, b'q', level]);
    }
    let beside = [&tensor(4, 0, 4, 1)[..], b"q\x01X\x01\0\0\0xh\x01s"].concat();
    assert_eq!(code(&checkpoint(&cyclic)), "checkpoint-malformed");
    assert_eq!(code(&checkpoint(&doubled)), "checkpoint-malformed");
    assert_eq!(code(&checkpoint(&beside)), "read");
    let deep = |opcode: u8| vec![opcode; 3 << 20];
    for opcode in [b'(', b']', b'}', b'N', b')'] {
        assert_eq!(code(&checkpoint(&deep(opcode))), "import-limit");
    }
    let tuples = [&b")"[..], &vec![0x85; 400_000]].concat();
    assert_eq!(code(&checkpoint(&tuples)), "checkpoint-malformed");
    let far = [&b"N"[..], b"r", &u32::MAX.to_le_bytes()].concat();
    assert_eq!(code(&checkpoint(&far)), "import-limit");
    let long = [&b"\x8d"[..], &(1u64 << 60).to_le_bytes()].concat();
    assert_eq!(code(&checkpoint(&long)), "checkpoint-malformed");
    let large = checkpoint(&vec![b'N'; (16 << 20) + 1]);
    assert_eq!(code(&large), "import-limit");
}

#[test]
fn a_checkpoint_that_is_cut_off_anywhere_is_refused() {
    let whole =
        std::fs::read(nnunet("plain").join("fold_0/checkpoint_final.pth")).expect("testdata");
    assert!(read_all(&whole).expect("whole") > 100);
    // Every length near the end, where the directory is, and steps before.
    let near_the_end = (whole.len().saturating_sub(400)..whole.len()).step_by(1);
    for length in (0..whole.len()).step_by(997).chain(near_the_end) {
        let found = code(&whole[..length]);
        assert_eq!(found, "checkpoint-malformed", "{length} bytes");
    }
}

#[test]
fn a_weight_of_which_a_bit_flipped_is_refused_by_its_crc() {
    let mut bytes = checkpoint(&tensor(4, 0, 4, 1));
    let at = bytes
        .windows(16)
        .position(|w| w == [0; 16])
        .expect("the storage");
    bytes[at + 3] ^= 0x10;
    let error = read_all(&bytes).expect_err("refused");
    assert!(error.to_string().contains("CRC"), "{error}");
}
