//! A profile on disk: folder, key file and database together.

use std::path::Path;

use node_core::{
    command::{HistoryEntry, MessageRef, Password},
    event::Event,
    stored::{Stored, Transaction},
    stretch::StretchParameters,
};
use protocol::{Name, Timestamp};

use super::{
    ProfileStore,
    database::{Database, OpenDatabaseError},
    error::{CommitError, EventsError, ProfileError, ReadError},
    folder::Folder,
    key_file::{self, DatabaseKey, KeyFileError},
    schema,
};

/// An open profile. Nobody else can open it until this one is dropped.
pub struct Profile {
    folder: Folder,
    key: DatabaseKey,
    name: Name,
    parameters: StretchParameters,
    /// Absent after a commit failed: what is in memory may then not be what is on disk.
    database: Option<Database>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("folder", &self.folder.path()).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Profile {
    /// Makes a profile in a folder that has none. It takes as long as stretching the password does.
    ///
    /// # Errors
    /// [`ProfileError::Exists`], [`ProfileError::InUse`], or what the disk says.
    pub fn create(
        folder: &Path,
        name: &Name,
        password: &Password,
        parameters: StretchParameters,
    ) -> Result<Self, ProfileError> {
        let folder = Folder::create(folder)?;
        if folder.has_key() {
            let owner = Self::peek(folder.path())?.map_or_else(|| "somebody".to_owned(), |name| name.to_string());
            return Err(ProfileError::Exists { name: owner });
        }
        let key = DatabaseKey::random()?;
        let wrapped = key_file::wrap(&key, name, password, parameters)?;
        folder.make_database_file()?;
        let database = open_database(&folder, &key)?;
        // The key file comes last: where it is, everything else is too.
        folder.write_key(&wrapped)?;
        Ok(Self { folder, key, name: name.clone(), parameters, database: Some(database) })
    }

    /// Opens a profile with its password. It takes as long as stretching the password does.
    ///
    /// # Errors
    /// [`ProfileError`]; nothing was changed then.
    pub fn open(folder: &Path, password: &Password) -> Result<(Self, Stored), ProfileError> {
        let folder = Folder::open(folder)?;
        let file = Folder::read_key(folder.path())?;
        let (key, clear) = key_file::unwrap(&file, password).map_err(|error| key_file_error(error, folder.path()))?;
        let database = open_database(&folder, &key)?;
        let stored = database.records().map_err(|error| read_error(error, folder.path()))?;
        let profile = Self { folder, key, name: clear.name, parameters: clear.parameters, database: Some(database) };
        Ok((profile, stored))
    }

    /// Whose profile is in a folder, without a password and without proof; `None` if there is no profile.
    ///
    /// # Errors
    /// [`ProfileError::Damaged`], [`ProfileError::NewerProgram`], or what the disk says.
    pub fn peek(folder: &Path) -> Result<Option<Name>, ProfileError> {
        match Folder::read_key(folder) {
            Ok(file) => {
                key_file::peek(&file).map(|clear| Some(clear.name)).map_err(|error| key_file_error(error, folder))
            }
            Err(ProfileError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whose profile it is.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether this is the password that opens it. It takes as long as opening does, and changes nothing.
    ///
    /// # Errors
    /// [`ProfileError::WrongPassword`], or what the disk says.
    pub fn check(&self, password: &Password) -> Result<(), ProfileError> {
        let file = Folder::read_key(self.folder.path())?;
        key_file::unwrap(&file, password).map(drop).map_err(|error| key_file_error(error, self.folder.path()))
    }

    /// Makes another password open it from now on, stretched at least as hard as `parameters` say.
    ///
    /// # Errors
    /// What the disk says; then the old password still opens it.
    pub fn rewrap(&mut self, password: &Password, parameters: StretchParameters) -> Result<(), ProfileError> {
        let parameters = StretchParameters {
            memory_kib: parameters.memory_kib.max(self.parameters.memory_kib),
            passes: parameters.passes.max(self.parameters.passes),
            lanes: parameters.lanes.max(self.parameters.lanes),
        };
        self.folder.write_key(&key_file::wrap(&self.key, &self.name, password, parameters)?)?;
        self.parameters = parameters;
        Ok(())
    }

    /// Removes the profile for good: for a sign-up that came to nothing.
    ///
    /// # Errors
    /// What the disk says.
    pub fn discard(mut self) -> Result<(), ProfileError> {
        self.database = None;
        self.folder.discard()
    }

    fn readable(&self) -> Result<&Database, ReadError> {
        self.database.as_ref().ok_or(ReadError::NotOpen)
    }
}

impl ProfileStore for Profile {
    fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        let result = self.database.as_mut().ok_or(CommitError::Refused)?.commit(transaction);
        if let Err(error) = &result {
            tracing::error!(%error, "the profile could not be written");
            self.database = None;
        }
        result
    }

    fn records(&mut self) -> Result<Stored, ReadError> {
        self.readable()?.records()
    }

    fn reopen(&mut self) -> Result<Stored, ReadError> {
        self.database = None;
        self.database = Some(open_database(&self.folder, &self.key).map_err(Box::new)?);
        self.records()
    }

    fn history(&mut self, with: Option<&Name>, count: usize) -> Result<Vec<HistoryEntry>, ReadError> {
        self.readable()?.history(with, count)
    }

    fn search(
        &mut self,
        words: &[String],
        with: Option<&Name>,
        since: Option<Timestamp>,
        count: usize,
    ) -> Result<Vec<HistoryEntry>, ReadError> {
        self.readable()?.search(words, with, since, count)
    }

    fn index(&mut self) -> Result<bool, CommitError> {
        let result = self.database.as_mut().ok_or(CommitError::Refused)?.index();
        if let Err(error) = &result {
            tracing::error!(%error, "the profile's index could not be written");
            self.database = None;
        }
        result
    }

    fn message(&mut self, id: MessageRef) -> Result<Option<HistoryEntry>, ReadError> {
        self.readable()?.message(id)
    }

    fn events_since(&mut self, seq: u64, max: usize) -> Result<Vec<Event>, EventsError> {
        self.readable()?.events_since(seq, max)
    }
}

fn open_database(folder: &Folder, key: &DatabaseKey) -> Result<Database, ProfileError> {
    Database::open(&folder.database(), key).map_err(|error| match error {
        OpenDatabaseError::NotOurs => damaged(folder.path(), "profile.db is not the one that profile.key opens"),
        OpenDatabaseError::Newer(found) => ProfileError::NewerProgram { found, known: schema::VERSION },
        OpenDatabaseError::Sql(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen) => {
            damaged(folder.path(), "profile.db is missing or can't be read")
        }
        OpenDatabaseError::Sql(error) => ProfileError::Database(error),
    })
}

fn key_file_error(error: KeyFileError, folder: &Path) -> ProfileError {
    match error {
        KeyFileError::NotAKeyFile => damaged(folder, "profile.key is not a key file"),
        KeyFileError::Newer(format) => {
            ProfileError::NewerProgram { found: u32::from(format), known: u32::from(key_file::FORMAT) }
        }
        KeyFileError::WrongPassword => ProfileError::WrongPassword,
        KeyFileError::Profile(error) => error,
    }
}

fn read_error(error: ReadError, folder: &Path) -> ProfileError {
    match error {
        ReadError::Failed(error) => ProfileError::Database(error),
        ReadError::Damaged(what) => damaged(folder, &format!("it holds {what} that this program can't read")),
        ReadError::Reopen(error) => *error,
        ReadError::NotOpen => damaged(folder, "it is not open"),
    }
}

fn damaged(folder: &Path, what: &str) -> ProfileError {
    ProfileError::Damaged { folder: folder.to_path_buf(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };

    fn profile(folder: &Path) -> Profile {
        Profile::create(folder, &Name::parse("alice").unwrap(), &password(), CHEAP).unwrap()
    }

    fn password() -> Password {
        Password::new("correct horse".to_owned())
    }

    #[test]
    fn a_newer_schema_is_refused_and_not_a_byte_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let profile = profile(folder.path());
        let newer = schema::VERSION + 1;
        profile.database.as_ref().unwrap().set_version(newer);
        // As a crashed newer program would leave it: with a write-ahead log beside the database.
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let bytes = |file: &str| std::fs::read(copy.path().join(file)).unwrap();
        let before = ["profile.db", "profile.db-wal", "profile.key"].map(bytes);
        assert!(!before[1].is_empty());
        let error = Profile::open(copy.path(), &password()).unwrap_err();
        assert!(matches!(error, ProfileError::NewerProgram { found, known: schema::VERSION } if found == newer));
        assert_eq!(["profile.db", "profile.db-wal", "profile.key"].map(bytes), before);
    }

    #[test]
    fn no_file_of_the_folder_holds_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let mut profile = profile(folder.path());
        profile.commit(Transaction::default()).unwrap();
        let key = *profile.key.bytes();
        let hex = key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let holds = |needle: &[u8]| {
            std::fs::read_dir(folder.path())
                .unwrap()
                .any(|file| std::fs::read(file.unwrap().path()).unwrap().windows(needle.len()).any(|w| w == needle))
        };
        assert!(!holds(&key) && !holds(hex.as_bytes()));
        std::fs::write(folder.path().join("leak"), key).unwrap();
        assert!(holds(&key), "the search finds a key that is there");
    }

    #[test]
    fn rewrapping_never_weakens_the_stretching() {
        let folder = tempfile::tempdir().unwrap();
        let mut profile = profile(folder.path());
        let harder = StretchParameters { memory_kib: 16, passes: 2, lanes: 1 };
        profile.rewrap(&password(), harder).unwrap();
        profile.rewrap(&password(), CHEAP).unwrap();
        let file = Folder::read_key(folder.path()).unwrap();
        assert_eq!(key_file::peek(&file).ok().unwrap().parameters, harder);
    }
}
