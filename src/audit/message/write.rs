//! A message as XML, in the order of elements that the schema of PS3.15 A.5.1 has.

use super::{Draft, Object, Participant, RFC_3881, Source};
use crate::audit::xml::{Code, Xml, base64, clean, element, empty, text};
use quick_xml::events::{BytesDecl, Event};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

impl Draft<'_> {
    pub(super) fn write(&self, xml: &mut Xml, time: &str, source: &Source) -> io::Result<()> {
        xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        element(xml, "AuditMessage", &[], |xml| {
            self.write_event(xml, time)?;
            for participant in &self.participants {
                participant.write(xml)?;
            }
            let id = [("AuditSourceID", clean(&source.ae_title))];
            element(xml, "AuditSourceIdentification", &id, |xml| {
                // 4: application server process (A.5.1.2.1).
                empty(xml, "AuditSourceTypeCode", &[("csd-code", "4".into())])
            })?;
            self.objects.iter().try_for_each(|object| object.write(xml))
        })
    }

    fn write_event(&self, xml: &mut Xml, time: &str) -> io::Result<()> {
        let attributes = [
            ("EventActionCode", self.action.to_string()),
            ("EventDateTime", time.into()),
            ("EventOutcomeIndicator", self.outcome.to_string()),
        ];
        element(xml, "EventIdentification", &attributes, |xml| {
            self.id.write(xml, "EventID")?;
            if let Some(of_type) = self.of_type {
                of_type.write(xml, "EventTypeCode")?;
            }
            self.why
                .map_or(Ok(()), |why| text(xml, "EventOutcomeDescription", why))
        })
    }
}

impl Participant<'_> {
    fn write(&self, xml: &mut Xml) -> io::Result<()> {
        let mut attributes = vec![
            ("UserID", clean(self.id)),
            ("UserIsRequestor", self.requestor.to_string()),
        ];
        if let Some(title) = self.ae_title {
            attributes.push(("AlternativeUserID", format!("AETITLES={}", clean(title))));
        }
        if let Some(address) = self.address {
            attributes.push(("NetworkAccessPointID", clean(address)));
            attributes.push(("NetworkAccessPointTypeCode", access_point(address).into()));
        }
        element(xml, "ActiveParticipant", &attributes, |xml| {
            self.role
                .map_or(Ok(()), |role| role.write(xml, "RoleIDCode"))
        })
    }
}

/// NetworkAccessPointTypeCode: a machine's name, an IP address or a URI.
fn access_point(address: &str) -> &'static str {
    if address.contains("://") {
        "5"
    } else if address.parse::<IpAddr>().is_ok() {
        "2"
    } else {
        "1"
    }
}

impl Object<'_> {
    /// The schema wants a name in every object; those here tell nothing of a person.
    fn write(&self, xml: &mut Xml) -> io::Result<()> {
        match self {
            Self::Study(uid, sop_classes) => {
                let code = Code("110180", "DCM", "Study Instance UID");
                object(xml, uid, ["2", "3"], code, "study", |xml| {
                    sop_classes.map_or(Ok(()), |classes| describe(xml, classes))
                })
            }
            Self::Patient(link) => {
                let code = Code("2", RFC_3881, "Patient Number");
                let id = link.unwrap_or("unknown");
                object(xml, id, ["1", "1"], code, "withheld", |_| Ok(()))
            }
            Self::Alert(code, subject, alert) => {
                object(xml, subject, ["2", "13"], *code, "alert subject", |xml| {
                    let kind = ("type", "Alert Description".into());
                    let value = ("value", base64(alert.as_bytes()));
                    empty(xml, "ParticipantObjectDetail", &[kind, value])
                })
            }
            Self::Log => {
                let (code, name) = (Code("12", RFC_3881, "URI"), "Security Audit Log");
                object(xml, crate::audit::LOG, ["2", "13"], code, name, |_| Ok(()))
            }
        }
    }
}

fn object(
    xml: &mut Xml,
    id: &str,
    [of_type, role]: [&str; 2],
    code: Code,
    name: &str,
    content: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> io::Result<()> {
    let attributes = [
        ("ParticipantObjectID", clean(id)),
        ("ParticipantObjectTypeCode", of_type.into()),
        ("ParticipantObjectTypeCodeRole", role.into()),
    ];
    element(xml, "ParticipantObjectIdentification", &attributes, |xml| {
        code.write(xml, "ParticipantObjectIDTypeCode")?;
        text(xml, "ParticipantObjectName", name)?;
        content(xml)
    })
}

/// SOP classes with their counts; an empty description would say that there are none.
fn describe(xml: &mut Xml, sop_classes: &BTreeMap<String, u64>) -> io::Result<()> {
    if sop_classes.is_empty() {
        return Ok(());
    }
    element(xml, "ParticipantObjectDescription", &[], |xml| {
        sop_classes.iter().try_for_each(|(uid, count)| {
            let count = ("NumberOfInstances", count.to_string());
            empty(xml, "SOPClass", &[("UID", clean(uid)), count])
        })
    })
}
