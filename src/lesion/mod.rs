//! From a probability map to lesions on the source grid.

/// What a lesion is; `kind` in `findings.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A lung nodule.
    LungNodule,
    /// A lymph node.
    LymphNode,
    /// A lesion with high tracer uptake.
    PetLesion,
    /// Normal uptake, shown so that nothing is dropped in silence.
    PhysiologicUptake,
}

/// An accepted candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesion {
    /// What it is.
    pub kind: Kind,
    /// 0 to 1; what it means stands in the model's card.
    pub confidence: f32,
    /// Its voxels on the source grid.
    pub mask: LesionMask,
}

/// Voxels of one lesion: a box of the source grid and which voxels of the box belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LesionMask {
    /// First voxel of the box on the source grid, `[z, y, x]`.
    pub origin: [usize; 3],
    /// Size of the box, `[z, y, x]`.
    pub size: [usize; 3],
    /// One a voxel of the box, `[z, y, x]`, x fastest.
    pub inside: Vec<bool>,
}

impl LesionMask {
    /// Indices `[z, y, x]` on the source grid of the voxels that belong to the lesion, in storage order.
    pub fn voxels(&self) -> impl Iterator<Item = [usize; 3]> {
        let [_, ny, nx] = self.size;
        let [oz, oy, ox] = self.origin;
        self.inside
            .iter()
            .enumerate()
            .filter(|(_, inside)| **inside)
            .map(move |(i, _)| [oz + i / (ny * nx), oy + i / nx % ny, ox + i % nx])
    }

    /// Number of voxels that belong to the lesion.
    pub fn count(&self) -> usize {
        self.inside.iter().filter(|inside| **inside).count()
    }
}
