//! Insertion as a whole: volumes, what changes and what does not, attachments, repeatability.

use super::chest::{Chest, Tissue, centre};
use super::drawing::Drawing;
use super::outline::Outline;
use super::*;
use crate::phantom::{Dose, Lesions, Params, Phantom};
use crate::volume::{Geometry, PADDING_HU, Rescale, Samples, SlicePositions};
use glam::DVec3;
use proptest::prelude::*;
use std::sync::LazyLock;

const SPREAD: PointSpread = PointSpread {
    in_plane_sigma_mm: 0.47,
    slice_fwhm_mm: 2.0,
};

/// A part of the right lung with vessels and noise, of 1 × 1 mm and slices of 2 mm.
static LUNG: LazyLock<(StoredVolume, Volume<f32>)> = LazyLock::new(|| {
    let params = Params {
        size: [70, 140, 110],
        spacing_mm: [2.0, 1.0, 1.0],
        centre_lps_mm: [-75.0, 0.0, -35.0],
        dose: Dose::Low,
        lesions: Lesions::Count(0),
        ..Params::default()
    };
    let stored = Phantom::new(&params).unwrap().stored;
    let depth_mm = Phantom::lung_depth_mm(&params, stored.geometry.covering([2.0; 3]));
    (stored, depth_mm)
});

fn scan(depth_mm: &Volume<f32>) -> Scan<'_> {
    Scan {
        depth_mm,
        spread: SPREAD,
        bits_stored: 12,
    }
}

fn request(lesions: usize, seed: u64) -> Request {
    Request {
        lesions,
        seed,
        series_instance_uid: "1.2.3".into(),
        known: Vec::new(),
    }
}

fn inserted(seed: u64) -> Inserted {
    let (stored, depth_mm) = &*LUNG;
    insert(stored.clone(), &scan(depth_mm), &request(9, seed)).unwrap()
}

fn as_inserted(nodule: &InsertedNodule) -> &truth::InsertedAs {
    nodule.inserted.as_ref().unwrap()
}

/// Lung everywhere, of one attenuation, on a grid of `spacing_mm`.
fn even_lung(size: usize, spacing_mm: f64, hu: i16) -> (StoredVolume, Volume<f32>) {
    let geometry = Geometry::axis_aligned([size; 3], [spacing_mm; 3], DVec3::ZERO);
    let mut samples = Samples::try_zeroed(geometry.voxel_count()).unwrap();
    samples.fill(hu.cast_unsigned());
    let stored = StoredVolume {
        geometry,
        slices: SlicePositions::even(),
        samples,
        signed: true,
        rescale: vec![
            Rescale {
                slope: 1.0,
                intercept: 0.0
            };
            size
        ],
        padding: None,
        padding_value: PADDING_HU,
    };
    (stored, Volume::filled(geometry, 50.0))
}

/// A ball without added noise in the middle of [`even_lung`] of 60 voxels of 0.8 mm.
fn with_ball(
    stored: &StoredVolume,
    chest: &Chest,
    diameter_mm: f64,
    value_hu: f32,
    bits_stored: u32,
) -> StoredVolume {
    let recipe = table::Recipe {
        density: crate::phantom::Density::Solid,
        diameter_mm,
        value_hu,
        core: None,
        attachment: Attachment::Isolated,
        margin: Margin::Smooth,
        noise_hu: 0.0,
    };
    let depth_mm = Volume::filled(stored.geometry, 50.0);
    let scan = Scan {
        bits_stored,
        ..scan(&depth_mm)
    };
    let middle = DVec3::splat(24.0);
    let drawing = Drawing::new(chest, &Outline::ball(diameter_mm), None, middle, SPREAD);
    let mut after = stored.clone();
    mix::mix(&mut after, (chest, &scan), &drawing, &recipe, 1);
    after
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn a_ball_of_8_mm_or_more_has_its_analytic_volume_in_the_truth(
        diameter_mm in 8.0..16.0_f64,
        off in [-0.25..0.25_f64, -0.25..0.25, -0.25..0.25],
    ) {
        let (stored, depth_mm) = even_lung(60, 0.5, -850);
        let chest = Chest::new(&stored, &depth_mm);
        let middle = DVec3::splat(15.0) + DVec3::from(off);
        let drawing = Drawing::new(&chest, &Outline::ball(diameter_mm), None, middle, SPREAD);
        let mask = drawing.mask(&chest);
        let volume_mm3 = mask.len() as f64 * 0.125;
        let analytic_mm3 = std::f64::consts::PI / 6.0 * diameter_mm.powi(3);
        prop_assert!((volume_mm3 / analytic_mm3 - 1.0).abs() < 0.03, "{} {}", volume_mm3, analytic_mm3);
        let blurred_mm3 = f64::from(drawing.blurred.iter().sum::<f32>()) * 0.125;
        prop_assert!((blurred_mm3 / analytic_mm3 - 1.0).abs() < 0.03, "{} {}", blurred_mm3, analytic_mm3);
        let sum: DVec3 = mask.iter().map(|&i| centre(&chest.geometry, i)).sum();
        prop_assert!((sum / mask.len() as f64).distance(middle) < 0.1);
    }
}

#[test]
fn nothing_changes_beyond_the_point_spread_and_nothing_falls() {
    let (before, depth_mm) = &*LUNG;
    let after = inserted(1);
    let chest = Chest::new(before, depth_mm);
    let [reach_z_mm, reach_mm, _] = SPREAD.reach_mm();
    // A mask's voxels end up to half a voxel before the lesion does.
    let near = |voxel: usize, lesion: usize| {
        let q = (centre(&chest.geometry, voxel) - centre(&chest.geometry, lesion)).abs();
        q.x <= reach_mm + 2.0 && q.y <= reach_mm + 2.0 && q.z <= reach_z_mm + 3.0
    };
    let mut changed = 0;
    for voxel in 0..before.samples.len() {
        if before.samples[voxel] == after.stored.samples[voxel] {
            continue;
        }
        changed += 1;
        assert!(
            before.stored(voxel) < after.stored.stored(voxel),
            "voxel {voxel} fell"
        );
        assert_ne!(chest.of(voxel), Tissue::Outside);
        assert!(
            after
                .masks
                .iter()
                .flatten()
                .any(|&lesion| near(voxel, lesion)),
            "voxel {voxel}"
        );
    }
    assert!(changed > 1000, "{changed}");
}

#[test]
fn a_vessel_runs_through_ground_glass_as_it_was() {
    let (mut stored, depth_mm) = even_lung(60, 0.8, -850);
    let in_vessel = |i: usize| (29..32).contains(&(i % 60)) && (29..32).contains(&(i / 60 % 60));
    let vessel: Vec<usize> = (0..stored.samples.len())
        .filter(|&i| in_vessel(i))
        .collect();
    for &voxel in &vessel {
        stored.samples[voxel] = 80;
    }
    let chest = Chest::new(&stored, &depth_mm);
    let after = with_ball(&stored, &chest, 12.0, -600.0, 16);
    assert!(vessel.iter().all(|&i| chest.of(i) == Tissue::Vessel));
    assert!(vessel.iter().all(|&i| after.stored(i) == 80));
    assert!((after.rescaled([30, 30, 34]) + 600.0).abs() < 1.0);
}

#[test]
fn attachments_are_what_the_truth_says() {
    let (stored, depth_mm) = &*LUNG;
    let chest = Chest::new(stored, depth_mm);
    let mut seen = Vec::new();
    for seed in 1..5 {
        let inserted = inserted(seed);
        for (nodule, mask) in inserted.truth.nodules.iter().zip(&inserted.masks) {
            let touches = |tissue| mask.iter().any(|&i| chest.adjoins(i, tissue));
            let found = [touches(Tissue::Outside), touches(Tissue::Vessel)];
            let attachment = as_inserted(nodule).attachment;
            match attachment {
                Attachment::Isolated => assert_eq!(found, [false, false]),
                Attachment::Juxtapleural => assert!(found[0]),
                Attachment::Juxtavascular => assert_eq!(found, [false, true]),
            }
            seen.push(attachment);
        }
    }
    for attachment in [
        Attachment::Isolated,
        Attachment::Juxtapleural,
        Attachment::Juxtavascular,
    ] {
        assert!(seen.contains(&attachment), "{attachment:?} never came");
    }
}

#[test]
fn lesions_stay_apart_from_each_other_and_from_known_nodules() {
    let (stored, depth_mm) = &*LUNG;
    let first = inserted(3).truth.nodules[0].clone();
    let known = Known {
        centroid_index_zyx: first.centroid_index_zyx,
        centroid_lps_mm: first.centroid_lps_mm,
        volume_mm3: first.volume_mm3,
        equivalent_diameter_mm: first.equivalent_diameter_mm,
    };
    let request = Request {
        known: vec![known],
        ..request(8, 3)
    };
    let inserted = insert(stored.clone(), &scan(depth_mm), &request).unwrap();
    let nodules = &inserted.truth.nodules;
    assert_eq!(
        (nodules.len(), nodules[8].readers, nodules[8].label),
        (9, 0, 9)
    );
    for (i, a) in nodules.iter().enumerate() {
        for b in &nodules[..i] {
            let apart_mm = DVec3::from(a.centroid_lps_mm).distance(b.centroid_lps_mm.into());
            let radii_mm = (a.equivalent_diameter_mm + b.equivalent_diameter_mm) / 2.0;
            assert!(
                apart_mm - radii_mm > 9.0,
                "{} and {}: {apart_mm}",
                a.label,
                b.label
            );
        }
    }
}

#[test]
fn lesions_have_the_attenuation_that_the_truth_says() {
    let inserted = inserted(4);
    let whole = inserted.truth.nodules.iter().zip(&inserted.masks);
    // Large enough that the scanner shows their middle unblurred, and of one attenuation.
    for (nodule, mask) in whole.filter(|(n, _)| n.equivalent_diameter_mm > 7.0) {
        let table = as_inserted(nodule);
        let middle = DVec3::from(nodule.centroid_lps_mm);
        let mut inner: Vec<f32> = mask
            .iter()
            .filter(|&&i| centre(&inserted.stored.geometry, i).distance(middle) < 1.6)
            .map(|&i| mix::hu(&inserted.stored, i))
            .collect();
        let wanted = table
            .core
            .map_or(table.value_hu, |core| core.value_hu.into());
        let found = f64::from(mix::median(&mut inner).unwrap());
        assert!(
            found > wanted - 160.0 && found < wanted + 200.0,
            "{found} {wanted} {nodule:?}"
        );
        assert!(table.contrast_hu >= 100.0);
    }
}

#[test]
fn the_same_seed_gives_the_same_values_and_another_seed_other_lesions() {
    let (once, again, other) = (inserted(5), inserted(5), inserted(6));
    assert!(once.stored == again.stored && once.truth == again.truth);
    assert_ne!(
        once.truth.series_instance_uid,
        other.truth.series_instance_uid
    );
    let first = |inserted: &Inserted| DVec3::from(inserted.truth.nodules[0].centroid_lps_mm);
    assert!(first(&once).distance(first(&other)) > 1.0);
}

#[test]
fn stored_values_stop_at_what_their_bits_hold() {
    let (stored, depth_mm) = even_lung(60, 0.8, -850);
    let chest = Chest::new(&stored, &depth_mm);
    let after = with_ball(&stored, &chest, 9.0, 1000.0, 10);
    let most = (0..after.samples.len()).map(|i| after.stored(i)).max();
    assert_eq!(most, Some(511));
}

#[test]
fn too_many_lesions_are_refused_with_how_many_had_room() {
    let (stored, depth_mm) = &*LUNG;
    let many = insert(stored.clone(), &scan(depth_mm), &request(200, 1)).unwrap_err();
    assert!(
        matches!(many, Error::NoRoomInLungs { placed, asked: 200, .. } if placed > 5),
        "{many}"
    );
    let none = insert(stored.clone(), &scan(depth_mm), &request(0, 1)).unwrap_err();
    assert_eq!(none.code(), "phantom-parameter-out-of-range");
}
