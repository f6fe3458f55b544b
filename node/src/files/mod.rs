//! Files on this machine's disk: what is offered is surveyed and read, what is received is written and named.
//!
//! Everything here blocks, and runs on threads of its own. Nothing here knows keys, conversations or streams. Names from
//! elsewhere pass [`name`]; nothing that is received is created through a link, outside its folder, in the place of
//! something else, or with the right to be executed.

mod hashing;
pub mod layout;
pub mod name;
pub mod named;
pub mod partial;
pub mod place;
pub mod source;
pub mod survey;
pub mod unpack;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

/// Why something is not received here. The sentences are for the person, with what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The disk has no room for what is still to come.
    #[error(
        "there is no room in {path}: {needed} bytes are to come and {free} are free; make room and ACCEPT it again"
    )]
    NoSpace {
        /// Where.
        path: PathBuf,
        /// What is still to come.
        needed: u64,
        /// What is free.
        free: u64,
    },
    /// The disk is full, though there seemed to be room.
    #[error("the disk of {0} is full; make room and ACCEPT it again")]
    Full(PathBuf),
    /// Something has that name, and the person wants no other.
    #[error("{0} exists already; ACCEPT it AS another path")]
    Taken(PathBuf),
    /// What came is not what was offered.
    #[error(
        "what came is not what was offered (its hash is another one): it was changed while it was sent; ask for it again"
    )]
    Mismatch,
    /// The folder's list contradicts itself or the offer.
    #[error("the list of what is in the folder contradicts itself or the offer; have it sent again")]
    Unsound,
    /// Somebody else's folder is in the place for what is not whole yet.
    #[error("{0} is not yours alone; remove it, or choose another folder with --inbox DIR")]
    Foreign(PathBuf),
    /// The folder can't be written to.
    #[error("can't write to {path}: {source}; choose another folder with --inbox DIR, or ACCEPT it AS another path")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ReceiveError {
    fn at(path: &Path) -> impl Fn(Errno) -> Self + '_ {
        |errno| Self::from_io(path, errno.into())
    }

    fn from_io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path.to_owned()),
            _ => Self::Io { path: path.to_owned(), source },
        }
    }
}

/// Why something is not offered, or not sent any more.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is nothing of that name.
    #[error("there is no {0}; if it is a text, SEND NAME -- TEXT sends it")]
    Missing(PathBuf),
    /// It was offered, and is not there any more.
    #[error("there is no {0} any more; SEND it again from where it is now")]
    Gone(PathBuf),
    /// It can't be read.
    #[error("can't read {path}: {source}; check who may read it")]
    Unreadable {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is neither a file nor a folder.
    #[error("{0} is neither a file nor a folder; only those can be sent")]
    Special(PathBuf),
    /// A name in it is no text.
    #[error("the name of {0} is not UTF-8; rename it and send it again")]
    Name(PathBuf),
    /// It is larger than anything that may be offered.
    #[error("{0} is too large to be sent, or has too many files or too deep folders in it; send parts of it")]
    TooLarge(PathBuf),
    /// It is not what was offered any more.
    #[error("{0} was changed since it was offered; send it again")]
    Changed(PathBuf),
}

impl SendError {
    fn unreadable(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| match source.kind() {
            io::ErrorKind::NotFound => Self::Missing(path.to_owned()),
            _ => Self::Unreadable { path: path.to_owned(), source },
        }
    }

    /// The same of what was there when it was offered.
    fn lost(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| match Self::unreadable(path)(source) {
            Self::Missing(path) => Self::Gone(path),
            error => error,
        }
    }
}
