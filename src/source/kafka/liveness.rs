//! Whether a client that delivers nothing still finds its way to Kafka.
//!
//! Librdkafka can lose it for good while Kafka is well, and says nothing: when Kafka names no broker
//! for a moment, because it takes all of them for dead, the client forgets them all and looks for
//! none any more (<https://github.com/confluentinc/librdkafka/issues/5301>). So silence is not
//! believed. After some of it the client has to ask Kafka how far a split goes; one that gets no
//! answer, or does not deliver what Kafka says it holds, is lost, and a new one takes its place.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use crate::ids::{NextOffset, Split};

/// A client that is silent for so long has to ask.
pub const SILENCE: Duration = Duration::from_secs(15);
/// A record that Kafka holds is delivered within it, unless the client is lost.
const DELIVERY: Duration = Duration::from_secs(5);

/// Where Kafka says that a split ends, or why it does not say.
pub type Answer = Result<NextOffset, String>;

/// What the silence of a client means.
#[derive(Debug, PartialEq, Eq)]
pub enum Silence {
    NotKnownYet,
    /// Kafka holds nothing more.
    Well,
    Lost(String),
}

#[derive(Debug)]
pub struct Liveness {
    ask_at: Duration,
    answer: Option<Receiver<Answer>>,
    /// The split that is asked about, by its place: with each answer the next one.
    turn: usize,
    /// Kafka holds more of that split than was delivered when it was asked first.
    behind: bool,
}

impl Liveness {
    pub fn new(now: Duration) -> Self {
        Self {
            ask_at: now + SILENCE,
            answer: None,
            turn: 0,
            behind: false,
        }
    }

    /// Something was delivered.
    pub fn heard(&mut self, now: Duration) {
        self.ask_at = now + SILENCE;
        self.answer = None;
        self.behind = false;
    }

    /// Whether the silence has become worth a look.
    pub fn due(&self, now: Duration) -> bool {
        now >= self.ask_at
    }

    /// Looks at a silence that is due. `positions` are those of all splits; `ask` asks Kafka, by the
    /// client, for the end of one of them, and does not wait for the answer.
    pub fn look(
        &mut self,
        now: Duration,
        positions: &[(Split, NextOffset)],
        ask: impl FnOnce(&Split) -> Receiver<Answer>,
    ) -> Silence {
        let Some((split, position)) = positions.get(self.turn % positions.len().max(1)) else {
            return Silence::Well;
        };
        let Some(answer) = &self.answer else {
            self.answer = Some(ask(split));
            return Silence::NotKnownYet;
        };
        let end = match answer.try_recv() {
            Err(TryRecvError::Empty) => return Silence::NotKnownYet,
            Err(TryRecvError::Disconnected) => return Silence::Lost("it could not ask".to_owned()),
            Ok(Err(why)) => return Silence::Lost(why),
            Ok(Ok(end)) => end,
        };
        self.answer = None;
        if end <= *position {
            self.heard(now);
            self.turn = self.turn.wrapping_add(1);
            return Silence::Well;
        }
        if self.behind {
            return Silence::Lost(format!(
                "{split} goes up to {end}, and nothing comes from {position} on"
            ));
        }
        // It may have been written just now.
        self.behind = true;
        self.ask_at = now + DELIVERY;
        Silence::NotKnownYet
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const START: Duration = Duration::from_secs(100);

    fn at(position: i64) -> Vec<(Split, NextOffset)> {
        [0, 1]
            .map(|partition| (Split::new("t", partition), NextOffset(position)))
            .to_vec()
    }

    fn answer(answer: Answer) -> Receiver<Answer> {
        let (send, receive) = channel();
        send.send(answer).unwrap();
        receive
    }

    /// One question and its answer, at that time.
    fn asked(liveness: &mut Liveness, now: Duration, position: i64, is: Answer) -> Silence {
        assert!(liveness.due(now));
        let first = liveness.look(now, &at(position), |_| answer(is));
        assert_eq!(first, Silence::NotKnownYet);
        liveness.look(now, &at(position), |_| unreachable!())
    }

    #[test]
    fn a_client_that_delivers_never_has_to_ask() {
        let mut liveness = Liveness::new(START);
        for second in 0..60 {
            let now = START + Duration::from_secs(second);
            assert!(!liveness.due(now));
            liveness.heard(now);
        }
    }

    #[test]
    fn a_silent_client_without_an_answer_is_lost() {
        let mut liveness = Liveness::new(START);
        assert!(!liveness.due(START + SILENCE - Duration::from_millis(1)));
        let silence = asked(&mut liveness, START + SILENCE, 7, Err("no brokers".into()));
        assert_eq!(silence, Silence::Lost("no brokers".into()));
    }

    #[test]
    fn a_silent_client_at_the_end_of_its_splits_is_well_and_asks_for_one_after_the_other() {
        let mut liveness = Liveness::new(START);
        let mut turns = Vec::new();
        for round in 1..=3 {
            let now = START + SILENCE * round;
            assert!(liveness.due(now));
            liveness.look(now, &at(7), |split| {
                turns.push(split.partition);
                answer(Ok(NextOffset(7)))
            });
            let silence = liveness.look(now, &at(7), |_| unreachable!());
            assert_eq!(silence, Silence::Well);
        }
        assert_eq!(turns, [0, 1, 0]);
    }

    #[test]
    fn a_client_that_does_not_deliver_what_is_there_is_lost_after_a_while() {
        let mut liveness = Liveness::new(START);
        let silence = asked(&mut liveness, START + SILENCE, 7, Ok(NextOffset(9)));
        assert_eq!(silence, Silence::NotKnownYet);
        assert!(!liveness.due(START + SILENCE + DELIVERY - Duration::from_millis(1)));
        let then = START + SILENCE + DELIVERY;
        let silence = asked(&mut liveness, then, 7, Ok(NextOffset(9)));
        let why = "t-0 goes up to 9, and nothing comes from 7 on";
        assert_eq!(silence, Silence::Lost(why.into()));
    }

    #[test]
    fn a_record_that_was_on_its_way_is_no_loss() {
        let mut liveness = Liveness::new(START);
        asked(&mut liveness, START + SILENCE, 7, Ok(NextOffset(9)));
        liveness.heard(START + SILENCE);
        let then = START + SILENCE * 2;
        let silence = asked(&mut liveness, then, 9, Ok(NextOffset(11)));
        assert_eq!(
            silence,
            Silence::NotKnownYet,
            "it is behind for the first time"
        );
    }

    #[test]
    fn an_answer_that_is_still_out_is_waited_for() {
        let mut liveness = Liveness::new(START);
        let (_send, out) = channel();
        let now = START + SILENCE;
        liveness.look(now, &at(7), |_| out);
        let silence = liveness.look(now, &at(7), |_| unreachable!());
        assert_eq!(silence, Silence::NotKnownYet);
    }

    #[test]
    fn a_client_without_splits_has_nothing_to_deliver() {
        let silence = Liveness::new(START).look(START + SILENCE, &[], |_| unreachable!());
        assert_eq!(silence, Silence::Well);
    }
}
