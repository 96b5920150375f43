//! `windrose status` and `windrose config`.

use std::path::Path;

use proto::v1::system_service_client::SystemServiceClient;
use proto::v1::{
    BmpStation, CheckConfigRequest, DiffConfigRequest, FibStatus, GetConfigRequest,
    GetStatusRequest, GetStatusResponse, ReloadConfigRequest, RestartState, RestartStatus,
};
use serde::Serialize;
use tonic::transport::Channel;

use crate::args::ConfigCommand;
use crate::client::Failure;
use crate::drain::DrainRow;
use crate::output::{Printer, Tone, Word};
use crate::text;

pub(crate) async fn status(channel: Channel, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let mut client = SystemServiceClient::new(channel);
    let answer = client.get_status(GetStatusRequest {}).await?.into_inner();
    let status = StatusRow::from(answer);
    Ok(printer.details(&status, || status.details())?)
}

pub(crate) async fn config(
    command: ConfigCommand,
    channel: Channel,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut client = SystemServiceClient::new(channel);
    match command {
        ConfigCommand::Check { file } => {
            let text = read(&file)?;
            let answer = client
                .check_config(CheckConfigRequest { text })
                .await?
                .into_inner();
            accepted(answer.report)?;
            let good = Checked { valid: true };
            Ok(printer.done(&good, || format!("{}: good", file.display()))?)
        }
        ConfigCommand::Diff { file } => {
            let text = file.as_deref().map(read).transpose()?;
            let answer = client
                .diff_config(DiffConfigRequest { text })
                .await?
                .into_inner();
            accepted(answer.report)?;
            changes(answer.changes, printer)
        }
        ConfigCommand::Reload => {
            let answer = client
                .reload_config(ReloadConfigRequest {})
                .await?
                .into_inner();
            accepted(answer.report)?;
            changes(answer.changes, printer)
        }
        ConfigCommand::Show => {
            let text = client
                .get_config(GetConfigRequest {})
                .await?
                .into_inner()
                .text;
            let line = text.trim_end().to_owned();
            Ok(printer.done(&Shown { text }, || line)?)
        }
    }
}

#[derive(Serialize)]
struct Checked {
    valid: bool,
}

#[derive(Serialize)]
struct Changes {
    changes: Vec<String>,
}

#[derive(Serialize)]
struct Shown {
    text: String,
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::refused(format!("{}: {error}", file.display())))
}

fn accepted(report: Option<String>) -> Result<(), Failure> {
    report.map_or(Ok(()), |report| {
        Err(Failure::Refused(report.trim_end().into()))
    })
}

fn changes(changes: Vec<String>, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let changes = Changes { changes };
    Ok(printer.done(&changes, || match changes.changes.as_slice() {
        [] => "no changes".into(),
        lines => lines.join("\n"),
    })?)
}

/// The daemon's status, as JSON has it.
#[derive(Debug, Serialize)]
struct StatusRow {
    version: String,
    uptime_s: i64,
    asn: u32,
    router_id: String,
    /// `ok`, or `degraded` while there are problems.
    health: &'static str,
    problems: Vec<String>,
    peers: u64,
    established: u64,
    prefixes: Prefixes,
    paths: u64,
    attribute_sets: u64,
    fib: Fib,
    drain: DrainRow,
    /// Null: no restart is under way.
    restart: Option<RestartRow>,
    /// Peers of which routes are held stale.
    peers_held: u64,
    bmp: Vec<Station>,
}

/// A graceful restart of the daemon.
#[derive(Debug, Serialize)]
struct RestartRow {
    /// `asking` the kernel, or `deferring` the choice of routes.
    state: &'static str,
    left_s: i64,
    awaited: u64,
}

impl From<RestartStatus> for RestartRow {
    fn from(restart: RestartStatus) -> Self {
        Self {
            state: match restart.state() {
                RestartState::Unspecified => "unknown",
                RestartState::Asking => "asking",
                RestartState::Deferring => "deferring",
            },
            left_s: restart.left.map_or(0, |left| left.seconds),
            awaited: restart.awaited,
        }
    }
}

impl RestartRow {
    fn words(&self) -> String {
        let left = text::age(self.left_s);
        format!(
            "{}: routes are not chosen yet, {} peers are awaited for {left} at most",
            self.state, self.awaited
        )
    }
}

/// A monitoring station.
#[derive(Debug, Serialize)]
struct Station {
    address: String,
    up: bool,
    /// How long it is, or is not.
    age_s: i64,
    peers: u64,
    connected: u64,
    overruns: u64,
    messages: u64,
    octets: u64,
    last_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Prefixes {
    ipv4: u64,
    ipv6: u64,
}

#[derive(Debug, Serialize)]
struct Fib {
    install: bool,
    permitted: bool,
    installed: u64,
    pending: u64,
    failed: u64,
    /// Nothing is installed, but compared with what another program did.
    shadow: bool,
    different: u64,
    missing: u64,
    extra: u64,
    /// Routes of others that are kept in mind.
    foreign: u64,
    /// Those for which there is no room.
    foreign_left_out: u64,
}

impl From<GetStatusResponse> for StatusRow {
    fn from(status: GetStatusResponse) -> Self {
        Self {
            version: status.version,
            uptime_s: status.uptime.map_or(0, |uptime| uptime.seconds),
            asn: status.asn,
            router_id: status.router_id,
            health: if status.problems.is_empty() {
                "ok"
            } else {
                "degraded"
            },
            problems: status.problems,
            peers: status.peers,
            established: status.established,
            prefixes: Prefixes {
                ipv4: status.prefixes_ipv4,
                ipv6: status.prefixes_ipv6,
            },
            paths: status.paths,
            attribute_sets: status.attribute_sets,
            fib: status.fib.unwrap_or_default().into(),
            drain: status.drain.into(),
            restart: status.restart.map(RestartRow::from),
            peers_held: status.peers_held,
            bmp: status.bmp_stations.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<BmpStation> for Station {
    fn from(station: BmpStation) -> Self {
        Self {
            address: station.address,
            up: station.up,
            age_s: station.age.map_or(0, |age| age.seconds),
            peers: station.peers,
            connected: station.connected,
            overruns: station.overruns,
            messages: station.messages,
            octets: station.octets,
            last_error: station.last_error,
        }
    }
}

impl From<FibStatus> for Fib {
    fn from(fib: FibStatus) -> Self {
        Self {
            install: fib.install,
            permitted: fib.permitted,
            installed: fib.installed,
            pending: fib.pending,
            failed: fib.failed,
            shadow: fib.shadow,
            different: fib.different,
            missing: fib.missing,
            extra: fib.extra,
            foreign: fib.foreign,
            foreign_left_out: fib.foreign_left_out,
        }
    }
}

impl StatusRow {
    fn details(&self) -> Vec<(&'static str, Word)> {
        let tone = if self.problems.is_empty() {
            Tone::Good
        } else {
            Tone::Bad
        };
        let mut details = vec![
            ("version", Word::from(self.version.as_str())),
            ("uptime", text::age(self.uptime_s).into()),
            (
                "router",
                format!("{}, AS {}", self.router_id, self.asn).into(),
            ),
            ("health", Word::new(self.health, tone)),
            (
                "peers",
                format!("{} of {} established", self.established, self.peers).into(),
            ),
            (
                "prefixes",
                format!("{} ipv4, {} ipv6", self.prefixes.ipv4, self.prefixes.ipv6).into(),
            ),
            (
                "paths",
                format!("{}, {} attribute sets", self.paths, self.attribute_sets).into(),
            ),
            ("kernel", self.fib.words()),
            ("drain", Word::new(self.drain.words(), Tone::Warning)),
            (
                "restart",
                Word::new(
                    self.restart
                        .as_ref()
                        .map_or(String::new(), RestartRow::words),
                    Tone::Warning,
                ),
            ),
            ("stale", Word::new(self.held_words(), Tone::Warning)),
        ];
        details.extend(self.bmp.iter().map(|station| ("bmp", station.words())));
        details.extend(
            self.problems
                .iter()
                .map(|problem| ("problem", Word::new(problem, Tone::Bad))),
        );
        details
    }
}

impl StatusRow {
    fn held_words(&self) -> String {
        match self.peers_held {
            0 => String::new(),
            peers => format!("routes of {peers} peers are held: see `windrose peer list`"),
        }
    }
}

impl Station {
    fn words(&self) -> Word {
        let Self { address, .. } = self;
        let age = text::age(self.age_s);
        if self.up {
            let (peers, messages) = (self.peers, self.messages);
            return format!("{address} up {age}, {peers} peers, {messages} messages").into();
        }
        let why = self.last_error.as_deref().unwrap_or("not called yet");
        Word::new(format!("{address} down {age}: {why}"), Tone::Bad)
    }
}

impl Fib {
    fn words(&self) -> Word {
        match self {
            Self {
                shadow: true,
                installed,
                different,
                missing,
                extra,
                ..
            } => format!(
                "shadow, nothing is installed: {installed} routes as the kernel has them, {different} different, \
                 {missing} missing, {extra} extra"
            )
            .into(),
            Self { install: false, .. } => "routes are not installed: [fib] install = false".into(),
            Self {
                permitted: false, ..
            } => Word::new(
                "routes are not installed: CAP_NET_ADMIN is missing",
                Tone::Bad,
            ),
            Self {
                installed,
                pending,
                failed,
                ..
            } => format!("{installed} routes installed, {pending} pending, {failed} failed").into(),
        }
    }
}

#[cfg(test)]
mod tests;
