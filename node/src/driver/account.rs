//! SIGNUP, SIGNIN and SIGNOUT as far as they are the profile's: made, unlocked, locked, removed; and what follows when a
//! commit fails.

use node_core::{
    command::{Command, Failure, FailureCode, Password},
    stored::Stored,
};
use protocol::{Name, peer::CloseCode};

use super::{
    machine::{Account, Machine},
    profile::{ClaimError, Store},
    run::{Driver, Fatal, Purpose, State},
    session::{OpenError, Session},
};
use crate::{
    net::directory::pin,
    store::{CommitError, Profile},
};

impl<K: Machine> Driver<K> {
    pub(super) fn sign_up(
        &mut self,
        name: Name,
        password: Password,
        invite: Option<String>,
    ) -> Result<(Command, Purpose), Failure> {
        match &mut self.state {
            State::Locked(owner) if *owner != name => return Err(foreign(owner, &name)),
            State::Locked(_) => {
                self.unlock(&password)?;
                if let State::Live(session) = &self.state
                    && session.core.account_name().is_some()
                {
                    // The profile is open now, as after SIGNIN: the password was right.
                    return Err(taken(&name));
                }
            }
            State::Between => return Err(ending()),
            State::Live(session) => match session.store.profile() {
                Some(profile) if *profile.name() != name => return Err(foreign(profile.name(), &name)),
                Some(_) if session.core.account_name().is_some() => return Err(taken(&name)),
                Some(profile) => profile.check(&password)?,
                None => self.claim(&name, &password)?,
            },
        }
        Ok((Command::SignUp { name, password, invite }, Purpose::SignUp))
    }

    /// Makes the encrypted profile of somebody who has none here.
    fn claim(&mut self, name: &Name, password: &Password) -> Result<(), Failure> {
        let State::Live(session) = &mut self.state else { return Err(ending()) };
        let claimed = session.store.claim(self.place.folder(), name, password, self.common.stretch);
        claimed.map_err(claim_failure)?;
        self.store_pin();
        Ok(())
    }

    /// Readies a profile for an account that is recovered.
    pub(super) fn recover(
        &mut self,
        name: Name,
        code: String,
        password: Password,
    ) -> Result<(Command, Purpose), Failure> {
        match &self.state {
            State::Locked(owner) => return Err(foreign(owner, &name)),
            State::Between => return Err(ending()),
            State::Live(session) => match session.store.profile() {
                Some(profile) if *profile.name() != name => return Err(foreign(profile.name(), &name)),
                Some(_) => {}
                None => self.claim(&name, &password)?,
            },
        }
        Ok((Command::Recover { name, code, password }, Purpose::SignUp))
    }

    /// Says more of a failure where the driver knows more than the core: a password that opens the profile and not the
    /// account was right once.
    pub(super) fn explained(&self, purpose: Purpose, failure: Failure) -> Failure {
        let State::Live(session) = &self.state else { return failure };
        let name = session.store.profile().map(Profile::name);
        match name.filter(|_| purpose == Purpose::Unlock && failure.code == FailureCode::Auth) {
            Some(name) if failure.message == node_core::WRONG_CREDENTIALS => {
                let text = format!(
                    "this password opens the profile here, but not the account any more: it was changed on another device; \
                     SIGNIN {name} with the new one goes on, and the profile opens with it from then on"
                );
                Failure::new(FailureCode::Auth, text)
            }
            _ => failure,
        }
    }

    /// From now on the profile opens with this password.
    pub(super) fn rewrap(&mut self, password: &Password) {
        let State::Live(session) = &mut self.state else { return };
        if let Store::Disk(profile) = &mut session.store
            && let Err(error) = profile.rewrap(password, self.common.stretch)
        {
            tracing::error!(%error, "the profile still opens with the password before");
        }
    }

    /// The core has other keys now: it is dropped with all its connections, and opened again from the store.
    pub(super) async fn restart(&mut self) -> Result<(), Fatal> {
        let Some(mut store) = self.end_session(CloseCode::Done).await else { return Ok(()) };
        let stored = store.as_mut().reopen().map_err(|error| Fatal(error.to_string()))?;
        self.go_live(store, stored).map_err(|error| Fatal(error.to_string()))?;
        self.fail_running(&Failure::new(
            FailureCode::Auth,
            "this device's keys were dropped; SIGNIN makes it a new one",
        ));
        Ok(())
    }

    pub(super) fn sign_in(&mut self, name: Name, password: Password) -> Result<(Command, Purpose), Failure> {
        let purpose = match &self.state {
            State::Locked(owner) if *owner != name => return Err(foreign(owner, &name)),
            State::Locked(_) => {
                self.unlock(&password)?;
                Purpose::Unlock
            }
            State::Between => return Err(ending()),
            State::Live(session) => match session.store.profile() {
                Some(profile) if *profile.name() != name => return Err(foreign(profile.name(), &name)),
                Some(profile) if profile.check(&password).is_ok() => Purpose::Plain,
                // The password may have been changed elsewhere: the directory knows.
                Some(_) => Purpose::Rewrap,
                None => {
                    self.claim(&name, &password)?;
                    Purpose::SignUp
                }
            },
        };
        let command = match &self.state {
            State::Live(session) if session.core.account() == Account::SignedIn && purpose != Purpose::Rewrap => {
                Command::Resume
            }
            _ => Command::SignIn { name, password },
        };
        Ok((command, purpose))
    }

    fn unlock(&mut self, password: &Password) -> Result<(), Failure> {
        let (profile, stored) = Profile::open(self.place.folder(), password)?;
        self.go_live(Store::Disk(Box::new(profile)), stored)
            .map_err(|error| Failure::new(FailureCode::Other, error.to_string()))
    }

    /// Ends the session and gives its store back. The node's socket is free for the next one then.
    pub(super) async fn end_session(&mut self, code: CloseCode) -> Option<Store> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Live(session) => Some(session.shut_down(code).await),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Forgets the key and everything that it opens.
    pub(super) async fn lock(&mut self) -> Result<(), Fatal> {
        let State::Live(session) = &self.state else { return Ok(()) };
        let Some(owner) = session.store.profile().map(|profile| profile.name().clone()) else { return Ok(()) };
        drop(self.end_session(CloseCode::SignedOut).await);
        self.fail_running(&sign_in_first(&owner));
        self.state = State::Locked(owner);
        Ok(())
    }

    /// Removes the profile of a sign-up that came to nothing, and starts anew.
    pub(super) async fn unclaim(&mut self) -> Result<(), Fatal> {
        if let Some(Store::Disk(profile)) = self.end_session(CloseCode::Done).await {
            if let Err(error) = pin::remove(self.place.folder()) {
                tracing::warn!(%error, "the pin of a profile that is removed stays");
            }
            profile.discard().map_err(|error| Fatal(error.to_string()))?;
        }
        let failure = Failure::new(FailureCode::Auth, "nobody is signed in here; SIGNUP NAME makes an account");
        self.fail_running(&failure);
        let (session, shown) = Self::fresh(&self.common, self.pin).map_err(Fatal)?;
        self.state = State::Live(Box::new(session));
        self.tell(shown);
        Ok(())
    }

    /// After a commit that failed: nothing of what would have followed has happened. The core is dropped, and another
    /// one opened from what is really on disk.
    pub(super) async fn reopen(&mut self, error: &CommitError) -> Result<(), Fatal> {
        tracing::error!(%error, "a commit failed; the core is opened again from what is stored");
        let Some(mut store) = self.end_session(CloseCode::Done).await else { return Ok(()) };
        let stored = store.as_mut().reopen().map_err(|error| Fatal(error.to_string()))?;
        self.go_live(store, stored).map_err(|error| Fatal(error.to_string()))?;
        self.fail_running(&Failure::new(FailureCode::Other, error.to_string()));
        Ok(())
    }

    /// Opens a core over a store; the one before, if any, is dropped.
    pub(super) fn go_live(&mut self, store: Store, stored: Stored) -> Result<(), OpenError> {
        let (session, shown) = Session::open(&self.common, store, stored, self.pin)?;
        self.state = State::Live(Box::new(session));
        self.tell(shown);
        Ok(())
    }
}

pub(super) fn sign_in_first(owner: &Name) -> Failure {
    Failure::new(FailureCode::Auth, format!("sign in first: SIGNIN {owner}"))
}

fn foreign(owner: &Name, name: &Name) -> Failure {
    let text = format!("this profile belongs to {owner}; start with `node --profile {name}` for another one");
    Failure::new(FailureCode::Conflict, text)
}

fn taken(name: &Name) -> Failure {
    let text = format!(
        "this profile has the account {name} already; SIGNIN {name} opens it, `node --profile NAME` makes another"
    );
    Failure::new(FailureCode::Conflict, text)
}

fn claim_failure(error: ClaimError) -> Failure {
    match error {
        ClaimError::Profile(error) => error.into(),
        error => Failure::new(FailureCode::Other, error.to_string()),
    }
}

/// What a command is told that comes too late.
pub(super) fn ending() -> Failure {
    Failure::new(FailureCode::Other, "the node is ending")
}
