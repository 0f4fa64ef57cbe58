//! What can go wrong at a store, told apart by what to do about it.

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("nothing is at {url}")]
    NotFound { url: String },

    /// The store answered, and will answer the same until somebody changes something.
    #[error("{action} {url} was refused: {source}")]
    Denied {
        action: &'static str,
        url: String,
        source: Source,
    },

    /// No answer, or one that says to come back later.
    #[error("{action} {url} failed: {source}")]
    Unavailable {
        action: &'static str,
        url: String,
        source: Source,
    },

    #[error(
        "another file is at {url}: it is not the one that this job wrote, and is left as it is. \
         Move it away and start again"
    )]
    Foreign { url: String },

    #[error(
        "the pending upload of {url} is gone and the file is not there: the store has expired or \
         aborted it (look at its lifecycle rules for incomplete multipart uploads)"
    )]
    UploadGone { url: String },

    /// The file has never been visible, and never will be.
    #[error(
        "the pending upload of {url} is broken: it is still open, but the store has lost its parts \
         (MinIO does so when a connection ends in the middle of a completion)"
    )]
    UploadBroken { url: String },

    /// The file may have lost bytes, and asking again would not say so: Linux reports that once.
    #[error(
        "{url} could not be brought to its disk: {source}. What was written of it may be lost; start \
         again, and its records are read again"
    )]
    NotSynced { url: String, source: std::io::Error },
}

impl StoreError {
    pub fn unavailable(
        action: &'static str,
        url: impl Into<String>,
        source: impl Into<Source>,
    ) -> Self {
        Self::Unavailable {
            action,
            url: url.into(),
            source: source.into(),
        }
    }

    /// Whether the same request may succeed later with nothing but time, or with a cure that the
    /// store's keeper applies while the process waits (a bucket made again, a right given back).
    pub fn waiting_helps(&self) -> bool {
        match self {
            Self::Denied { .. } | Self::Unavailable { .. } => true,
            Self::NotFound { .. }
            | Self::Foreign { .. }
            | Self::UploadGone { .. }
            | Self::UploadBroken { .. }
            | Self::NotSynced { .. } => false,
        }
    }
}
