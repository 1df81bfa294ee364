//! The options of `hilum phantom --pet`.

use super::{PhantomArgs, named, set, three};
use crate::phantom::pet::{
    Extent, PetDefect, PetLesions, PetNoise, PetParams, PetPhantom, SuvBranch, TracerName,
    write_pet_ct,
};
use crate::phantom::{Lesions, Params, WriteOptions};
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options that say what PET goes with the CT.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "PET/CT")]
pub struct PetArgs {
    /// Write a PET of the same patient as well, `DIR/pet/*.dcm`; --lesions then are nodules without uptake (0).
    #[arg(long, conflicts_with_all = ["into", "defect"])]
    pub pet: bool,
    /// Read the PET's parameters from a JSON file: the `pet.params` of a `truth.json`, or some of its fields.
    #[arg(long, value_name = "FILE", requires = "pet")]
    pub pet_params: Option<PathBuf>,
    /// Make the chest, or all from the vertex to the thighs (CT 344 slices of 256 × 256 at 3 × 2 × 2 mm).
    #[arg(long, value_parser = named::<Extent>, value_name = "chest|body", requires = "pet")]
    pub extent: Option<Extent>,
    /// Place this many lesions with uptake (8), in lung, nodes, liver and bones; some touch, some lie beside an organ.
    #[arg(long, value_name = "N", requires = "pet")]
    pub pet_lesions: Option<usize>,
    /// Set their smallest and largest diameter, mm (12,32).
    #[arg(long, value_name = "MIN,MAX", value_delimiter = ',', requires = "pet")]
    pub pet_lesion_mm: Option<Vec<f64>>,
    /// Set their lowest and highest true SUV (5,18).
    #[arg(long, value_name = "MIN,MAX", value_delimiter = ',', requires = "pet")]
    pub pet_lesion_suv: Option<Vec<f64>>,
    /// Set the edge of the PET's voxels, mm (4).
    #[arg(long, value_name = "MM", requires = "pet")]
    pub pet_voxel_mm: Option<f64>,
    /// Set the PET's resolution, full width at half maximum, mm (6).
    #[arg(long, value_name = "MM", requires = "pet")]
    pub pet_fwhm_mm: Option<f64>,
    /// Set the PET's noise in the liver: none, 10 % (standard) or 20 % (low-count).
    #[arg(long, value_parser = named::<PetNoise>, value_name = "none|standard|low-count", requires = "pet")]
    pub pet_noise: Option<PetNoise>,
    /// Inject fdg, ga68-psma11, f18-psma1007, or tc99m-sestamibi: a SPECT that calls itself a PET.
    #[arg(long, value_parser = named::<TracerName>, value_name = "NAME", requires = "pet")]
    pub tracer: Option<TracerName>,
    /// Store values as bqml-start, bqml-admin, bqml-none, gml-bw, gml-lbm, cm2ml, cnts-suv, …; see docs/phantom-pet.md.
    #[arg(long, value_parser = named::<SuvBranch>, value_name = "NAME", requires = "pet")]
    pub suv_branch: Option<SuvBranch>,
    /// Let the PET show everything so far to the left, back and head of where the CT does, mm.
    #[arg(
        long,
        value_name = "X,Y,Z",
        value_delimiter = ',',
        allow_hyphen_values = true,
        requires = "pet"
    )]
    pub misregistration_mm: Option<Vec<f64>>,
    /// Let one thing be odd about the PET, such as uneven, missing-weight or other-patient; may be given several times.
    #[arg(long, value_parser = named::<PetDefect>, value_name = "NAME", requires = "pet")]
    pub pet_defect: Vec<PetDefect>,
}

/// Makes both series, writes them, and prints their folders and the truth file.
#[expect(clippy::print_stdout, reason = "the paths are this command's result")]
pub(super) fn run(args: &PhantomArgs) -> anyhow::Result<ExitCode> {
    let (ct, pet) = params(args)?;
    let phantom = PetPhantom::new(&ct, &pet).map_err(crate::Error::from)?;
    let options = WriteOptions {
        overwrite: args.overwrite,
        shuffle: args.shuffle,
        defect: None,
    };
    let written = write_pet_ct(&phantom, &args.out, options).map_err(crate::Error::from)?;
    for path in [&written.ct, &written.pet, &written.truth] {
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Parameters of the CT and of the PET.
pub(super) fn params(args: &PhantomArgs) -> anyhow::Result<(Params, PetParams)> {
    let pet = args.pet.params()?;
    let mut ct = args.base()?;
    if args.params.is_none() {
        ct.lesions = Lesions::Count(0);
        pet.extent.prepare(&mut ct);
    }
    Ok((args.changed(ct)?, pet))
}

impl PetArgs {
    fn params(&self) -> anyhow::Result<PetParams> {
        let mut params = match &self.pet_params {
            None => PetParams::default(),
            Some(file) => {
                let json = std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                serde_json::from_str(&json)
                    .with_context(|| format!("{} is not a set of PET parameters", file.display()))?
            }
        };
        set(&mut params.extent, self.extent);
        set(&mut params.lesions, self.pet_lesions.map(PetLesions::Count));
        let diameters = two("--pet-lesion-mm", self.pet_lesion_mm.as_deref())?;
        set(&mut params.diameter_mm, diameters);
        let suv = two("--pet-lesion-suv", self.pet_lesion_suv.as_deref())?;
        set(&mut params.suv, suv);
        set(&mut params.voxel_mm, self.pet_voxel_mm);
        set(&mut params.fwhm_mm, self.pet_fwhm_mm);
        set(&mut params.noise, self.pet_noise);
        set(&mut params.tracer, self.tracer);
        set(&mut params.branch, self.suv_branch);
        let shift = three("--misregistration-mm", self.misregistration_mm.as_deref())?;
        set(&mut params.misregistration_mm, shift);
        params.defects.extend(&self.pet_defect);
        Ok(params)
    }
}

fn two(option: &str, values: Option<&[f64]>) -> anyhow::Result<Option<[f64; 2]>> {
    values
        .map(|v| {
            v.try_into()
                .with_context(|| format!("{option} needs two numbers, separated by a comma"))
        })
        .transpose()
}
