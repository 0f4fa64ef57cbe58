//! Requests to a schema registry, in the API of Confluent's: GET only.

use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Certificate, Client, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{Login, RegistrySettings};
use crate::causes::{TlsFault, find, tls_fault};
use crate::config::secret::without_user;
use crate::runtime::retry::with_causes;
use crate::transform::framing::SchemaId;
use crate::transform::resolution::names::self_contained;

/// For one request; a registry that is slower is as good as away.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Schemas that one schema refers to, over all.
const MOST_REFERENCES: usize = 1_000;
/// Of one answer, and of a schema with all that it refers to.
const MOST_BYTES: usize = 4 << 20;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// What a registry answers to what it does not have.
const SCHEMA_NOT_FOUND: u64 = 40403;
const SUBJECT_NOT_FOUND: u64 = 40401;
const VERSION_NOT_FOUND: u64 = 40402;

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Waiting may help.
    #[error("{0}")]
    Away(String),
    /// Stays so until somebody changes something.
    #[error("{url}: {why}")]
    Tls { url: String, why: String },
    #[error(
        "{url} answers {status}: look at SCHEMA_REGISTRY_USERNAME, SCHEMA_REGISTRY_PASSWORD or \
         SCHEMA_REGISTRY_TOKEN, and what they are permitted"
    )]
    Denied { url: String, status: StatusCode },
    #[error("the registry at {url} does not know {what}")]
    Unknown { url: String, what: String },
    /// Waiting does not help.
    #[error("{0}")]
    Unusable(String),
    #[error("SCHEMA_REGISTRY_CA_FILE or SCHEMA_REGISTRY_URL cannot be used: {0}")]
    Settings(String),
}

impl RegistryError {
    pub fn waiting_helps(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Tls { .. } | Self::Denied { .. })
    }
}

#[derive(Debug, Clone)]
pub struct RegistryClient {
    http: Client,
    urls: Vec<Url>,
    login: Option<Login>,
}

/// A schema as the registry hands it out; the field of its type is left out for Avro.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    id: u32,
    schema: String,
    #[serde(default, rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    subject: String,
    version: i64,
}

#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default)]
    error_code: u64,
    #[serde(default)]
    message: String,
}

impl RegistryClient {
    pub fn new(settings: &RegistrySettings) -> Result<Self, RegistryError> {
        let unusable = |e: reqwest::Error| RegistryError::Settings(with_causes(&e));
        let mut http = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT);
        if let Some(pem) = &settings.ca {
            let all = Certificate::from_pem_bundle(pem).map_err(unusable)?;
            if all.is_empty() {
                let why = "there is no certificate in PEM in it".to_owned();
                return Err(RegistryError::Settings(why));
            }
            http = http.tls_certs_merge(all);
        }
        Ok(Self {
            http: http.build().map_err(unusable)?,
            urls: settings.urls.clone(),
            login: settings.login.clone(),
        })
    }

    /// The URLs, for messages.
    pub fn urls(&self) -> String {
        let urls = self.urls.iter().map(|url| without_user(url.as_str()));
        urls.collect::<Vec<_>>().join(", ")
    }

    /// The Avro schema of an id, with all that it refers to in it.
    pub async fn schema(&self, id: SchemaId) -> Result<String, RegistryError> {
        let answer = self.ask(&["schemas", "ids", &id.to_string()], None).await?;
        self.whole(answer).await
    }

    /// The newest schema of a subject.
    pub async fn latest(&self, subject: &str) -> Result<(SchemaId, String), RegistryError> {
        let path = ["subjects", subject, "versions", "latest"];
        let answer = self.ask(&path, None).await?;
        let id = SchemaId(answer.id);
        let whole = self.whole(answer).await.map_err(|e| match e {
            // The subject itself is there.
            e @ RegistryError::Unknown { .. } => RegistryError::Unusable(e.to_string()),
            e => e,
        });
        Ok((id, whole?))
    }

    /// Whether it is there and lets us in. It need not know any schema.
    pub async fn check(&self) -> Result<(), RegistryError> {
        // One id of all that it may have; there is no request that needs less. To see just that one may
        // be forbidden, and those of the topic not.
        match self.ask(&["schemas", "ids", "1"], None).await {
            Err(RegistryError::Denied { status, .. }) if status == StatusCode::FORBIDDEN => Ok(()),
            Err(error) if error.waiting_helps() => Err(error),
            _ => Ok(()),
        }
    }

    async fn whole(&self, answer: Answer) -> Result<String, RegistryError> {
        let schema = avro(&answer)?;
        let mut open = answer.references.unwrap_or_default();
        let mut asked = Vec::new();
        let mut referenced = Vec::new();
        let mut bytes = answer.schema.len();
        while let Some(Reference { subject, version }) = open.pop() {
            if asked.contains(&(subject.clone(), version)) {
                continue;
            }
            if asked.len() >= MOST_REFERENCES {
                let why = format!("it refers to more than {MOST_REFERENCES} others");
                return Err(RegistryError::Unusable(why));
            }
            let number = version.to_string();
            let path = ["subjects", &subject, "versions", &number];
            // One that was deleted softly is not for new schemas; old ones refer to it all the same.
            let answer = self.ask(&path, Some("deleted=true")).await;
            let answer = answer.map_err(|e| {
                let what = format!("version {version} of {subject}, which it refers to");
                match e {
                    RegistryError::Unknown { url, .. } => RegistryError::Unknown { url, what },
                    RegistryError::Unusable(why) => {
                        RegistryError::Unusable(format!("{what}: {why}"))
                    }
                    e => e,
                }
            })?;
            bytes += answer.schema.len();
            if bytes > MOST_BYTES {
                return Err(too_long());
            }
            referenced.push(avro(&answer)?);
            open.extend(answer.references.into_iter().flatten());
            asked.push((subject, version));
        }
        let whole = self_contained(&schema, &referenced).map_err(RegistryError::Unusable)?;
        Ok(whole.to_string())
    }

    /// The first registry that answers.
    async fn ask(&self, path: &[&str], query: Option<&str>) -> Result<Answer, RegistryError> {
        let (mut away, mut faults) = (Vec::new(), Vec::new());
        for url in &self.urls {
            match self.ask_one(url, path, query).await {
                Err(RegistryError::Away(why)) => away.push(why),
                Err(error @ RegistryError::Tls { .. }) => faults.push(error),
                result => return result,
            }
        }
        // One that is away may be all right when it is back.
        if away.is_empty()
            && let Some(error) = faults.pop()
        {
            return Err(error);
        }
        away.extend(faults.iter().map(ToString::to_string));
        let away = format!("SCHEMA_REGISTRY_URL: {}", away.join("; "));
        Err(RegistryError::Away(away))
    }

    async fn ask_one(
        &self,
        base: &Url,
        path: &[&str],
        query: Option<&str>,
    ) -> Result<Answer, RegistryError> {
        let shown = without_user(base.as_str());
        let away = |why: String| RegistryError::Away(format!("{shown}: {why}"));
        let broken = |e: reqwest::Error| {
            let e = e.without_url();
            if let Some(fault) = tls_fault(&e) {
                let url = shown.clone();
                let why = said_of(&fault);
                return RegistryError::Tls { url, why };
            }
            let no_http = find::<hyper::Error>(&e).is_some_and(hyper::Error::is_parse);
            let hint = match base.scheme() {
                "http" if no_http => " (what answers there speaks no HTTP: is https:// meant?)",
                _ => "",
            };
            away(with_causes(&e) + hint)
        };
        let mut url = base.clone();
        match url.path_segments_mut() {
            // A subject may have any characters; as a segment they are escaped.
            Ok(mut segments) => drop(segments.pop_if_empty().extend(path)),
            Err(()) => return Err(RegistryError::Settings(shown)),
        }
        url.set_query(query);
        let request = self.http.get(url).header(ACCEPT, MEDIA_TYPE);
        let request = match &self.login {
            None => request,
            Some(Login::Basic { user, password }) => {
                request.basic_auth(user, Some(password.expose()))
            }
            Some(Login::Bearer(token)) => request.bearer_auth(token.expose()),
        };
        let answer = request.send().await;
        let mut answer = answer.map_err(broken)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(more) = answer.chunk().await.map_err(broken)? {
            if body.len() + more.len() > MOST_BYTES {
                return Err(too_long());
            }
            body.extend_from_slice(&more);
        }
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|e| away(format!("its answer is no schema: {e}")));
        }
        let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
        Err(match (status, problem.error_code) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                RegistryError::Denied { url: shown, status }
            }
            // Not every 404: a proxy in front of it, or a wrong path, says that too.
            (StatusCode::NOT_FOUND, SCHEMA_NOT_FOUND | SUBJECT_NOT_FOUND | VERSION_NOT_FOUND) => {
                let what = "it".to_owned();
                RegistryError::Unknown { url: shown, what }
            }
            (StatusCode::NOT_FOUND, _) => away(format!(
                "it answers {status}: look at the path of SCHEMA_REGISTRY_URL, below which its API is (with Apicurio \
                 /apis/ccompat/v7)"
            )),
            _ => away(
                format!("it answers {status} {}", problem.message)
                    .trim_end()
                    .to_owned(),
            ),
        })
    }
}

fn said_of(fault: &TlsFault<'_>) -> String {
    match fault {
        TlsFault::Untrusted(why) => format!(
            "its certificate is not trusted: {why}; SCHEMA_REGISTRY_CA_FILE names those of authorities that are \
             trusted beside the system's"
        ),
        TlsFault::NoTls(why) => format!("it speaks no TLS: {why} (is http:// meant?)"),
        TlsFault::Refused(why) => format!("it ends the connection by TLS: {why}"),
    }
}

fn too_long() -> RegistryError {
    RegistryError::Unusable(format!("it is longer than {} MiB", MOST_BYTES >> 20))
}

fn avro(answer: &Answer) -> Result<Value, RegistryError> {
    match answer.kind.as_deref() {
        None | Some("AVRO") => serde_json::from_str(&answer.schema).or_else(|_| {
            match answer.schema.contains(['{', '[', '"']) {
                // The name of a primitive type alone, as some registries keep it.
                false => Ok(Value::String(answer.schema.clone())),
                true => Err(RegistryError::Unusable("it is not JSON".into())),
            }
        }),
        Some(other) => Err(RegistryError::Unusable(format!(
            "it is a schema of {other}, not of Avro"
        ))),
    }
}
