//! A token endpoint as those of OIDC, for client credentials.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::block_on;
use super::certificates::acceptor;

pub struct TokenEndpoint {
    pub url: String,
    issued: Arc<AtomicUsize>,
    hanging: Arc<AtomicBool>,
}

impl TokenEndpoint {
    /// Issues `token()` to a client with this secret that asks for `scope`, which may be empty: none.
    pub fn start(
        client: &str,
        secret: &str,
        scope: &'static str,
        token: impl Fn() -> String + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let known = format!("Basic {}", STANDARD.encode(format!("{client}:{secret}")));
        let issued = Arc::new(AtomicUsize::new(0));
        let count = issued.clone();
        let hanging = Arc::new(AtomicBool::new(false));
        let hangs = hanging.clone();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for mut connection in listener.incoming().flatten() {
                if hangs.load(Ordering::Relaxed) {
                    held.push(connection);
                    continue;
                }
                let (authorization, body) = request(&connection);
                let wanted = match scope {
                    "" => "grant_type=client_credentials".to_owned(),
                    scope => format!("grant_type=client_credentials&scope={scope}"),
                };
                let (status, answer) = if authorization != known {
                    // What it was sent, too, as some endpoints do.
                    let echo = format!("{authorization} {body}");
                    let error =
                        format!(r#"{{"error":"invalid_client","error_description":"{echo}"}}"#);
                    ("401 Unauthorized", error)
                } else if body != wanted {
                    ("400 Bad Request", r#"{"error":"invalid_scope"}"#.to_owned())
                } else {
                    count.fetch_add(1, Ordering::Relaxed);
                    let token = token();
                    (
                        "200 OK",
                        format!(r#"{{"access_token":"{token}","expires_in":60}}"#),
                    )
                };
                let _ = write!(
                    connection,
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n{answer}",
                    answer.len()
                );
            }
        });
        Self {
            url,
            issued,
            hanging,
        }
    }

    /// Where the same is asked for by TLS, with the certificate and the key in this file.
    pub fn by_tls(&self, pem: &str) -> String {
        let acceptor = acceptor(&std::fs::read_to_string(pem).unwrap());
        let upstream = url::Url::parse(&self.url).unwrap();
        let upstream = upstream.socket_addrs(|| None).unwrap()[0];
        block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("https://{}/token", listener.local_addr().unwrap());
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    let acceptor = acceptor.clone();
                    // Whoever breaks off has a reason.
                    tokio::spawn(async move {
                        let mut client = acceptor.accept(client).await?;
                        let mut upstream = tokio::net::TcpStream::connect(upstream).await?;
                        tokio::io::copy_bidirectional(&mut client, &mut upstream).await
                    });
                }
            });
            url
        })
    }

    /// It answers nobody any more, and ends no connection.
    pub fn hang(&self) {
        self.hanging.store(true, Ordering::Relaxed);
    }

    /// Answers who asks from now on.
    pub fn go_on(&self) {
        self.hanging.store(false, Ordering::Relaxed);
    }

    /// How many tokens it has issued.
    pub fn issued(&self) -> usize {
        self.issued.load(Ordering::Relaxed)
    }
}

/// The header `Authorization` of a request, and its body.
fn request(connection: &TcpStream) -> (String, String) {
    let mut reader = BufReader::new(connection);
    let (mut authorization, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.trim().split_once(": ") {
            match name.to_lowercase().as_str() {
                "authorization" => authorization = value.to_owned(),
                "content-length" => length = value.parse().unwrap(),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    (authorization, String::from_utf8(body).unwrap())
}
