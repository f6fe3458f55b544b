//! The wire format, to the byte: golden bytes of every variant, round trips, truncation, trailing bytes, and lengths
//! beyond their limits refused before anything is allocated.

mod bounds;
mod golden;
mod samples;
mod trips;
