//! The wire format, to the byte: golden bytes of every variant, round trips, truncation, trailing bytes, and lengths
//! beyond their limits refused before anything is allocated.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::assertions_on_constants, reason = "limits are constants, and their relations are what is tested")]

mod bounds;
mod files;
mod golden;
mod money;
mod samples;
mod trips;
