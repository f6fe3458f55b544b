//! What was met while seeds were played: a story that never happens proves nothing.

/// What was met, over all seeds.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) kills: u64,
    pub(crate) partings: u64,
    pub(crate) full: u64,
    pub(crate) lost: u64,
    pub(crate) resumed: u64,
    pub(crate) received: u64,
    pub(crate) withdrawn: u64,
    pub(crate) refused: u64,
    pub(crate) away: u64,
}

impl Met {
    pub(crate) fn with(self, other: Self) -> Self {
        let sum = |here: [(&str, u64); 9], there: [(&str, u64); 9]| {
            here.map(|(name, n)| n + there.iter().find(|(other, _)| *other == name).map_or(0, |(_, n)| *n))
        };
        let [kills, partings, full, lost, resumed, received, withdrawn, refused, away] = sum(self.all(), other.all());
        Self { kills, partings, full, lost, resumed, received, withdrawn, refused, away }
    }

    pub(crate) const fn all(&self) -> [(&'static str, u64); 9] {
        let Self { kills, partings, full, lost, resumed, received, withdrawn, refused, away } = *self;
        [
            ("a node that dies", kills),
            ("a connection that parts", partings),
            ("a full disk", full),
            ("a source that is lost", lost),
            ("going on where it was", resumed),
            ("a file that arrives", received),
            ("a change of mind", withdrawn),
            ("a question that is refused", refused),
            ("a file that came with its offer and is taken while its sender is away", away),
        ]
    }
}
