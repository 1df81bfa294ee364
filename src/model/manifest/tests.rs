//! What a `model.toml` may say, and what is refused by its key.

use super::*;

const PLAIN: &str = include_str!("../../../testdata/unet/deep.toml");

/// The manifest with one line replaced.
fn with(line: &str, replacement: &str) -> Result<Manifest, Error> {
    assert!(PLAIN.contains(line), "the manifest holds {line}");
    Manifest::parse(&PLAIN.replace(line, replacement))
}

fn refused_key(line: &str, replacement: &str) -> String {
    match with(line, replacement) {
        Err(Error::OutOfRange { key, .. }) => key.to_owned(),
        other => panic!("{replacement}: {other:?}"),
    }
}

#[test]
fn a_manifest_is_valid_and_survives_a_round_trip() {
    let manifest = Manifest::parse(PLAIN).expect("valid");
    let text = toml::to_string(&manifest).expect("serialises");
    assert_eq!(Manifest::parse(&text).expect("valid again"), manifest);
}

#[test]
fn an_unknown_key_is_refused() {
    let refused = with("format = 1", "format = 1\nspeed = 9");
    assert!(matches!(refused, Err(Error::Manifest { message }) if message.contains("speed")));
}

#[test]
fn a_value_out_of_range_is_refused_by_its_key() {
    assert_eq!(refused_key("format = 1", "format = 2"), "format");
    assert_eq!(
        refused_key("patch = [8, 8, 12]", "patch = [8, 8, 11]"),
        "input.patch"
    );
    assert_eq!(
        refused_key("patch = [8, 8, 12]", "patch = [0, 8, 12]"),
        "input.patch"
    );
    assert_eq!(
        refused_key("divide = 700.0", "divide = nan"),
        "input.channels.normalization.divide"
    );
    assert_eq!(
        refused_key(
            "spacing_mm = [1.0, 1.0, 1.0]",
            "spacing_mm = [1.0, 0.0, 1.0]"
        ),
        "input.spacing_mm"
    );
    assert_eq!(
        refused_key("step_fraction = 0.625", "step_fraction = 0.0"),
        "input.step_fraction"
    );
    assert_eq!(
        refused_key("channels = [3, 4, 5, 6]", "channels = [3, 4, 5]"),
        "network.kernels"
    );
    assert_eq!(
        refused_key("channels = [3, 4, 5, 6]", "channels = []"),
        "network.channels"
    );
    assert_eq!(
        refused_key("decoder_convs = [2, 2, 2]", "decoder_convs = [2, 2]"),
        "network.decoder_convs"
    );
    assert_eq!(
        refused_key("activation = \"sigmoid\"", "activation = \"softmax\""),
        "network.classes"
    );
}

#[test]
fn what_a_grid_along_the_patients_axes_cannot_do_is_refused_by_its_key() {
    let scheme =
        "scheme = \"window\", lower = -1000.0, upper = 400.0, subtract = -300.0, divide = 700.0";
    assert_eq!(
        refused_key(scheme, "scheme = \"z-score\""),
        "input.channels"
    );
    let patient = "kind = \"patient\", interpolation = \"trilinear\"";
    let lungs = refused_key(patient, "kind = \"source\"");
    assert_eq!(lungs, "intended_use.requires_lungs");
}

const CLASSIFIER: &str = r#"
[classifier]
folds = 2
patch = [16, 16, 24]
channels = [4, 6]
kernels = [[3, 3, 3], [1, 3, 3]]
strides = [[1, 2, 2], [2, 2, 2]]
convs = [1, 2]
mirror_axes = [2]
types = ["solid", "part-solid", "ground-glass"]
calibration = { scale = 0.7, offset = -0.3 }
bands = { high = 0.8, intermediate = 0.5 }
review = { lower = 0.3, upper = 0.7, max_spread = 2.0, max_novelty = 30.0, max_input_novelty = 4.0 }
"#;

/// The manifest with a classifier, of which one line is replaced.
fn classified(line: &str, replacement: &str) -> Result<Manifest, Error> {
    assert!(CLASSIFIER.contains(line), "{line}");
    Manifest::parse(&(PLAIN.to_owned() + &CLASSIFIER.replace(line, replacement)))
}

#[test]
fn a_classifier_survives_a_round_trip_and_a_model_may_have_none() {
    assert_eq!(Manifest::parse(PLAIN).expect("valid").classifier, None);
    let manifest = classified("folds = 2", "folds = 3").expect("valid");
    let spec = manifest.classifier.as_ref().expect("there");
    assert_eq!((spec.folds, spec.outputs(), spec.features()), (3, 4, 12));
    assert_eq!(spec.total_stride(), [2, 4, 4]);
    let text = toml::to_string(&manifest).expect("serialises");
    assert_eq!(Manifest::parse(&text).expect("valid again"), manifest);
    let alone = classified("mirror_axes = [2]\ntypes =", "# types =").expect("valid");
    assert_eq!(alone.classifier.expect("there").outputs(), 1);
}

#[test]
fn what_a_classifier_cannot_be_is_refused_by_its_key() {
    for (line, replacement, wanted) in [
        ("folds = 2", "folds = 0", "classifier.folds"),
        ("[16, 16, 24]", "[16, 16, 22]", "classifier.patch"),
        ("[16, 16, 24]", "[0, 16, 24]", "classifier.patch"),
        ("[16, 16, 24]", "[256, 256, 256]", "classifier.patch"),
        ("[4, 6]", "[]", "classifier.channels"),
        ("[4, 6]", "[4, 0]", "classifier.channels"),
        ("[4, 6]", "[4, 6, 8]", "classifier.kernels"),
        ("[1, 3, 3]", "[1, 2, 3]", "classifier.kernels"),
        ("[1, 2, 2]", "[1, 2, 5]", "classifier.strides"),
        ("[1, 2]\n", "[1, 0]\n", "classifier.convs"),
        ("axes = [2]", "axes = [2, 2]", "classifier.mirror_axes"),
        ("\"part-solid\"", "\"solid\"", "classifier.types"),
        (
            "scale = 0.7",
            "scale = -0.7",
            "classifier.calibration.scale",
        ),
        (
            "offset = -0.3",
            "offset = nan",
            "classifier.calibration.offset",
        ),
        ("high = 0.8", "high = 0.4", "classifier.bands"),
        ("high = 0.8", "high = 1.8", "classifier.bands"),
        ("upper = 0.7", "upper = 0.2", "classifier.review.upper"),
        ("lower = 0.3", "lower = -0.3", "classifier.review.upper"),
        (
            "max_spread = 2.0",
            "max_spread = -1.0",
            "classifier.review.max_spread",
        ),
        (
            "max_novelty = 30.0",
            "max_novelty = nan",
            "classifier.review.max_novelty",
        ),
    ] {
        match classified(line, replacement) {
            Err(Error::OutOfRange { key, .. }) => assert_eq!(key, wanted, "{replacement}"),
            other => panic!("{replacement}: {other:?}"),
        }
    }
    for unknown in ["\"solid\"", "folds = 2"] {
        let refused = classified(
            unknown,
            &unknown
                .replace("solid", "calcified")
                .replace("folds", "speed"),
        );
        assert!(matches!(refused, Err(Error::Manifest { .. })), "{unknown}");
    }
}

#[test]
fn only_nodules_and_nodes_on_the_patients_grid_are_classified() {
    let refused = |from: &str, to: &str| {
        let text = (PLAIN.to_owned() + CLASSIFIER).replace(from, to);
        match Manifest::parse(&text.replace("requires_lungs = true", "")) {
            Err(Error::OutOfRange { key, .. }) => key,
            other => panic!("{to}: {other:?}"),
        }
    };
    let patient = "kind = \"patient\", interpolation = \"trilinear\"";
    assert_eq!(refused(patient, "kind = \"source\""), "classifier");
    assert_eq!(refused("\"lung-nodule\"\n", "\"organ\"\n"), "classifier");
}

#[test]
fn a_grid_along_the_sources_axes_keeps_their_order_where_none_is_given() {
    let patient = "kind = \"patient\", interpolation = \"trilinear\"";
    let parsed = |grid: &str| {
        let text = PLAIN.replace(patient, grid);
        Manifest::parse(&text.replace("requires_lungs = true", ""))
    };
    let source = parsed("kind = \"source\"").expect("valid");
    let in_order = ModelGrid::Source {
        transpose: [0, 1, 2],
        orientation: String::new(),
    };
    assert_eq!(source.input.grid, in_order);
    let letters = parsed("kind = \"source\", orientation = \"RAX\"");
    let key = "input.grid.orientation";
    assert!(matches!(letters, Err(Error::OutOfRange { key: found, .. }) if found == key));
    let twice = parsed("kind = \"source\", transpose = [0, 1, 1]");
    let key = "input.grid.transpose";
    assert!(matches!(twice, Err(Error::OutOfRange { key: found, .. }) if found == key));
}

#[test]
fn a_missing_step_fraction_is_a_half() {
    let manifest = with("step_fraction = 0.625", "").expect("valid");
    assert_eq!(manifest.input.step_fraction.to_bits(), 0.5f64.to_bits());
}

#[test]
fn a_model_looks_in_the_lungs_for_lesions_of_any_size_where_it_does_not_say_otherwise() {
    let plain = Manifest::parse(PLAIN).expect("valid");
    let keys = (plain.input.region, plain.output.min_short_axis_mm.to_bits());
    assert_eq!(keys, (SearchRegion::Lungs, 0));
    assert!(!plain.intended_use.experimental);
    let patch = "patch = [8, 8, 12]";
    let elsewhere = with(patch, &format!("{patch}\nregion = \"lymph-nodes\"")).expect("valid");
    assert_eq!(elsewhere.input.region, SearchRegion::LymphNodes);
    let text = toml::to_string(&elsewhere).expect("serialises");
    assert_eq!(Manifest::parse(&text).expect("valid again"), elsewhere);
}

#[test]
fn on_the_sources_grid_neither_region_nor_short_axis_can_be_asked_for() {
    let refused = |from: &str, to: &str| {
        let patient = "kind = \"patient\", interpolation = \"trilinear\"";
        let text = PLAIN.replace(patient, "kind = \"source\"");
        let text = text.replace("requires_lungs = true", "").replace(from, to);
        match Manifest::parse(&text) {
            Err(Error::OutOfRange { key, .. }) => key,
            other => panic!("{to}: {other:?}"),
        }
    };
    let patch = "patch = [8, 8, 12]";
    let region = refused(patch, &format!("{patch}\nregion = \"lymph-nodes\""));
    assert_eq!(region, "input.region");
    let volume = "min_component_volume_mm3 = 20.0";
    let short_axis = format!("{volume}\nmin_short_axis_mm = ");
    assert_eq!(
        refused(volume, &(short_axis.clone() + "8.0")),
        "output.min_short_axis_mm"
    );
    assert_eq!(
        refused_key(volume, &(short_axis + "-1.0")),
        "output.min_short_axis_mm"
    );
}
