//! What the short axis of a lymph node says.

use serde::Serialize;

/// Nodes of the chest are normal below, mm.
///
/// Source: Node-RADS (Elsholtz et al., Eur Radiol 2021): normal short axis below 10 mm.
const ENLARGED_MM: f64 = 10.0;

/// Size of a lymph node by its short axis; of its content or its cause this says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_enlarged_from_10_mm_on() {
        let sizes = [9.99, 10.0].map(NodeSize::of);
        assert_eq!(sizes, [NodeSize::Normal, NodeSize::Enlarged]);
    }
}
