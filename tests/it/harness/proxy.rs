//! A TCP proxy before S3 that looks at each request before it passes it on, and can hang.
//!
//! The bytes are not changed, so the signature stays right: it is made for the Host header, which
//! names the proxy, and the server verifies it against that header.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::server;

/// The first line of a request, with the path decoded.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Without the query, percent-decoded: `/S3_BUCKET/KEY`.
    pub path: String,
    pub query: String,
}

impl Request {
    /// Makes an uploaded file visible.
    pub fn completes_an_upload(&self) -> bool {
        self.method == "POST" && self.query.contains("uploadId=")
    }

    pub fn puts_a_part(&self) -> bool {
        self.method == "PUT" && self.query.contains("partNumber=")
    }

    /// Of what a start tries before it begins.
    pub fn is_a_trial(&self) -> bool {
        [&self.path, &self.query]
            .iter()
            .any(|text| text.contains(lineage::store::s3::trial::TRIAL))
    }

    pub fn puts_a_slot(&self) -> bool {
        self.method == "PUT" && self.path.ends_with("/_metadata")
    }

    pub fn puts_a_commit_log(&self) -> bool {
        self.method == "PUT" && self.path.ends_with(".csv")
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    /// It is carried out, but the connection ends before the answer.
    LoseAnswer,
    /// It gets no answer, and is not carried out.
    Hang,
    /// It waits until it is released, and is carried out then.
    Hold,
    /// It is not carried out, and answered with this status and S3 error code.
    Refuse(u16, &'static str),
    /// It is not carried out, and answered as if it had been, with this body.
    Pretend(&'static str),
    /// It is not carried out, and the connection ends.
    Reset,
    /// It is carried out, and its answer ends in the middle.
    CutAnswer,
    /// It is carried out, and its answer comes in small pieces.
    SlowAnswer,
}

type Judge = dyn FnMut(&Request) -> Fate + Send;

struct Shared {
    judge: Mutex<Box<Judge>>,
    hanging: AtomicBool,
    released: AtomicBool,
    closed: AtomicBool,
    seen: AtomicUsize,
    passed_late: AtomicUsize,
}

pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Lets everything pass.
    pub fn start() -> Self {
        Self::judged_by(|_| Fate::Pass)
    }

    /// Asks `judge` about each request before anything of it reaches the server, but for those of the
    /// trial that every start begins with.
    pub fn judged_by(mut judge: impl FnMut(&Request) -> Fate + Send + 'static) -> Self {
        Self::asking(move |request| match request.is_a_trial() {
            true => Fate::Pass,
            false => judge(request),
        })
    }

    /// Asks `judge` about all of them.
    pub fn asking(judge: impl FnMut(&Request) -> Fate + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            judge: Mutex::new(Box::new(judge)),
            hanging: AtomicBool::new(false),
            released: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            seen: AtomicUsize::new(0),
            passed_late: AtomicUsize::new(0),
        });
        let accepted = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if accepted.closed.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(client), shared) = (client, accepted.clone()) else {
                    continue;
                };
                // A connection that breaks is the client's to mend.
                std::thread::spawn(move || drop(serve(&client, &shared)));
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on no request is answered.
    pub fn hang(&self) {
        self.shared.hanging.store(true, Ordering::Relaxed);
    }

    /// The end of that: what hung loses its connection, what comes is answered.
    pub fn go_on(&self) {
        self.shared.hanging.store(false, Ordering::Relaxed);
    }

    /// What was held is carried out now, and nothing is held any more.
    pub fn release(&self) {
        self.shared.released.store(true, Ordering::Relaxed);
    }

    /// Requests that were held, and that the server has since.
    pub fn passed_late(&self) -> usize {
        self.shared.passed_late.load(Ordering::Relaxed)
    }

    /// Requests that hung or were held.
    pub fn hung(&self) -> usize {
        self.shared.seen.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(client: &TcpStream, shared: &Shared) -> io::Result<()> {
    let address = server("LINEAGE_TEST_S3");
    let upstream = TcpStream::connect(address.split_once("://").unwrap().1)?;
    upstream.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let lose_answer = Arc::new(AtomicBool::new(false));
    let cut_answer = Arc::new(AtomicBool::new(false));
    let slow_answer = Arc::new(AtomicBool::new(false));
    let (mut from, mut to) = (upstream.try_clone()?, client.try_clone()?);
    let (lose, cut) = (lose_answer.clone(), cut_answer.clone());
    let slow = slow_answer.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match from.read(&mut buffer) {
                Ok(count) if count > 0 && !lose.load(Ordering::Relaxed) => {
                    if cut.load(Ordering::Relaxed) {
                        // A few bytes less than came.
                        let _ = to.write_all(&buffer[..count.saturating_sub(10)]);
                        break;
                    }
                    let piece = if slow.load(Ordering::Relaxed) {
                        16
                    } else {
                        count
                    };
                    let written = buffer[..count].chunks(piece).try_for_each(|bytes| {
                        if bytes.len() < count {
                            std::thread::sleep(Duration::from_millis(10));
                        }
                        to.write_all(bytes)
                    });
                    if written.is_err() {
                        break;
                    }
                }
                _ => break,
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
    let mut requests = BufReader::new(client.try_clone()?);
    while let Some((request, head, length)) = read_head(&mut requests)? {
        let mut fate = (shared.judge.lock().unwrap())(&request);
        let outage = shared.hanging.load(Ordering::Relaxed);
        if outage {
            fate = Fate::Hang;
        }
        slow_answer.store(fate == Fate::SlowAnswer, Ordering::Relaxed);
        match fate {
            Fate::Pass | Fate::SlowAnswer => {}
            Fate::Hold => {
                shared.seen.fetch_add(1, Ordering::Relaxed);
                while !shared.released.load(Ordering::Relaxed)
                    && !shared.closed.load(Ordering::Relaxed)
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            Fate::Refuse(status, code) => {
                io::copy(&mut requests.by_ref().take(length), &mut io::sink())?;
                let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
                let mut client = client;
                write!(
                    client,
                    "HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )?;
                continue;
            }
            Fate::Pretend(body) => {
                io::copy(&mut requests.by_ref().take(length), &mut io::sink())?;
                let mut client = client;
                write!(
                    client,
                    "HTTP/1.1 200 OK\r\nETag: \"0\"\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )?;
                continue;
            }
            Fate::Reset => break,
            Fate::CutAnswer => cut_answer.store(true, Ordering::Relaxed),
            Fate::LoseAnswer => lose_answer.store(true, Ordering::Relaxed),
            Fate::Hang => {
                shared.seen.fetch_add(1, Ordering::Relaxed);
                let over = || outage && !shared.hanging.load(Ordering::Relaxed);
                while !shared.closed.load(Ordering::Relaxed) && !over() {
                    std::thread::sleep(Duration::from_millis(20));
                }
                break;
            }
        }
        let mut upstream = &upstream;
        upstream.write_all(&head)?;
        io::copy(&mut requests.by_ref().take(length), &mut upstream)?;
        if fate == Fate::Hold {
            shared.passed_late.fetch_add(1, Ordering::Relaxed);
        }
    }
    upstream.shutdown(Shutdown::Both)
}

/// The next request with its head as it came and the length of its body; `None` at the end.
fn read_head(from: &mut impl BufRead) -> io::Result<Option<(Request, Vec<u8>, u64)>> {
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let begin = head.len();
        if from.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&head[begin..])
            .trim()
            .to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        assert!(
            !line.starts_with("transfer-encoding"),
            "bodies have a length here: {line}"
        );
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let text = String::from_utf8_lossy(&head);
    let mut words = text.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method,
        path: decode(path),
        query: query.to_owned(),
    };
    Ok(Some((request, head, length)))
}

fn decode(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let hex = std::str::from_utf8(behind.get(..2).unwrap_or_default()).unwrap_or_default();
        match u8::from_str_radix(hex, 16) {
            Ok(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
