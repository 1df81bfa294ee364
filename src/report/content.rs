//! SR content items (PS3.3 C.17.3), built so that the code reads like the template.

use super::codes::Term;
use super::element::{ascii, code, decimal, element, item, items};
use dicom_core::Tag;
use dicom_core::value::PrimitiveValue;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

/// A content item and those below it.
pub(super) struct Node {
    object: InMemDicomObject,
    children: Vec<InMemDicomObject>,
}

/// A heading.
pub(super) fn container(name: Term) -> Node {
    node(
        "CONTAINER",
        name,
        [element(tags::CONTINUITY_OF_CONTENT, "SEPARATE")],
    )
}

/// A coded value.
pub(super) fn coded(name: Term, value: Term) -> Node {
    node("CODE", name, [code(tags::CONCEPT_CODE_SEQUENCE, value)])
}

/// Free text; anything but ASCII is replaced, for the document's character set is the source's.
pub(super) fn text(name: Term, value: &str) -> Node {
    node(
        "TEXT",
        name,
        [element(tags::TEXT_VALUE, ascii(value, usize::MAX))],
    )
}

/// A UID.
pub(super) fn uid_reference(name: Term, uid: &str) -> Node {
    node("UIDREF", name, [element(tags::UID, uid)])
}

/// A measured value with its unit; also as binary, since a decimal string may have to round it.
pub(super) fn number(name: Term, value: f64, unit: Term) -> Node {
    let measured = item([
        element(tags::NUMERIC_VALUE, decimal(value)),
        element(tags::FLOATING_POINT_VALUE, value),
        code(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, unit),
    ]);
    node(
        "NUM",
        name,
        [items(tags::MEASURED_VALUE_SEQUENCE, vec![measured])],
    )
}

/// An image, or a segment of one; `reference` is the item of its Referenced SOP Sequence.
pub(super) fn image(name: Term, reference: InMemDicomObject) -> Node {
    node(
        "IMAGE",
        name,
        [items(tags::REFERENCED_SOP_SEQUENCE, vec![reference])],
    )
}

/// A line on an image, through points `[column, row]`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "Graphic Data (0070,0022) is single precision"
)]
pub(super) fn polyline(name: Term, points_column_row: &[[f64; 2]]) -> Node {
    let data = points_column_row.iter().flatten().map(|v| *v as f32);
    node(
        "SCOORD",
        name,
        [
            element(tags::GRAPHIC_TYPE, "POLYLINE"),
            element(tags::GRAPHIC_DATA, PrimitiveValue::F32(data.collect())),
        ],
    )
}

impl Node {
    /// Names the template of PS3.16 that the item is the root of.
    pub(super) fn template(mut self, identifier: &str) -> Self {
        let template = item([
            element(tags::MAPPING_RESOURCE, "DCMR"),
            element(tags::TEMPLATE_IDENTIFIER, identifier),
        ]);
        self.object
            .put(items(tags::CONTENT_TEMPLATE_SEQUENCE, vec![template]));
        self
    }

    pub(super) fn contains(self, child: Node) -> Self {
        self.with("CONTAINS", child)
    }

    pub(super) fn has_obs_context(self, child: Node) -> Self {
        self.with("HAS OBS CONTEXT", child)
    }

    pub(super) fn has_concept_mod(self, child: Node) -> Self {
        self.with("HAS CONCEPT MOD", child)
    }

    pub(super) fn has_properties(self, child: Node) -> Self {
        self.with("HAS PROPERTIES", child)
    }

    pub(super) fn inferred_from(self, child: Node) -> Self {
        self.with("INFERRED FROM", child)
    }

    pub(super) fn selected_from(self, child: Node) -> Self {
        self.with("SELECTED FROM", child)
    }

    /// Adds what `add` does for each of `values`, in order.
    pub(super) fn for_each<T>(
        self,
        values: impl IntoIterator<Item = T>,
        add: impl FnMut(Self, T) -> Self,
    ) -> Self {
        values.into_iter().fold(self, add)
    }

    /// The finished item.
    pub(super) fn into_object(self) -> InMemDicomObject {
        let Self {
            mut object,
            children,
        } = self;
        if !children.is_empty() {
            object.put(items(tags::CONTENT_SEQUENCE, children));
        }
        object
    }

    fn with(mut self, relationship: &str, child: Node) -> Self {
        let mut child = child.into_object();
        child.put(element(tags::RELATIONSHIP_TYPE, relationship));
        self.children.push(child);
        self
    }
}

fn node(value_type: &str, name: Term, values: impl IntoIterator<Item = InMemElement>) -> Node {
    const NAME: Tag = tags::CONCEPT_NAME_CODE_SEQUENCE;
    let head = [element(tags::VALUE_TYPE, value_type), code(NAME, name)];
    Node {
        object: item(head.into_iter().chain(values)),
        children: Vec::new(),
    }
}
