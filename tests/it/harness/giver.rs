//! A service that hands out credentials, as a token service, a container's agent and a machine's metadata
//! do; and real temporary credentials of MinIO to hand out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{ClientOptions, HttpConnector, ReqwestConnector};

use super::{block_on, server};

/// Credentials that expire, and are worth nothing without their token.
#[derive(Debug, Clone)]
pub struct Temporary {
    pub id: String,
    pub secret: String,
    pub token: String,
    /// As MinIO gives them.
    xml: String,
}

impl Temporary {
    /// Of MinIO's own AssumeRole.
    pub fn get() -> Self {
        let credential = AwsCredential {
            key_id: server("LINEAGE_TEST_S3_ACCESS_KEY"),
            secret_key: server("LINEAGE_TEST_S3_SECRET_KEY"),
            token: None,
        };
        let body = "Action=AssumeRole&Version=2011-06-15&DurationSeconds=3600";
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/", server("LINEAGE_TEST_S3")))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.to_owned().into())
            .unwrap();
        AwsAuthorizer::new(&credential, "sts", "us-east-1")
            .try_authorize(&mut request, None)
            .unwrap();
        let options = ClientOptions::new().with_allow_http(true);
        let client = ReqwestConnector::default().connect(&options).unwrap();
        let xml = block_on(async {
            let answer = client.execute(request).await.unwrap();
            let body = answer.into_body().bytes().await.unwrap();
            String::from_utf8(body.to_vec()).unwrap()
        });
        let of = |name: &str| {
            let (_, behind) = xml.split_once(&format!("<{name}>")).expect(&xml);
            behind.split_once('<').unwrap().0.to_owned()
        };
        Self {
            id: of("AccessKeyId"),
            secret: of("SecretAccessKey"),
            token: of("SessionToken"),
            xml,
        }
    }

    /// As a token service answers a web identity.
    pub fn for_a_web_identity(&self) -> String {
        let name = "AssumeRoleWithWebIdentity";
        self.xml.replace("AssumeRole", name)
    }

    /// As agents of containers and machines answer.
    pub fn in_json(&self) -> String {
        serde_json::json!({
            "AccessKeyId": self.id, "SecretAccessKey": self.secret, "Token": self.token,
            "Expiration": "2099-01-01T00:00:00Z",
        })
        .to_string()
    }
}

/// Answers each request by its head and body: with a status and a body.
pub struct Giver {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Giver {
    pub fn start(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        // Ends with the tests: nothing holds on to it.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = BufReader::new(client.unwrap());
                let (mut text, mut length) = (String::new(), 0);
                while client.read_line(&mut text).unwrap_or(0) > 2 {
                    let line = text.lines().last().unwrap().to_ascii_lowercase();
                    if let Some(value) = line.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                client.read_exact(&mut body).unwrap();
                text.push_str(&String::from_utf8(body).unwrap());
                counted.fetch_add(1, Ordering::Relaxed);
                let (status, body) = answer(&text);
                let _ = write!(
                    client.get_mut(),
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}
