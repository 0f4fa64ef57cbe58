//! Why a start is refused, and what to do.

use super::Lost;
use crate::ids::{NextOffset, Split};
use crate::source::kafka::Watermarks;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "CHECKPOINTS_PATH belongs to a job with another {what}: it says '{stored}', the settings \
         say '{own}'. Use the settings that it was made with, or another CHECKPOINTS_PATH, \
         OUTPUT_PATH, DROPPED_PATH and WRITE_AHEAD_COMMIT_LOG_PATH for another job"
    )]
    OtherJob {
        what: &'static str,
        stored: String,
        own: String,
    },

    #[error(
        "records that were not archived are gone from Kafka: {}. To go on with what is left, \
         start with --allow-lost-offsets",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    OffsetsLost(Vec<Lost>),

    #[error(
        "{split} has saved offsets, but the topic has no such partition any more: it was deleted \
         and made again with fewer partitions. To go on with what is there, start with \
         --allow-lost-offsets"
    )]
    PartitionGone { split: Split },

    #[error(
        "topic {topic} was deleted and made again: its id was {was} and is {is}. Archive it with \
         new paths; or, to go on with these, from the earliest record of the new topic, start with \
         --allow-lost-offsets (offsets of the old one and of the new one will then be side by side)"
    )]
    TopicMadeAgain {
        topic: String,
        was: String,
        is: String,
    },

    #[error(
        "KAFKA_TOPIC={own} leaves out topic {topic}, which has saved offsets here (it was {stored}): its \
         records would be missing from now on. Name it too; or give other paths, to begin a new job"
    )]
    TopicLeftOut {
        topic: String,
        stored: String,
        own: String,
    },

    #[error(
        "topic {topic} has saved offsets, and is not there any more. To go on without it, start with \
         --allow-lost-offsets"
    )]
    TopicGone { topic: String },

    #[error(
        "START_FROM={start_from} names no offset for {0}: name every partition, since records would be \
         left out, or archived, by oversight",
        .splits.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    NoOffset {
        start_from: String,
        splits: Vec<Split>,
    },

    #[error(
        "START_FROM={start_from} names partition {place} without its topic, and there are several: {}. \
         Name it, as in {}/{place}",
        .topics.join(", "), .topics[0]
    )]
    OfWhichTopic {
        start_from: String,
        place: String,
        /// Not empty.
        topics: Vec<String>,
    },

    #[error("START_FROM={start_from} names partition {place}, and there is none")]
    NoPartition { start_from: String, place: String },

    #[error(
        "START_FROM={start_from}: {split} holds the offsets {} to {}: offset {offset} is not among them",
        .held.earliest, .held.end
    )]
    OffsetNotHeld {
        start_from: String,
        split: Split,
        offset: NextOffset,
        held: Watermarks,
    },

    #[error(
        "files of a complete checkpoint are lost: {0}. If nobody has moved or deleted them, they \
         have never been visible: start with --reread-lost-files to read their records again from \
         Kafka. If somebody has, that would double their records: put them back"
    )]
    FilesLost(String),

    #[error(
        "FROM_SAVEPOINT={savepoint} is of the job that writes to {theirs}, and {setting}={own} is the \
         same place: what that job has archived after the savepoint would be there twice. To go on \
         with that job, start without --from-savepoint: it goes on from its newest checkpoint. To \
         archive the records after the savepoint anew, give another OUTPUT_PATH, DROPPED_PATH, \
         WRITE_AHEAD_COMMIT_LOG_PATH and CHECKPOINTS_PATH"
    )]
    SavepointOfThisArchive {
        savepoint: String,
        setting: &'static str,
        own: String,
        theirs: String,
    },

    #[error(
        "FROM_SAVEPOINT={savepoint} is of another {what}: it says '{stated}', here it is '{own}'. Its \
         offsets say nothing here"
    )]
    SavepointOfOther {
        savepoint: String,
        what: &'static str,
        stated: String,
        own: String,
    },

    #[error(
        "FROM_SAVEPOINT={savepoint} begins a new job, and CHECKPOINTS_PATH has one already, which was \
         begun {begun}. Give new paths for the new job; or start without --from-savepoint to go on \
         with the one that is there"
    )]
    BegunOtherwise { savepoint: String, begun: String },

    #[error(
        "FROM_SAVEPOINT={0} is the start record of a job, which holds no checkpoint: give a savepoint, \
         or the folder of a complete checkpoint"
    )]
    NotACheckpoint(String),
}
