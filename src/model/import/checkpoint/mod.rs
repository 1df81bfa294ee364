//! A checkpoint as its tensors by name. Nothing of it is executed, and nothing is allocated beyond about its own size.
//!
//! In: a `.pth`, `.pt` or `.safetensors` file. Out: [`StateDict`]. Refused: records that are compressed, overlap or lie
//! outside the file, opcodes and classes that weights have no use for, tensors beyond their storage.

mod archive;
mod global;
mod machine;
mod pickle;
mod state_dict;
mod view;

pub(super) use state_dict::StateDict;

use super::Error;
