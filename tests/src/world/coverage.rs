//! What a run went through: a test that never meets the hard cases proves nothing about them.

use std::{collections::BTreeMap, fmt};

/// The cases that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Case {
    /// A commit lost its epoch to another one, and the same member's next commit there was accepted.
    LostCommitRedone,
    /// Two people wrote to each other first at the same time: one creation lost.
    FirstMessageRace,
    /// A message came by the mailbox and directly.
    DuplicateDelivery,
    /// A device came back by an external commit.
    ExternalRejoin,
    /// A node died with a transaction made and not committed.
    NodeCrashBeforeCommit,
    /// A node died after a commit and before any effect.
    NodeCrashAfterCommit,
    /// A node died between two effects of one call.
    NodeCrashBetweenEffects,
    /// A node's commit failed, since its disk was full.
    NodeDiskFull,
    /// The directory died before a change of its store.
    DirectoryCrashBeforeCommit,
    /// The directory died after a change of its store and before it answered.
    DirectoryCrashAfterCommit,
    /// A partition between two participants ended.
    PartitionHealed,
    /// The directory was started again.
    DirectoryRestart,
    /// Two thousand messages waited for a node that was away, and were all shown when it came back.
    TwoThousandWhileAway,
    /// A request was carried out and its answer was lost.
    AnswerLost,
    /// A frame came twice.
    FrameDuplicated,
    /// A message was shown with a visible gap before it.
    GapShown,
    /// Nobody came for a message within the mailbox's fourteen days, and its sender was told.
    ExpiredAndTold,
    /// A message that had expired was sent again by its sender, and was shown, for the first time.
    ExpiredResentShown,
    /// A message was shown after its sender had been told that it had expired.
    ShownAfterExpiry,
    /// A message was sent again by its sender although it had arrived: the word of it had expired, or was late.
    ResentHadArrived,
    /// Somebody signed in on a new machine.
    NewMachine,
    /// Somebody revoked a device of theirs.
    DeviceRevoked,
    /// Somebody changed their password.
    PasswordChanged,
    /// A copied profile was opened, and came back as a new device.
    CopyCameBack,
    /// A machine lost its disk, and came back as a new device.
    WipedCameBack,
    /// A device that was revoked was found, and came back as a new one.
    RevokedCameBack,
    /// What one device of somebody sent, another one of theirs showed.
    OwnMessageShown,
    /// Somebody joined a group: an open one by themselves, or one that they had been invited to.
    MemberJoined,
    /// Somebody left a group.
    MemberLeft,
    /// Somebody was invited to a group.
    MemberInvited,
    /// Somebody was kicked out of a group.
    MemberRemoved,
    /// Somebody got a higher role.
    MemberPromoted,
    /// Somebody got a lower role.
    MemberDemoted,
    /// A commit in a group changed nobody's place: keys were refreshed, or a device came in.
    GroupRefreshed,
    /// Somebody's second device came into a group by itself.
    FurtherDeviceIn,
    /// Somebody who was kicked was invited again.
    BanLifted,
    /// Somebody who was kicked tried to come in by an external commit that no rule of theirs held back, and was refused.
    IntruderRefused,
    /// A device that had fallen out of a group came back, and its account had never left.
    CameBackIntoGroup,
    /// A device showed a message of a group that was sealed after it had come back.
    ReadAfterComingBack,
    /// A message of a group was shown.
    SaidInGroup,
    /// The last one who had joined a group left it.
    GroupClosed,
    /// An ex-member's kept keys opened something of their last epoch, so that they are really theirs.
    KeptKeysOpened,
    /// An ex-member's kept keys opened nothing of what was said later.
    KeptKeysShutOut,
    /// The directory died with a batch of the ledger made and not kept.
    LedgerCrashBeforeBatch,
    /// The directory died after a batch of the ledger was kept and before anybody heard of it.
    LedgerCrashAfterBatch,
    /// Somebody was told that they had paid.
    ToldPaid,
    /// Somebody was told that they had not paid.
    ToldNotPaid,
    /// Somebody was told that it is not known whether they had paid, and they had.
    UnknownWasPaid,
    /// The same, and they had not.
    UnknownWasNotPaid,
    /// An order was settled that its payee had handed in.
    DepositedByPayee,
    /// An order that was settled was handed in again.
    HandedInAgain,
    /// The operator's money came.
    Issued,
    /// A request was paid.
    RequestPaid,
    /// A request was declined.
    RequestDeclined,
    /// A request was cancelled.
    RequestCancelled,
    /// Nobody did anything about a request in time.
    RequestExpired,
    /// A request was paid and the whole given back.
    RequestRefunded,
    /// A payment was given back, at least in part.
    PaymentRefunded,
    /// Several devices answered one request at once, each in another way or in the same.
    AnsweredAtOnce,
    /// Everybody in a group was asked for a share of one sum.
    AskedEverybody,
    /// Whoever asked for shares took them all back by the whole.
    AllSharesTakenBack,
    /// Somebody's second device told a payment.
    PaymentOnFurtherDevice,
    /// A device that came later was told nothing of an earlier payment, and lists it.
    PaymentIsHistory,
    /// A payment was told without its words, since they came too late.
    ToldWithoutWords,
}

impl Case {
    /// Those that a whole run must have met [`LEAST`] times each.
    pub const REQUIRED: [Self; 15] = [
        Self::LostCommitRedone,
        Self::FirstMessageRace,
        Self::DuplicateDelivery,
        Self::ExternalRejoin,
        Self::NodeCrashBeforeCommit,
        Self::NodeCrashAfterCommit,
        Self::NodeCrashBetweenEffects,
        Self::NodeDiskFull,
        Self::DirectoryCrashBeforeCommit,
        Self::DirectoryCrashAfterCommit,
        Self::PartitionHealed,
        Self::DirectoryRestart,
        Self::TwoThousandWhileAway,
        Self::ExpiredAndTold,
        Self::ExpiredResentShown,
    ];

    /// The same for a run with several devices.
    pub const REQUIRED_OF_DEVICES: [Self; 7] = [
        Self::NewMachine,
        Self::DeviceRevoked,
        Self::PasswordChanged,
        Self::CopyCameBack,
        Self::WipedCameBack,
        Self::RevokedCameBack,
        Self::OwnMessageShown,
    ];

    /// The same for a run with groups.
    pub const REQUIRED_OF_GROUPS: [Self; 23] = [
        Self::MemberJoined,
        Self::MemberLeft,
        Self::MemberInvited,
        Self::MemberRemoved,
        Self::MemberPromoted,
        Self::MemberDemoted,
        Self::GroupRefreshed,
        Self::FurtherDeviceIn,
        Self::BanLifted,
        Self::IntruderRefused,
        Self::CameBackIntoGroup,
        Self::ReadAfterComingBack,
        Self::SaidInGroup,
        Self::GroupClosed,
        Self::KeptKeysOpened,
        Self::KeptKeysShutOut,
        Self::LostCommitRedone,
        Self::DuplicateDelivery,
        Self::NodeCrashBeforeCommit,
        Self::NodeCrashAfterCommit,
        Self::DirectoryCrashAfterCommit,
        Self::PartitionHealed,
        Self::OwnMessageShown,
    ];

    /// The same for a run with money.
    pub const REQUIRED_OF_MONEY: [Self; 28] = [
        Self::LedgerCrashBeforeBatch,
        Self::LedgerCrashAfterBatch,
        Self::ToldPaid,
        Self::ToldNotPaid,
        Self::UnknownWasPaid,
        Self::UnknownWasNotPaid,
        Self::DepositedByPayee,
        Self::HandedInAgain,
        Self::Issued,
        Self::RequestPaid,
        Self::RequestDeclined,
        Self::RequestCancelled,
        Self::RequestExpired,
        Self::RequestRefunded,
        Self::PaymentRefunded,
        Self::AnsweredAtOnce,
        Self::AskedEverybody,
        Self::AllSharesTakenBack,
        Self::PaymentOnFurtherDevice,
        Self::PaymentIsHistory,
        Self::ToldWithoutWords,
        Self::NodeCrashBeforeCommit,
        Self::NodeCrashAfterCommit,
        Self::NodeCrashBetweenEffects,
        Self::NodeDiskFull,
        Self::DirectoryCrashAfterCommit,
        Self::AnswerLost,
        Self::PartitionHealed,
    ];
}

/// How often each required case must be met.
pub const LEAST: u64 = 20;

/// Counts of cases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<Case, u64>);

impl Coverage {
    /// A case was met.
    pub fn met(&mut self, case: Case) {
        *self.0.entry(case).or_default() += 1;
    }

    /// A case was met, if it was.
    pub fn met_if(&mut self, case: Case, met: bool) {
        if met {
            self.met(case);
        }
    }

    /// How often.
    #[must_use]
    pub fn count(&self, case: Case) -> u64 {
        self.0.get(&case).copied().unwrap_or_default()
    }

    /// Takes in another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (case, count) in &other.0 {
            *self.0.entry(*case).or_default() += count;
        }
    }

    /// Those of these cases that were met too rarely.
    #[must_use]
    pub fn missing(&self, required: &[Case]) -> Vec<(Case, u64)> {
        required.iter().map(|case| (*case, self.count(*case))).filter(|(_, count)| *count < LEAST).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(case, count)| writeln!(f, "{count:>8} {case:?}"))
    }
}
