//! Where lesions are put: the order of places, and anchors of each in anatomy coordinates, mm.

use super::params::{Extent, PetPlace};

/// Places of a number of lesions in order, and whether each touches the one before.
pub(super) fn places(extent: Extent) -> &'static [(PetPlace, bool)] {
    match extent {
        Extent::Chest => &[
            (PetPlace::Lung, false),
            (PetPlace::Mediastinum, false),
            (PetPlace::Liver, false),
            (PetPlace::Liver, true),
            (PetPlace::Bone, false),
            (PetPlace::Hilum, false),
            (PetPlace::BesideHeart, false),
            (PetPlace::Axilla, false),
        ],
        Extent::Body => &[
            (PetPlace::Lung, false),
            (PetPlace::Neck, false),
            (PetPlace::Mediastinum, false),
            (PetPlace::Liver, false),
            (PetPlace::Liver, true),
            (PetPlace::Abdomen, false),
            (PetPlace::Bone, false),
            (PetPlace::BesideBladder, false),
            (PetPlace::Axilla, false),
            (PetPlace::Hilum, false),
            (PetPlace::Groin, false),
            (PetPlace::BesideHeart, false),
        ],
    }
}

/// Anchors of a place, and how far from one a lesion may lie along each axis, mm.
pub(super) fn anchors(place: PetPlace) -> (&'static [[f64; 3]], f64) {
    match place {
        PetPlace::Mediastinum => (
            &[
                [-20.0, 4.0, 30.0],
                [6.0, 18.0, -24.0],
                [27.0, 0.0, 10.0],
                [2.0, -42.0, 36.0],
                [-10.0, -4.0, 62.0],
            ],
            5.0,
        ),
        PetPlace::Hilum => (&[[-42.0, 12.0, -20.0], [46.0, 14.0, -12.0]], 6.0),
        PetPlace::Axilla => (&[[-126.0, -4.0, 72.0], [126.0, -4.0, 72.0]], 10.0),
        PetPlace::Neck => (
            &[
                [-38.0, 30.0, 178.0],
                [38.0, 30.0, 178.0],
                [-46.0, -10.0, 148.0],
                [46.0, -10.0, 148.0],
            ],
            8.0,
        ),
        PetPlace::Abdomen => (
            &[
                [28.0, 40.0, -318.0],
                [-32.0, 42.0, -352.0],
                [20.0, 34.0, -206.0],
            ],
            8.0,
        ),
        PetPlace::Groin => (&[[-68.0, -66.0, -490.0], [68.0, -66.0, -490.0]], 8.0),
        _ => (
            &[
                [0.0, 62.0, 24.0],
                [0.0, 62.0, -24.0],
                [0.0, 62.0, -96.0],
                [0.0, 62.0, -144.0],
                [0.0, 62.0, -264.0],
                [0.0, 62.0, -360.0],
                [-108.0, 56.0, 70.0],
                [108.0, 56.0, 70.0],
                [-88.0, 28.0, -400.0],
                [88.0, 28.0, -400.0],
            ],
            3.0,
        ),
    }
}
