//! What crosses the wires to and from the directory holds nobody's words.

use node_core::input::Answer;
use protocol::{
    directory::{Deposit, Request},
    frame,
    limits::DIRECTORY_FRAME_MAX,
};

use super::{
    World,
    disk::contains,
    witness::{CANARY, Violation},
};

impl World {
    pub(super) fn inspect_request(&mut self, request: &Request) -> Result<(), Violation> {
        if let Request::Deposit { items } = request {
            for item in items {
                if let Deposit::Message { envelope, .. } = item {
                    self.witness.left(envelope)?;
                }
            }
        }
        let bytes = frame::encode_body(request, DIRECTORY_FRAME_MAX).unwrap_or_default();
        if contains(&bytes, CANARY.as_bytes()) {
            return Err(Violation::PlaintextOnWire { what: "a request to the directory" });
        }
        Ok(())
    }

    pub(super) fn inspect_answer(&self, answer: &Answer) -> Result<(), Violation> {
        let Answer::Reply(reply) = answer else { return Ok(()) };
        let bytes = frame::encode_body(reply, DIRECTORY_FRAME_MAX).unwrap_or_default();
        if contains(&bytes, CANARY.as_bytes()) {
            return Err(Violation::PlaintextOnWire { what: "an answer of the directory" });
        }
        Ok(())
    }
}
