//! Loads the models onto the device, and decides what is left to try where one fails its self-check there.

use crate::Error;
use crate::config::{AUTO, Config};
use crate::engine::cpu::InstructionSet;
use crate::gpu::Compute;
use crate::model::{self, ModelSource, Segmenter};
use crate::warning::Warning;

/// The enabled models, in the order of the configuration, each once.
pub(super) fn load(
    config: &Config,
    compute: &Compute,
    instructions: InstructionSet,
) -> Result<Vec<Segmenter>, Error> {
    let load = |name: &str| {
        let source = ModelSource::find(name, &config.models.dir)?;
        let mut segmenter = Segmenter::load(&source, compute, instructions)?;
        if config.inference.step > 0.0 {
            segmenter.set_step_fraction(config.inference.step);
        }
        Ok(segmenter)
    };
    let hardware_gpu = matches!(compute, Compute::Gpu(gpu) if !gpu.is_software());
    let names = names(&config.models.enabled, hardware_gpu);
    names.into_iter().map(load).collect()
}

/// What is enabled, with the model that suits the device where it is left to the program.
fn names(enabled: &[String], hardware_gpu: bool) -> Vec<&str> {
    let mut names = Vec::new();
    for name in enabled {
        let name = match name.as_str() {
            AUTO => model::automatic(hardware_gpu),
            name => name,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Runs every model's golden patch.
pub(super) fn check(segmenters: &[Segmenter]) -> Result<(), Error> {
    Ok(segmenters.iter().try_for_each(Segmenter::self_check)?)
}

/// After a failed self-check: the same GPU without the matrix units that it ran on.
///
/// # Errors
/// `failed`, where there were none.
pub(super) fn leave_matrices(compute: &mut Compute, failed: Error) -> Result<Warning, Error> {
    let Compute::Gpu(gpu) = compute else {
        return Err(failed);
    };
    if gpu.matrices().is_none() {
        return Err(failed);
    }
    *gpu = gpu.without_matrices();
    Ok(Warning::MatricesFailed {
        adapter: gpu.info().name.clone(),
        code: failed.code(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{self, Error as GpuError, Storage};

    #[test]
    fn auto_is_the_model_that_suits_the_device_and_no_model_runs_twice() {
        let enabled = ["mine", "auto", "mine", "lung-nodule-lite"].map(String::from);
        assert_eq!(names(&enabled, false), ["mine", "lung-nodule-lite"]);
        assert_eq!(names(&enabled[..2], true), ["mine", model::automatic(true)]);
    }

    fn failed() -> Error {
        Error::from(crate::model::Error::from(GpuError::Lost {
            reason: "a test".into(),
        }))
    }

    #[test]
    fn a_device_without_matrices_that_fails_its_check_is_an_error() {
        let refused = leave_matrices(&mut Compute::Cpu, failed()).expect_err("none there");
        assert_eq!(refused.code(), failed().code());
    }

    #[test]
    fn a_gpu_whose_matrices_fail_is_tried_once_without_them_and_says_so() {
        let Some(gpu) = gpu::for_tests() else { return };
        let gpu = gpu.with_storage(Storage::F16).unwrap_or(gpu);
        if gpu.matrices().is_none() {
            return println!("SKIPPED: no matrices on {}", gpu.info().name);
        }
        let mut compute = Compute::Gpu(gpu);
        let warning = leave_matrices(&mut compute, failed()).expect("something is left to try");
        assert_eq!(warning.code(), "matrices-failed");
        assert!(warning.to_string().contains(failed().code()), "{warning}");
        leave_matrices(&mut compute, failed()).expect_err("nothing is left to try");
    }
}
