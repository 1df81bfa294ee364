//! What a model for lungs does with other parts of the body, told by the image where no attribute tells.

use glam::DVec3;
use hilum::config::{Config, DeviceConfig, DeviceKind};
use hilum::gpu::Compute;
use hilum::phantom::{Params, Phantom};
use hilum::pipeline::Pipeline;
use hilum::preprocess::{self, Interpolation, Plan, Prepared};
use hilum::volume::{Geometry, Rescale, SlicePositions, StoredVolume};
use std::sync::atomic::AtomicBool;

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

#[test]
fn a_head_and_legs_have_no_lungs_and_a_chest_has() {
    for (name, stored) in [("head", head()), ("legs", legs())] {
        let refused = prepared(&stored).require_lungs().expect_err(name);
        assert_eq!(refused.code(), "lungs-not-found");
    }
    prepared(&chest()).require_lungs().unwrap();
}

fn pipeline(search_without_lungs: bool) -> Pipeline {
    let mut config = Config {
        device: DeviceConfig {
            kind: DeviceKind::Cpu,
            adapter: String::new(),
        },
        ..Config::default()
    };
    config.input.search_without_lungs = search_without_lungs;
    Pipeline::new(&config).expect("the CPU and the model that the program brings")
}

#[test]
fn a_model_for_lungs_refuses_a_head_instead_of_searching_it() {
    let cancel = AtomicBool::new(false);
    let refused = pipeline(false).run(0, &head(), &|_, _| (), &cancel);
    let error = refused.expect_err("a head is no chest");
    assert_eq!(error.code(), "lungs-not-found");
    assert_eq!(error.class(), hilum::Class::Unsupported);
}

#[test]
fn a_search_without_lungs_that_was_asked_for_is_done_and_said() {
    let small = StoredVolume {
        geometry: Geometry::axis_aligned([20, 20, 20], [2.0; 3], DVec3::ZERO),
        samples: vec![1064; 8000],
        rescale: head().rescale[..20].to_vec(),
        ..head()
    };
    let cancel = AtomicBool::new(false);
    let outcome = pipeline(true).run(0, &small, &|_, _| (), &cancel).unwrap();
    let codes: Vec<_> = outcome.warnings.iter().map(|w| w.code()).collect();
    assert_eq!(codes, ["lung-mask-fallback"]);
}
