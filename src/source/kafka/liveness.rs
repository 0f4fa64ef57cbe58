//! Whether a client that delivers nothing still finds its way to Kafka.
//!
//! Librdkafka can lose it for good while Kafka is well, and says nothing: when Kafka names no broker
//! for a moment, because it takes all of them for dead, the client forgets them all and looks for
//! none any more (<https://github.com/confluentinc/librdkafka/issues/5301>). So silence is not
//! believed. After some of it the client has to ask Kafka how far a split goes; one that gets no
//! answer twice, or does not deliver what Kafka says it holds, is lost, and a new one takes its place.
//! A new one has more time each: what is only slow must not begin anew for ever.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use crate::ids::NextOffset;
use crate::source::SplitIndex;

/// A client that is silent for so long has to ask.
const SILENCE: Duration = Duration::from_secs(15);
/// The longest silence after which a client that is one of many in a row has to ask.
const LONGEST_SILENCE: Duration = Duration::from_secs(120);
/// After no answer it asks once more.
const AGAIN: Duration = Duration::from_secs(5);
/// Of a split that Kafka holds more of, something comes within so many silences: large batches on a
/// slow line, aborted records, and brokers with much to do take their time.
const DELIVERY: u32 = 4;

/// What a client says when it has to ask where a split ends.
#[derive(Debug)]
pub enum Answer {
    End(NextOffset),
    /// Kafka knows of nobody to ask.
    NoLeader,
    None(String),
}

/// What the silence of a client means.
#[derive(Debug, PartialEq, Eq)]
pub enum Silence {
    NotKnownYet,
    /// There is nothing to deliver, of the split that was asked about.
    Well(Option<SplitIndex>),
    /// Of this split there should be something.
    Lost(SplitIndex, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    NoAnswer,
    Behind,
}

#[derive(Debug)]
pub struct Liveness {
    silence: Duration,
    ask_at: Duration,
    asked: Option<(SplitIndex, Receiver<Answer>)>,
    /// What the last answer has left.
    doubt: Option<Doubt>,
    /// Splits are asked about by turns.
    turn: usize,
}

impl Liveness {
    pub fn new(now: Duration) -> Self {
        Self {
            silence: SILENCE,
            ask_at: now + SILENCE,
            asked: None,
            doubt: None,
            turn: 0,
        }
    }

    /// Something was delivered.
    pub fn heard(&mut self, now: Duration) {
        *self = Self {
            turn: self.turn,
            ..Self::new(now)
        };
    }

    /// Another client is in its place.
    pub fn renewed(&mut self, now: Duration) {
        let silence = (self.silence * 2).min(LONGEST_SILENCE);
        *self = Self {
            silence,
            ask_at: now + silence,
            turn: self.turn.wrapping_add(1),
            ..Self::new(now)
        };
    }

    /// Whether the silence has become worth a look.
    pub fn due(&self, now: Duration) -> bool {
        now >= self.ask_at
    }

    /// Looks at a silence that is due. `open` are the splits of which there may be more, with their
    /// positions; `ask` asks Kafka by the client for the end of one of them, and waits for nothing.
    pub fn look(
        &mut self,
        now: Duration,
        open: &[(SplitIndex, NextOffset)],
        ask: impl FnOnce(SplitIndex) -> Receiver<Answer>,
    ) -> Silence {
        let Some((split, answer)) = &self.asked else {
            let Some((split, _)) = open.get(self.turn % open.len().max(1)) else {
                return self.well(now, None);
            };
            self.asked = Some((*split, ask(*split)));
            return Silence::NotKnownYet;
        };
        let split = *split;
        let answer = match answer.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => return Silence::NotKnownYet,
            Err(TryRecvError::Disconnected) => Answer::None("it could not ask".to_owned()),
        };
        self.asked = None;
        let position = open.iter().find(|(of, _)| *of == split);
        let (doubt, wait, why) = match (answer, position) {
            (Answer::NoLeader, _) | (_, None) => return self.well(now, Some(split)),
            (Answer::End(end), Some((_, position))) if end <= *position => {
                return self.well(now, Some(split));
            }
            (Answer::End(end), Some((_, position))) => (
                Doubt::Behind,
                self.silence * DELIVERY,
                format!("kafka holds records up to {end}, and nothing comes from {position} on"),
            ),
            (Answer::None(why), _) => (Doubt::NoAnswer, AGAIN, why),
        };
        if self.doubt == Some(doubt) {
            return Silence::Lost(split, why);
        }
        self.doubt = Some(doubt);
        self.ask_at = now + wait;
        Silence::NotKnownYet
    }

    fn well(&mut self, now: Duration, split: Option<SplitIndex>) -> Silence {
        self.heard(now);
        self.turn = self.turn.wrapping_add(1);
        Silence::Well(split)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const START: Duration = Duration::from_secs(100);
    const FIRST: SplitIndex = SplitIndex(0);
    const SECOND: SplitIndex = SplitIndex(1);

    fn at(position: i64) -> [(SplitIndex, NextOffset); 2] {
        [FIRST, SECOND].map(|split| (split, NextOffset(position)))
    }

    fn answer(answer: Answer) -> Receiver<Answer> {
        let (send, receive) = channel();
        send.send(answer).unwrap();
        receive
    }

    /// One question and its answer, as soon as it is due: when that is, and what it means.
    fn asked(liveness: &mut Liveness, position: i64, is: Answer) -> (Duration, Silence) {
        let now = liveness.ask_at;
        assert!(liveness.due(now) && !liveness.due(now - Duration::from_millis(1)));
        let first = liveness.look(now, &at(position), |_| answer(is));
        assert_eq!(first, Silence::NotKnownYet);
        let silence = liveness.look(now, &at(position), |_| unreachable!());
        (now - START, silence)
    }

    fn no_answer() -> Answer {
        Answer::None("no brokers".into())
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
    fn a_silent_client_that_gets_no_answer_twice_is_lost() {
        let mut liveness = Liveness::new(START);
        let first = asked(&mut liveness, 7, no_answer());
        assert_eq!(first, (SILENCE, Silence::NotKnownYet));
        let second = asked(&mut liveness, 7, no_answer());
        let lost = Silence::Lost(FIRST, "no brokers".into());
        assert_eq!(second, (SILENCE + AGAIN, lost));
    }

    #[test]
    fn a_client_at_the_end_of_its_splits_is_well_and_asks_for_one_after_the_other() {
        let mut liveness = Liveness::new(START);
        for split in [FIRST, SECOND, FIRST] {
            let (_, silence) = asked(&mut liveness, 7, Answer::End(NextOffset(7)));
            assert_eq!(silence, Silence::Well(Some(split)));
        }
    }

    #[test]
    fn a_split_without_a_leader_is_no_fault_of_the_client() {
        let mut liveness = Liveness::new(START);
        for _ in 0..4 {
            let (_, silence) = asked(&mut liveness, 7, Answer::NoLeader);
            assert!(matches!(silence, Silence::Well(Some(_))), "{silence:?}");
        }
    }

    #[test]
    fn a_client_that_does_not_deliver_what_is_there_for_long_is_lost() {
        let mut liveness = Liveness::new(START);
        let (_, silence) = asked(&mut liveness, 7, Answer::End(NextOffset(9)));
        assert_eq!(silence, Silence::NotKnownYet);
        let (after, silence) = asked(&mut liveness, 7, Answer::End(NextOffset(9)));
        assert_eq!(after, SILENCE + SILENCE * DELIVERY);
        let why = "kafka holds records up to 9, and nothing comes from 7 on";
        assert_eq!(silence, Silence::Lost(FIRST, why.into()));
    }

    #[test]
    fn what_was_on_its_way_is_no_loss() {
        let mut liveness = Liveness::new(START);
        asked(&mut liveness, 7, Answer::End(NextOffset(9)));
        liveness.heard(START + SILENCE);
        let (_, silence) = asked(&mut liveness, 9, Answer::End(NextOffset(11)));
        assert_eq!(silence, Silence::NotKnownYet, "behind for the first time");
    }

    #[test]
    fn each_new_client_has_twice_the_time_until_something_is_delivered() {
        let mut liveness = Liveness::new(START);
        let mut silences = Vec::new();
        for _ in 0..5 {
            let begin = liveness.ask_at;
            liveness.renewed(begin);
            silences.push((liveness.ask_at - begin).as_secs());
        }
        assert_eq!(silences, [30, 60, 120, 120, 120]);
        liveness.heard(START);
        assert_eq!(liveness.ask_at, START + SILENCE);
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
    fn a_split_that_came_to_its_end_meanwhile_has_nothing_more_to_deliver() {
        let mut liveness = Liveness::new(START);
        let now = START + SILENCE;
        liveness.look(now, &at(7), |_| answer(Answer::End(NextOffset(9))));
        let silence = liveness.look(now, &[(SECOND, NextOffset(7))], |_| unreachable!());
        assert_eq!(silence, Silence::Well(Some(FIRST)));
        let none = liveness.look(now + SILENCE, &[], |_| unreachable!());
        assert_eq!(none, Silence::Well(None));
    }
}
