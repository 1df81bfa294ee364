//! Truths and results of an evaluation, damaged: the body that the mutation tests and `fuzz/` share.

use super::bodies::{Verdict, split, written};
use hilum::evaluate::{Error, Evaluation, LunaFiles, Options, Results, Truth};
use std::fs;
use std::path::Path;

const OPTIONS: Options = Options {
    readers: 3,
    threshold: 0.5,
    bootstrap: 2,
    seed: 0,
    max_voxels: 1 << 20,
};

/// A truth file, its label map, annotations of LUNA16 and a findings.json: each is read, and what is sound is evaluated.
pub(crate) fn truth(scratch: &Path, data: &[u8]) -> Verdict {
    let mut verdict = Verdict::of(data);
    let parts = split(data);
    let part = |index: usize| parts.get(index).copied().unwrap_or_default();
    let folder = scratch.join("truth");
    fs::create_dir_all(folder.join("results")).expect("the scratch folder is writable");
    let truth = written(&folder, "x.json", part(0));
    written(&folder, "x.nii.gz", part(1));
    let annotations = written(&folder, "annotations.csv", part(2));
    written(&folder.join("results"), "findings.json", part(3));
    let code = |e: &Error| e.code().to_owned();
    let results = verdict.result(Results::read(&folder.join("results")), code);
    for path in [&truth, &annotations] {
        let truth = verdict.result(Truth::read(path, &LunaFiles::default()), code);
        let Some((truth, results)) = truth.zip(results.as_ref()) else {
            continue;
        };
        if let Some(found) = verdict.result(Evaluation::new(truth, results, &OPTIONS), code) {
            verdict.note("evaluated");
            let files = found
                .files()
                .expect("figures of sound input can be written");
            assert_eq!(files.len(), 8);
        }
    }
    verdict
}
