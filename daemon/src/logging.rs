//! The log: how it is written, and the one place where a notice becomes a line.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bgp_core::Kind;
use bgp_core::header::LEN;
use bgp_fsm::State;
use fib_netlink::Notice as FibNotice;
use fib_netlink::wireguard::Notice as AllowedIps;
use rib::Drain;
use speaker::command::PeerName;
use speaker::links::LinkReport;
use speaker::liveness::BfdReport;
use speaker::view::RestartStage;
use speaker::{Notice, PeerChange};
use tracing::{debug, error, info, warn};
use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// What a peer or a stranger can have us log, at most this often in a [`FLOOD_WINDOW`].
const FLOOD_MAX: u32 = 10;
/// See [`FLOOD_MAX`].
const FLOOD_WINDOW: Duration = Duration::from_secs(10);

static MALFORMED: Mutex<Flood> = Mutex::new(Flood::new());
static REFUSED: Mutex<Flood> = Mutex::new(Flood::new());
static KERNEL: Mutex<Flood> = Mutex::new(Flood::new());

/// Begins to log to standard error. `RUST_LOG` says what; without it, or if it makes no sense, `info` and above.
pub(crate) fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // The second time, as in tests, is no fault: the first stays.
    let _ = match format {
        LogFormat::Text => {
            use std::io::IsTerminal as _;
            builder
                .with_target(false)
                .with_ansi(std::io::stderr().is_terminal())
                .try_init()
        }
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_target(false)
            .try_init(),
    };
}

/// Writes the line of a notice.
pub(crate) fn log_notice(notice: &Notice) {
    match notice {
        Notice::PeerState {
            peer,
            from: _,
            to: State::Established,
        } => info!(%peer, "session established"),
        Notice::PeerState { peer, from, to } => debug!(%peer, ?from, ?to, "session state"),
        Notice::PeerDown { peer, why } => warn!(%peer, why, "session ended"),
        Notice::Malformed {
            peer,
            faults,
            prefixes,
            body,
        } => {
            if let Some(suppressed) = admit(&MALFORMED) {
                let message = Hexadecimal(body);
                warn!(%peer, ?faults, ?prefixes, %message, suppressed, "malformed UPDATE (RFC 7606)");
            }
        }
        Notice::EndOfRib { peer, family } => debug!(%peer, %family, "End-of-RIB"),
        Notice::MaxPrefixes { peer, count, limit } => warn!(%peer, count, limit, "many prefixes"),
        Notice::Refused { remote, why } => {
            if let Some(suppressed) = admit(&REFUSED) {
                info!(%remote, why, suppressed, "connection refused");
            }
        }
        Notice::LeaseExpired { owner, routes } => {
            warn!(owner, routes, "lease expired: routes withdrawn")
        }
        Notice::Bfd(report) => log_bfd(report),
        Notice::Link(report) => log_link(report),
        Notice::Held {
            peer,
            time,
            long_lived,
        } => match long_lived {
            false => info!(%peer, ?time, "its routes are held, stale (RFC 4724)"),
            true => {
                warn!(%peer, ?time, "it is not back: its stale routes are kept for long (RFC 9494)")
            }
        },
        Notice::HeldOver { peer, told: true } => info!(%peer, "it has told its routes again"),
        Notice::HeldOver { peer, told: false } => {
            warn!(%peer, "its stale routes go: it did not tell them again in time");
        }
        Notice::Restart { stage, awaited } => log_restart(*stage, *awaited),
        Notice::Drain { stage, grace } => log_drain(*stage, *grace),
        Notice::RedistributeFull { limit } => {
            warn!(
                limit,
                "not all of the kernel is redistributed: there are too many addresses and routes"
            )
        }
        Notice::Fib(notice) => log_fib(notice),
        Notice::StationUp { station } => info!(%station, "BMP: connected"),
        Notice::StationDown { station, why } => warn!(%station, why, "BMP: not connected"),
        Notice::Configured {
            peers: [added, restarted, updated, removed],
        } => {
            info!(
                added,
                restarted, updated, removed, "new configuration in force"
            );
        }
        Notice::PeerChanged { peer, change, by } => log_peer_change(peer, *change, by),
    }
}

/// A peer that is not in the file.
fn log_peer_change(peer: &PeerName, change: PeerChange, by: &str) {
    match change {
        PeerChange::Added => info!(%peer, by, "peer added"),
        PeerChange::Updated => info!(%peer, by, "peer changed"),
        PeerChange::Removed => info!(%peer, by, "peer removed"),
    }
}

/// An UPDATE whole, with the header that its body came with (RFC 7606 §6).
struct Hexadecimal<'a>(&'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, kind) = (LEN + self.0.len(), Kind::Update.number());
        write!(f, "{:f<32}{len:04x}{kind:02x}", "")?;
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

fn log_restart(stage: RestartStage, awaited: usize) {
    match stage {
        RestartStage::Asking | RestartStage::Deferring => {
            info!("restart: nothing is chosen and told before the peers have told all (RFC 4724)");
        }
        RestartStage::None => info!(not_there = awaited, "restart: routes are chosen and told"),
    }
}

fn log_drain(stage: Drain, grace: Option<Duration>) {
    match stage {
        Drain::Announcing => {
            let grace = grace.unwrap_or_default();
            info!(?grace, "drain: routes are told as about to go (RFC 8326)");
        }
        Drain::Withdrawn => info!("drain: all routes are withdrawn from the peers"),
        Drain::None => info!("drain is over: routes are told as they are"),
    }
}

fn log_link(report: &LinkReport) {
    match report {
        LinkReport::Cost(change) => {
            let (link, way, rtt) = (change.link.0, change.direction, change.rtt);
            let (from, to, why) = (change.before, change.cost, change.why);
            let (loss_1s, loss_10s) = (change.way.short.ratio(), change.way.long.ratio());
            info!(link, ?way, %from, %to, ?why, loss_1s, loss_10s, ?rtt, "link: another cost");
        }
        LinkReport::Notice(notice) => warn!(?notice, "links"),
        LinkReport::Measured(link, method) => {
            info!(link = link.0, ?method, "link: measured");
        }
        LinkReport::NoEcho(error) => warn!(
            %error,
            "no ICMP echo: links to neighbors without STAMP are not measured; let net.ipv4.ping_group_range have our \
             group, or give CAP_NET_RAW"
        ),
    }
}

fn log_bfd(report: &BfdReport) {
    let BfdReport {
        path,
        state,
        failed,
    } = report;
    match failed {
        Some(why) => warn!(%path, now = ?state, why = why.as_str(), "BFD: the path failed"),
        None => info!(%path, ?state, "BFD"),
    }
}

fn log_fib(notice: &FibNotice) {
    match notice {
        FibNotice::NotPermitted => error!("FIB: {notice}"),
        FibNotice::NoNexthopObjects
        | FibNotice::CompatModeOff
        | FibNotice::Adopted { .. }
        | FibNotice::StaleRemoved { .. } => info!("FIB: {notice}"),
        FibNotice::AllowedIps(AllowedIps::Adopted { .. } | AllowedIps::Readable { .. }) => {
            info!("WireGuard: {notice}");
        }
        FibNotice::AllowedIps(
            AllowedIps::NoPeer { .. }
            | AllowedIps::Foreign { .. }
            | AllowedIps::SeveralPeers { .. }
            | AllowedIps::NotTaken { .. }
            | AllowedIps::Contested { .. }
            | AllowedIps::CannotRemove { .. }
            | AllowedIps::NotKept { .. }
            | AllowedIps::Unreadable { .. }
            | AllowedIps::Gone { .. },
        ) => {
            if let Some(suppressed) = admit(&KERNEL) {
                warn!(suppressed, "WireGuard: {notice}");
            }
        }
        FibNotice::StrangersHaveOurNumber { .. } | FibNotice::ForeignLeftOut { .. } => {
            warn!("FIB: {notice}")
        }
        FibNotice::InstallFailed { .. }
        | FibNotice::ForeignInTheWay { .. }
        | FibNotice::Contested { .. }
        | FibNotice::PreferredSourceMissing { .. }
        | FibNotice::Unsteady { .. }
        | FibNotice::Overrun => {
            if let Some(suppressed) = admit(&KERNEL) {
                warn!(suppressed, "FIB: {notice}");
            }
        }
    }
}

fn admit(flood: &Mutex<Flood>) -> Option<u64> {
    flood
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .admit(Instant::now())
}

/// Lets some lines of a kind through, and counts the others.
#[derive(Debug)]
struct Flood {
    since: Option<Instant>,
    admitted: u32,
    suppressed: u64,
}

impl Flood {
    const fn new() -> Self {
        Self {
            since: None,
            admitted: 0,
            suppressed: 0,
        }
    }

    /// Whether a line may be written now; if so, how many were not since the last one.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let over = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= FLOOD_WINDOW);
        if over {
            self.since = Some(now);
            self.admitted = 0;
        }
        if self.admitted >= FLOOD_MAX {
            self.suppressed += 1;
            return None;
        }
        self.admitted += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests;
