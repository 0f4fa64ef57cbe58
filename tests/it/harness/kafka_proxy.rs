//! A proxy before Kafka that clients stay behind: every answer names it in place of the broker. It
//! can leave all brokers out of answers about the cluster, as Kafka does while it holds none for
//! alive.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::kafka;

/// Kafka's number of the request for metadata.
const METADATA: u16 = 3;
/// From this version on lists have compact lengths; all clients of today ask for it.
const COMPACT: u16 = 9;

pub struct KafkaProxy {
    address: SocketAddr,
    without_brokers: Arc<AtomicBool>,
    clients: Arc<Mutex<Vec<TcpStream>>>,
}

impl KafkaProxy {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let without_brokers = Arc::new(AtomicBool::new(false));
        let left = without_brokers.clone();
        let clients: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let connected = clients.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                connected.lock().unwrap().push(client.try_clone().unwrap());
                let broker = TcpStream::connect(kafka::servers()).unwrap();
                let asked = Arc::new(Mutex::new(HashSet::new()));
                let (from, to) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
                let (noted, left) = (asked.clone(), left.clone());
                std::thread::spawn(move || drop(requests(&from, &to, &noted)));
                std::thread::spawn(move || drop(answers(&broker, &client, &asked, address, &left)));
            }
        });
        Self {
            address,
            without_brokers,
            clients,
        }
    }

    /// Ends all connections; others may follow.
    pub fn cut(&self) {
        for client in self.clients.lock().unwrap().drain(..) {
            // It may have ended by itself.
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    pub fn servers(&self) -> String {
        self.address.to_string()
    }

    /// Whether answers about the cluster name its brokers.
    pub fn name_brokers(&self, named: bool) {
        self.without_brokers.store(!named, Ordering::Relaxed);
    }
}

/// One request or answer, without the length before it.
fn frame(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn pass(mut to: &TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
    to.write_all(&[&length, frame].concat())
}

/// Passes requests on, and notes the numbers of those for metadata.
fn requests(from: &TcpStream, to: &TcpStream, asked: &Mutex<HashSet<[u8; 4]>>) -> io::Result<()> {
    let result = loop {
        let request = match frame(from) {
            Ok(request) => request,
            Err(error) => break Err(error),
        };
        let [kind, version] = [0, 2].map(|at| u16::from_be_bytes([request[at], request[at + 1]]));
        if kind == METADATA {
            assert!(version >= COMPACT, "metadata of version {version}");
            let number = request[4..8].try_into().unwrap();
            asked.lock().unwrap().insert(number);
        }
        if let Err(error) = pass(to, &request) {
            break Err(error);
        }
    };
    let _ = to.shutdown(Shutdown::Both);
    result
}

/// Passes answers on; those about the cluster with other brokers.
fn answers(
    from: &TcpStream,
    to: &TcpStream,
    asked: &Mutex<HashSet<[u8; 4]>>,
    address: SocketAddr,
    without_brokers: &AtomicBool,
) -> io::Result<()> {
    let (real, proxy) = (kafka::servers(), address.to_string());
    let result = loop {
        let mut answer = match frame(from) {
            Ok(answer) => answer,
            Err(error) => break Err(error),
        };
        let number: [u8; 4] = answer[..4].try_into().unwrap();
        let about_cluster = asked.lock().unwrap().remove(&number);
        if about_cluster && without_brokers.load(Ordering::Relaxed) {
            answer = leaving_out_brokers(&answer);
        }
        replace(&mut answer, &named(&real), &named(&proxy));
        if let Err(error) = pass(to, &answer) {
            break Err(error);
        }
    };
    let _ = to.shutdown(Shutdown::Both);
    result
}

/// An address as answers name it: host, and port of 4 bytes.
fn named(address: &str) -> Vec<u8> {
    let (host, port) = address.split_once(':').unwrap();
    let port: u32 = port.parse().unwrap();
    [host.as_bytes(), &port.to_be_bytes()].concat()
}

/// Both are of the same length.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    for at in 0..bytes.len().saturating_sub(old.len() - 1) {
        if bytes[at..].starts_with(old) {
            bytes[at..at + old.len()].copy_from_slice(new);
        }
    }
}

/// An answer with metadata without its brokers.
///
/// It begins with its number, a byte for no tags, and 4 bytes of time; then come the brokers: their
/// count and 1, and of each an id of 4 bytes, host, port of 4 bytes, rack, and a byte for no tags.
/// Texts have their length and 1 before them, or 0. All lengths here are below 127.
fn leaving_out_brokers(answer: &[u8]) -> Vec<u8> {
    const BROKERS: usize = 9;
    let behind_text = |at: usize| at + usize::from(answer[at]).max(1);
    let mut end = BROKERS + 1;
    for _ in 1..answer[BROKERS] {
        end = behind_text(behind_text(end + 4) + 4) + 1;
    }
    [&answer[..BROKERS], &[1], &answer[end..]].concat()
}
