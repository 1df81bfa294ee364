//! Who is let in, and for what (PS3.8 9.3.2 to 9.3.4).

use crate::config::PeerConfig;
use crate::dicom::decodes;
use crate::node::Sender;
use crate::node::dimse::{APPLICATION_CONTEXT, Context, own_variables};
use dicom_dictionary_std::uids;
use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult, AssociationRJServiceProviderASCEReason,
    AssociationRJServiceProviderPresentationReason, AssociationRJServiceUserReason,
    AssociationRJSource, AssociationRQ, Pdu, PresentationContextProposed,
    PresentationContextResult, PresentationContextResultReason as Answer, RequestorRoles,
    UserVariableItem,
};
use std::collections::BTreeSet;
use tokio::sync::OwnedSemaphorePermit;

/// Objects that are taken.
pub(in crate::node) const STORAGE: &[&str] = &[
    uids::CT_IMAGE_STORAGE,
    uids::ENHANCED_CT_IMAGE_STORAGE,
    uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE,
    uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE,
    uids::ENHANCED_PET_IMAGE_STORAGE,
    uids::LEGACY_CONVERTED_ENHANCED_PET_IMAGE_STORAGE,
    uids::BASIC_TEXT_SR_STORAGE,
    uids::ENHANCED_SR_STORAGE,
    uids::COMPREHENSIVE_SR_STORAGE,
    uids::COMPREHENSIVE3_DSR_STORAGE,
    uids::EXTENSIBLE_SR_STORAGE,
    uids::X_RAY_RADIATION_DOSE_SR_STORAGE,
    uids::RADIOPHARMACEUTICAL_RADIATION_DOSE_SR_STORAGE,
    uids::SEGMENTATION_STORAGE,
    uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_SINGLE_BIT_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_GRAYSCALE_BYTE_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_GRAYSCALE_WORD_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_TRUE_COLOR_SECONDARY_CAPTURE_IMAGE_STORAGE,
];

/// Transfer syntaxes that may lose something: of several, a sender is not led to one of these.
const LOSSY: &[&str] = &[
    uids::JPEG_BASELINE8_BIT,
    uids::JPEG_EXTENDED12_BIT,
    uids::JPEGLS_NEAR_LOSSLESS,
    uids::JPEG2000,
    uids::HTJ2K,
    uids::JPEGXL,
];

/// An association's terms.
pub(super) struct Terms {
    /// Who it is with.
    pub(super) sender: Sender,
    /// Its place among those that there may be.
    pub(super) slot: OwnedSemaphorePermit,
}

/// Why there is no association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejection {
    /// Another protocol version than 1.
    ProtocolVersion,
    /// Another application context than that of DICOM.
    ApplicationContext,
    /// Another node was meant.
    CalledTitle,
    /// No peer of that title comes from there.
    UnknownCaller,
    /// As many associations as there may be.
    TooManyAssociations,
}

impl Rejection {
    /// A stable kebab-case code.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::ProtocolVersion => "protocol-version",
            Self::ApplicationContext => "application-context",
            Self::CalledTitle => "called-ae-title",
            Self::UnknownCaller => "unknown-caller",
            Self::TooManyAssociations => "too-many-associations",
        }
    }

    /// A-ASSOCIATE-RJ (PS3.8 table 9-21).
    pub(super) fn pdu(self) -> Pdu {
        use AssociationRJServiceUserReason as User;
        let source = match self {
            Self::ProtocolVersion => AssociationRJSource::ServiceProviderASCE(
                AssociationRJServiceProviderASCEReason::ProtocolVersionNotSupported,
            ),
            Self::ApplicationContext => {
                AssociationRJSource::ServiceUser(User::ApplicationContextNameNotSupported)
            }
            Self::CalledTitle => AssociationRJSource::ServiceUser(User::CalledAETitleNotRecognized),
            Self::UnknownCaller => {
                AssociationRJSource::ServiceUser(User::CallingAETitleNotRecognized)
            }
            Self::TooManyAssociations => AssociationRJSource::ServiceProviderPresentation(
                AssociationRJServiceProviderPresentationReason::LocalLimitExceeded,
            ),
        };
        let result = match self {
            Self::TooManyAssociations => AssociationRJResult::Transient,
            _ => AssociationRJResult::Permanent,
        };
        Pdu::AssociationRJ(AssociationRJ { result, source })
    }
}

/// Whether the caller, one of `peers` at its address, may store.
pub(super) fn decide(
    request: &AssociationRQ,
    own_title: &str,
    peers: &[&PeerConfig],
) -> Result<bool, Rejection> {
    // Bit 0 is version 1; the others are not looked at (PS3.8 table 9-11).
    if request.protocol_version & 1 == 0 {
        return Err(Rejection::ProtocolVersion);
    }
    if trimmed(&request.application_context_name) != APPLICATION_CONTEXT {
        return Err(Rejection::ApplicationContext);
    }
    if request.called_ae_title.trim() != own_title.trim() {
        return Err(Rejection::CalledTitle);
    }
    let calling = request.calling_ae_title.trim();
    let mut titled = peers.iter().filter(|peer| peer.ae_title.trim() == calling);
    let first = titled.next().ok_or(Rejection::UnknownCaller)?;
    Ok(first.may_store || titled.any(|peer| peer.may_store))
}

/// The answer to what was proposed.
pub(super) struct Contexts {
    pub(super) accepted: Vec<Context>,
    pub(super) results: Vec<PresentationContextResult>,
}

/// Which contexts are accepted; none where their numbers break PS3.8 9.3.2.2.
pub(super) fn contexts(request: &AssociationRQ, may_store: bool) -> Option<Contexts> {
    let (mut accepted, mut results, mut ids) = (Vec::new(), Vec::new(), BTreeSet::new());
    for context in &request.presentation_contexts {
        if context.id % 2 == 0 || !ids.insert(context.id) {
            return None;
        }
        let taken = taken(context, may_store);
        let (reason, transfer_syntax) = match taken {
            Ok(uid) => (Answer::Acceptance, uid),
            Err(reason) => (reason, uids::IMPLICIT_VR_LITTLE_ENDIAN),
        };
        if reason == Answer::Acceptance {
            accepted.push(Context {
                id: context.id,
                abstract_syntax: trimmed(&context.abstract_syntax).into(),
                transfer_syntax: transfer_syntax.into(),
            });
        }
        results.push(PresentationContextResult {
            id: context.id,
            reason,
            transfer_syntax: transfer_syntax.into(),
        });
    }
    Some(Contexts { accepted, results })
}

/// The transfer syntax in which a context is taken.
fn taken(context: &PresentationContextProposed, may_store: bool) -> Result<&str, Answer> {
    let class = trimmed(&context.abstract_syntax);
    let is_storage = STORAGE.contains(&class);
    let is_service = [uids::VERIFICATION, uids::STORAGE_COMMITMENT_PUSH_MODEL].contains(&class);
    if is_storage && !may_store {
        return Err(Answer::UserRejection);
    }
    if !is_storage && !is_service {
        return Err(Answer::AbstractSyntaxNotSupported);
    }
    let fits = |uid: &&str| match is_storage {
        true => decodes(uid),
        false => [
            uids::IMPLICIT_VR_LITTLE_ENDIAN,
            uids::EXPLICIT_VR_LITTLE_ENDIAN,
        ]
        .contains(uid),
    };
    let proposed = context.transfer_syntaxes.iter().map(|uid| trimmed(uid));
    let fitting: Vec<_> = proposed.filter(fits).collect();
    let lossless = fitting.iter().find(|uid| !LOSSY.contains(uid));
    let chosen = lossless.or(fitting.first()).copied();
    chosen.ok_or(Answer::TransferSyntaxesNotSupported)
}

/// A-ASSOCIATE-AC.
pub(super) fn answer(
    request: &AssociationRQ,
    results: Vec<PresentationContextResult>,
    max_pdu_bytes: u32,
) -> AssociationAC {
    let mut user_variables = own_variables(max_pdu_bytes);
    user_variables.extend(request.user_variables.iter().filter_map(role));
    AssociationAC {
        protocol_version: 1,
        calling_ae_title: request.calling_ae_title.clone(),
        called_ae_title: request.called_ae_title.clone(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: results,
        user_variables,
    }
}

/// A peer that brings what it committed to is the provider of that service, although it called (PS3.4 J.3.3, PS3.7
/// D.3.3.4); this node never is.
fn role(variable: &UserVariableItem) -> Option<UserVariableItem> {
    match variable {
        UserVariableItem::ScuScpRoleSelectionSubItem(uid, roles)
            if trimmed(uid) == uids::STORAGE_COMMITMENT_PUSH_MODEL =>
        {
            let roles = RequestorRoles {
                scu: false,
                scp: roles.scp,
            };
            Some(UserVariableItem::ScuScpRoleSelectionSubItem(
                uid.clone(),
                roles,
            ))
        }
        _ => None,
    }
}

fn trimmed(uid: &str) -> &str {
    uid.trim_matches(['\0', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposed(class: &str, syntaxes: &[&str]) -> PresentationContextProposed {
        PresentationContextProposed {
            id: 1,
            abstract_syntax: class.into(),
            transfer_syntaxes: syntaxes.iter().map(|&uid| uid.into()).collect(),
        }
    }

    #[test]
    fn of_several_transfer_syntaxes_the_first_lossless_one_is_taken() {
        let syntaxes = [
            uids::MPEG2MPML,
            uids::JPEG_BASELINE8_BIT,
            uids::JPEGLS_LOSSLESS,
            uids::EXPLICIT_VR_LITTLE_ENDIAN,
        ];
        let context = proposed(uids::CT_IMAGE_STORAGE, &syntaxes);
        assert_eq!(taken(&context, true), Ok(uids::JPEGLS_LOSSLESS));
        let context = proposed(uids::CT_IMAGE_STORAGE, &syntaxes[..2]);
        assert_eq!(taken(&context, true), Ok(uids::JPEG_BASELINE8_BIT));
        let context = proposed(uids::CT_IMAGE_STORAGE, &syntaxes[..1]);
        assert_eq!(
            taken(&context, true),
            Err(Answer::TransferSyntaxesNotSupported)
        );
    }

    #[test]
    fn who_may_not_store_may_echo() {
        let implicit = [uids::IMPLICIT_VR_LITTLE_ENDIAN];
        let store = proposed(uids::CT_IMAGE_STORAGE, &implicit);
        assert_eq!(taken(&store, false), Err(Answer::UserRejection));
        let echo = proposed(uids::VERIFICATION, &implicit);
        assert_eq!(taken(&echo, false), Ok(implicit[0]));
    }

    #[test]
    fn classes_that_nobody_reads_here_are_not_supported() {
        let implicit = [uids::IMPLICIT_VR_LITTLE_ENDIAN];
        let image = proposed(uids::MR_IMAGE_STORAGE, &implicit);
        assert_eq!(taken(&image, true), Err(Answer::AbstractSyntaxNotSupported));
    }
}
