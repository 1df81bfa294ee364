//! `hilum phantom`: writes a synthetic chest CT with known lesions, and with its PET.

mod pet;

use crate::config::Config;
use crate::insertion::{self, Job};
use crate::phantom::{
    Defect, Dose, Kernel, Lesions, Orientation, Params, Phantom, WriteOptions, write_series,
};
use anyhow::Context;
use clap::ValueEnum;
use pet::PetArgs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Examples:
  hilum phantom --out DIR --preset demo
      a whole synthetic chest in 4 MB, with DIR/truth.json
  hilum phantom --out DIR --pet --preset demo --seed 4 --suv-branch gml-lbm
      the chest as CT and as FDG PET that stores SUV by lean mass; DIR/truth.json knows every lesion and organ
  hilum phantom --out DIR --pet --extent body --misregistration-mm 0,0,8 --pet-defect missing-weight
      from the vertex to the thighs, the PET 8 mm too high and without a weight
  hilum phantom --into CT --lesions 25 --seed 3 --avoid CT.truth.json --out DIR
      the series CT with 25 lesions more: solid, part-solid and ground glass, 3 to 30 mm, of the table in
      docs/insertion.md, at least 10 mm from each other and from the nodules of CT.truth.json";

/// Writes a synthetic chest CT series with lesions of known size, density and place, with --pet a PET/CT.
///
/// No patient is behind it: use it to try the program, to test a PACS, or to measure detection against `truth.json`.
/// The same options and seed give the same files.
///
/// With --pet, DIR gets `series/*.dcm` (CT), `pet/*.dcm` and one `truth.json`: one patient, study and frame of reference,
/// organs that take up the tracer as they do, and lesions of known volume and SUV; docs/phantom-pet.md has the tables.
///
/// With --into, the chest is a real one: lesions of a fixed, published table (docs/insertion.md) are mixed into the lungs
/// of a CT series, and DIR gets `series/*.dcm`, `CASE.truth.json` and the label map `CASE.truth.nii.gz`, where CASE is the
/// new Patient ID. The new series has new UIDs and a phantom's patient; what of the lungs is no lesion keeps its values.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct PhantomArgs {
    /// Write `DIR/series/*.dcm` and `DIR/truth.json`; DIR must be empty or not exist.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Insert lesions into this CT series, a folder, instead of making a chest; --lesions and --seed say which (25 and 1).
    #[arg(long, value_name = "SERIES", conflicts_with_all = MAKES_A_CHEST)]
    pub into: Option<PathBuf>,
    /// Keep inserted lesions 10 mm away from the nodules of this truth file, and name these in the new one, with 0 readers.
    #[arg(long, value_name = "TRUTH.json", requires = "into")]
    pub avoid: Option<PathBuf>,
    /// Start from this set of parameters; every option below changes one of them.
    #[arg(long, value_enum, default_value_t)]
    pub preset: Preset,
    /// Read all parameters from a JSON file instead: the `params` of a `truth.json`, or some of its fields.
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    pub params: Option<PathBuf>,
    /// Vary anatomy, lesions, their places and noise.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Set the number of slices, rows and columns.
    #[arg(long, value_name = "Z,Y,X", value_delimiter = ',')]
    pub size: Option<Vec<usize>>,
    /// Set the distance between slices, rows and columns, mm.
    #[arg(long, value_name = "Z,Y,X", value_delimiter = ',')]
    pub spacing_mm: Option<Vec<f64>>,
    /// Put the middle of the grid here, mm to the left, back and head of the carina.
    #[arg(
        long,
        value_name = "X,Y,Z",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub centre_lps_mm: Option<Vec<f64>>,
    /// Set the noise: none, 12 HU (standard), 25 HU (low) or 45 HU (ultra-low); the lung kernel doubles it.
    #[arg(long, value_parser = named::<Dose>, value_name = "none|standard|low|ultra-low")]
    pub dose: Option<Dose>,
    /// Set the reconstruction kernel: smooth with coarse noise, or sharp with fine noise.
    #[arg(long, value_parser = named::<Kernel>, value_name = "soft|lung")]
    pub kernel: Option<Kernel>,
    /// Place this many lesions of mixed kinds, 4 to 30 mm; give a list of lesions by --params. With --into, 1 to 200.
    #[arg(long, value_name = "N")]
    pub lesions: Option<usize>,
    /// Let columns, rows and slices count up in these patient directions, such as LPS (axial) or PIR (sagittal).
    #[arg(long, value_name = "LETTERS")]
    pub orientation: Option<Orientation>,
    /// Tilt the gantry: turn each slice about its rows, degrees.
    #[arg(long, value_name = "DEGREES", allow_hyphen_values = true)]
    pub tilt_deg: Option<f64>,
    /// Fill what lies outside the circular field of view with the padding value.
    #[arg(long)]
    pub circular_fov: bool,
    /// Store signed values (Pixel Representation 1).
    #[arg(long)]
    pub signed: bool,
    /// Give files and Instance Numbers no order, as archives often do.
    #[arg(long)]
    pub shuffle: bool,
    /// Let one thing be odd about the series, such as missing-slice, two-phases or table; see docs/compatibility.md.
    #[arg(long, value_name = "NAME")]
    pub defect: Option<Defect>,
    /// Replace a phantom that DIR already holds.
    #[arg(long, conflicts_with = "into")]
    pub overwrite: bool,
    /// What PET goes with it.
    #[command(flatten)]
    pub pet: PetArgs,
}

/// Options that say what chest to make.
const MAKES_A_CHEST: [&str; 13] = [
    "preset",
    "params",
    "size",
    "spacing_mm",
    "centre_lps_mm",
    "dose",
    "kernel",
    "orientation",
    "tilt_deg",
    "circular_fov",
    "signed",
    "shuffle",
    "defect",
];

/// How many lesions --into inserts unless told.
const INSERTED: usize = 25;

/// A named set of parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// A whole adult chest: 300 slices of 512 × 512 at 1.0 × 0.7 × 0.7 mm, 150 MB.
    #[default]
    Adult,
    /// A whole small chest: 96 slices of 144 × 144, 4 MB.
    Demo,
    /// A part of the right lung: 96 × 96 × 96 voxels of 1.25 mm, 2 MB.
    Tiny,
}

impl Preset {
    /// The parameters of that name.
    pub(super) fn params(self) -> Params {
        match self {
            Self::Adult => Params::default(),
            Self::Demo => Params::demo(),
            Self::Tiny => Params::tiny(),
        }
    }
}

/// Reads an option by the name that it has in JSON.
fn named<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|e| e.to_string())
}

/// Makes the phantom, writes it, and prints the series folder and the truth file.
///
/// # Errors
/// When a parameter is not usable, a lesion has no room, or the folder cannot be written.
#[expect(clippy::print_stdout, reason = "the paths are this command's result")]
pub fn run(args: &PhantomArgs) -> anyhow::Result<ExitCode> {
    if let Some(series) = &args.into {
        return insert(args, series);
    }
    if args.pet.pet {
        return pet::run(args);
    }
    let params = args.params()?;
    let phantom = Phantom::new(&params).map_err(crate::Error::from)?;
    let options = WriteOptions {
        overwrite: args.overwrite,
        shuffle: args.shuffle,
        defect: args.defect,
    };
    let written = write_series(&phantom, &args.out, options).map_err(crate::Error::from)?;
    println!("{}", written.series.display());
    println!("{}", written.truth.display());
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the paths are this command's result")]
fn insert(args: &PhantomArgs, series: &Path) -> anyhow::Result<ExitCode> {
    let job = Job {
        series: series.to_owned(),
        lesions: args.lesions.unwrap_or(INSERTED),
        seed: args.seed.unwrap_or(1),
        avoid: args.avoid.clone(),
        out: args.out.clone(),
        max_voxels: Config::default().input.max_voxels,
    };
    let files = insertion::run(&job).map_err(crate::Error::from)?;
    for path in [&files.series, &files.truth, &files.labels] {
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

impl PhantomArgs {
    fn params(&self) -> anyhow::Result<Params> {
        self.changed(self.base()?)
    }

    /// The parameters with what the options say of them.
    fn changed(&self, mut params: Params) -> anyhow::Result<Params> {
        set(&mut params.seed, self.seed);
        set(&mut params.size, three("--size", self.size.as_deref())?);
        set(
            &mut params.spacing_mm,
            three("--spacing-mm", self.spacing_mm.as_deref())?,
        );
        set(
            &mut params.centre_lps_mm,
            three("--centre-lps-mm", self.centre_lps_mm.as_deref())?,
        );
        set(&mut params.dose, self.dose);
        set(&mut params.kernel, self.kernel);
        set(&mut params.lesions, self.lesions.map(Lesions::Count));
        set(&mut params.orientation, self.orientation);
        set(&mut params.tilt_deg, self.tilt_deg);
        params.circular_fov |= self.circular_fov;
        params.signed |= self.signed;
        if let Some(defect) = self.defect {
            defect.prepare(&mut params)?;
        }
        Ok(params)
    }

    fn base(&self) -> anyhow::Result<Params> {
        let Some(file) = &self.params else {
            return Ok(self.preset.params());
        };
        let json = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&json)
            .with_context(|| format!("{} is not a set of phantom parameters", file.display()))
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn three<T: Copy>(option: &str, values: Option<&[T]>) -> anyhow::Result<Option<[T; 3]>> {
    values
        .map(|v| {
            v.try_into()
                .with_context(|| format!("{option} needs three numbers, separated by commas"))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    fn params(options: &[&str]) -> anyhow::Result<Params> {
        let command = PhantomArgs::augment_args(clap::Command::new("phantom"));
        let matches =
            command.try_get_matches_from([&["phantom", "--out", "x"], options].concat())?;
        PhantomArgs::from_arg_matches(&matches)?.params()
    }

    #[test]
    fn options_change_the_preset() {
        let options = [
            "--preset",
            "tiny",
            "--dose",
            "ultra-low",
            "--centre-lps-mm=-70,1,2",
            "--orientation",
            "PIR",
        ];
        let changed = params(&options).unwrap();
        assert_eq!(changed.dose, Dose::UltraLow);
        assert!(changed.centre_lps_mm[0] < -69.9);
        assert_eq!(changed.orientation.to_string(), "PIR");
        assert_eq!(changed.size, Params::tiny().size);
    }

    #[test]
    fn options_of_a_made_chest_do_not_go_with_a_real_one() {
        for option in [
            ["--preset", "tiny"],
            ["--kernel", "lung"],
            ["--dose", "low"],
            ["--tilt-deg", "3"],
        ] {
            assert!(params(&[&["--into", "CT"], &option[..]].concat()).is_err());
        }
        assert!(params(&["--into", "CT", "--shuffle"]).is_err());
        assert!(params(&["--avoid", "CT.truth.json"]).is_err());
        assert!(params(&["--into", "CT", "--lesions", "9", "--seed", "2"]).is_ok());
    }

    #[test]
    fn a_body_has_its_own_grid_and_options_change_it() {
        let pair = |options: &[&str]| {
            let command = PhantomArgs::augment_args(clap::Command::new("phantom"));
            let all = [&["phantom", "--out", "x", "--pet"], options].concat();
            let args = PhantomArgs::from_arg_matches(&command.try_get_matches_from(all)?)?;
            pet::params(&args)
        };
        let options = [
            "--extent",
            "body",
            "--spacing-mm",
            "5,2,2",
            "--lesions",
            "3",
        ];
        let (ct, pet) = pair(&options).unwrap();
        assert_eq!((ct.size, ct.spacing_mm[0]), ([344, 256, 256], 5.0));
        assert_eq!(ct.lesions, Lesions::Count(3));
        assert_eq!(pet.extent, crate::phantom::pet::Extent::Body);
        let (ct, _) = pair(&["--preset", "demo"]).unwrap();
        assert_eq!(
            (ct.size, ct.lesions),
            (Params::demo().size, Lesions::Count(0))
        );
        assert!(pair(&["--suv-branch", "becquerel"]).is_err());
        assert!(pair(&["--pet-lesion-mm", "12"]).is_err());
        assert!(pair(&["--defect", "gap"]).is_err());
        assert!(params(&["--suv-branch", "gml"]).is_err(), "without --pet");
    }

    #[test]
    fn malformed_options_are_refused() {
        assert!(params(&["--size", "1,2"]).is_err());
        assert!(params(&["--dose", "huge"]).is_err());
        assert!(params(&["--orientation", "LLS"]).is_err());
    }
}
