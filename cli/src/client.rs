//! The way to windrosed, and what can go wrong on it.

use std::error::Error;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::args::Tls;

/// Most octets of an answer. A page is bounded by the server; this is for one huge route.
pub(crate) const ANSWER_MAX: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The daemon, or the command itself, said no.
    Refused(String),
    /// There is no daemon, or it is gone.
    Unreachable(String),
    /// Our own output could not be written.
    Output(io::Error),
    /// It is done, but for what was said.
    InPart(String),
}

impl Failure {
    pub(crate) fn refused(why: impl fmt::Display) -> Self {
        Self::Refused(why.to_string())
    }

    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Output(_) => 1,
            Self::Unreachable(_) => 2,
            Self::InPart(_) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) | Self::Unreachable(why) | Self::InPart(why) => f.write_str(why),
            Self::Output(error) => write!(f, "cannot write: {error}"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code::{Cancelled, DeadlineExceeded, Unavailable};
        let gone = matches!(status.code(), Unavailable | DeadlineExceeded | Cancelled);
        // An answer from the daemon has no source; a connection that broke has one.
        if gone || status.source().is_some() {
            let why = root_cause(&status);
            let why = if why.is_empty() {
                status.message()
            } else {
                &why
            };
            return Self::Unreachable(format!("windrosed does not answer: {why}"));
        }
        if status.code() == tonic::Code::Unimplemented {
            return Self::refused("this windrosed is too old: it does not know that call");
        }
        Self::refused(status.message())
    }
}

/// Where windrosed listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Address {
    /// A Unix socket's path.
    Unix(String),
    /// A host and a port.
    Tcp(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        if let Some(rest) = s.strip_prefix("unix:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return Ok(Self::Unix(path.into()));
        }
        match s.strip_prefix("tcp://") {
            Some(host) if has_port(host) => Ok(Self::Tcp(host.into())),
            Some(_) => Err("a port is missing: write tcp://127.0.0.1:50051".into()),
            None if s.contains('/') && !s.contains("://") => Ok(Self::Unix(s.into())),
            None => Err("write unix:/PATH, a path with a slash in it, or tcp://HOST:PORT".into()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}

/// Connects; the connection is made once and lives as long as the command.
pub(crate) async fn connect(address: &Address, tls: &Tls) -> Result<Channel, Failure> {
    let endpoint = endpoint(address, tls)?;
    endpoint.connect().await.map_err(|error| {
        Failure::Unreachable(format!(
            "cannot reach windrosed at {address}: {}; is it running, and is this its address (-s, WINDROSE_API)?",
            root_cause(&error)
        ))
    })
}

fn endpoint(address: &Address, tls: &Tls) -> Result<Endpoint, Failure> {
    let secure = tls.ca.is_some() || tls.cert.is_some() || tls.key.is_some();
    let uri = match address {
        Address::Unix(path) => format!("unix:{path}"),
        Address::Tcp(host) if secure => format!("https://{host}"),
        Address::Tcp(host) => format!("http://{host}"),
    };
    let endpoint = Endpoint::from_shared(uri)
        .map_err(|error| Failure::refused(format!("{address}: {error}")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT);
    match address {
        Address::Tcp(_) if secure => endpoint
            .tls_config(tls_config(tls)?)
            .map_err(Failure::refused),
        Address::Tcp(_) | Address::Unix(_) => Ok(endpoint),
    }
}

fn tls_config(tls: &Tls) -> Result<ClientTlsConfig, Failure> {
    let read = |path: &std::path::Path| {
        std::fs::read(path)
            .map_err(|error| Failure::refused(format!("{}: {error}", path.display())))
    };
    let mut config = ClientTlsConfig::new();
    if let Some(ca) = &tls.ca {
        config = config.ca_certificate(Certificate::from_pem(read(ca)?));
    }
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Ok(config.identity(Identity::from_pem(read(cert)?, read(key)?))),
        (None, None) => Ok(config),
        (Some(_), None) => Err(Failure::refused("--tls-cert needs --tls-key")),
        (None, Some(_)) => Err(Failure::refused("--tls-key needs --tls-cert")),
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// What is at the bottom of an error: the kernel's words.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error.source();
    let mut text = String::new();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

#[cfg(test)]
pub(crate) mod tests;
