//! The names of this process as a TaskManager.

use std::net::{IpAddr, SocketAddr};

use uuid::Uuid;

#[derive(Debug)]
pub struct Here {
    /// Where the control plane listens.
    pub address: SocketAddr,
    pub host: String,
    /// Of the form that Flink's have: host, port and six hexadecimal digits.
    pub task_manager: String,
}

impl Here {
    pub fn at(address: SocketAddr) -> Self {
        let host = if address.ip().is_unspecified() {
            "localhost".to_owned()
        } else {
            match address.ip() {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            }
        };
        let process = Uuid::new_v4().simple().to_string();
        Self {
            task_manager: format!("{host}:{}-{}", address.port(), &process[..6]),
            address,
            host,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.host, self.address.port())
    }
}
