//! As whom S3 is asked: the chain of AWS's own tools. The first that names credentials is taken:
//! keys in the settings, a web identity, a profile of the shared files, a container, the machine.
//!
//! Those that expire are asked for again some minutes before they do. Who has given credentials once is
//! asked from then on: another one further behind may have some of other rights.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::aws::{
    AmazonS3Builder, AmazonS3ConfigKey as Key, AwsCredential, AwsCredentialProvider,
};
use object_store::client::{ClientOptions, HttpClient, HttpConnector, HttpError, ReqwestConnector};
use object_store::{CredentialProvider, RetryConfig, StaticCredentialProvider};
use tokio::sync::Mutex;

use super::container::{Agent, AgentToken};
use super::profile::Profile;
use super::refusal::{self, shown};
use crate::config::secret::Secret;
use crate::runtime::retry::with_causes;

/// A profile that a tool has written anew is noticed within this time.
const PROFILE_AGE: Duration = Duration::from_secs(5);
/// Where nothing answers for a machine's metadata, a start is not to wait for it.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
const TOKEN_SERVICE_TIMEOUT: Duration = Duration::from_secs(10);

/// All that may name credentials, in the order in which they are looked at.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    pub keys: Option<Keys>,
    pub web_identity: Option<WebIdentity>,
    pub profile: Profile,
    pub container: Option<Container>,
    /// Address of the instance's metadata; `None`: it is not asked.
    pub instance: Option<String>,
}

/// Of the settings.
#[derive(Debug, Clone)]
pub struct Keys {
    pub id: Secret,
    pub secret: Secret,
    pub token: Option<Secret>,
}

/// A role that an identity provider's token is good for.
#[derive(Debug, Clone)]
pub struct WebIdentity {
    pub token_file: PathBuf,
    pub role_arn: String,
    pub session_name: String,
    /// `None`: Amazon's.
    pub sts: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Container {
    /// ECS.
    Task { uri: String },
    /// EKS, and others that name a whole address.
    Pod { uri: http::Uri, token: AgentToken },
}

/// Nobody gives credentials, or not now.
#[derive(Debug, thiserror::Error)]
#[error("there are no credentials: {why}")]
pub struct NoCredentials {
    why: String,
    /// Whether they may come without anybody's doing.
    pub may_pass: bool,
}

impl From<NoCredentials> for object_store::Error {
    fn from(error: NoCredentials) -> Self {
        Self::Generic {
            store: "S3",
            source: error.into(),
        }
    }
}

impl Credentials {
    pub(super) fn provider(
        &self,
        region: &str,
        options: ClientOptions,
    ) -> object_store::Result<AwsCredentialProvider> {
        if let Some(keys) = &self.keys {
            return Ok(Arc::new(StaticCredentialProvider::new(AwsCredential {
                key_id: keys.id.expose().to_owned(),
                secret_key: keys.secret.expose().to_owned(),
                token: keys.token.as_ref().map(|token| token.expose().to_owned()),
            })));
        }
        let ask = |timeout: Duration| Ask {
            region: region.to_owned(),
            options: options.clone().with_timeout(timeout),
            timeout,
        };
        let web_identity = match &self.web_identity {
            None => None,
            Some(from) => {
                let mut settings = vec![
                    (
                        Key::WebIdentityTokenFile,
                        from.token_file.display().to_string(),
                    ),
                    (Key::RoleArn, from.role_arn.clone()),
                    (Key::RoleSessionName, from.session_name.clone()),
                ];
                settings.extend(from.sts.clone().map(|sts| (Key::StsEndpoint, sts)));
                Some(ask(TOKEN_SERVICE_TIMEOUT).with(settings)?)
            }
        };
        let container = match &self.container {
            None => None,
            Some(Container::Task { uri }) => {
                let settings = vec![(Key::ContainerCredentialsRelativeUri, uri.clone())];
                Some(ask(TOKEN_SERVICE_TIMEOUT).with(settings)?)
            }
            Some(Container::Pod { uri, token }) => {
                let asked = ask(TOKEN_SERVICE_TIMEOUT);
                let options = asked.options.with_connect_timeout(asked.timeout / 2);
                let client = Named.connect(&options)?;
                let agent = Agent::new(uri.clone(), token.clone(), client);
                Some(Arc::new(agent) as AwsCredentialProvider)
            }
        };
        let instance = self.instance.as_ref().map(|address| {
            let address = address.trim_end_matches('/').to_owned();
            ask(METADATA_TIMEOUT).with(vec![(Key::MetadataEndpoint, address)])
        });
        Ok(Arc::new(Chain {
            web_identity,
            profile: self.profile.clone(),
            read: Mutex::default(),
            giver: OnceLock::new(),
            container,
            instance: instance.transpose()?,
        }))
    }
}

/// How one of the services that hand out credentials is asked: by `object_store`, which knows them all.
struct Ask {
    region: String,
    options: ClientOptions,
    timeout: Duration,
}

impl Ask {
    fn with(self, settings: Vec<(Key, String)>) -> object_store::Result<AwsCredentialProvider> {
        let builder = AmazonS3Builder::new()
            .with_bucket_name("none")
            .with_region(self.region)
            .with_client_options(self.options.with_connect_timeout(self.timeout / 2))
            .with_http_connector(Named)
            .with_retry(RetryConfig {
                max_retries: 1,
                retry_timeout: self.timeout,
                ..RetryConfig::default()
            });
        let builder = settings.into_iter().fold(builder, |builder, (key, value)| {
            builder.with_config(key, value)
        });
        Ok(builder.build()?.credentials().clone())
    }
}

/// Whoever names a token service by http:// means it: inside of a cluster that is common.
#[derive(Debug)]
struct Named;

impl HttpConnector for Named {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        ReqwestConnector::default().connect(&options.clone().with_allow_http(true))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Giver {
    Profile,
    Container,
    Instance,
}

/// Who is asked when no keys are set.
#[derive(Debug)]
struct Chain {
    web_identity: Option<AwsCredentialProvider>,
    profile: Profile,
    /// What the profile said, and when.
    read: Mutex<Option<(Instant, Option<Arc<AwsCredential>>)>>,
    /// Who has given credentials, of those below.
    giver: OnceLock<Giver>,
    container: Option<AwsCredentialProvider>,
    instance: Option<AwsCredentialProvider>,
}

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        if let Some(service) = &self.web_identity {
            let whose = "the token service refuses the role of AWS_ROLE_ARN with the token of \
                AWS_WEB_IDENTITY_TOKEN_FILE, or does not answer (AWS_ENDPOINT_URL_STS)";
            return of(service, whose).await;
        }
        if self.may_be(Giver::Profile)
            && let Some(found) = self.of_profile().await?
        {
            return Ok(self.given_by(Giver::Profile, found));
        }
        if let Some(service) = &self.container {
            let whose = "the container's service (AWS_CONTAINER_CREDENTIALS_*) gives none";
            let found = of(service, whose).await?;
            return Ok(self.given_by(Giver::Container, found));
        }
        let why = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or \
            AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN; neither is set, no container has any, and there \
            is no default profile";
        let Some(service) = &self.instance else {
            let why = format!("{why} (and AWS_EC2_METADATA_DISABLED is set)");
            return Err(NoCredentials {
                why,
                may_pass: false,
            }
            .into());
        };
        match service.get_credential().await {
            Ok(found) => Ok(self.given_by(Giver::Instance, sendable(found)?)),
            Err(error) => {
                let text = with_causes(&error);
                let why = format!("{why}, nor has this machine a role ({})", shown(&text));
                // Where nobody answers there is no such service.
                let may_pass = is_passing(&text);
                Err(NoCredentials { why, may_pass }.into())
            }
        }
    }
}

impl Chain {
    fn may_be(&self, giver: Giver) -> bool {
        self.giver.get().is_none_or(|known| *known == giver)
    }

    fn given_by(&self, giver: Giver, found: Arc<AwsCredential>) -> Arc<AwsCredential> {
        // Known already, as a rule.
        let _ = self.giver.set(giver);
        found
    }

    async fn of_profile(&self) -> Result<Option<Arc<AwsCredential>>, NoCredentials> {
        let mut read = self.read.lock().await;
        if let Some((at, found)) = &*read
            && at.elapsed() < PROFILE_AGE
        {
            return Ok(found.clone());
        }
        let last = read.as_ref().and_then(|(_, found)| found.clone());
        let found = match (self.profile.read(), last) {
            (Ok(Some(found)), _) => Some(Arc::new(found)),
            // Whoever writes the file anew may be amid it.
            (_, Some(last)) => Some(last),
            (Ok(None), None) => None,
            (Err(error), None) => {
                return Err(NoCredentials {
                    why: error.to_string(),
                    may_pass: false,
                });
            }
        };
        *read = Some((Instant::now(), found.clone()));
        Ok(found)
    }
}

/// What a service hands out.
async fn of(
    service: &AwsCredentialProvider,
    whose: &str,
) -> object_store::Result<Arc<AwsCredential>> {
    match service.get_credential().await {
        Ok(found) => sendable(found),
        Err(error) => {
            let text = with_causes(&error);
            let unanswered = is_no_answer(&error) && refusal::untrusted(&error).is_none();
            let may_pass = unanswered || is_passing(&text);
            let why = format!("{whose}: {}", shown(&text));
            Err(NoCredentials { why, may_pass }.into())
        }
    }
}

/// Whether an answer is one of a service that has too much to do, or trouble of its own.
fn is_passing(text: &str) -> bool {
    let statuses = ["status code: 5", "status code: 408", "status code: 429"];
    // Of Amazon's token service; the second is the identity provider's trouble.
    let codes = ["<Code>Throttling", "<Code>IDPCommunicationError"];
    statuses
        .iter()
        .chain(&codes)
        .any(|part| text.contains(part))
}

fn is_no_answer(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |e| e.source()).any(|e| e.is::<HttpError>())
}

/// The signing of a request panics at what no header can hold.
fn sendable(found: Arc<AwsCredential>) -> object_store::Result<Arc<AwsCredential>> {
    let token = found.token.as_deref().unwrap_or_default();
    let mut bytes = found.key_id.bytes().chain(token.bytes());
    if bytes.all(|b| b.is_ascii_graphic()) {
        return Ok(found);
    }
    let why = "those that were handed out have a character that no HTTP header can hold".to_owned();
    Err(NoCredentials {
        why,
        may_pass: false,
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_says_that_has_too_much_to_do_may_pass() {
        let answer = |status: &str, code: &str| {
            format!("status code: {status}: <ErrorResponse><Error><Code>{code}</Code></Error>")
        };
        for (status, code) in [
            ("400 Bad Request", "Throttling"),
            ("400 Bad Request", "ThrottlingException"),
            ("400 Bad Request", "IDPCommunicationError"),
            ("408 Request Timeout", ""),
            ("429 Too Many Requests", ""),
            ("503 Service Unavailable", ""),
        ] {
            assert!(is_passing(&answer(status, code)), "{status} {code}");
        }
        assert!(!is_passing(&answer("403 Forbidden", "AccessDenied")));
        assert!(!is_passing(&answer(
            "400 Bad Request",
            "ExpiredTokenException"
        )));
    }

    fn chain(profile: Profile, container: bool) -> Chain {
        let keys = AwsCredential {
            key_id: "container".into(),
            secret_key: "s".into(),
            token: None,
        };
        Chain {
            web_identity: None,
            profile,
            read: Mutex::default(),
            giver: OnceLock::new(),
            container: container
                .then(|| Arc::new(StaticCredentialProvider::new(keys)) as AwsCredentialProvider),
            instance: None,
        }
    }

    async fn who(chain: &Chain) -> String {
        // As if the file had been read long ago.
        if let Some((at, _)) = &mut *chain.read.lock().await {
            *at = Instant::now().checked_sub(PROFILE_AGE * 2).unwrap();
        }
        chain.get_credential().await.unwrap().key_id.clone()
    }

    #[tokio::test]
    async fn who_has_given_credentials_once_is_asked_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile {
            name: None,
            credentials_file: folder.path().join("credentials"),
            config_file: folder.path().join("config"),
        };
        let write = |text: &str| std::fs::write(&profile.credentials_file, text).unwrap();
        let keys =
            |id: &str| format!("[default]\naws_access_key_id={id}\naws_secret_access_key=s\n");
        write(&keys("first"));
        let of_profile = chain(profile.clone(), true);
        assert_eq!(who(&of_profile).await, "first");
        for amid in ["", "[default]\naws_access_key_id=second\n"] {
            write(amid);
            assert_eq!(who(&of_profile).await, "first", "{amid}");
        }
        write(&keys("second"));
        assert_eq!(who(&of_profile).await, "second");

        write("");
        let of_container = chain(profile.clone(), true);
        assert_eq!(who(&of_container).await, "container");
        write(&keys("third"));
        assert_eq!(who(&of_container).await, "container");
    }
}
