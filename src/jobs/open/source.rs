//! Where records come from: the cluster, the schema that they are read by, and who reads them.

use std::sync::Arc;

use super::Waiting;
use crate::config::Settings;
use crate::config::settings::ReaderSchema;
use crate::jobs::JobError;
use crate::registry::client::{RegistryClient, RegistryError};
use crate::runtime::retry::{Patience, with_causes};
use crate::source::kafka::{Cluster, ReadBy};
use crate::transform::avro_schema::InputSchema;
use crate::transform::event_time::EventTime;
use crate::transform::framing::{AvroFormat, SchemaId};

pub struct Source {
    pub cluster: Arc<Cluster>,
    pub cluster_id: String,
    pub registry: Option<RegistryClient>,
    pub schema: InputSchema,
    pub event_time: EventTime,
    pub read_by: ReadBy,
}

impl Source {
    /// Once the brokers and the registry answer.
    pub async fn open(settings: &Settings, patience: &Patience) -> Result<Self, JobError> {
        let Patience { clock, health } = patience.clone();
        let cluster = Cluster::new(&settings.kafka, health.clone(), clock.clone());
        let cluster = Arc::new(cluster.map_err(JobError::kafka_settings)?);
        let registry = settings.registry.as_ref().map(RegistryClient::new);
        let registry = registry.transpose()?;
        let schema = schema(settings, registry.as_ref(), patience).await?;
        let event_time = settings.columns(&schema)?;
        let cluster_id = cluster_id(&cluster, patience).await?;
        let read_by = settings.reader.decide(&settings.kafka, health, clock).await;
        Ok(Self {
            cluster,
            cluster_id,
            registry,
            schema,
            event_time,
            read_by: read_by.map_err(JobError::reader)?,
        })
    }
}

/// The cluster's id, once a broker answers.
///
/// # Errors
/// If the brokers do not let us in, and waiting does not cure that.
async fn cluster_id(cluster: &Arc<Cluster>, patience: &Patience) -> Result<String, JobError> {
    let waiting = Waiting::new(patience, "kafka");
    loop {
        let cluster = cluster.clone();
        match tokio::task::spawn_blocking(move || cluster.id()).await? {
            Ok(id) => return Ok(id),
            Err(error) if error.is_refusal() => return Err(error.into()),
            Err(error) => waiting.say(&with_causes(&error)).await,
        }
    }
}

/// The reader's schema of a run, once the registry answers if there is one.
async fn schema(
    settings: &Settings,
    registry: Option<&RegistryClient>,
    patience: &Patience,
) -> Result<InputSchema, JobError> {
    let waiting = Waiting::new(patience, "the schema registry");
    loop {
        let answer = match (registry, &settings.schema) {
            (None, ReaderSchema::Given(schema)) => return Ok(schema.clone()),
            (Some(registry), ReaderSchema::Given(schema)) => {
                registry.check().await.map(|()| schema.clone())
            }
            (Some(registry), ReaderSchema::Latest { subject }) => {
                match registry.latest(subject).await {
                    Ok((id, json)) => return latest(subject, id, &json, settings.avro_format),
                    Err(RegistryError::Unknown { .. }) => {
                        let (subject, urls) = (subject.clone(), registry.urls());
                        return Err(JobError::NoSubject { subject, urls });
                    }
                    Err(RegistryError::Unusable(why)) => {
                        let subject = subject.clone();
                        return Err(JobError::RegistryAnswer { subject, why });
                    }
                    Err(error) => Err(error),
                }
            }
            (None, ReaderSchema::Latest { .. }) => {
                unreachable!("the settings have a registry then")
            }
        };
        match answer {
            Err(RegistryError::Away(why)) => waiting.say(&why).await,
            answer => return Ok(answer?),
        }
    }
}

fn latest(
    subject: &str,
    id: SchemaId,
    json: &str,
    format: AvroFormat,
) -> Result<InputSchema, JobError> {
    let schema = InputSchema::parse(json).and_then(|schema| schema.framed(format));
    let schema = schema.map_err(|source| JobError::RegistrySchema {
        subject: subject.to_owned(),
        id,
        source,
    })?;
    tracing::info!(
        subject,
        schema_id = id.0,
        name = schema.name(),
        "reader's schema"
    );
    Ok(schema)
}
