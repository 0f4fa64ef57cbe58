//! A real schema registry, and something before it that can be shut, ask for a login, and speak TLS.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::certificates::{Certificate, acceptor};
use super::{LONG, block_on, server, wait_for};

/// Where it has Confluent's API.
const PATH: &str = "/apis/ccompat/v7";

/// Apicurio, with everything in memory; stopped when the last test that uses it lets go of it.
pub struct Registry {
    child: Child,
    address: SocketAddr,
}

impl Registry {
    /// One for all tests that run now.
    pub fn get() -> Arc<Self> {
        static SHARED: Mutex<Weak<Registry>> = Mutex::new(Weak::new());
        // Of a test that has failed at the start; the next one tries again.
        let mut shared = SHARED.lock().unwrap_or_else(|e| e.into_inner());
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start());
            *shared = Arc::downgrade(&started);
            started
        })
    }

    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        let child = Command::new("java")
            .arg("-Xmx256m")
            .arg("-Dquarkus.http.host=127.0.0.1")
            .arg(format!("-Dquarkus.http.port={}", address.port()))
            .args(["-jar", &server("LINEAGE_TEST_REGISTRY_JAR")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { child, address };
        wait_for("schema registry", LONG, || {
            let answer = block_on(reqwest::get(format!("{}/subjects", registry.url())));
            answer.ok()?.status().is_success().then_some(())
        });
        registry
    }

    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Registers a schema; returns its id.
    pub fn register(&self, subject: &str, schema: &Value) -> u32 {
        let url = format!("{}/subjects/{subject}/versions", self.url());
        let body = json!({"schema": schema.to_string()});
        let answer = block_on(async {
            let request = reqwest::Client::new().post(url).json(&body);
            request.send().await.unwrap().json::<Value>().await.unwrap()
        });
        let id = answer["id"].as_u64().unwrap_or_else(|| panic!("{answer}"));
        u32::try_from(id).unwrap()
    }

    /// A door before it, which is open.
    pub fn door(self: &Arc<Self>) -> Door {
        Door::before(self, None, None)
    }

    /// A door that lets in only who sends this `Authorization`.
    pub fn door_with_login(self: &Arc<Self>, login: &str) -> Door {
        Door::before(self, Some(login.to_owned()), None)
    }

    /// A door that speaks TLS with this certificate.
    pub fn door_with_tls(self: &Arc<Self>, certificate: &Certificate) -> Door {
        Door::before(self, None, Some(acceptor(&certificate.together())))
    }

    /// Both in one.
    pub fn door_with(self: &Arc<Self>, login: &str, certificate: &Certificate) -> Door {
        Door::before(
            self,
            Some(login.to_owned()),
            Some(acceptor(&certificate.together())),
        )
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Door {
    port: u16,
    is_tls: bool,
    shut: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
    _registry: Arc<Registry>,
}

impl Door {
    fn before(registry: &Arc<Registry>, login: Option<String>, tls: Option<TlsAcceptor>) -> Self {
        let shut = Arc::new(AtomicBool::new(false));
        let upstream = registry.address;
        let (is_tls, is_shut) = (tls.is_some(), shut.clone());
        let (port, task) = block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let task = tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    if is_shut.load(Ordering::Relaxed) {
                        continue;
                    }
                    let (login, tls) = (login.clone(), tls.clone());
                    tokio::spawn(async move {
                        // Whoever breaks off has a reason.
                        let _ = match tls {
                            None => pass(client, upstream, login).await,
                            Some(tls) => match tls.accept(client).await {
                                Ok(client) => pass(client, upstream, login).await,
                                Err(error) => Err(error),
                            },
                        };
                    });
                }
            });
            (port, task)
        });
        Self {
            port,
            is_tls,
            shut,
            task,
            _registry: registry.clone(),
        }
    }

    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}{PATH}", self.port)
    }

    /// Nobody gets in any more.
    pub fn shut(&self) {
        self.shut.store(true, Ordering::Relaxed);
    }

    pub fn open(&self) {
        self.shut.store(false, Ordering::Relaxed);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request without a body, and its answer.
async fn pass(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    upstream: SocketAddr,
    login: Option<String>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let text = String::from_utf8(head).unwrap();
    let has_login = |login: &String| {
        let lines = text.lines().filter_map(|line| line.split_once(": "));
        let mut all = lines.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        all.any(|(_, value)| value == login)
    };
    if login.as_ref().is_none_or(has_login) {
        let mut upstream = TcpStream::connect(upstream).await?;
        // So that its answer ends with the connection.
        let head = text.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        upstream.write_all(head.as_bytes()).await?;
        copy(&mut upstream, &mut client).await?;
    } else {
        let body = r#"{"error_code":40101,"message":"Unauthorized"}"#;
        let length = body.len();
        let head = format!(
            "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        client.write_all((head + body).as_bytes()).await?;
    }
    client.shutdown().await
}
