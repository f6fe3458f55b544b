//! A group of many, put into a directory's store as a whole: a thousand people who come in one after the other would be
//! a thousand commits, each the work of a tree of that size.

use std::{collections::BTreeMap, time::Duration};

use directory::{
    core::Service,
    store::{Audience, ConversationRecord, NameClaimed, Roster, Store},
};
use membership::{
    LEAVE_PROPOSAL_TYPE, POLICY_EXTENSION_TYPE, SUITE, conversation_id, group_context,
    identity::{DeviceIdentityProvider, signing_identity},
    rules::ConversationRules,
};
use mls_rs::{
    Client, ExtensionList, Group, MlsMessage, MlsRules,
    client_builder::{BaseConfig, WithCryptoProvider, WithIdentityProvider, WithMlsRules},
    external_client::ExternalClient,
    group::{GroupContext, Roster as Members},
    mls_rules::{CommitDirection, CommitOptions, CommitSource, EncryptionOptions, ProposalBundle},
    time::MlsTime,
};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use protocol::{
    Timestamp,
    limits::KEY_PACKAGE_LIFETIME_S,
    policy::{GroupPolicy, Policy},
};

use crate::fixture::{Account, Failed};

/// Lets everybody do everything, and writes as the product does.
#[derive(Debug, Clone)]
pub struct Lawless;

impl MlsRules for Lawless {
    type Error = <ConversationRules as MlsRules>::Error;

    fn filter_proposals(
        &self,
        _direction: CommitDirection,
        _source: CommitSource,
        _members: &Members<'_>,
        _context: &GroupContext,
        proposals: ProposalBundle,
    ) -> Result<ProposalBundle, Self::Error> {
        Ok(proposals)
    }

    fn commit_options(
        &self,
        members: &Members<'_>,
        context: &GroupContext,
        proposals: &ProposalBundle,
    ) -> Result<CommitOptions, Self::Error> {
        ConversationRules.commit_options(members, context, proposals)
    }

    fn encryption_options(
        &self,
        members: &Members<'_>,
        context: &GroupContext,
    ) -> Result<EncryptionOptions, Self::Error> {
        ConversationRules.encryption_options(members, context)
    }
}

/// The MLS library's client with the product's identities.
pub type Config = WithMlsRules<
    Lawless,
    WithIdentityProvider<DeviceIdentityProvider, WithCryptoProvider<AwsLcCryptoProvider, BaseConfig>>,
>;

/// The MLS library for an account's device.
///
/// # Errors
/// If the account's certificate does not hold.
pub fn client(account: &Account) -> Result<Client<Config>, Failed> {
    Ok(Client::builder()
        .crypto_provider(AwsLcCryptoProvider::default())
        .identity_provider(DeviceIdentityProvider)
        .mls_rules(Lawless)
        .extension_type(POLICY_EXTENSION_TYPE)
        .custom_proposal_type(LEAVE_PROPOSAL_TYPE)
        .key_package_lifetime(Duration::from_secs(KEY_PACKAGE_LIFETIME_S))
        .signing_identity(
            signing_identity(&account.certificate)?,
            account.keys.mls_key().to_bytes().to_vec().into(),
            SUITE,
        )
        .build())
}

/// The time as the MLS library takes it.
#[must_use]
pub fn mls_time(now: Timestamp) -> MlsTime {
    MlsTime::from_duration_since_epoch(Duration::from_secs(now.seconds()))
}

/// What two of a crowd hold of their group: the first, who has added all others, and the second.
pub struct Crowd {
    /// The first one's.
    pub first: Group<Config>,
    /// The second one's.
    pub second: Group<Config>,
}

impl std::fmt::Debug for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crowd").field("epoch", &self.first.current_epoch()).finish_non_exhaustive()
    }
}

/// Makes a group of these accounts, all of whom have joined.
///
/// # Errors
/// Whatever the library refuses.
pub fn gather(now: Timestamp, accounts: &[Account], policy: &GroupPolicy) -> Result<Crowd, Failed> {
    let [first, second, ..] = accounts else { return Err("a crowd has two people at least".into()) };
    let policy = Policy::Group(Box::new(policy.clone()));
    let time = mls_time(now);
    let none = ExtensionList::new;
    let builder = client(first)?.group_builder()?.with_group_id(conversation_id(&policy).0.to_vec());
    let mut group = builder.with_group_context_extensions(group_context(&policy)?).with_now_time(time).build()?;
    let packages = |account: &Account| -> Result<MlsMessage, Failed> {
        Ok(client(account)?.generate_key_package_message(none(), none(), Some(time))?)
    };
    let second = client(second)?;
    let mut builder = group.commit_builder().commit_time(time);
    builder = builder.add_member(second.generate_key_package_message(none(), none(), Some(time))?)?;
    for account in &accounts[2..] {
        builder = builder.add_member(packages(account)?)?;
    }
    let commit = builder.build()?;
    group.apply_pending_commit()?;
    let welcome = commit.welcome_messages.first().ok_or("a commit that adds somebody has a Welcome")?;
    let (second, _) = second.join_group(Some(group.export_tree()), welcome, Some(time))?;
    Ok(Crowd { first: group, second })
}

/// Puts the group into a directory's store, as if all of its commits had gone through it.
///
/// # Errors
/// Whatever the library or the store refuses.
pub fn settle<S: Store>(
    service: &Service<S>,
    now: Timestamp,
    accounts: &[Account],
    policy: &GroupPolicy,
    group: &Group<Config>,
) -> Result<(), Failed> {
    let observer = ExternalClient::builder()
        .crypto_provider(AwsLcCryptoProvider::default())
        .identity_provider(DeviceIdentityProvider)
        .mls_rules(ConversationRules)
        .extension_type(POLICY_EXTENSION_TYPE)
        .custom_proposal_types([LEAVE_PROPOSAL_TYPE])
        .build();
    let info = group.group_info_message_allowing_ext_commit(false)?;
    let group_info = info.to_bytes()?;
    let observed = observer.observe_group(info, Some(group.export_tree()), Some(mls_time(now)))?;
    let id = conversation_id(&Policy::Group(Box::new(policy.clone())));
    let roster = Roster {
        id,
        audience: Audience::Group(Box::new(policy.clone())),
        epoch: group.current_epoch(),
        members: accounts.iter().map(|account| (account.device, account.id)).collect(),
        leaving: BTreeMap::new(),
        leaves: 0,
    };
    let record = ConversationRecord { roster, snapshot: observed.snapshot().to_bytes()?, group_info, made_by: [0; 32] };
    if service.store().claim_name(&policy.name, policy.name.as_str(), id)? != NameClaimed::Claimed {
        return Err("the group's name is taken".into());
    }
    service.store().create_conversation(&record, &[])?;
    Ok(())
}
