//! What the directory answers, asked of [`directory::core::Service`] itself over both stores: no sockets, no sleeps, and a
//! clock that moves only when a test moves it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its own helpers too")]

/// Each case as a test of its own over each store.
macro_rules! over_both {
    ($($case:ident),* $(,)?) => {
        mod model {
            $(#[test] fn $case() { super::$case($crate::hall::in_memory()); })*
        }
        mod sqlite {
            $(#[test] fn $case() {
                let folder = tempfile::tempdir().unwrap();
                super::$case($crate::hall::on_disk(folder.path()));
            })*
        }
    };
}

mod alike;
mod asking;
mod circle;
mod closing;
mod commits;
mod creations;
mod crowds;
mod devices;
mod group_commits;
mod group_mail;
mod groups;
mod guessing;
mod hall;
mod leaving;
mod mail;
mod money;
mod packages;
mod precedence;
mod sessions;
mod talk;
mod till;
