//! PET/CT phantoms read back by the reader and by the rules of SUV, which share no formula with what wrote them.

use hilum::dicom::{self, Series, Study};
use hilum::phantom::pet::{
    PetDefect, PetLesions, PetNoise, PetParams, PetPhantom, SuvBranch, TracerName, write_pet_ct,
};
use hilum::phantom::{Detail, Dose, Lesions, Params, WriteOptions};
use hilum::suv::{Policy, ReferenceRule, Suv};
use hilum::volume::StoredVolume;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const MAX_VOXELS: u64 = 1 << 24;

/// Decimal strings of slopes have 9 digits or more, and the pipeline's slopes are in single precision.
const ROUNDING: f64 = 1e-6;

/// A slab of the chest around heart and liver, quick to make.
fn slab() -> Params {
    Params {
        seed: 5,
        size: [30, 44, 44],
        spacing_mm: [4.0, 8.0, 8.0],
        centre_lps_mm: [0.0, 0.0, -70.0],
        dose: Dose::None,
        detail: Detail::Plain,
        lesions: Lesions::Count(0),
        ..Params::default()
    }
}

fn without_lesions() -> PetParams {
    PetParams {
        lesions: PetLesions::Count(0),
        ..PetParams::default()
    }
}

fn with(defect: PetDefect) -> PetParams {
    PetParams {
        defects: vec![defect],
        ..without_lesions()
    }
}

fn written(pet: &PetParams) -> (PetPhantom, TempDir) {
    let phantom = PetPhantom::new(&slab(), pet).expect("a phantom");
    let folder = tempfile::tempdir().expect("a folder");
    write_pet_ct(&phantom, folder.path(), WriteOptions::default()).expect("written");
    (phantom, folder)
}

fn studies(folder: &Path) -> Vec<Study> {
    dicom::read_paths(&[folder.to_owned()], &|_| ()).studies
}

/// The one PET series of a folder.
fn pet_of(folder: &Path) -> Option<Series> {
    let series = studies(&folder.join("pet"))
        .into_iter()
        .flat_map(|s| s.series);
    series.into_iter().find(|s| s.instances[0].modality == "PT")
}

/// SUV as the reader and the rules give it.
fn read(folder: &Path, policy: Policy) -> Result<(StoredVolume, Suv), hilum::Error> {
    let series = pet_of(folder).expect("a PET");
    let suv = Suv::new(&series.pet_images()?, policy)?;
    let mut stored = dicom::load(&series, MAX_VOXELS, None)?;
    suv.apply(&mut stored);
    Ok((stored, suv))
}

fn refusal(pet: &PetParams, policy: Policy) -> String {
    let (_, folder) = written(pet);
    match read(folder.path(), policy) {
        Ok(_) => "read".into(),
        Err(error) => error.code().into(),
    }
}

/// Every voxel is the phantom's, but for half a step of its slice.
fn assert_suv_of(phantom: &PetPhantom, stored: &StoredVolume) {
    let [slices, rows, columns] = phantom.truth.pet.shape_zyx;
    assert_eq!(stored.samples.len(), slices * rows * columns);
    for (i, &wanted) in phantom.suv().iter().enumerate() {
        let index = [i / columns / rows, i / columns % rows, i % columns];
        let (found, wanted) = (f64::from(stored.rescaled(index)), f64::from(wanted));
        let half_step = f64::from(stored.rescale[index[0]].slope) / 2.0;
        let allowed = half_step * (1.0 + 1e-4) + wanted.abs() * ROUNDING;
        assert!(
            (found - wanted).abs() <= allowed,
            "{index:?}: {found} is not {wanted}"
        );
    }
}

#[test]
fn the_rules_give_the_phantoms_suv_on_every_branch() {
    for branch in SuvBranch::ALL {
        let (phantom, folder) = written(&PetParams {
            branch,
            ..without_lesions()
        });
        let policy = match branch {
            SuvBranch::BqmlStartFrame => Policy::Lenient,
            _ => Policy::Strict,
        };
        let (stored, _) = read(folder.path(), policy).unwrap_or_else(|e| panic!("{branch:?}: {e}"));
        assert_suv_of(&phantom, &stored);
    }
}

#[test]
fn each_statement_of_the_reference_time_is_taken_by_its_own_rule() {
    for (branch, rule) in [
        (SuvBranch::BqmlStart, ReferenceRule::AcquisitionAtSeriesTime),
        (SuvBranch::BqmlStartSiemens, ReferenceRule::PrivateTime),
        (SuvBranch::BqmlStartGe, ReferenceRule::PrivateTime),
        (SuvBranch::BqmlStartFrame, ReferenceRule::FrameReference),
    ] {
        let (_, folder) = written(&PetParams {
            branch,
            ..without_lesions()
        });
        let (_, suv) = read(folder.path(), Policy::Lenient).expect("SUV");
        let decay = suv.branch.decay.expect("times");
        assert_eq!(decay.reference, Some(rule), "{branch:?}");
        for candidate in decay.candidates {
            let off = (candidate.suv_ratio - 1.0).abs();
            // GE counts to the begin of a frame, which the others do not know.
            assert!(off < 0.01, "{branch:?}: {candidate:?}");
        }
    }
    let branch = SuvBranch::BqmlStartFrame;
    let params = PetParams {
        branch,
        ..without_lesions()
    };
    assert_eq!(
        refusal(&params, Policy::Strict),
        "suv-reference-time-derived"
    );
}

#[test]
fn odd_pets_that_have_a_suv_have_the_phantoms() {
    for (defect, warning) in [
        (PetDefect::OneSlope, ""),
        (PetDefect::TimeOnly, ""),
        (PetDefect::DoseInMbq, "suv-dose-in-mbq"),
        (PetDefect::WeightInGrams, "suv-weight-in-grams"),
        (PetDefect::OverMidnight, "suv-administration-day-before"),
        (PetDefect::Uneven, ""),
        (PetDefect::OtherPatient, ""),
        (PetDefect::DaysApart, ""),
    ] {
        let (phantom, folder) = written(&with(defect));
        let (stored, suv) = read(folder.path(), Policy::Strict).expect("SUV");
        assert_suv_of(&phantom, &stored);
        let codes: Vec<_> = suv.warnings.iter().map(|w| w.code()).collect();
        let wanted: Vec<&str> = [warning].into_iter().filter(|w| !w.is_empty()).collect();
        assert_eq!(codes, wanted, "{defect:?}");
        assert_eq!(stored.slices.is_even(), defect != PetDefect::Uneven);
    }
}

#[test]
fn odd_pets_without_a_suv_are_refused_by_code() {
    for (defect, code) in [
        (PetDefect::MissingWeight, "suv-missing-attribute"),
        (PetDefect::MissingDose, "suv-missing-attribute"),
        (PetDefect::MissingHalfLife, "suv-missing-attribute"),
        (PetDefect::MissingInjection, "suv-missing-attribute"),
        (PetDefect::MissingUnits, "suv-missing-attribute"),
        (PetDefect::MissingTimes, "suv-no-reference-time"),
        (PetDefect::NoAttenuation, "suv-not-corrected"),
        (PetDefect::Intercept, "suv-bad-value"),
        (PetDefect::TwoTracers, "suv-several-tracers"),
        (PetDefect::MixedWeight, "suv-mixed-slices"),
    ] {
        assert_eq!(refusal(&with(defect), Policy::Lenient), code, "{defect:?}");
    }
}

#[test]
fn a_slice_whose_slope_is_no_number_is_left_out_by_the_reader() {
    let (phantom, folder) = written(&with(PetDefect::NanSlope));
    let series = pet_of(folder.path()).expect("a PET");
    let wanted = phantom.truth.pet.shape_zyx[0] - 1;
    assert_eq!(series.instances.len(), wanted);
}

#[test]
fn a_slope_of_zero_on_stored_uptake_is_refused_rather_than_read_as_none() {
    let (_, folder) = written(&with(PetDefect::ZeroSlope));
    let series = pet_of(folder.path()).expect("a PET");
    let refused = hilum::dicom::load(&series, 1 << 30, None).expect_err("refused");
    assert_eq!(refused.code(), "bad-value");
}

#[test]
fn negative_values_stay_where_the_scanner_keeps_them() {
    let (phantom, folder) = written(&with(PetDefect::Negative));
    assert!(phantom.suv().iter().any(|suv| *suv < -0.05));
    let (stored, _) = read(folder.path(), Policy::Strict).expect("SUV");
    assert!(stored.signed);
    assert_suv_of(&phantom, &stored);
}

#[test]
fn both_series_are_of_one_study_and_frame_unless_asked_otherwise() {
    let frames = |folder: &TempDir| {
        let studies = studies(folder.path());
        let series = studies.iter().flat_map(|study| &study.series);
        let frames = series.map(|s| s.instances[0].frame_of_reference_uid.clone());
        (studies.len(), frames.collect::<Vec<_>>())
    };
    let (_, folder) = written(&without_lesions());
    let (count, found) = frames(&folder);
    assert_eq!((count, found.len()), (1, 2));
    assert!(found[0].is_some() && found[0] == found[1]);
    let (_, folder) = written(&with(PetDefect::OtherFrame));
    let (count, found) = frames(&folder);
    assert!(count == 1 && found[0] != found[1]);
    let (_, folder) = written(&with(PetDefect::OtherStudy));
    assert_eq!(frames(&folder).0, 2);
}

#[test]
fn other_tracers_have_their_nuclide_and_a_spect_is_no_pet() {
    for (tracer, code) in [
        (TracerName::Fdg, "77004003"),
        (TracerName::Ga68Psma11, "35337001"),
        (TracerName::F18Psma1007, "77004003"),
    ] {
        let (phantom, folder) = written(&PetParams {
            tracer,
            ..without_lesions()
        });
        let series = pet_of(folder.path()).expect("a PET");
        let images = series.pet_images().expect("PET images");
        assert_eq!(images[0].tracers[0].nuclide.as_deref(), Some(code));
        let (stored, _) = read(folder.path(), Policy::Strict).expect("SUV");
        assert_suv_of(&phantom, &stored);
    }
    let tracer = TracerName::Tc99mSestamibi;
    let (_, folder) = written(&PetParams {
        tracer,
        ..without_lesions()
    });
    assert!(pet_of(folder.path()).is_none());
}

#[test]
fn the_reader_puts_every_slice_where_the_truth_has_it() {
    for defects in [vec![], vec![PetDefect::Uneven]] {
        let (phantom, folder) = written(&PetParams {
            defects,
            misregistration_mm: [3.0, -2.0, 5.0],
            ..without_lesions()
        });
        let (stored, _) = read(folder.path(), Policy::Strict).expect("SUV");
        for (slice, wanted) in phantom.truth.pet.slices_lps_mm.iter().enumerate() {
            let z = stored.slices.position(slice);
            let place = stored.geometry.to_lps_mm(glam::DVec3::new(0.0, 0.0, z));
            assert!((place.z - wanted).abs() < 1e-3, "{slice}: {place}");
            assert!(place.distance(phantom.position_lps_mm(slice)) < 1e-6);
        }
    }
}

/// Every file below a folder with its bytes, by path.
fn bytes(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for name in ["series", "pet"] {
        for entry in fs::read_dir(folder.join(name)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = format!("{name}/{}", path.file_name().unwrap_or_default().display());
            files.push((name, fs::read(path).expect("a file")));
        }
    }
    files.push((
        "truth".into(),
        fs::read(folder.join("truth.json")).expect("a truth"),
    ));
    files.sort();
    files
}

#[test]
fn the_same_parameters_give_the_same_bytes_and_another_seed_others() {
    let params = PetParams {
        lesions: PetLesions::Count(4),
        noise: PetNoise::LowCount,
        ..PetParams::default()
    };
    let (phantom, first) = written(&params);
    let (_, second) = written(&params);
    assert_eq!(bytes(first.path()), bytes(second.path()));
    let other = Params { seed: 6, ..slab() };
    let other = PetPhantom::new(&other, &params).expect("a phantom");
    assert_ne!(other.suv(), phantom.suv());
    assert_ne!(other.truth.pet.patient, phantom.truth.pet.patient);
}

#[test]
fn a_pair_replaces_a_former_phantom_and_leaves_other_files() {
    let (phantom, folder) = written(&without_lesions());
    fs::write(folder.path().join("mine.txt"), "kept").expect("written");
    let options = WriteOptions {
        overwrite: true,
        ..WriteOptions::default()
    };
    write_pet_ct(&phantom, folder.path(), options).expect("replaced");
    hilum::phantom::write_series(&phantom.ct, folder.path(), options).expect("replaced");
    assert!(!folder.path().join("pet").exists());
    assert!(folder.path().join("mine.txt").exists());
    fs::create_dir(folder.path().join("pet")).expect("a folder");
    fs::write(folder.path().join("pet/mine.txt"), "kept").expect("written");
    hilum::phantom::write_series(&phantom.ct, folder.path(), options).expect("replaced");
    assert!(folder.path().join("pet/mine.txt").exists());
}
