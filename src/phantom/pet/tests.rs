//! The PET as a whole: uptake, resolution, noise, lesions and what the CT shows of them.

use super::super::{Dose, LesionShape, Lesions};
use super::*;
use glam::DVec3;

/// A whole chest on a coarse grid, quick to make.
fn chest(seed: u64) -> Params {
    Params {
        seed,
        size: [74, 90, 90],
        spacing_mm: [4.0; 3],
        detail: Detail::Plain,
        dose: Dose::None,
        lesions: Lesions::Count(0),
        ..Params::default()
    }
}

fn of(lesions: Vec<PetLesionSpec>) -> PetParams {
    PetParams {
        noise: PetNoise::None,
        lesions: PetLesions::List(lesions),
        ..PetParams::default()
    }
}

fn made(ct: &Params, pet: &PetParams) -> PetPhantom {
    PetPhantom::new(ct, pet).unwrap()
}

/// SUV of the voxel nearest to a place of the PET.
fn suv_at(phantom: &PetPhantom, place_lps_mm: [f64; 3]) -> f32 {
    let [slices, ny, nx] = phantom.image.size();
    let voxel_mm = phantom.params().voxel_mm;
    let index = (DVec3::from(place_lps_mm) - phantom.position_lps_mm(0)) / voxel_mm;
    let [x, y, z] = index.round().to_array().map(|v| v as usize);
    assert!(z < slices && y < ny && x < nx);
    phantom.suv()[(z * ny + y) * nx + x]
}

/// Uptake of `with` beyond that of `without`, SUV · mm³, and where its middle is.
fn surplus(with: &PetPhantom, without: &PetPhantom) -> (f64, DVec3) {
    let [_, ny, nx] = with.image.size();
    let voxel_mm = with.params().voxel_mm;
    let (mut sum, mut moment) = (0.0, DVec3::ZERO);
    for (i, (a, b)) in with.suv().iter().zip(without.suv()).enumerate() {
        let index = DVec3::new((i % nx) as f64, (i / nx % ny) as f64, 0.0);
        let part = f64::from(a - b) * voxel_mm.powi(3);
        sum += part;
        moment += (with.position_lps_mm(i / nx / ny) + index * voxel_mm) * part;
    }
    (sum, moment / sum)
}

#[test]
fn the_ct_of_a_pair_is_the_chest_that_is_made_alone() {
    let ct = chest(3);
    let pair = made(&ct, &of(Vec::new()));
    assert_eq!(pair.ct.stored, Phantom::new(&ct).unwrap().stored);
}

#[test]
fn a_lesion_adds_its_volume_times_its_uptake_at_its_place() {
    for shape in [LesionShape::Sphere, LesionShape::Ellipsoid] {
        let spec = PetLesionSpec {
            shape,
            ..PetLesionSpec::sphere(PetPlace::Liver, 24.0, 9.0)
        };
        let shifted = PetParams {
            misregistration_mm: [4.0, -7.0, 9.0],
            ..of(vec![spec])
        };
        let with = made(&chest(4), &shifted);
        let without = PetParams {
            lesions: PetLesions::Count(0),
            ..shifted
        };
        let without = made(&chest(4), &without);
        let lesion = &with.truth.pet.lesions[0];
        let liver = f64::from(with.truth.pet.liver_suv);
        let (sum, middle) = surplus(&with, &without);
        let volume_mm3 = sum / (lesion.suv - liver);
        assert!(
            (volume_mm3 / lesion.volume_mm3 - 1.0).abs() < 0.02,
            "{volume_mm3}"
        );
        let off_mm = middle.distance(lesion.centroid_lps_mm.into());
        assert!(off_mm < 0.1, "{off_mm}");
        let shift = DVec3::from(lesion.centroid_lps_mm) - DVec3::from(lesion.ct_centroid_lps_mm);
        assert!(shift.distance(DVec3::new(4.0, -7.0, 9.0)) < 2e-3);
    }
}

#[test]
fn a_large_lesion_shows_its_true_uptake_and_a_small_one_less() {
    let large = PetLesionSpec::sphere(PetPlace::Liver, 36.0, 10.0);
    let small = PetLesionSpec::sphere(PetPlace::Mediastinum, 8.0, 10.0);
    let phantom = made(&chest(2), &of(vec![large, small]));
    let [large, small] = [0, 1].map(|i| phantom.truth.pet.lesions[i].image_suv_max);
    assert!((large - 10.0).abs() < 0.15, "{large}");
    assert!((2.0..7.5).contains(&small), "{small}");
}

#[test]
fn a_point_is_as_wide_as_the_resolution_says() {
    let geometry = made(&chest(1), &of(Vec::new())).image.geometry;
    let size = [40, 40, 40];
    let mut fine = crate::volume::Volume {
        geometry: crate::volume::Geometry { size, ..geometry },
        voxels: vec![0.0; 40 * 40 * 40],
    };
    fine.voxels[(20 * 40 + 20) * 40 + 20] = 1.0;
    let params = PetParams {
        voxel_mm: 2.0,
        fwhm_mm: 7.0,
        ..PetParams::default()
    };
    let starts = scanner::first_planes(40, false);
    let seen = scanner::imaged(&mut fine, &params, &starts);
    let total: f32 = seen.iter().sum();
    assert!((total * 8.0 - 1.0).abs() < 1e-5, "{total}");
    let variance = |axis: usize| {
        let stride = [1, 40, 1600][axis];
        let along =
            |i: usize| f64::from(fine.voxels[20 * (1 + 40 + 1600) - 20 * stride + i * stride]);
        let sum: f64 = (0..40).map(along).sum();
        (0..40)
            .map(|i| along(i) * (i as f64 - 20.0).powi(2))
            .sum::<f64>()
            / sum
    };
    for axis in 0..3 {
        let fwhm_mm = variance(axis).sqrt() * 2.354_82;
        assert!((fwhm_mm - 7.0).abs() < 0.02, "{fwhm_mm}");
    }
}

#[test]
fn organs_have_the_uptake_that_the_truth_states() {
    let phantom = made(&chest(7), &of(Vec::new()));
    let truth = &phantom.truth.pet;
    let near = |place, wanted: f32| {
        let found = suv_at(&phantom, place);
        assert!(
            (found / wanted - 1.0).abs() < 0.08,
            "{place:?}: {found} is not {wanted}"
        );
    };
    near([-80.0, 0.0, -130.0], truth.liver_suv);
    near([25.0, 45.0, -60.0], truth.blood_pool_suv);
    assert!(suv_at(&phantom, [-75.0, 0.0, -25.0]) < 0.7, "lung");
    assert!(suv_at(&phantom, [0.0, -150.0, -25.0]) < 0.01, "air");
    assert!(suv_at(&phantom, [0.0, 125.0, -25.0]) < 0.05, "table");
    let names: Vec<_> = truth.physiologic.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["myocardium", "liver", "stomach", "spleen"]);
    assert!((1.3..=3.0).contains(&truth.liver_suv));
}

#[test]
fn noise_in_the_liver_is_that_of_the_level() {
    let noisy = PetParams {
        noise: PetNoise::LowCount,
        ..of(Vec::new())
    };
    let (noisy, still) = (made(&chest(7), &noisy), made(&chest(7), &of(Vec::new())));
    let liver = still.truth.pet.liver_suv;
    let pairs = noisy.suv().iter().zip(still.suv());
    let off: Vec<f32> = pairs
        .filter(|(_, still)| (*still / liver - 1.0).abs() < 0.02)
        .map(|(noisy, still)| noisy / still - 1.0)
        .collect();
    assert!(off.len() > 2000, "{}", off.len());
    let sigma = (off.iter().map(|v| v * v).sum::<f32>() / off.len() as f32).sqrt();
    assert!((sigma - 0.2).abs() < 0.02, "{sigma}");
}

#[test]
fn every_seed_places_its_lesions_apart_or_touching_and_in_ct_as_well() {
    for seed in 1..=6 {
        let pet = PetParams {
            noise: PetNoise::None,
            ..PetParams::default()
        };
        let phantom = made(&chest(seed), &pet);
        let truth = &phantom.truth;
        let lesions = &truth.pet.lesions;
        assert_eq!(lesions.len(), 8, "seed {seed}");
        assert!(lesions.iter().any(|l| l.touches.is_some()), "seed {seed}");
        for (i, a) in lesions.iter().enumerate() {
            assert!((11.9..32.1).contains(&a.equivalent_diameter_mm), "{a:?}");
            for b in &lesions[..i] {
                let middles = DVec3::from(a.centroid_lps_mm).distance(b.centroid_lps_mm.into());
                let radii = (a.equivalent_diameter_mm + b.equivalent_diameter_mm) / 2.0;
                match a.touches == Some(b.label) {
                    true => assert!((middles - radii).abs() < 0.01, "seed {seed}: {a:?} {b:?}"),
                    false => assert!(middles > radii + 11.9, "seed {seed}: {a:?} {b:?}"),
                }
            }
            if let Some(label) = a.nodule {
                let nodule = &truth.ct.nodules[label - 1];
                let off = DVec3::from(nodule.centroid_lps_mm) - DVec3::from(a.ct_centroid_lps_mm);
                assert!(off.length() < 1e-9);
            }
        }
        assert!(!truth.ct.nodules.is_empty(), "seed {seed}");
    }
}

#[test]
fn ct_shows_a_node_in_the_fat_of_the_mediastinum() {
    let spec = PetLesionSpec::sphere(PetPlace::Axilla, 20.0, 8.0);
    let phantom = made(&chest(3), &of(vec![spec]));
    let stored = &phantom.ct.stored;
    let lesion = &phantom.truth.pet.lesions[0];
    let to_index = stored.geometry.lps_to_index();
    let index = to_index.transform_point3(lesion.ct_centroid_lps_mm.into());
    let [x, y, z] = index.round().to_array().map(|v| v as usize);
    let hu = stored.rescaled([z, y, x]);
    assert!((hu - 42.0).abs() < 3.0, "{hu}");
}

/// The body is large: its grid is coarse here.
fn body(seed: u64) -> (Params, PetParams) {
    let pet = PetParams {
        extent: Extent::Body,
        voxel_mm: 6.0,
        noise: PetNoise::None,
        lesions: PetLesions::Count(12),
        ..PetParams::default()
    };
    let mut ct = chest(seed);
    pet.extent.prepare(&mut ct);
    ct.size = [172, 86, 86];
    ct.spacing_mm = [6.0; 3];
    (ct, pet)
}

#[test]
fn a_body_has_its_organs_from_the_brain_to_the_bladder() {
    let (ct, pet) = body(2);
    let phantom = made(&ct, &pet);
    let truth = &phantom.truth.pet;
    for (name, count) in [
        ("brain", 2),
        ("parotid", 2),
        ("submandibular", 2),
        ("tonsil", 2),
        ("myocardium", 1),
        ("liver", 1),
        ("spleen", 1),
        ("stomach", 1),
        ("kidney", 2),
        ("bladder", 1),
        ("bowel", 13),
        ("injection-site", 1),
    ] {
        let found = truth.physiologic.iter().filter(|o| o.name == name).count();
        assert_eq!(found, count, "{name}");
    }
    for organ in &truth.physiologic {
        let at = suv_at(&phantom, organ.centre_lps_mm);
        if ["brain", "kidney", "bladder"].contains(&organ.name.as_str()) {
            assert!((at / organ.suv - 1.0).abs() < 0.12, "{organ:?}: {at}");
        }
    }
    assert_eq!(truth.lesions.len(), 12);
    let places = |place| truth.lesions.iter().filter(|l| l.place == place).count();
    assert!(places(PetPlace::BesideBladder) > 0 && places(PetPlace::Neck) > 0);
}

#[test]
fn the_chest_within_a_body_is_the_chest_alone() {
    let (ct, pet) = body(2);
    let pet = PetParams {
        lesions: PetLesions::Count(0),
        ..pet
    };
    let (body, alone) = (made(&ct, &pet).ct.stored, Phantom::new(&ct).unwrap().stored);
    let [_, ny, nx] = ct.size;
    let mut differing = 0;
    for (i, (a, b)) in body.samples.iter().zip(&*alone.samples).enumerate() {
        let index = DVec3::new((i % nx) as f64, (i / nx % ny) as f64, (i / nx / ny) as f64);
        let p = body.geometry.to_lps_mm(index);
        let is_chest = (-190.0..100.0).contains(&p.z) && p.x.abs() < 100.0;
        differing += usize::from(is_chest && a != b);
    }
    assert_eq!(differing, 0);
}

#[test]
fn a_place_that_is_not_there_and_a_lesion_without_room_are_refused() {
    let refused = |specs| PetPhantom::new(&chest(1), &of(specs)).unwrap_err().code();
    let neck = PetLesionSpec::sphere(PetPlace::Neck, 12.0, 8.0);
    assert_eq!(refused(vec![neck]), "phantom-parameter-out-of-range");
    let alone = PetLesionSpec {
        touching: true,
        ..PetLesionSpec::sphere(PetPlace::Liver, 12.0, 8.0)
    };
    assert_eq!(refused(vec![alone]), "phantom-parameter-out-of-range");
    let hila = vec![PetLesionSpec::sphere(PetPlace::Hilum, 30.0, 8.0); 4];
    assert_eq!(refused(hila), "phantom-uptake-has-no-room");
    let absurd = PetParams {
        fwhm_mm: f64::NAN,
        ..PetParams::default()
    };
    let error = PetPhantom::new(&chest(1), &absurd).unwrap_err();
    assert!(error.to_string().contains("fwhm_mm"), "{error}");
}

#[test]
fn a_truth_is_read_back_as_it_was_written() {
    let phantom = made(&chest(1), &PetParams::default());
    let json = serde_json::to_string(&phantom.truth).unwrap();
    let read: PetCtTruth = serde_json::from_str(&json).unwrap();
    assert_eq!(read, phantom.truth);
    let again = PetPhantom::new(&read.ct.params, &read.pet.params).unwrap();
    assert_eq!(again.truth, phantom.truth);
}
