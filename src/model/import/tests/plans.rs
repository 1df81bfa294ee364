//! What of nnU-Net's plans and labels is refused, each by its own code.

use super::parity::copy;
use super::{import_error, nnunet, refusal, request};
use crate::model::import::{self, json, nnunet as reader, plans::Plan};
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;

fn plans(case: &str) -> Value {
    json::read(&nnunet(case).join("plans.json")).expect("testdata")
}

/// The refusal of a plan whose value at `place`, below the configuration, is another.
fn refused(case: &str, place: &str, value: Value) -> (&'static str, String) {
    let mut plans = plans(case);
    let place = format!("/configurations/3d_fullres/{place}");
    let (parent, key) = place.rsplit_once('/').expect("a place");
    let parent = plans.pointer_mut(parent).expect("a parent");
    parent[key] = value;
    import_error(Plan::read(&plans, "3d_fullres"))
}

#[test]
fn parts_that_do_not_run_here_are_refused_with_key_value_and_advice() {
    let network = "architecture/arch_kwargs";
    let cases = [
        ("previous_stage", json!("3d_lowres"), "import-cascade"),
        ("patch_size", json!([512, 512]), "import-2d"),
        (
            "preprocessor_name",
            json!("MyPreprocessor"),
            "import-preprocessing",
        ),
        (
            "normalization_schemes",
            json!(["RGBTo01Normalization"]),
            "import-normalization",
        ),
        (
            "resampling_fn_data",
            json!("resample_torch_fornnunet"),
            "import-resampling",
        ),
        (
            "resampling_fn_data_kwargs/order",
            json!(1),
            "import-resampling",
        ),
        (
            "resampling_fn_probabilities_kwargs/order_z",
            json!(1),
            "import-resampling",
        ),
        (
            "resampling_fn_data_kwargs/force_separate_z",
            json!(false),
            "import-resampling",
        ),
        (
            "architecture/network_class_name",
            json!("mine.SwinUNETR"),
            "import-architecture",
        ),
        (
            &format!("{network}/conv_op"),
            json!("torch.nn.Conv2d"),
            "import-convolution",
        ),
        (
            &format!("{network}/norm_op"),
            json!("torch.nn.GroupNorm"),
            "import-norm",
        ),
        (
            &format!("{network}/norm_op_kwargs"),
            json!({"eps": 1e-3}),
            "import-norm",
        ),
        (
            &format!("{network}/nonlin"),
            json!("torch.nn.ReLU"),
            "import-activation",
        ),
        (
            &format!("{network}/nonlin_kwargs"),
            json!({"negative_slope": 0.2}),
            "import-activation",
        ),
        (
            &format!("{network}/nonlin_first"),
            json!(true),
            "import-norm",
        ),
    ];
    for (place, value, code) in cases {
        let (found, text) = refused("plain", place, value.clone());
        assert_eq!(found, code, "{place}: {text}");
        let key = place.rsplit('/').next().expect("a key");
        assert!(text.contains(key), "{place}: {text}");
    }
    for (key, value) in [
        ("block", json!("mine.BottleneckD")),
        ("stem_channels", json!(7)),
        ("squeeze_excitation", json!(true)),
        ("bottleneck_channels", json!([1, 1, 1])),
    ] {
        let (found, text) = refused("residual", &format!("{network}/{key}"), value);
        assert!(found == "import-block" && text.contains(key), "{text}");
    }
}

#[test]
fn missing_keys_and_wrong_types_are_refused_by_file_and_key() {
    for (place, value, wanted) in [
        ("spacing", Value::Null, "spacing is missing"),
        (
            "spacing",
            json!([1.0, "a", 1.0]),
            "spacing.1 is \"a\"; a number is needed",
        ),
        ("patch_size", json!([64, 64.5, 64]), "patch_size.1 is 64.5"),
        ("patch_size", json!([1e300, 1, 1]), "patch_size.0"),
        (
            "architecture/arch_kwargs/n_stages",
            json!(3),
            "a list of 3 is needed",
        ),
        (
            "architecture/arch_kwargs/kernel_sizes",
            json!({}),
            "kernel_sizes is {}",
        ),
    ] {
        let (code, text) = refused("plain", place, value);
        assert_eq!(code, "import-invalid", "{text}");
        assert!(
            text.starts_with("plans.json: ") && text.contains(wanted),
            "{text}"
        );
    }
}

#[test]
fn a_configuration_inherits_and_may_not_inherit_from_itself() {
    let mut plans = plans("plain");
    plans["configurations"]["more"] =
        json!({"inherits_from": "3d_fullres", "patch_size": [32, 32, 48]});
    let found = Plan::read(&plans, "more").expect("valid");
    assert_eq!((found.patch, found.spacing_mm), ([32, 32, 48], [1.5; 3]));
    plans["configurations"]["more"]["inherits_from"] = json!("more");
    let (code, text) = import_error(Plan::read(&plans, "more"));
    assert!(
        code == "import-invalid" && text.contains("inherits from itself"),
        "{text}"
    );
    let (code, text) = import_error(Plan::read(&plans, "3d_half"));
    assert!(
        code == "import-configuration" && text.contains("3d_fullres, more"),
        "{text}"
    );
}

#[test]
fn the_configuration_is_that_of_the_folder_s_name_and_else_asked_for() {
    let dir = tempfile::tempdir().expect("folder");
    let run = |name: &str| {
        let folder = dir.path().join(name);
        copy(&nnunet("batch"), &folder);
        let mut asked = request(&folder, &["lesion"], dir.path());
        asked.configuration = None;
        reader::read(&asked, "mine", &AtomicBool::new(false)).map(drop)
    };
    run("nnUNetTrainerBN__nnUNetPlans__3d_lowres").expect("named");
    let (code, text) = refusal(run("batch"));
    assert_eq!(code, "import-configuration");
    assert!(
        text.contains("3d_cascade_fullres, 3d_fullres, 3d_lowres"),
        "{text}"
    );
    assert_eq!(refusal(run("a__b__3d_cascade_fullres")).0, "import-cascade");
}

#[test]
fn a_channel_whose_modality_nobody_says_and_one_that_is_no_ct_are_refused() {
    let dir = tempfile::tempdir().expect("folder");
    let mut asked = request(&nnunet("residual"), &["organ", "lesion"], dir.path());
    for (modalities, found) in [(vec![], "zscore"), (vec!["MR".to_owned()], "MR")] {
        asked.modalities = modalities;
        let (code, text) = refusal(reader::read(&asked, "mine", &AtomicBool::new(false)).map(drop));
        assert_eq!(code, "import-modality");
        assert!(
            text.contains(&format!("channel_names.0 is {found}")),
            "{text}"
        );
    }
}

#[test]
fn a_reader_that_turns_images_says_what_it_turns_them_to_and_an_unknown_one_is_refused() {
    let mut plans = plans("reoriented");
    let plan = Plan::read(&plans, "3d_fullres").expect("valid");
    assert_eq!(plan.orientation, "RAS");
    plans["image_reader_writer"] = json!("Tiff3DIO");
    let (code, text) = import_error(Plan::read(&plans, "3d_fullres"));
    assert!(
        code == "import-reader" && text.contains("Tiff3DIO"),
        "{text}"
    );
}

#[test]
fn a_pet_channel_whose_unit_matters_must_be_said_to_be_in_bq_per_ml() {
    let dir = tempfile::tempdir().expect("folder");
    let mut asked = request(&nnunet("batch"), &["lesion"], dir.path());
    asked.configuration = Some("3d_lowres".into());
    asked.pet_in_bqml = false;
    let (code, text) = refusal(reader::read(&asked, "mine", &AtomicBool::new(false)).map(drop));
    assert!(
        code == "import-unit" && text.contains("channel_names.1"),
        "{text}"
    );
}

#[test]
fn labels_without_terms_are_refused_and_the_template_names_them() {
    let dir = tempfile::tempdir().expect("folder");
    let mut asked = request(&nnunet("anisotropic"), &[], dir.path());
    asked.labels = None;
    let out = dir.path().join("mine");
    let (code, text) = refusal(import::import(&asked, &out, false, &AtomicBool::new(false)));
    assert!(
        code == "import-labels" && text.contains("organ, lesion"),
        "{text}"
    );
    let template = import::labels_template(&asked.source).expect("written");
    assert!(template.contains("name = \"organ\"") && template.contains("value = \"\""));
}
