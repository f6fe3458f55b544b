//! Whole scripts over a stage that is not there: each row is a line of the contract, in time that only seems to pass.

mod expectations;
mod failures;
mod fake;
mod files;
mod money;
mod played;
mod shown;
mod time;
mod variables;
