//! What tests of the node share.

use super::Intake;
use std::path::Path;

/// An intake that keeps what it takes below `dir`, of at most 1 MiB an object.
#[expect(dead_code, reason = "the tests of each side use it")]
pub(super) fn intake(dir: &Path) -> Intake {
    Intake::open(dir, 1 << 20).expect("the folder can be made")
}
