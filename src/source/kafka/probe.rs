//! What the port of a broker speaks, and why its certificate does not suffice: asked by hand, where
//! librdkafka's words can mean several things. All of it blocks for some seconds at the most.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use super::blocking::wait_for;
use crate::runtime::retry::with_causes;

/// A broker that can be connected to answers within it.
const ANSWER: Duration = Duration::from_secs(3);

/// Asks for the certificate once more: librdkafka says only that it does not suffice.
pub fn why_not(broker: &str, ca_file: Option<&Path>) -> Option<String> {
    let pem = ca_file.map(std::fs::read);
    let pem = pem.transpose().ok()?;
    let url = format!("https://{broker}/");
    let failed = wait_for(async move {
        // A proxy would show another certificate.
        let mut client = reqwest::Client::builder().timeout(ANSWER).no_proxy();
        if let Some(pem) = pem {
            client = client.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).ok()?);
        }
        // A broker has no answer to it, but its certificate comes first.
        client.build().ok()?.get(url).send().await.err()
    });
    let said = with_causes(&failed.ok()??);
    said.split_once("invalid peer certificate: ")
        .map(|(_, why)| why.to_owned())
}

/// The beginning of a TLS connection: a broker that speaks TLS answers with a record, be it an alert.
pub fn speaks_tls(broker: &str) -> bool {
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    // No session, one suite that everybody has had, no compression.
    hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    let mut record = vec![
        0x16,
        3,
        1,
        0,
        hello.len() as u8 + 4,
        1,
        0,
        0,
        hello.len() as u8,
    ];
    record.extend(hello);
    let answer = first_bytes(broker, &record);
    answer.is_some_and(|[kind, major, ..]| matches!(kind, 0x15 | 0x16) && major == 3)
}

/// `ApiVersions`, which every broker answers to everybody.
pub fn speaks_plaintext(broker: &str) -> bool {
    let request = [0, 0, 0, 10, 0, 18, 0, 0, b'l', b'i', b'n', b'e', 0xff, 0xff];
    let answer = first_bytes(broker, &request);
    answer.is_some_and(|[_, _, _, _, a, b, c, d, ..]| [a, b, c, d] == *b"line")
}

/// `SaslHandshake` for PLAIN: a port without SASL says that this is not the state for it.
pub fn has_sasl(broker: &str) -> bool {
    const SUCCESS: i16 = 0;
    const UNSUPPORTED_MECHANISM: i16 = 33;
    let request = [
        0, 0, 0, 17, 0, 17, 0, 1, b'l', b'i', b'n', b'e', 0xff, 0xff, 0, 5, b'P', b'L', b'A', b'I',
        b'N',
    ];
    let answer = first_bytes(broker, &request);
    answer.is_some_and(|[_, _, _, _, a, b, c, d, high, low]| {
        let code = i16::from_be_bytes([high, low]);
        [a, b, c, d] == *b"line" && [SUCCESS, UNSUPPORTED_MECHANISM].contains(&code)
    })
}

/// What a broker answers with, at the first of its addresses that answers. What is not there is zero.
fn first_bytes(broker: &str, sent: &[u8]) -> Option<[u8; 10]> {
    let mut addresses = broker.to_socket_addrs().ok()?;
    addresses.find_map(|address| {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER).ok()?;
        stream.set_read_timeout(Some(ANSWER)).ok()?;
        stream.write_all(sent).ok()?;
        let mut bytes = [0; 10];
        let mut count = 0;
        while count < bytes.len() {
            match stream.read(&mut bytes[count..]) {
                Ok(more) if more > 0 => count += more,
                // An alert has seven bytes.
                _ => break,
            }
        }
        (count >= 2).then_some(bytes)
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Listens, and answers each connection with these bytes.
    fn answering(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let _ = client.read(&mut [0; 256]);
                let _ = client.write_all(bytes);
            }
        });
        address
    }

    #[test]
    fn a_broker_that_only_goes_away_is_not_taken_for_one_of_another_protocol() {
        let speaks = |bytes| {
            let at = answering(bytes);
            (speaks_tls(&at), speaks_plaintext(&at), has_sasl(&at))
        };
        assert_eq!(speaks(b""), (false, false, false));
        let illegal_sasl_state = b"\0\0\0\x0aline\0\x22";
        assert_eq!(speaks(illegal_sasl_state), (false, true, false));
        let unsupported_mechanism = b"\0\0\0\x0aline\0\x21";
        assert_eq!(speaks(unsupported_mechanism), (false, true, true));
        let alert = b"\x15\x03\x03\0\x02\x02\x28";
        assert_eq!(speaks(alert), (true, false, false));
    }
}
