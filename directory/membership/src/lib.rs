//! Who a device is, and what may change a conversation: the rules that members and directory apply alike.
//!
//! It stands between `protocol`, which knows bytes but no keys, and the two programs, so that a member and the directory
//! can't come to different verdicts about the same certificate or commit. It reads no clock and draws no randomness.

pub mod certificate;
pub mod identity;
pub mod rules;
pub mod signing;

use mls_rs::{
    CipherSuite, ExtensionList,
    extension::{ExtensionType, built_in::RequiredCapabilitiesExt},
    group::proposal::ProposalType,
};
use mls_rs_core::extension::{Extension, ExtensionError};
use protocol::{
    AccountId, ConversationId, Fingerprint, PublicKey, frame,
    policy::{self, LEAVE_PROPOSAL, POLICY_EXTENSION, Policy},
};
use sha2::{Digest as _, Sha256};

/// The one suite: `MLS_128_DHKEMP256_AES128GCM_SHA256_P256` (RFC 9420, 0x0002).
pub const SUITE: CipherSuite = CipherSuite::P256_AES128;

/// The extension type of [`Policy`].
pub const POLICY_EXTENSION_TYPE: ExtensionType = ExtensionType::new(POLICY_EXTENSION);

/// The proposal type of a [`policy::SignedLeave`].
pub const LEAVE_PROPOSAL_TYPE: ProposalType = ProposalType::new(LEAVE_PROPOSAL);

/// Longest serialised [`policy::SignedLeave`].
pub const SIGNED_LEAVE_MAX: usize = 256;

/// Longest policy; a direct one has 137 bytes, a group's at most some fifty thousand.
const POLICY_MAX: usize = 64 * 1024;

/// The account of a root key.
#[must_use]
pub fn account_id(root_key: &PublicKey) -> AccountId {
    let hash = Sha256::new().chain_update(protocol::ids::ACCOUNT_ID_LABEL).chain_update(root_key.0);
    AccountId(hash.finalize().into())
}

/// What people pin and compare of a key.
#[must_use]
pub fn fingerprint(key: &PublicKey) -> Fingerprint {
    Fingerprint(Sha256::digest(key.0).into())
}

/// The id of the direct conversation between two root keys.
#[must_use]
pub fn direct_conversation_id(one: &PublicKey, other: &PublicKey, generation: u32) -> ConversationId {
    ConversationId(Sha256::digest(policy::direct_conversation_input(one, other, generation)).into())
}

/// The id that a conversation of this policy must have.
#[must_use]
pub fn conversation_id(policy: &Policy) -> ConversationId {
    match policy {
        Policy::Direct { roots: [one, other], generation } => direct_conversation_id(one, other, *generation),
        Policy::Group(group) => {
            let input = policy::group_input(&group.name, group.founder, &group.nonce);
            ConversationId(Sha256::digest(input).into())
        }
    }
}

/// The policy of the direct conversation between two root keys.
#[must_use]
pub fn direct_policy(one: PublicKey, other: PublicKey, generation: u32) -> Policy {
    let roots = if one <= other { [one, other] } else { [other, one] };
    Policy::Direct { roots, generation }
}

/// Why a group context holds no usable policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There is none.
    #[error("the group has no policy")]
    Missing,
    /// It does not decode.
    #[error("the group's policy is malformed: {0}")]
    Malformed(frame::FrameError),
    /// The two people are the same, or not in ascending order.
    #[error("the group's policy does not name two people in order")]
    People,
    /// A group's lists of people contradict each other.
    #[error("the group's policy contradicts itself")]
    Unsound,
}

/// The policy as a group-context extension.
///
/// # Errors
/// [`frame::FrameError`] if it cannot be written; a bug.
pub fn policy_extension(policy: &Policy) -> Result<Extension, frame::FrameError> {
    Ok(Extension::new(POLICY_EXTENSION_TYPE, frame::encode_body(policy, POLICY_MAX)?))
}

/// All that a conversation's group context holds: its policy; in a group also what every member must be capable of, since a
/// commit that changes the policy holds for those who say that they know it (RFC 9420, 7.2).
///
/// # Errors
/// [`ContextError`] if it cannot be written; a bug.
pub fn group_context(policy: &Policy) -> Result<ExtensionList, ContextError> {
    let mut context = ExtensionList::new();
    if matches!(policy, Policy::Group(_)) {
        let required = RequiredCapabilitiesExt {
            extensions: vec![POLICY_EXTENSION_TYPE],
            proposals: vec![LEAVE_PROPOSAL_TYPE],
            credentials: Vec::new(),
        };
        context.set_from(required)?;
    }
    context.set(policy_extension(policy)?);
    Ok(context)
}

/// A group context cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The policy.
    #[error(transparent)]
    Policy(#[from] frame::FrameError),
    /// What is required.
    #[error("the required capabilities cannot be written: {0}")]
    Required(#[from] ExtensionError),
}

/// Reads the policy of a group from its context's extensions.
///
/// # Errors
/// [`PolicyError`] if there is none that can be used.
pub fn policy_of(extensions: &ExtensionList) -> Result<Policy, PolicyError> {
    let extension = extensions.get(POLICY_EXTENSION_TYPE).ok_or(PolicyError::Missing)?;
    let policy: Policy = frame::decode_body(&extension.extension_data, POLICY_MAX).map_err(PolicyError::Malformed)?;
    match &policy {
        Policy::Direct { roots: [low, high], .. } if low >= high => Err(PolicyError::People),
        Policy::Group(group) if !group.is_sound() => Err(PolicyError::Unsound),
        _ => Ok(policy),
    }
}
