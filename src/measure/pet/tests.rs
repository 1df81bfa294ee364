//! Numbers worked by hand on a PET of few voxels.

use super::*;
use crate::lesion::pet::Site;
use crate::measure::{measure, measure_on_pet};
use crate::volume::{Geometry, Rescale, SlicePositions};

/// 4 × 3 × 3 voxels of 5 × 4 × 4 mm whose slices stand for 1, 1.5, 1.5 and 1 steps of 0.08 ml and hold SUV 1, 2, 3, …
/// times the factor of the slice.
fn pet(factors: [f32; 4]) -> StoredVolume {
    let positions = SlicePositions::uneven(vec![0.0, 1.0, 3.0, 4.0]).expect("ascending");
    StoredVolume {
        geometry: Geometry::axis_aligned([4, 3, 3], [5.0, 4.0, 4.0], DVec3::ZERO),
        slices: positions,
        samples: (1..=36).collect(),
        signed: false,
        rescale: factors
            .map(|slope| Rescale {
                slope,
                intercept: 0.0,
            })
            .into(),
        padding: None,
        padding_value: 0.0,
    }
}

/// The first two voxels of slices 0 and 1: stored 1, 2 and 10, 11.
fn mask() -> LesionMask {
    LesionMask {
        origin: [0, 0, 0],
        size: [2, 1, 2],
        inside: vec![true; 4],
    }
}

fn assert_near(found: f64, wanted: f64) {
    assert!(
        (found - wanted).abs() <= 1e-6 * wanted.abs(),
        "{found} is not {wanted}"
    );
}

#[test]
fn uptake_counts_each_voxel_by_its_volume() {
    let found = measure_pet(&mask(), &pet([1.0, 0.5, 1.0, 1.0])).expect("voxels");
    assert_near(found.suv_max, 5.5);
    assert_eq!(found.suv_max_lps_mm, DVec3::new(4.0, 0.0, 5.0));
    // 1 and 2 of 1 step, 5 and 5.5 of 1.5 steps each.
    let (steps, sum) = (5.0, 3.0 + 1.5 * 10.5);
    assert_near(found.mtv_ml, steps * 0.08);
    assert_near(found.suv_mean, sum / steps);
    assert_near(found.tlg_g, sum * 0.08);
    assert_eq!(
        found.suv_peak, None,
        "no ball of 1 cm³ lies in so few voxels"
    );
}

#[test]
fn volumes_by_rule_count_the_voxels_of_at_least_that() {
    let suv = pet([1.0, 0.5, 1.0, 1.0]);
    let mut found = measure_pet(&mask(), &suv).expect("voxels");
    let liver = Reference {
        site: Site::Liver,
        centre_lps_mm: DVec3::ZERO,
        radius_mm: 15.0,
        mean_suv: 1.9,
        sd_suv: 1.05,
        voxels: 200,
        is_expected: true,
    };
    found.add_volumes(&mask(), &suv, &USUAL_RULES, Some(&liver));
    let least: Vec<f64> = found.by_rule.iter().map(|v| v.least_suv).collect();
    assert_near(least[0], 0.41 * 5.5);
    assert_eq!(least[1..3], [2.5, 4.0]);
    assert_near(least[3], 5.05);
    let volumes_ml = [3.0, 3.0, 3.0, 1.5].map(|steps| steps * 0.08);
    for (volume, wanted) in found.by_rule.iter().zip(volumes_ml) {
        assert_near(volume.mtv_ml, wanted);
    }
    assert_near(found.by_rule[3].tlg_g, 1.5 * 5.5 * 0.08);
    found.by_rule.clear();
    found.add_volumes(&mask(), &suv, &[Threshold::Liver(3.0)], None);
    assert!(found.by_rule.is_empty());
}

#[test]
fn a_pet_has_uptake_and_a_ct_has_hu() {
    let suv = pet([1.0; 4]);
    let on_pet = measure_on_pet(&mask(), &suv, |_| None).expect("voxels");
    assert!(on_pet.mean_hu.is_none());
    let mtv_ml = on_pet.pet.as_ref().expect("a PET").mtv_ml;
    assert_near(on_pet.volume_mm3, mtv_ml * 1e3);
    let on_ct = measure(&mask(), &suv, |_| None).expect("voxels");
    assert!(on_ct.pet.is_none() && on_ct.mean_hu.is_some());
    assert_eq!(on_ct.centroid_lps_mm, on_pet.centroid_lps_mm);
}

#[test]
fn an_empty_mask_has_no_uptake() {
    let empty = LesionMask {
        inside: vec![false; 4],
        ..mask()
    };
    assert_eq!(measure_pet(&empty, &pet([1.0; 4])), None);
}

#[test]
fn the_sum_over_a_patient_leaves_physiologic_uptake_out() {
    let suv = pet([1.0; 4]);
    let at = |voxel: [usize; 3], kind: Kind| {
        let mask = LesionMask {
            origin: voxel,
            size: [1; 3],
            inside: vec![true],
        };
        let measurement = measure_on_pet(&mask, &suv, |_| None).expect("a voxel");
        let lesion = Lesion {
            kind,
            terms: kind.into(),
            confidence: 1.0,
            assessment: None,
            centre_lps_mm: DVec3::ZERO,
            mask,
        };
        (lesion, measurement)
    };
    let lesions = [
        at([0, 0, 0], Kind::PetLesion),
        at([3, 2, 2], Kind::PhysiologicUptake),
        at([1, 0, 1], Kind::PetLesion),
        at([0, 2, 0], Kind::PetLesion),
    ];
    let found = PetSummary::of(&lesions);
    assert_eq!(found.sites, 3);
    assert_near(found.tmtv_ml, (1.0 + 1.5 + 1.0) * 0.08);
    assert_near(found.tlg_g, (1.0 + 1.5 * 11.0 + 7.0) * 0.08);
    // From (4, 0, 5) to (0, 8, 0) mm.
    assert_near(
        found.dmax_mm.expect("three"),
        (16.0_f64 + 64.0 + 25.0).sqrt(),
    );
    let alone = PetSummary::of(&lesions[1..3]);
    assert_eq!((alone.sites, alone.dmax_mm), (1, None));
    assert_eq!(PetSummary::of(&[]).sites, 0);
}
