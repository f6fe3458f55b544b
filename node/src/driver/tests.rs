//! A node whose directory does not answer, and one whose core does what a test says.

mod alone;
mod order;
