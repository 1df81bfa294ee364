//! `[node.priors]`: from where earlier studies of a patient are fetched.

use super::{Error, NodeConfig, When, check};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Most earlier studies that a rule may ask for.
const MAX_PRIORS: u8 = 10;

/// How earlier studies are fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PriorsBy {
    /// C-FIND and C-GET: they come on the association that asks for them.
    #[default]
    CGet,
    /// C-FIND and C-MOVE: the peer sends them as a scanner does.
    CMove,
    /// QIDO-RS and WADO-RS (PS3.18).
    WadoRs,
}

/// `[node.priors]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PriorsConfig {
    /// How.
    pub by: PriorsBy,
    /// Name of the peer that is asked by DICOM; empty asks nobody.
    pub from: String,
    /// Address of the web service that is asked, to which `/studies` is added; empty asks nobody.
    pub url: String,
    /// File with a bearer token for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// File of certificates that its own has to be vouched for by; else those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Older studies are not fetched, days before the study; 0 takes any.
    pub max_age_days: u32,
}

impl Default for PriorsConfig {
    fn default() -> Self {
        Self {
            by: PriorsBy::CGet,
            from: String::new(),
            url: String::new(),
            token_file: None,
            ca: None,
            max_age_days: 1825,
        }
    }
}

impl PriorsConfig {
    /// Whether somebody is named who can be asked.
    pub fn is_set(&self) -> bool {
        !self.from.is_empty() || !self.url.is_empty()
    }
}

impl NodeConfig {
    /// Whoever is asked for earlier studies exists, and can be asked so.
    pub(super) fn priors_are_possible(&self) -> Result<(), Error> {
        for rule in &self.rules {
            let allowed = rule.priors <= MAX_PRIORS;
            check("node.rules.priors", &rule.priors, allowed, "0 to 10")?;
            let allowed = rule.priors == 0 || rule.when != When::Never;
            let wanted = "0 where `when` is \"never\"";
            check("node.rules.priors", &rule.priors, allowed, wanted)?;
            let allowed = rule.priors == 0 || self.priors.is_set();
            let wanted = "0 without `from` or `url` in [node.priors]";
            check("node.rules.priors", &rule.priors, allowed, wanted)?;
        }
        match self.priors.by {
            PriorsBy::WadoRs => self.web_is_possible(),
            PriorsBy::CGet | PriorsBy::CMove => self.peer_is_possible(),
        }
    }

    fn web_is_possible(&self) -> Result<(), Error> {
        let PriorsConfig { from, url, .. } = &self.priors;
        let wanted = "\"\" for wado-rs, which takes `url`,";
        check("node.priors.from", from, from.is_empty(), wanted)?;
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        let is_web = scheme.is_some_and(|scheme| ["http", "https"].contains(&scheme));
        let allowed = url.is_empty() || is_web && !url.contains(['?', '#']);
        check("node.priors.url", url, allowed, "an http or https address")
    }

    fn peer_is_possible(&self) -> Result<(), Error> {
        let PriorsConfig { by, from, url, .. } = &self.priors;
        let wanted = "\"\" for c-get and c-move, which take `from`,";
        check("node.priors.url", url, url.is_empty(), wanted)?;
        if from.is_empty() {
            return Ok(());
        }
        let peer = self.peers.iter().find(|peer| peer.name == *from);
        let key = "node.priors.from";
        check(key, from, peer.is_some(), "the name of a peer")?;
        let callable = peer.is_some_and(|peer| peer.port.is_some());
        check(key, from, callable, "a peer with `port`")?;
        let sends = *by != PriorsBy::CMove || peer.is_some_and(|peer| peer.may_store);
        check(key, from, sends, "a peer with `may_store` for c-move")
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const PEER: &str = "[[node.peers]]\nname = \"pacs\"\nae_title = \"PACS\"\nhost = \"pacs\"\n";

    fn refused(text: &str) -> Option<String> {
        let config: Config = toml::from_str(text).expect("it parses");
        config.validate().err().map(|error| error.to_string())
    }

    fn node(priors: &str, peer: &str, rule: &str) -> Option<String> {
        refused(&format!(
            "[node.priors]\n{priors}\n{PEER}{peer}\n[[node.rules]]\n{rule}\n"
        ))
    }

    #[test]
    fn a_rule_may_ask_for_priors_where_somebody_can_be_asked() {
        let ask = "priors = 2";
        assert_eq!(node("from = \"pacs\"", "port = 104", ask), None);
        let by_move = "by = \"c-move\"\nfrom = \"pacs\"";
        assert_eq!(node(by_move, "port = 104\nmay_store = true", ask), None);
        let web = "by = \"wado-rs\"\nurl = \"http://pacs:8042/dicom-web\"";
        assert_eq!(node(web, "", ask), None);
        assert_eq!(node("", "", "priors = 0"), None);
    }

    #[test]
    fn priors_that_nobody_can_be_asked_for_are_refused_by_the_key_at_fault() {
        let by_move = "by = \"c-move\"\nfrom = \"pacs\"";
        for (priors, peer, rule, key, wanted) in [
            ("", "", "priors = 1", "rules.priors", "without `from`"),
            ("", "", "priors = 11", "rules.priors", "0 to 10"),
            (
                "from = \"pacs\"",
                "port = 104",
                "priors = 1\nwhen = \"never\"",
                "rules.priors",
                "never",
            ),
            (
                "from = \"other\"",
                "",
                "priors = 1",
                "priors.from",
                "the name of a peer",
            ),
            ("from = \"pacs\"", "", "priors = 1", "priors.from", "`port`"),
            (
                by_move,
                "port = 104",
                "priors = 1",
                "priors.from",
                "`may_store`",
            ),
            (
                "by = \"wado-rs\"\nurl = \"pacs\"",
                "",
                "",
                "priors.url",
                "address",
            ),
            (
                "by = \"wado-rs\"\nfrom = \"pacs\"",
                "",
                "",
                "priors.from",
                "takes `url`",
            ),
            ("url = \"http://pacs\"", "", "", "priors.url", "take `from`"),
        ] {
            let error = node(priors, peer, rule).expect("it is refused");
            assert!(error.contains(key) && error.contains(wanted), "{error}");
        }
    }
}
