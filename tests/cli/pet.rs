//! PET: uptake by rules beside the nodules of its CT, in one report; what is refused and why.

use super::{findings, hilum, names};
use hilum::phantom::pet::{
    PetDefect, PetLesions, PetNoise, PetParams, PetPhantom, TracerName, write_pet_ct,
};
use hilum::phantom::{Detail, Dose, Lesions, Params, WriteOptions};
use serde_json::Value;
use std::path::Path;
use tempfile::{TempDir, tempdir};

/// The heart of the chest and the liver's top, coarse and without noise.
fn chest() -> Params {
    Params {
        seed: 5,
        size: [60, 88, 88],
        spacing_mm: [4.0; 3],
        dose: Dose::None,
        detail: Detail::Plain,
        lesions: Lesions::Count(0),
        ..Params::default()
    }
}

fn pet() -> PetParams {
    PetParams {
        lesions: PetLesions::Count(3),
        noise: PetNoise::None,
        diameter_mm: [22.0, 30.0],
        suv: [9.0, 14.0],
        ..PetParams::default()
    }
}

fn written(pet: &PetParams) -> (PetPhantom, TempDir) {
    let phantom = PetPhantom::new(&chest(), pet).expect("a phantom");
    let folder = tempdir().expect("a folder");
    write_pet_ct(&phantom, folder.path(), WriteOptions::default()).expect("written");
    (phantom, folder)
}

/// The findings of one study in a folder.
fn processed(folder: &Path) -> Value {
    let out = tempdir().expect("a folder");
    let mut command = hilum();
    command
        .arg("process")
        .arg(folder)
        .arg("--out")
        .arg(out.path());
    command.args(["--device", "cpu"]).assert().code(0);
    let uid = names(out.path()).remove(0);
    findings(out.path(), &uid)
}

/// The runs of the rules.
fn uptake_runs(findings: &Value) -> Vec<&Value> {
    let series = findings["series"].as_array().expect("series").iter();
    series.filter(|s| s["model"] == "pet-uptake").collect()
}

fn of_kind<'a>(findings: &'a Value, kind: &str) -> Vec<&'a Value> {
    let lesions = findings["lesions"].as_array().expect("lesions").iter();
    lesions.filter(|l| l["kind"] == kind).collect()
}

fn position(lesion: &Value, key: &str) -> [f64; 3] {
    serde_json::from_value(lesion[key].clone()).expect("three numbers")
}

#[test]
fn lesions_of_a_pet_ct_are_found_where_they_are_and_measured_as_the_segment_is() {
    let (phantom, folder) = written(&pet());
    let findings = processed(folder.path());
    assert_eq!(uptake_runs(&findings)[0]["status"], "done");
    let found = of_kind(&findings, "pet-lesion");
    for lesion in &phantom.truth.pet.lesions {
        let near = |found: &&&Value| {
            let at = position(found, "centroid_lps_mm");
            let apart = (0..3).map(|k| (at[k] - lesion.centroid_lps_mm[k]).powi(2));
            apart.sum::<f64>().sqrt() <= lesion.equivalent_diameter_mm / 2.0
        };
        let found = found.iter().find(near).expect("found");
        let ml = found["pet"]["mtv_ml"].as_f64().expect("a volume");
        let mm3 = found["volume_mm3"].as_f64().expect("a volume");
        assert!((ml * 1000.0 / mm3 - 1.0).abs() < 1e-9);
    }
}

#[test]
fn what_is_found_on_the_ct_has_its_uptake_on_a_pet_of_the_same_place_alone() {
    let mut nodules = 0;
    for (misregistration_mm, is_measured) in [([0.0; 3], true), ([0.0, 0.0, 32.0], false)] {
        let params = PetParams {
            misregistration_mm,
            ..pet()
        };
        let (phantom, folder) = written(&params);
        let findings = processed(folder.path());
        for nodule in of_kind(&findings, "lung-nodule") {
            let on_pet = &nodule["on_pet"]["suv_max"];
            assert_eq!(on_pet.is_number(), is_measured, "{nodule}");
            let at = position(nodule, "centroid_lps_mm");
            let near = |centre: &[f64; 3]| (0..3).all(|k| (at[k] - centre[k]).abs() <= 8.0);
            let mut lesions = phantom.truth.pet.lesions.iter();
            if let Some(lesion) = lesions.find(|l| is_measured && near(&l.ct_centroid_lps_mm)) {
                let suv_max = on_pet.as_f64().expect("an SUV");
                assert!(
                    (suv_max / lesion.image_suv_max - 1.0).abs() < 0.05,
                    "{suv_max}"
                );
                nodules += 1;
            }
        }
    }
    assert!(nodules > 0, "no lesion was found on the CT");
}

/// Codes of the warnings of a study.
fn warnings(findings: &Value) -> Vec<&str> {
    let warnings = findings["warnings"].as_array().expect("warnings").iter();
    warnings.filter_map(|w| w["code"].as_str()).collect()
}

#[test]
fn a_pet_alone_is_searched() {
    let (_, folder) = written(&pet());
    let alone = processed(&folder.path().join("pet"));
    assert!(!of_kind(&alone, "pet-lesion").is_empty());
    assert_eq!(uptake_runs(&alone).len(), 1);
    assert!(!warnings(&alone).contains(&"pet-without-ct"));
}

#[test]
fn a_ct_that_does_not_show_the_patient_where_the_pet_does_is_said_not_to_help() {
    let other_frame = PetParams {
        defects: vec![PetDefect::OtherFrame],
        ..pet()
    };
    let moved = PetParams {
        misregistration_mm: [0.0, 0.0, 32.0],
        ..pet()
    };
    let together = pet();
    let cases = [
        (other_frame, Some("pet-without-ct")),
        (moved, Some("pet-misaligned")),
        (together, None),
    ];
    for (params, code) in cases {
        let (_, folder) = written(&params);
        let findings = processed(folder.path());
        assert!(!of_kind(&findings, "pet-lesion").is_empty());
        let said = warnings(&findings);
        let said = said.iter().find(|code| code.starts_with("pet-"));
        assert_eq!(said.copied(), code);
    }
}

#[test]
fn a_pet_without_a_suv_or_of_another_tracer_is_skipped_by_code() {
    let missing = PetParams {
        defects: vec![PetDefect::MissingWeight],
        ..pet()
    };
    let other = PetParams {
        tracer: TracerName::Ga68Psma11,
        ..pet()
    };
    for (params, code) in [
        (missing, "suv-missing-attribute"),
        (other, "tracer-not-fdg"),
    ] {
        let (_, folder) = written(&params);
        let findings = processed(folder.path());
        let run = uptake_runs(&findings)[0];
        assert_eq!(
            (&run["status"], &run["reason"]["code"]),
            (&"skipped".into(), &code.into())
        );
        assert!(of_kind(&findings, "pet-lesion").is_empty());
    }
}
