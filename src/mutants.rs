//! Ways to break the protocol on purpose. The simulation must notice each of them: one that it does
//! not notice is a hole in the simulation. Nothing is ever broken outside of tests.

/// One broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A start leaves one slot out: the log is not dense.
    StartLeavesASlotOut,
    /// A start goes on without a start record.
    StartTakesNoSlot,
    /// The next barrier is sent while the slot is still being put.
    BarrierBeforeSlot,
    /// A start does not raise the generation.
    GenerationIsKept,
    /// A put to the log that succeeded counts at once.
    NoLookAgain,
    /// Start records do not carry pending files on.
    PendingLeftOut,
    /// Start records do not carry next offsets on: a third start reads from the beginning.
    OffsetsLeftOut,
    /// A refused put had succeeded if the slot found is of the same generation.
    GenerationForNonce,
    /// A slot that is refused though nothing is there counts as put.
    RefusedSlotBelieved,
    /// A commit log that is refused counts as written, without a look at what is there.
    RefusedCsvBelieved,
    /// A put overwrites. The simulation's store does that, so nothing else names it.
    #[cfg(test)]
    PutOverwrites,
    /// A newest slot that cannot be used is passed over for an older one.
    OlderSlotUsed,
    /// Pruning takes the newest slot too.
    NewestPruned,
    /// Pruning takes savepoints too.
    SavepointPruned,
    /// Start records do not carry the savepoints on.
    SavepointsLeftOut,
    /// Orphans are aborted also where the start record references them.
    ReferencedAborted,
    /// Orphans are aborted also where their generation is newer.
    NewerAborted,
    /// Orphans are listed and aborted before the claim.
    AbortedBeforeClaim,
    /// Orphans are aborted also where they are another job's.
    OtherJobAborted,
    /// Files are finalized before the slot is put.
    FinalizedBeforeSlot,
    /// Next offsets are committed to Kafka before the slot is put.
    OffsetsCommittedFirst,
    /// A process that is fenced aborts its own uploads before it ends.
    OwnUploadsAborted,
    /// A commit log that is ahead of the checkpoint log is not looked for.
    CommitLogAheadIgnored,
    /// A start does not finalize what it has found.
    NotRefinalized,
    /// An ack comes before the commit log is written.
    AckBeforeCommitLog,
    /// The coordinator forgets the files of all acks but the last.
    FilesForgotten,
    /// The coordinator forgets the files of a checkpoint once their slot is put.
    FilesForgottenAtPut,
    /// A completion without an answer counts as a file that is lost.
    UnansweredGivenUp,
    /// Next offsets are taken a batch too late.
    OffsetsTooHigh,
    /// A barrier takes the offsets behind a batch that waits, instead of those before it.
    OffsetsBehindParked,
    /// A barrier is taken while lost records are read again.
    BarrierWhileRereading,
    /// Lost files are read again without making sure that they stay invisible.
    RereadWithoutAbort,
    /// Files that were given up are read again without a look whether they are visible all the same.
    VisibleReadAgain,
    /// Lost files are given up without saying so in the log.
    GivenUpInSilence,
}

#[cfg(not(test))]
#[inline(always)]
pub fn is(_mutant: Mutant) -> bool {
    false
}

#[cfg(test)]
thread_local! {
    static NOW: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub fn is(mutant: Mutant) -> bool {
    NOW.get() == Some(mutant)
}

/// From now on, on this thread.
#[cfg(test)]
pub fn set(mutant: Option<Mutant>) {
    NOW.set(mutant);
}
