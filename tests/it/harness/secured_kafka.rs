//! A Kafka of its own with every kind of listener, users, and permissions: one for all tests of them.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::certificates::{Authority, encrypt_key};
use super::{LONG, Topic, server, wait_for};

/// May read every topic, and use every group.
pub const ARCHIVER: &str = "archiver";
/// May describe every topic, and use every group.
pub const NO_READER: &str = "no-reader";
/// May read every topic.
pub const NO_GROUP: &str = "no-group";
/// May do nothing.
pub const NOBODY: &str = "nobody";
const USERS: [&str; 4] = [ARCHIVER, NO_READER, NO_GROUP, NOBODY];

/// Of every user.
pub const PASSWORD: &str = "GEHEIM-sasl-password";
pub const KEY_PASSWORD: &str = "GEHEIM-key-password";

const HOST: &str = "127.0.0.1";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// For the tests themselves, in plaintext; everything is allowed.
    Admin,
    Tls,
    /// With a certificate of the client.
    MutualTls,
    SaslTls,
    SaslPlaintext,
    /// Offers less.
    ScramOnly,
    Expired,
    OtherHost,
    OtherAuthority,
}

impl Listener {
    const ALL: [Self; 9] = [
        Self::Admin,
        Self::Tls,
        Self::MutualTls,
        Self::SaslTls,
        Self::SaslPlaintext,
        Self::ScramOnly,
        Self::Expired,
        Self::OtherHost,
        Self::OtherAuthority,
    ];

    fn name(self) -> String {
        format!("{self:?}").to_uppercase()
    }

    fn protocol(self) -> &'static str {
        match self {
            Self::Admin => "PLAINTEXT",
            Self::SaslTls => "SASL_SSL",
            Self::SaslPlaintext | Self::ScramOnly => "SASL_PLAINTEXT",
            _ => "SSL",
        }
    }

    /// The file of its certificate.
    fn key_store(self) -> &'static str {
        match self {
            Self::Expired => "expired.pem",
            Self::OtherHost => "other-host.pem",
            Self::OtherAuthority => "other-authority.pem",
            _ => "broker.pem",
        }
    }
}

pub struct SecuredKafka {
    folder: PathBuf,
    ports: Vec<u16>,
    /// Ends the broker when this process ends, however it does: then its input is closed.
    _keeper: Child,
}

/// It is started by the first test that asks for it.
pub fn secured_kafka() -> &'static SecuredKafka {
    static KAFKA: OnceLock<SecuredKafka> = OnceLock::new();
    KAFKA.get_or_init(SecuredKafka::start)
}

impl SecuredKafka {
    fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("secured-kafka-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.unwrap().keep();
        make_certificates(&folder);
        let ports: Vec<_> = (0..=Listener::ALL.len()).map(|_| free_port()).collect();
        fs::write(
            folder.join("server.properties"),
            properties(&folder, &ports),
        )
        .unwrap();
        format(&folder);
        let kafka = Self {
            _keeper: launch(&folder),
            folder,
            ports,
        };
        let log = kafka.folder.join("broker.log");
        wait_for("secured broker", LONG, || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            assert!(!log.contains("Exiting Kafka due to"), "{log}");
            log.contains("Kafka Server started").then_some(())
        });
        for (user, resource, operation) in PERMISSIONS {
            kafka.add(&Rule::of(user, resource, "*", operation, ALLOW));
        }
        kafka
    }

    /// From now on the user may not read the topic, whatever else permits it.
    pub fn forbid_reading(&self, user: &str, topic: &str) {
        self.add(&Rule::of(user, TOPIC, topic, READ, DENY));
    }

    /// Takes that back.
    pub fn forbid_no_more(&self, user: &str, topic: &str) {
        self.remove(&Rule::of(user, TOPIC, topic, READ, DENY));
    }

    pub fn permit_reading(&self, user: &str, topic: &str) {
        self.add(&Rule::of(user, TOPIC, topic, READ, ALLOW));
    }

    /// By Kafka's request CreateAcls, which librdkafka's binding has no call for.
    fn add(&self, rule: &Rule) {
        self.change(30, rule);
    }

    /// By DeleteAcls, likewise.
    fn remove(&self, rule: &Rule) {
        self.change(31, rule);
    }

    /// A rule and a filter for exactly this rule are the same bytes.
    fn change(&self, request_key: u8, rule: &Rule) {
        // Key, version, number of the request, no name of the client, one element.
        let mut request = vec![0, request_key, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 1];
        request.extend(&rule.0);
        let mut broker = TcpStream::connect(self.address(Listener::Admin)).unwrap();
        let length = u32::try_from(request.len()).unwrap().to_be_bytes();
        let sent = [&length, request.as_slice()].concat();
        broker.write_all(&sent).unwrap();
        let mut length = [0; 4];
        broker.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        broker.read_exact(&mut answer).unwrap();
        // Number, throttling and count, then the error of the one.
        assert_eq!(answer[12..14], [0, 0], "{answer:?}");
    }

    pub fn address(&self, listener: Listener) -> String {
        let place = Listener::ALL.iter().position(|l| *l == listener).unwrap();
        format!("{HOST}:{}", self.ports[place])
    }

    /// A file of certificates or keys.
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// A topic on it.
    pub fn topic(&self, partitions: usize) -> Arc<Topic> {
        let topic = Topic::absent_at(self.address(Listener::Admin));
        topic.make(partitions);
        topic
    }

    /// The settings of a run through a listener.
    pub fn settings(&self, listener: Listener) -> Settings {
        let mut settings = Settings(Vec::new())
            .with("KAFKA_BOOTSTRAP_SERVERS", &self.address(listener))
            .with("KAFKA_SECURITY_PROTOCOL", listener.protocol());
        if listener.protocol().ends_with("SSL") {
            settings = settings.with("KAFKA_SSL_CA_FILE", &self.file("ca.crt"));
        }
        settings
    }

    /// The same as a user with its password.
    pub fn settings_of(&self, listener: Listener, mechanism: &str, user: &str) -> Settings {
        self.settings(listener)
            .with("KAFKA_SASL_MECHANISM", mechanism)
            .with("KAFKA_SASL_USERNAME", user)
            .with("KAFKA_SASL_PASSWORD", PASSWORD)
    }
}

/// Settings of `lineage run`; a later one of the same name counts.
#[derive(Clone)]
pub struct Settings(Vec<(&'static str, String)>);

impl Settings {
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| *known != name);
        self
    }

    pub fn pairs(&self) -> Vec<(&str, &str)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (*name, value.as_str())).collect()
    }
}

/// A token without a signature, which this broker takes, of a user for so many seconds from now.
pub fn token(user: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let expires = now + seconds;
    let issued = now.min(expires) - 1;
    let claims = format!(r#"{{"sub":"{user}","iat":{issued},"exp":{expires},"GEHEIM":"token"}}"#);
    let [header, claims] = [r#"{"alg":"none"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}.")
}

fn make_certificates(folder: &Path) {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    ours.write(&folder.join("ca.crt"));
    other.write(&folder.join("other-ca.crt"));
    let store = |name: &str| folder.join(name);
    ours.issue("broker", &[HOST])
        .write_together(&store("broker.pem"));
    ours.issue_expired("broker", &[HOST])
        .write_together(&store("expired.pem"));
    let elsewhere = ["kafka.example.com"];
    ours.issue("broker", &elsewhere)
        .write_together(&store("other-host.pem"));
    other
        .issue("broker", &[HOST])
        .write_together(&store("other-authority.pem"));
    let (_, key) = ours.issue(ARCHIVER, &[]).write(folder, "client");
    encrypt_key(&key, &folder.join("client-encrypted.key"), KEY_PASSWORD);
    other.issue(ARCHIVER, &[]).write(folder, "other-client");
    ours.issue_expired(ARCHIVER, &[])
        .write(folder, "expired-client");
}

fn properties(folder: &Path, ports: &[u16]) -> String {
    let controller = ports[Listener::ALL.len()];
    let all = Listener::ALL.iter().zip(ports);
    let listeners: Vec<_> = all
        .map(|(l, port)| format!("{}://{HOST}:{port}", l.name()))
        .collect();
    let protocols = Listener::ALL.map(|l| format!("{}:{}", l.name(), l.protocol()));
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@{HOST}:{controller}\n\
         listeners={listeners},CONTROLLER://{HOST}:{controller}\n\
         advertised.listeners={listeners}\n\
         listener.security.protocol.map={},CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=ADMIN\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         group.initial.rebalance.delay.ms=0\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n\
         ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/\n",
        protocols.join(","),
        folder.join("data").display(),
        listeners = listeners.join(","),
    );
    let mut set = |listener: Listener, property: &str, value: &str| {
        let name = listener.name().to_lowercase();
        text.push_str(&format!("listener.name.{name}.{property}={value}\n"));
    };
    for listener in Listener::ALL {
        let protocol = listener.protocol();
        if protocol.ends_with("SSL") {
            let file = |name| folder.join(name).to_str().unwrap().to_owned();
            set(listener, "ssl.keystore.type", "PEM");
            set(
                listener,
                "ssl.keystore.location",
                &file(listener.key_store()),
            );
            set(listener, "ssl.truststore.type", "PEM");
            set(listener, "ssl.truststore.location", &file("ca.crt"));
        }
        if protocol.starts_with("SASL") {
            let mechanisms = match listener {
                Listener::ScramOnly => "SCRAM-SHA-256,SCRAM-SHA-512",
                _ => "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
            };
            set(listener, "sasl.enabled.mechanisms", mechanisms);
            let module = "org.apache.kafka.common.security";
            let users = USERS.map(|user| format!("user_{user}=\"{PASSWORD}\""));
            let plain = format!(
                "{module}.plain.PlainLoginModule required {};",
                users.join(" ")
            );
            set(listener, "plain.sasl.jaas.config", &plain);
            let scram = format!("{module}.scram.ScramLoginModule required;");
            set(listener, "scram-sha-256.sasl.jaas.config", &scram);
            set(listener, "scram-sha-512.sasl.jaas.config", &scram);
            let oauth = format!("{module}.oauthbearer.OAuthBearerLoginModule required;");
            set(listener, "oauthbearer.sasl.jaas.config", &oauth);
        }
    }
    set(Listener::MutualTls, "ssl.client.auth", "required");
    text
}

fn java(folder: &Path) -> Command {
    let mut java = Command::new("sh");
    java.current_dir(folder)
        .env("LIBS", format!("{}/*", server("LINEAGE_TEST_KAFKA_LIBS")));
    java
}

fn format(folder: &Path) {
    let id = URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes());
    // An id must not look like an option.
    let id = id.replace('-', "A");
    let users = USERS.iter().flat_map(|user| {
        ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .map(|scram| format!("--add-scram '{scram}=[name={user},password={PASSWORD}]'"))
    });
    let users: Vec<_> = users.collect();
    let script = format!(
        "exec java -cp \"$LIBS\" kafka.tools.StorageTool format -t {id} -c server.properties {} \
         >format.log 2>&1",
        users.join(" ")
    );
    let status = java(folder).args(["-c", &script]).status().unwrap();
    let log = fs::read_to_string(folder.join("format.log")).unwrap();
    assert!(status.success(), "{log}");
}

fn launch(folder: &Path) -> Child {
    let script =
        "java -Xmx512m -cp \"$LIBS\" kafka.Kafka server.properties >broker.log 2>&1 </dev/null &
        cat >/dev/null; kill -9 $!; wait; rm -rf \"$PWD\"";
    java(folder)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

const TOPIC: u8 = 2;
const GROUP: u8 = 3;
const READ: u8 = 3;
const DESCRIBE: u8 = 8;

const ALLOW: u8 = 3;
const DENY: u8 = 2;

/// Of every topic, or group.
const PERMISSIONS: [(&str, u8, u8); 5] = [
    (ARCHIVER, TOPIC, READ),
    (ARCHIVER, GROUP, READ),
    (NO_READER, TOPIC, DESCRIBE),
    (NO_READER, GROUP, READ),
    (NO_GROUP, TOPIC, READ),
];

/// One of Kafka's authorizer, as it is sent.
struct Rule(Vec<u8>);

impl Rule {
    fn of(user: &str, resource: u8, name: &str, operation: u8, permission: u8) -> Self {
        let string = |text: &str| {
            let length = u16::try_from(text.len()).unwrap().to_be_bytes();
            [&length, text.as_bytes()].concat()
        };
        let literal = 3;
        let mut bytes = vec![resource];
        bytes.extend(string(name));
        bytes.push(literal);
        bytes.extend(string(&format!("User:{user}")));
        bytes.extend(string("*"));
        bytes.extend([operation, permission]);
        Self(bytes)
    }
}
