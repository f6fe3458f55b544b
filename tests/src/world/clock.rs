//! Virtual time. It starts in the year 3000, so that whoever asks the system's clock by mistake gets a date that no
//! certificate or key package of this world accepts.

use std::ops::Add;

use protocol::Timestamp;

/// Milliseconds from 1970 to the first of January 3000.
const START_MS: u64 = 32_503_680_000_000;

/// A moment, in microseconds since the world's beginning: finer than the cores' clock, so that the frames of one burst
/// keep their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// What the cores are told.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp(START_MS + self.0 / 1_000)
    }

    /// The first moment at which the cores' clock shows `timestamp`.
    #[must_use]
    pub fn at(timestamp: Timestamp) -> Self {
        Self(timestamp.0.saturating_sub(START_MS).saturating_mul(1_000))
    }
}

impl Add<Span> for Moment {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// A length of time, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub u64);

impl Span {
    /// So many milliseconds.
    #[must_use]
    pub const fn ms(ms: u64) -> Self {
        Self(ms * 1_000)
    }

    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self::ms(seconds * 1_000)
    }

    /// So many hours.
    #[must_use]
    pub const fn hours(hours: u64) -> Self {
        Self::seconds(hours * 3_600)
    }
}

impl Add for Span {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
