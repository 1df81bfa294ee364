//! Two runs side by side.

use super::Report;
use std::fmt::Write;

/// One line a figure that both runs have: A, B and B / A.
pub(super) fn table(a: &Report, b: &Report) -> String {
    let mut text = format!(
        "A: {} on {} ({})\nB: {} on {} ({})\n\n",
        a.version, a.device, a.git_hash, b.version, b.device, b.git_hash
    );
    line(&mut text, "", "A ms", "B ms", "B / A");
    for (name, stage_a) in &a.stages {
        let Some(stage_b) = b.stages.get(name) else {
            continue;
        };
        figures(
            &mut text,
            &format!("{name} (cold)"),
            stage_a.cold_ms,
            stage_b.cold_ms,
        );
        if let (Some(warm_a), Some(warm_b)) = (stage_a.warm_median_ms, stage_b.warm_median_ms) {
            figures(&mut text, name, warm_a, warm_b);
        }
    }
    for (name, kernel_a) in &a.kernels {
        if let Some(kernel_b) = b.kernels.get(name) {
            figures(
                &mut text,
                &format!("kernel {name}"),
                kernel_a.total_ms,
                kernel_b.total_ms,
            );
        }
    }
    if a.size != b.size || a.model != b.model {
        text.push_str("\nThe runs differ in model or volume: the ratios compare unlike work.\n");
    }
    text
}

fn figures(text: &mut String, name: &str, a: f64, b: f64) {
    let ratio = if a > 0.0 {
        format!("{:.2}", b / a)
    } else {
        "–".to_owned()
    };
    line(text, name, &format!("{a:.1}"), &format!("{b:.1}"), &ratio);
}

fn line(text: &mut String, name: &str, a: &str, b: &str, ratio: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{name:<32}{a:>12}{b:>12}{ratio:>9}");
}

#[cfg(test)]
mod tests {
    use super::super::{KernelFigure, Stage};
    use super::*;
    use std::collections::BTreeMap;

    fn report(warm_ms: f64, size: [usize; 3]) -> Report {
        Report {
            version: "1".into(),
            git_hash: "abc".into(),
            device: "cpu".into(),
            cpu: "cpu".into(),
            threads: 2,
            model: "m".into(),
            size,
            patches: 1,
            stages: BTreeMap::from([(
                "network".into(),
                Stage {
                    cold_ms: 10.0,
                    warm_median_ms: Some(warm_ms),
                },
            )]),
            kernels: BTreeMap::from([(
                "blend".into(),
                KernelFigure {
                    dispatches: 2,
                    total_ms: warm_ms / 2.0,
                },
            )]),
            peak_memory_mib: None,
        }
    }

    #[test]
    fn ratios_are_of_b_to_a() {
        let table = table(&report(8.0, [1; 3]), &report(2.0, [1; 3]));
        assert!(
            table
                .lines()
                .any(|l| l.starts_with("network  ") && l.ends_with("0.25")),
            "{table}"
        );
        assert!(
            table
                .lines()
                .any(|l| l.starts_with("kernel blend") && l.ends_with("0.25")),
            "{table}"
        );
    }

    #[test]
    fn unlike_work_is_said_to_be_unlike() {
        assert!(table(&report(8.0, [1; 3]), &report(2.0, [2; 3])).contains("unlike work"));
    }
}
