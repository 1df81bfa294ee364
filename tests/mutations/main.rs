//! Seeded mutations of every kind of input: no panic, no hang, no allocation beyond four times the honest size.
//!
//! Each test below runs some thousand inputs. `HILUM_MUTATIONS=1000000 cargo test --release --test mutations long --
//! --nocapture` runs so many over all targets and logs what it sees; docs/fuzzing.md has the log of such a run.

#![expect(
    clippy::cast_possible_truncation,
    reason = "counts and indices of a test"
)]
#![expect(clippy::print_stdout, reason = "a test tells what it saw")]

mod allocator;
mod associations;
mod bodies;
mod corpus;
mod elements;
mod frames;
mod imports;
mod mutate;
mod pet;
mod pet_seeds;
mod slices;
mod truths;
mod volumes;
mod watch;

use bodies::Verdict;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

const SEED: u64 = 20_261_121;

/// Another number makes other inputs, so that several processes can share a long run.
static PROCESS_SEED: LazyLock<u64> = LazyLock::new(|| {
    let number = std::env::var("HILUM_MUTATIONS_SEED").ok();
    number.and_then(|n| n.parse().ok()).unwrap_or(0)
});

/// No input may take longer, of the processor's time.
const MAX_DURATION: Duration = Duration::from_secs(5);

/// What an input may make the program hold, in multiples of its honest size.
const MAX_MULTIPLE: u64 = 4;

/// Time for one target in the ordinary tests, of which there are eleven: well under a minute.
const TEST_DURATION: Duration = Duration::from_secs(5);

/// Grown seeds are small and few.
const MAX_GROWN: usize = 400;
const MAX_GROWN_BYTES: usize = 8 << 10;

/// A kind of input with what is done with it.
#[derive(Clone, Copy)]
struct Target {
    name: &'static str,
    body: fn(&Path, &[u8]) -> Verdict,
    /// Bytes that may be held whatever the input: buffers, tables, thread-locals.
    constant_bytes: u64,
    /// Inputs in a row in the long run.
    share: usize,
}

const fn target(
    name: &'static str,
    body: fn(&Path, &[u8]) -> Verdict,
    constant_bytes: u64,
    share: usize,
) -> Target {
    Target {
        name,
        body,
        constant_bytes,
        share,
    }
}

const MIB: u64 = 1 << 20;

// Shares of a thousand; none is below what finds defects, and costly targets get no more.
static TARGETS: [Target; 16] = [
    target("dicom-file", bodies::dicom_file, MIB, 340),
    target("association", bodies::association, 2 * MIB, 20),
    target("series-grouping", bodies::series_grouping, MIB, 100),
    target("pixel-decode", bodies::pixel_decode, 2 * MIB, 100),
    target("volume-file", bodies::volume_file, 2 * MIB, 60),
    target("suv", pet::suv, 2 * MIB, 40),
    target("deidentify", bodies::deidentify, 2 * MIB, 20),
    target("geometry", bodies::geometry, MIB, 106),
    target("config", bodies::config, 8 * MIB, 52),
    target("manifest", bodies::manifest, 8 * MIB, 50),
    target("model", bodies::model, 8 * MIB, 4),
    target("checkpoint", imports::checkpoint, 16 * MIB, 20),
    target("nnunet-folder", imports::nnunet_folder, 16 * MIB, 4),
    target("findings", bodies::findings, MIB, 60),
    target("truth", truths::truth, 8 * MIB, 20),
    target("phantom", bodies::phantom, 64 * MIB, 4),
];

/// A target at work.
struct Campaign<'a> {
    target: Target,
    scratch: &'a Path,
    seeds: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    seen: BTreeSet<String>,
    grown: usize,
    inputs: u64,
    slowest: Duration,
    /// Held bytes in hundredths of the honest size with the constant.
    worst_percent: u64,
    /// What went wrong, each kind once, with the input's file.
    defects: BTreeMap<String, PathBuf>,
}

impl<'a> Campaign<'a> {
    fn new(target: Target, scratch: &'a Path) -> Self {
        let all = corpus::seeds(target.name);
        let (large, seeds) = all
            .into_iter()
            .partition(|seed| seed.len() >= corpus::LARGE_BYTES);
        let mut campaign = Self {
            target,
            scratch,
            seeds,
            large,
            seen: BTreeSet::new(),
            grown: 0,
            inputs: 0,
            slowest: Duration::ZERO,
            worst_percent: 0,
            defects: BTreeMap::new(),
        };
        for seed in [campaign.seeds.clone(), campaign.large.clone()].concat() {
            campaign.try_input(&seed);
        }
        campaign
    }

    /// Input number `self.inputs` of the target: the same for the same corpus.
    fn step(&mut self) {
        let name = u64::from(self.target.name.as_bytes()[0]) << 56;
        let process = PROCESS_SEED.rotate_right(16);
        let mut rng = ChaCha8Rng::seed_from_u64(SEED ^ name ^ process ^ self.inputs);
        let large = !self.large.is_empty() && rng.random_ratio(1, 400);
        let from = if large { &self.large } else { &self.seeds };
        let seed = from.choose(&mut rng).expect("every target has seeds");
        let donor = self.seeds.choose(&mut rng).unwrap_or(seed);
        let data = mutate::mutated(corpus::kind(self.target.name), seed, donor, &mut rng);
        self.inputs += 1;
        self.try_input(&data);
    }

    fn try_input(&mut self, data: &[u8]) {
        let (result, held, mut took) = self.run(data);
        if took > MAX_DURATION {
            took = self.processor_time(data);
        }
        self.slowest = self.slowest.max(took);
        if took > MAX_DURATION {
            self.defect(format!("took {} s", took.as_secs()), data);
        }
        let Ok(verdict) = result else {
            let place = watch::last_panic();
            self.defect(format!("panicked at {place}"), data);
            return;
        };
        let allowed = MAX_MULTIPLE * verdict.honest_bytes + self.target.constant_bytes;
        self.worst_percent = self.worst_percent.max(100 * held / allowed);
        if held > allowed {
            let codes = &verdict.codes;
            self.defect(format!("held more than allowed: {codes}"), data);
            println!("{held} bytes of {allowed} ({} bytes): {codes}", data.len());
        }
        self.grow(verdict, data);
    }

    /// What came of it, the bytes held at most, and the time by the clock, which is no less than the processor's.
    fn run(&self, data: &[u8]) -> (std::thread::Result<Verdict>, u64, Duration) {
        let start = Instant::now();
        watch::begin(self.target.name, data);
        let body = || catch_unwind(AssertUnwindSafe(|| (self.target.body)(self.scratch, data)));
        let (result, held) = allocator::counted(body);
        watch::end();
        (result, held, start.elapsed())
    }

    /// The processor's time of an input that took long by the clock: other programs may run beside this one.
    fn processor_time(&self, data: &[u8]) -> Duration {
        let start = watch::processor_time();
        let _known = self.run(data);
        watch::processor_time().saturating_sub(start)
    }

    /// Inputs with codes not seen before become seeds.
    fn grow(&mut self, verdict: Verdict, data: &[u8]) {
        if self.grown < MAX_GROWN
            && data.len() <= MAX_GROWN_BYTES
            && self.seen.insert(verdict.codes)
        {
            self.grown += 1;
            self.seeds.push(data.to_vec());
        }
    }

    fn defect(&mut self, what: String, data: &[u8]) {
        if self.defects.contains_key(&what) || self.defects.len() >= 100 {
            return;
        }
        let path = watch::keep(self.target.name, data);
        println!(
            "DEFECT {}: {what}; see {}",
            self.target.name,
            path.display()
        );
        self.defects.insert(what, path);
    }

    fn summary(&self) -> String {
        format!(
            "{:>16} {:>9} inputs, {:>3} seeds grown, slowest {:>4} ms, memory at most {:>3} % of what is allowed, {} defects",
            self.target.name,
            self.inputs,
            self.grown,
            self.slowest.as_millis(),
            self.worst_percent,
            self.defects.len()
        )
    }
}

/// One campaign at a time: the allocator counts for the whole program.
static ALONE: Mutex<()> = Mutex::new(());

/// Calls `work` with an empty folder in memory where there is one, on a single thread.
fn alone(work: impl FnOnce(&Path)) {
    let _guard = ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    watch::start();
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let scratch = tempfile::tempdir_in(parent).expect("a temporary folder");
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread();
    let _of_this_thread = pool.build().expect("a pool of this thread");
    work(scratch.path());
}

fn test(name: &str, inputs: u64) {
    let target = *TARGETS.iter().find(|t| t.name == name).expect("a target");
    alone(|scratch| {
        let mut campaign = Campaign::new(target, scratch);
        let start = Instant::now();
        while campaign.inputs < inputs && start.elapsed() < TEST_DURATION {
            campaign.step();
        }
        println!("{}", campaign.summary());
        assert!(campaign.defects.is_empty(), "{:?}", campaign.defects);
    });
}

macro_rules! tests {
    ($($sentence:ident: $name:literal, $inputs:literal;)*) => {
        $(#[test]
        fn $sentence() {
            test($name, $inputs);
        })*
    };
}

tests! {
    damaged_files_are_refused_within_bounds: "dicom-file", 10_000;
    damaged_associations_are_refused_within_bounds: "association", 10_000;
    damaged_series_are_grouped_or_refused_within_bounds: "series-grouping", 4000;
    damaged_pixel_data_are_decoded_or_refused_within_bounds: "pixel-decode", 4000;
    damaged_volume_files_are_refused_within_bounds: "volume-file", 10_000;
    damaged_pets_have_a_sound_suv_or_none_within_bounds: "suv", 3000;
    damaged_files_are_deidentified_or_refused_within_bounds: "deidentify", 2000;
    slices_in_any_place_make_a_grid_or_are_refused: "geometry", 4000;
    damaged_configurations_are_refused_within_bounds: "config", 10_000;
    damaged_manifests_are_refused_within_bounds: "manifest", 6000;
    damaged_models_are_refused_within_bounds: "model", 300;
    damaged_checkpoints_are_refused_within_bounds: "checkpoint", 2000;
    damaged_nnunet_folders_are_refused_within_bounds: "nnunet-folder", 400;
    damaged_findings_are_foreign_within_bounds: "findings", 10_000;
    damaged_truths_are_evaluated_or_refused_within_bounds: "truth", 2000;
    odd_phantoms_are_made_or_refused_within_bounds: "phantom", 1000;
}

#[test]
fn a_long_text_in_any_element_costs_no_more_than_its_copies() {
    // The longest value that an explicit text element can have, and more in an implicit one.
    let lengths = [260 << 10, 65_534];
    let implicit = corpus::read(&corpus::root().join("testdata/fuzz/implicit-0.dcm"));
    alone(|scratch| {
        let target = TARGETS[0];
        let mut campaign = Campaign::new(target, scratch);
        for (seed, length) in [implicit, frames::seed()].iter().zip(lengths) {
            for element in elements::scan(seed) {
                let mut data = seed.clone();
                element.set_value(&mut data, &vec![0xe9; length]);
                elements::mend_group_length(&mut data);
                campaign.try_input(&data);
            }
        }
        println!("{}", campaign.summary());
        assert!(campaign.defects.is_empty(), "{:?}", campaign.defects);
    });
}

#[test]
fn long_run_over_all_targets() {
    let Some(inputs) = std::env::var("HILUM_MUTATIONS")
        .ok()
        .and_then(|n| n.parse().ok())
    else {
        return;
    };
    alone(|scratch| long_run(scratch, inputs));
}

/// Takes turns until `inputs` were tried in all; logs every minute.
fn long_run(scratch: &Path, inputs: u64) {
    let mut campaigns: Vec<Campaign> = TARGETS.iter().map(|t| Campaign::new(*t, scratch)).collect();
    let start = Instant::now();
    let mut logged = Instant::now();
    let done = |campaigns: &[Campaign]| campaigns.iter().map(|c| c.inputs).sum::<u64>();
    while done(&campaigns) < inputs {
        for campaign in &mut campaigns {
            (0..campaign.target.share).for_each(|_| campaign.step());
        }
        if logged.elapsed() > Duration::from_secs(60) || done(&campaigns) >= inputs {
            logged = Instant::now();
            println!(
                "{} inputs in {} s",
                done(&campaigns),
                start.elapsed().as_secs()
            );
            campaigns.iter().for_each(|c| println!("{}", c.summary()));
            watch::print_caught();
        }
    }
    let defects: Vec<_> = campaigns.iter().flat_map(|c| &c.defects).collect();
    assert!(defects.is_empty(), "{defects:?}");
}
