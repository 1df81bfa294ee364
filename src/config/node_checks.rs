//! What of `[node]` types cannot refuse.

use super::hours::{Window, time_of_day};
use super::{DestinationKind, Error, NodeConfig, RuleConfig, check};

impl NodeConfig {
    /// Refuses the first value that cannot be meant.
    pub(super) fn validate(&self) -> Result<(), Error> {
        let ae_title = &self.dicom.ae_title;
        let is_ae_title = |text: &str| {
            let printable = |c: char| (' '..='~').contains(&c) && c != '\\';
            (1..=16).contains(&text.len()) && !text.trim().is_empty() && text.chars().all(printable)
        };
        let titles = self.peers.iter().map(|peer| &peer.ae_title);
        for title in titles.chain([ae_title]) {
            check(
                "ae_title",
                title,
                is_ae_title(title),
                "1 to 16 printable characters",
            )?;
        }
        let pdu = self.dicom.max_pdu_bytes;
        let allowed = (4096..=(16 << 20)).contains(&pdu);
        check(
            "node.dicom.max_pdu_bytes",
            &pdu,
            allowed,
            "4096 to 16777216",
        )?;
        let attempts = self.retry.max_attempts;
        check(
            "node.retry.max_attempts",
            &attempts,
            attempts >= 1,
            "1 or more",
        )?;
        self.priors_are_possible()?;
        self.hours_are_hours()?;
        self.names_are_known()
    }

    /// Every time of day is one.
    fn hours_are_hours(&self) -> Result<(), Error> {
        let windows = [
            ("node.calendar.quiet", &self.calendar.quiet),
            ("node.calendar.off_peak", &self.calendar.off_peak),
        ];
        for (key, times) in windows {
            let allowed = times.is_empty() || Window::parse(times).is_some();
            let wanted = "two different times, [\"HH:MM\", \"HH:MM\"], or []";
            check(key, &times.join(", "), allowed, wanted)?;
        }
        for RuleConfig { ready_by, .. } in &self.rules {
            let allowed = ready_by.is_empty() || time_of_day(ready_by).is_some();
            check("node.rules.ready_by", ready_by, allowed, "HH:MM")?;
        }
        for RuleConfig { priority, .. } in &self.rules {
            check("node.rules.priority", priority, *priority <= 9, "0 to 9")?;
        }
        Ok(())
    }

    /// Every peer that is named somewhere exists.
    fn names_are_known(&self) -> Result<(), Error> {
        let known = |name: &str| self.peers.iter().any(|peer| peer.name == name);
        let asked = &self.completion.count_by;
        let allowed = asked.is_empty() || known(asked);
        check(
            "node.completion.count_by",
            asked,
            allowed,
            "the name of a peer",
        )?;
        for destination in &self.destinations {
            if let DestinationKind::Dicom { peer, .. } = &destination.to {
                check(
                    "node.destinations.peer",
                    peer,
                    known(peer),
                    "the name of a peer",
                )?;
            }
        }
        Ok(())
    }
}
