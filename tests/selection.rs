//! What a model for the lungs in CT does with other objects: told by what they say of themselves, else by the image.

#[path = "common/page.rs"]
mod page;

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use glam::DVec3;
use hilum::config::{Config, DeviceConfig, DeviceKind};
use hilum::dicom::{KernelPreference, Request, read_paths, select};
use hilum::gpu::Compute;
use hilum::phantom::{Lesions, Params, Phantom, WriteOptions, write_series};
use hilum::pipeline::Pipeline;
use hilum::preprocess::{self, Interpolation, Plan, Prepared};
use hilum::volume::{Geometry, PADDING_HU, Rescale, SlicePositions, StoredVolume};
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tempfile::tempdir;

/// What makes an object of a CT slice, its name, and what becomes of a series of such.
type Kind = (&'static str, fn(&mut InMemDicomObject), &'static str);

const PET: &str = uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE;

const KINDS: [Kind; 24] = [
    ("CT of the chest", |_| (), "run"),
    (
        "CT of chest, abdomen and pelvis",
        |o| set(o, tags::BODY_PART_EXAMINED, "CHESTABDPELVIS"),
        "run",
    ),
    (
        "CT of the head, by its body part",
        |o| set(o, tags::BODY_PART_EXAMINED, "HEAD"),
        "passed over: `body-part`",
    ),
    ("PET", |o| class(o, PET, "PT"), "passed over: `modality`"),
    (
        "PET seen from one side",
        |o| {
            class(o, PET, "PT");
            set(o, tags::SERIES_TYPE, "STATIC\\REPROJECTION");
        },
        "refused: `derived`",
    ),
    (
        "SPECT in the class of PET, Modality NM",
        |o| class(o, PET, "NM"),
        "refused: `foreign-modality`",
    ),
    (
        "SPECT in the class of PET, Modality PT, of technetium-99m",
        |o| {
            class(o, PET, "PT");
            technetium(o);
        },
        "refused: `single-photon`",
    ),
    (
        "SPECT in the class of PET, Modality PT, window of 140 keV",
        |o| {
            class(o, PET, "PT");
            window_of_140_kev(o);
        },
        "refused: `single-photon`",
    ),
    (
        "SPECT",
        |o| class(o, uids::NUCLEAR_MEDICINE_IMAGE_STORAGE, "NM"),
        "refused: `sop-class`",
    ),
    (
        "MR",
        |o| class(o, uids::MR_IMAGE_STORAGE, "MR"),
        "refused: `sop-class`",
    ),
    (
        "MR in the class of CT",
        |o| set(o, tags::MODALITY, "MR"),
        "refused: `foreign-modality`",
    ),
    (
        "PET in the class of CT",
        |o| set(o, tags::MODALITY, "PT"),
        "refused: `foreign-modality`",
    ),
    (
        "SEG",
        |o| class(o, uids::SEGMENTATION_STORAGE, "SEG"),
        "refused: `sop-class`",
    ),
    (
        "SEG in the class of CT",
        |o| set(o, tags::MODALITY, "SEG"),
        "refused: `foreign-modality`",
    ),
    (
        "RTSTRUCT",
        |o| class(o, uids::RT_STRUCTURE_SET_STORAGE, "RTSTRUCT"),
        "refused: `sop-class`",
    ),
    (
        "SR",
        |o| class(o, uids::COMPREHENSIVE3_DSR_STORAGE, "SR"),
        "refused: `sop-class`",
    ),
    (
        "radiograph",
        |o| class(o, uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION, "DX"),
        "refused: `sop-class`",
    ),
    (
        "secondary capture",
        |o| class(o, uids::SECONDARY_CAPTURE_IMAGE_STORAGE, "CT"),
        "refused: `secondary-capture`",
    ),
    (
        "screenshot in the class of CT",
        |o| set(o, tags::CONVERSION_TYPE, "WSD"),
        "refused: `secondary-capture`",
    ),
    (
        "dose page in the class of CT",
        |o| set(o, tags::IMAGE_TYPE, "DERIVED\\SECONDARY\\DOSE_INFO"),
        "refused: `secondary-capture`",
    ),
    (
        "localizer",
        |o| set(o, tags::IMAGE_TYPE, "ORIGINAL\\PRIMARY\\LOCALIZER"),
        "refused: `localizer`",
    ),
    (
        "reformat",
        |o| set(o, tags::IMAGE_TYPE, "DERIVED\\SECONDARY\\MPR"),
        "refused: `derived`",
    ),
    (
        "maximum intensity projection",
        |o| set(o, tags::IMAGE_TYPE, "DERIVED\\PRIMARY\\AXIAL\\MIP"),
        "refused: `derived`",
    ),
    (
        "CT of another unit than HU, such as a dual-energy map",
        |o| set(o, tags::RESCALE_TYPE, "MGML"),
        "refused: `not-hounsfield`",
    ),
];

/// A name, and what makes a volume of which only the image tells what it is.
type Image = (&'static str, fn() -> StoredVolume);

const IMAGES: [Image; 4] = [
    ("CT of a head that names no body part", head),
    ("CT of the legs that names no body part", legs),
    ("CT of an abdomen with gas that names no body part", abdomen),
    ("label map stored as CT, Modality CT", label_map),
];
const NO_LUNGS: &str = "skipped: `lungs-not-found`";

fn set(object: &mut InMemDicomObject, tag: Tag, value: &str) {
    object.put(DataElement::new(tag, VR::LO, value));
}

fn class(object: &mut InMemDicomObject, sop_class_uid: &str, modality: &str) {
    object.put(DataElement::new(tags::SOP_CLASS_UID, VR::UI, sop_class_uid));
    object.put(DataElement::new(tags::MODALITY, VR::CS, modality));
}

fn put_sequence(object: &mut InMemDicomObject, tag: Tag, item: InMemDicomObject) {
    object.put(DataElement::new(
        tag,
        VR::SQ,
        DataSetSequence::from(vec![item]),
    ));
}

fn technetium(object: &mut InMemDicomObject) {
    let (mut code, mut tracer) = (InMemDicomObject::new_empty(), InMemDicomObject::new_empty());
    set(&mut code, tags::CODE_VALUE, "72454006");
    put_sequence(&mut tracer, tags::RADIONUCLIDE_CODE_SEQUENCE, code);
    put_sequence(
        object,
        tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE,
        tracer,
    );
}

fn window_of_140_kev(object: &mut InMemDicomObject) {
    let mut window = InMemDicomObject::new_empty();
    set(&mut window, tags::ENERGY_WINDOW_LOWER_LIMIT, "126.5");
    set(&mut window, tags::ENERGY_WINDOW_UPPER_LIMIT, "154.6");
    put_sequence(object, tags::ENERGY_WINDOW_RANGE_SEQUENCE, window);
}

/// What becomes of a series whose slices were changed by `edit`.
fn outcome(series: &Path, edit: fn(&mut InMemDicomObject)) -> String {
    let folder = tempdir().expect("folder");
    for entry in series.read_dir().expect("series") {
        let path = entry.expect("entry").path();
        let mut file = dicom_object::open_file(&path).expect("DICOM");
        edit(&mut file);
        let name = path.file_name().expect("name");
        file.write_to_file(folder.path().join(name))
            .expect("written");
    }
    let inventory = read_paths(&[folder.path().to_owned()], &|_| ());
    let study = &inventory.studies[0];
    if let Some(left_out) = study.left_out.first() {
        return format!("refused: `{}`", left_out.error.code());
    }
    let request = Request {
        modality: "CT".into(),
        body_parts: ["CHEST", "LUNG", "THORAX"].map(String::from).to_vec(),
        kernel: KernelPreference::Any,
        min_coverage_mm: 40.0,
        max_slice_spacing_mm: 5.0,
    };
    match &select(study, &request, false).passed_over[..] {
        [] => "run".into(),
        [passed, ..] => format!("passed over: `{}`", passed.code),
    }
}

#[test]
fn every_kind_of_object_is_recognised() {
    let params = Params {
        size: [16, 24, 24],
        spacing_mm: [3.0, 5.0, 5.0],
        lesions: Lesions::Count(0),
        ..Params::tiny()
    };
    let phantom = Phantom::new(&params).expect("a phantom");
    let folder = tempdir().expect("folder");
    let options = WriteOptions::default();
    let series = write_series(&phantom, folder.path(), options).expect("written");
    let found = KINDS.map(|(name, edit, _)| (name, outcome(&series.series, edit)));
    assert_eq!(
        found,
        KINDS.map(|(name, _, wanted)| (name, wanted.to_owned()))
    );
}

#[test]
fn the_page_has_the_table_of_these_kinds() {
    let mut table = String::from("| object | with a model for lungs in CT |\n| --- | --- |\n");
    let images = IMAGES.iter().map(|(name, _)| (*name, NO_LUNGS));
    for (name, wanted) in KINDS
        .map(|(name, _, wanted)| (name, wanted))
        .into_iter()
        .chain(images)
    {
        writeln!(table, "| {name} | {wanted} |").expect("text");
    }
    page::hold("objects", &table);
}

/// An ellipsoid of one attenuation: centre and semi-axes in mm, x y z.
struct Part(f32, [f64; 3], [f64; 3]);

impl Part {
    fn holds(&self, p: DVec3) -> bool {
        ((p - DVec3::from(self.1)) / DVec3::from(self.2)).length_squared() < 1.0
    }
}

/// Parts drawn over each other in room air, on 48 slices of 3 mm.
fn volume(parts: &[Part]) -> StoredVolume {
    let size = [48, 96, 96];
    let geometry = Geometry::axis_aligned(size, [3.0, 2.5, 2.5], DVec3::new(-120.0, -120.0, -72.0));
    let [nz, ny, nx] = size;
    let samples = (0..nz * ny * nx).map(|i| {
        let index = [i % nx, i / nx % ny, i / (nx * ny)].map(|n| n as f64);
        let place = geometry.to_lps_mm(DVec3::from(index));
        let inner = parts.iter().rev().find(|part| part.holds(place));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "attenuations from -1000 to 1000 HU"
        )]
        let stored = (inner.map_or(-1000.0, |part| part.0) + 1024.0) as u16;
        stored
    });
    StoredVolume {
        geometry,
        slices: SlicePositions::even(),
        samples: samples.collect(),
        signed: false,
        rescale: vec![
            Rescale {
                slope: 1.0,
                intercept: -1024.0
            };
            nz
        ],
        padding: None,
        padding_value: PADDING_HU,
    }
}

/// Scalp, skull and brain, with air in the sinuses, the nose and the mastoids.
fn head() -> StoredVolume {
    let centre = [0.0, 0.0, 0.0];
    volume(&[
        Part(40.0, centre, [78.0, 98.0, 110.0]),
        Part(900.0, centre, [72.0, 92.0, 104.0]),
        Part(35.0, centre, [66.0, 86.0, 98.0]),
        Part(-1000.0, [22.0, -74.0, -40.0], [13.0, 14.0, 16.0]),
        Part(-1000.0, [-22.0, -74.0, -40.0], [13.0, 14.0, 16.0]),
        Part(-1000.0, [0.0, -78.0, -40.0], [8.0, 16.0, 20.0]),
        Part(-1000.0, [0.0, -84.0, 10.0], [18.0, 6.0, 12.0]),
        Part(-800.0, [58.0, 20.0, -40.0], [8.0, 12.0, 12.0]),
        Part(-800.0, [-58.0, 20.0, -40.0], [8.0, 12.0, 12.0]),
    ])
}

/// Two thighs with bone.
fn legs() -> StoredVolume {
    let leg = |x: f64| {
        [
            Part(50.0, [x, 0.0, 0.0], [50.0, 55.0, 1000.0]),
            Part(900.0, [x, 0.0, 0.0], [14.0, 14.0, 1000.0]),
        ]
    };
    volume(
        &[leg(-55.0), leg(55.0)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>(),
    )
}

fn chest() -> StoredVolume {
    Phantom::new(&Params::demo())
        .expect("the demo's parameters are valid")
        .stored
}

fn prepared(stored: &StoredVolume) -> Prepared {
    let plan = Plan {
        grid: stored.geometry.covering([3.0; 3]),
        interpolation: Interpolation::Trilinear,
    };
    preprocess::run(&Compute::Cpu, stored, &plan).expect("a small volume")
}

/// Some 300 ml of gas in the colon and the stomach, and the spine.
fn abdomen() -> StoredVolume {
    let centre = [0.0, 0.0, 0.0];
    volume(&[
        Part(40.0, centre, [110.0, 90.0, 1000.0]),
        Part(400.0, [0.0, 60.0, 0.0], [20.0, 20.0, 1000.0]),
        Part(-1000.0, [0.0, -50.0, 30.0], [60.0, 20.0, 20.0]),
        Part(-1000.0, [70.0, -20.0, 0.0], [18.0, 20.0, 45.0]),
        Part(-1000.0, [-70.0, -20.0, 0.0], [18.0, 20.0, 45.0]),
        Part(-1000.0, [30.0, -10.0, 40.0], [30.0, 25.0, 20.0]),
    ])
}

/// Lungs as ones in zeros, with a rescale of nothing.
fn label_map() -> StoredVolume {
    let mut map = chest();
    for sample in map.samples.iter_mut() {
        *sample = u16::from((100..600).contains(sample));
    }
    for rescale in &mut map.rescale {
        rescale.intercept = 0.0;
    }
    map
}

#[test]
fn heads_legs_and_label_maps_have_no_lungs_and_a_chest_has() {
    for (name, stored) in IMAGES {
        let refused = prepared(&stored()).require_lungs().expect_err(name);
        assert_eq!(refused.code(), "lungs-not-found");
    }
    prepared(&chest()).require_lungs().unwrap();
}

fn pipeline(search_without_lungs: bool) -> Pipeline {
    let mut config = Config {
        device: DeviceConfig {
            kind: DeviceKind::Cpu,
            ..DeviceConfig::default()
        },
        ..Config::default()
    };
    config.input.search_without_lungs = search_without_lungs;
    Pipeline::new(&config).expect("the CPU and the model that the program brings")
}

#[test]
fn a_model_for_lungs_refuses_a_head_instead_of_searching_it() {
    let cancel = AtomicBool::new(false);
    let refused = pipeline(false).run(0, &[&head()], &|_, _| (), &cancel);
    let error = refused.expect_err("a head is no chest");
    assert_eq!(error.code(), "lungs-not-found");
    assert_eq!(error.class(), hilum::Class::Unsupported);
}

#[test]
fn a_search_without_lungs_that_was_asked_for_is_done_and_said() {
    let small = StoredVolume {
        geometry: Geometry::axis_aligned([20, 20, 20], [2.0; 3], DVec3::ZERO),
        samples: (0..8000).map(|i| 1064 + i % 2).collect(),
        rescale: head().rescale[..20].to_vec(),
        ..head()
    };
    let cancel = AtomicBool::new(false);
    let outcome = pipeline(true)
        .run(0, &[&small], &|_, _| (), &cancel)
        .unwrap();
    let codes: Vec<_> = outcome.warnings.iter().map(|w| w.code()).collect();
    assert_eq!(codes, ["lung-mask-fallback"]);
}
