//! Requests that take their time: how they are begun, and under which number clients ask for them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::answer::Refusal;
use crate::jobs::control::{Control, Operation, Refused, TriggerId};

/// Numbers that clients chose and that are still known.
const KEPT: usize = 256;

/// Flink lets a client choose the number of its request, so that it can ask again when the answer was
/// lost: the same number never begins a second one.
#[derive(Debug, Default)]
pub struct Given(Mutex<VecDeque<(String, TriggerId)>>);

impl Given {
    /// Begins a request, or finds that it was begun; gives the number to ask for it.
    pub fn begin(
        &self,
        chosen: Option<String>,
        begin: impl FnOnce() -> Result<TriggerId, Refused>,
    ) -> Result<String, Refusal> {
        let Some(chosen) = chosen else {
            return Ok(begin()?.0);
        };
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !given.iter().any(|(known, _)| *known == chosen) {
            given.push_back((chosen.clone(), begin()?));
            if given.len() > KEPT {
                given.pop_front();
            }
        }
        Ok(chosen)
    }

    pub fn operation(&self, control: &dyn Control, number: &str) -> Option<Operation> {
        let given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = given.iter().find(|(known, _)| known == number);
        let id = known.map_or_else(|| TriggerId(number.to_owned()), |(_, id)| id.clone());
        drop(given);
        control.operation(&id)
    }
}

/// 32 hexadecimal digits, in lower case.
pub fn id_of(text: &str) -> Option<String> {
    let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| text.to_ascii_lowercase())
}
