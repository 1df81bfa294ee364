//! What the listening side tells the node.

use crate::node::dimse::Commitment;
use crate::node::{Claim, Sender};
use std::net::IpAddr;

/// A decision, or an answer of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An association was accepted.
    Accepted {
        /// Of whom.
        sender: Sender,
    },
    /// An association was rejected.
    Rejected {
        /// Who asked; the title is what it calls itself.
        sender: Sender,
        /// Why: a stable kebab-case code.
        code: &'static str,
    },
    /// A connection never became an association.
    Unheard {
        /// From where.
        address: IpAddr,
        /// Why: a stable kebab-case code.
        code: &'static str,
    },
    /// An accepted association ended.
    Ended {
        /// Of whom.
        sender: Sender,
        /// Instances that were accepted.
        accepted: u64,
        /// Instances that were refused.
        refused: u64,
        /// Why: `released`, or the code of what went wrong.
        code: &'static str,
    },
    /// An instance was refused.
    Refused {
        /// Who sent it.
        sender: Sender,
        /// What it was said to be; names that are no UIDs are left out.
        claim: Claim,
        /// Why: a stable kebab-case code.
        code: &'static str,
        /// What the sender was answered (PS3.7 C).
        status: u16,
    },
    /// A peer says what it has committed to; to be believed of the peer that was asked, for a transaction that was begun.
    Committed {
        /// Who says so.
        sender: Sender,
        /// What it says.
        commitment: Commitment,
    },
}

impl Event {
    /// A connection that never became an association.
    pub(super) fn unheard(address: IpAddr, code: &'static str) -> Self {
        Self::Unheard { address, code }
    }
}
