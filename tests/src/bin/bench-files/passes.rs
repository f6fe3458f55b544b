//! What a file can't do without, each part alone: a copy, sealing and opening, hashing on both sides.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::Path,
};

use ::tests::fixture::Failed;
use node::files::survey::CHUNK;
use node_core::crypto::file::{ChunkOpener, ChunkSealer, StreamSecrets};
use protocol::{
    FileId,
    file::{Chunking, FileSecret, stream::FilePart},
};
use sha2::{Digest as _, Sha256};

use crate::spent::{Spending, Spent};

/// From one file to another in chunks, through this process's memory, and away again.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<Spent, Failed> {
    let spending = Spending::begin(None)?;
    let (mut reading, mut writing) = (File::open(from)?, File::create(to)?);
    let mut chunk = vec![0; CHUNK as usize];
    while let read @ 1.. = reading.read(&mut chunk)? {
        writing.write_all(chunk.get(..read).unwrap_or_default())?;
    }
    let spent = spending.end()?;
    fs::remove_file(to)?;
    Ok(spent)
}

/// Sealed once, opened once.
pub(crate) fn sealing(bytes: usize) -> Result<Spent, Failed> {
    let chunking = Chunking::new(bytes as u64, CHUNK).ok_or("no such chunks")?;
    let secret = FileSecret([1; 32]);
    let secrets = StreamSecrets { secret: &secret, file: FileId([2; 16]), part: FilePart::Chunks, salt: [3; 32] };
    let spending = Spending::begin(None)?;
    let (mut sealer, mut opener) = (ChunkSealer::new(&secrets, chunking, 0)?, ChunkOpener::new(&secrets, chunking, 0)?);
    let mut chunk = vec![7; CHUNK as usize];
    for _ in 0..chunking.count() {
        sealer.seal(&mut chunk)?;
        opener.open(&mut chunk)?;
    }
    spending.end()
}

/// Hashed twice.
pub(crate) fn hashing(bytes: usize) -> Result<Spent, Failed> {
    let spending = Spending::begin(None)?;
    let chunk = vec![7; CHUNK as usize];
    for _ in 0..2 {
        let mut hasher = Sha256::new();
        for _ in 0..bytes / chunk.len() {
            hasher.update(&chunk);
        }
        std::hint::black_box(hasher.finalize());
    }
    spending.end()
}
