//! A checkpoint's pickle as plain values: nothing of it is executed.
//!
//! In: the bytes of `data.pkl`, protocols 2 to 5. Out: dictionaries, lists, numbers, texts and where tensors lie; what no
//! state dict needs is [`Object::Opaque`]. Refused: any function or class but those of [`Global::find`], opcodes that
//! weights have no use for, and more objects than a checkpoint has. Every object is made once and named by its place, so
//! that neither cycles nor repetitions cost anything.

use super::global::{Dtype, Global};
use super::machine::Machine;

/// Largest pickle; a thousand epochs of nnU-Net's log with a hundred classes are 5 MiB.
pub(super) const MAX_PICKLE_BYTES: u64 = 16 << 20;
/// Most objects, which bounds the machine's memory to some 40 MiB.
pub(super) const MAX_OBJECTS: usize = 1 << 19;
/// Most entries of the memo, and of all lists and dictionaries together.
pub(super) const MAX_ENTRIES: usize = 1 << 20;
/// Most tensors and storages; nnU-Net's largest checkpoints have some thousand.
pub(super) const MAX_TENSORS: usize = 1 << 15;

/// Place of an object.
pub(super) type Id = u32;

/// Whatever is not needed.
pub(super) const OPAQUE: Id = 0;

/// A value of the pickle.
#[derive(Debug)]
pub(super) enum Object {
    /// Not needed.
    Opaque,
    /// A whole number.
    Int(i64),
    /// A text: the place of its bytes in the pickle.
    Text { at: u32, bytes: u32 },
    /// A list or a tuple.
    List(Vec<Id>),
    /// A dictionary; a key may stand in it more than once, then the last counts.
    Dict(Vec<(Id, Id)>),
    /// A function or class that is allowed to be named.
    Global(Global),
    /// Numbers in a record of their own.
    Storage(Box<Storage>),
    /// A view of a storage.
    Tensor(Box<Tensor>),
}

/// Numbers in a record of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// Name of the record below `data/`.
    pub(super) key: String,
    pub(super) dtype: Dtype,
    /// Number of elements that the pickle declares.
    pub(super) elements: u64,
}

/// A view of a storage; counted in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// Why a pickle was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed(String),
    Foreign(String),
    /// More objects, texts or nesting than a checkpoint has.
    TooMany,
}

/// A read pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    bytes: Vec<u8>,
    objects: Vec<Object>,
    root: Id,
}

impl Pickle {
    /// Reads a pickle of at most [`MAX_PICKLE_BYTES`].
    pub(super) fn read(bytes: Vec<u8>) -> Result<Self, Refusal> {
        let mut machine = Machine::new(&bytes);
        let root = machine.run()?;
        let objects = machine.objects;
        Ok(Self {
            bytes,
            objects,
            root,
        })
    }

    /// The object at a place.
    pub(super) fn object(&self, id: Id) -> &Object {
        &self.objects[id as usize]
    }

    /// What the pickle was made of.
    pub(super) fn root(&self) -> Id {
        self.root
    }

    /// The text at a place.
    pub(super) fn text(&self, id: Id) -> Option<&str> {
        text(&self.bytes, self.object(id))
    }

    /// The value of a key.
    pub(super) fn get(&self, dict: Id, key: &str) -> Option<Id> {
        let Object::Dict(entries) = self.object(dict) else {
            return None;
        };
        let found = entries.iter().rfind(|(k, _)| self.text(*k) == Some(key));
        found.map(|(_, value)| *value)
    }
}

/// The text of an object.
pub(super) fn text<'a>(bytes: &'a [u8], object: &Object) -> Option<&'a str> {
    let Object::Text { at, bytes: length } = object else {
        return None;
    };
    std::str::from_utf8(bytes.get(*at as usize..)?.get(..*length as usize)?).ok()
}
