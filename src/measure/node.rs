//! What the short axis of a lymph node says.

use crate::code::Code;

/// Nodes of the chest are normal below, mm.
///
/// Source: Node-RADS (Elsholtz et al., Eur Radiol 2021): normal short axis below 10 mm.
const ENLARGED_MM: f64 = 10.0;

/// Size of a lymph node by its short axis; of its content or its cause this says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeSize {
    /// Short axis below 10 mm.
    Normal,
    /// Short axis of 10 mm or more.
    Enlarged,
}

impl NodeSize {
    /// Of a node of the mediastinum, a hilum or an axilla.
    pub fn of(short_axis_mm: f64) -> Self {
        if short_axis_mm < ENLARGED_MM {
            Self::Normal
        } else {
            Self::Enlarged
        }
    }

    /// The note of the report.
    pub fn code(self) -> Code {
        let note = |value, meaning| Code::new(value, "99HILUM", meaning);
        match self {
            Self::Normal => note("node-normal-size", "Lymph node with short axis below 10 mm"),
            Self::Enlarged => note(
                "node-enlarged",
                "Lymph node with short axis of 10 mm or more",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_enlarged_from_10_mm_on() {
        let sizes = [9.99, 10.0].map(NodeSize::of);
        assert_eq!(sizes, [NodeSize::Normal, NodeSize::Enlarged]);
    }

    #[test]
    fn notes_fit_a_code_sequence() {
        let notes = [NodeSize::Normal, NodeSize::Enlarged].map(NodeSize::code);
        assert!(notes.iter().all(Code::is_valid));
    }
}
