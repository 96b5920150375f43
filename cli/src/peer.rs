//! `windrose peer`.

mod settings;
mod spec;

use proto::v1::peer_service_client::PeerServiceClient;
use proto::v1::watch_peers_response::Change;
use proto::v1::{
    AddPeerRequest, DeletePeerRequest, DisablePeerRequest, EnablePeerRequest, Family,
    GetPeerRequest, ListPeersRequest, Peer, RefreshPeerRequest, ResetPeerRequest, SessionState,
    UpdatePeerRequest, WatchPeersRequest,
};
use serde::Serialize;
use tokio_stream::StreamExt;
use tonic::transport::Channel;

use crate::args::{PeerCommand, PeerSpec};
use crate::client::{ANSWER_MAX, Failure};
use crate::output::{Column, Printer, Row, Tone, Word};
use crate::text;
use settings::{LimitRow, TimersRow};

pub(crate) async fn run(
    command: PeerCommand,
    channel: Channel,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut client = PeerServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX);
    let (peer, what) = match command {
        PeerCommand::List => return list(&mut client, printer).await,
        PeerCommand::Show { peer } => {
            let answer = client.get_peer(GetPeerRequest { peer }).await?.into_inner();
            let row = PeerRow::from(answer.peer.unwrap_or_default());
            return Ok(printer.details(&row, || row.details())?);
        }
        PeerCommand::Watch { peer } => return watch(&mut client, peer, printer).await,
        PeerCommand::Add(spec) => return add(&mut client, &spec, printer).await,
        PeerCommand::Update(spec) => return update(&mut client, &spec, printer).await,
        PeerCommand::Delete { peer, keep } => {
            let request = DeletePeerRequest {
                peer: peer.clone(),
                keep,
            };
            client.delete_peer(request).await?;
            (peer, "deleted")
        }
        PeerCommand::Enable { peer } => {
            client
                .enable_peer(EnablePeerRequest { peer: peer.clone() })
                .await?;
            (peer, "enabled")
        }
        PeerCommand::Disable { peer, message } => {
            let request = DisablePeerRequest {
                peer: peer.clone(),
                message,
            };
            client.disable_peer(request).await?;
            (peer, "disabled")
        }
        PeerCommand::Reset { peer, message } => {
            let request = ResetPeerRequest {
                peer: peer.clone(),
                message,
            };
            client.reset_peer(request).await?;
            (peer, "reset")
        }
        PeerCommand::Refresh { peer, family } => {
            let family = family.map(|family| Family::from(family).into());
            let request = RefreshPeerRequest {
                peer: peer.clone(),
                family,
            };
            client.refresh_peer(request).await?;
            (peer, "refreshed")
        }
    };
    let done = Done::new(peer, what, Vec::new(), Vec::new());
    Ok(printer.done(&done, || done.lines())?)
}

async fn add(
    client: &mut PeerServiceClient<Channel>,
    spec: &PeerSpec,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let (config, keep) = (spec::config(spec)?, spec.keep);
    let answer = client.add_peer(AddPeerRequest { config, keep }).await?;
    let answer = answer.into_inner();
    accepted(answer.report)?;
    let done = Done::new(answer.peer, "added", answer.warnings, Vec::new());
    Ok(printer.done(&done, || done.lines())?)
}

async fn update(
    client: &mut PeerServiceClient<Channel>,
    spec: &PeerSpec,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let (config, keep) = (spec::config(spec)?, spec.keep);
    let request = UpdatePeerRequest { config, keep };
    let answer = client.update_peer(request).await?.into_inner();
    accepted(answer.report)?;
    let done = Done::new(answer.peer, "updated", answer.warnings, answer.changes);
    Ok(printer.done(&done, || done.lines())?)
}

/// A report tells why nothing was done.
fn accepted(report: Option<String>) -> Result<(), Failure> {
    report.map_or(Ok(()), |report| Err(Failure::refused(report)))
}

/// An order that was carried out.
#[derive(Serialize)]
struct Done {
    peer: String,
    done: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<String>,
}

impl Done {
    const fn new(
        peer: String,
        done: &'static str,
        warnings: Vec<String>,
        changes: Vec<String>,
    ) -> Self {
        Self {
            peer,
            done,
            warnings,
            changes,
        }
    }

    fn lines(&self) -> String {
        let mut lines = format!("peer {} {}", self.peer, self.done);
        for change in &self.changes {
            lines.push_str(&format!("\n{change}"));
        }
        for warning in &self.warnings {
            lines.push_str(&format!("\nwarning: {warning}"));
        }
        lines
    }
}

async fn list(
    client: &mut PeerServiceClient<Channel>,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut list = printer.list();
    let mut request = ListPeersRequest::default();
    loop {
        let page = client.list_peers(request.clone()).await?.into_inner();
        for peer in page.peers {
            list.row(&PeerRow::from(peer))?;
        }
        if page.next_page_token.is_empty() {
            return Ok(list.finish::<PeerRow>()?);
        }
        request.page_token = page.next_page_token;
    }
}

async fn watch(
    client: &mut PeerServiceClient<Channel>,
    peer: Option<String>,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut changes = client
        .watch_peers(WatchPeersRequest { peer })
        .await?
        .into_inner();
    while let Some(message) = changes.next().await {
        match message?.change {
            Some(Change::Updated(peer)) => {
                let peer = PeerRow::from(peer);
                printer.event(&Event::Updated(&peer), || peer.line())?;
            }
            Some(Change::Removed(address)) => {
                let line = format!("{address}  removed");
                printer.event(&Event::Removed { address }, || line)?;
            }
            None => {}
        }
    }
    Err(Failure::Unreachable("windrosed ended the watch".into()))
}

/// A line of `peer watch`: `event`, and the peer's own fields.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Updated(&'a PeerRow),
    Removed { address: String },
}

/// A peer, as JSON has it.
#[derive(Debug, Serialize)]
struct PeerRow {
    address: String,
    asn: u32,
    description: Option<String>,
    state: &'static str,
    /// How long it has been Established; null while it is not.
    uptime_s: Option<i64>,
    /// The sums over all families.
    received: u64,
    accepted: u64,
    advertised: u64,
    last_error: Option<String>,
    families: Vec<&'static str>,
    /// How BFD sees the way to it; null: it is not asked to.
    bfd: Option<&'static str>,
    /// The measured link, as `link show` names it; null: it is not measured.
    link: Option<String>,
    interface: Option<String>,
    group: Option<String>,
    dynamic: bool,
    local_asn: u32,
    /// What we offer, in words.
    offered: Vec<String>,
    timers: TimersRow,
    /// Null: none is configured.
    limit: Option<LimitRow>,
    ttl: Option<u32>,
    min_ttl: Option<u32>,
    authentication: Option<String>,
    /// It was added over the API, and is kept over restarts.
    added: bool,
    kept: bool,
    enabled: bool,
    /// Its routes are stale, and how long they stay; null: they are not.
    held: Option<HeldRow>,
    /// A restart of our own waits for it.
    awaited: bool,
    /// How long it has been in `state`.
    state_s: i64,
    /// How long ago `last_error` was.
    last_error_s: Option<i64>,
    prefixes: Vec<FamilyCounts>,
    session: Option<SessionRow>,
    established_count: u64,
    messages: Messages,
    attributes_discarded: u64,
    treated_as_withdrawn: u64,
    /// Null: none is configured.
    import: Option<Vec<String>>,
    export: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct FamilyCounts {
    family: &'static str,
    received: u64,
    accepted: u64,
    advertised: u64,
}

#[derive(Debug, Serialize)]
struct SessionRow {
    identifier: String,
    local_address: Option<String>,
    /// Null: no keepalives.
    hold_time_s: Option<i64>,
    four_octet_as: bool,
    capabilities: Vec<String>,
    /// What came of both offers, in words.
    agreed: Vec<String>,
    /// Null: none are sent.
    keepalive_s: Option<f64>,
}

#[derive(Debug, Default, Serialize)]
struct Messages {
    received: u64,
    sent: u64,
    updates_received: u64,
    updates_sent: u64,
}

/// Routes of a peer that restarts.
#[derive(Debug, Serialize)]
struct HeldRow {
    left_s: i64,
    /// It is back, and is telling them again.
    back: bool,
    /// Anything else is preferred to them (RFC 9494).
    long_lived: bool,
}

impl HeldRow {
    fn words(&self) -> String {
        let left = text::age(self.left_s);
        match self.back {
            true => format!("it is telling them again: those that it does not tell go in {left}"),
            false if self.long_lived => format!("kept for {left} (RFC 9494), unless it comes back"),
            false => format!("held for {left}, unless it comes back"),
        }
    }
}

impl From<Peer> for PeerRow {
    fn from(peer: Peer) -> Self {
        let state = peer.state();
        let link = peer.probed.then(|| peer.address.clone());
        let bfd = peer.bfd.is_some().then(|| text::bfd_state(peer.bfd()));
        let state_s = peer.state_age.map_or(0, |age| age.seconds);
        let prefixes: Vec<FamilyCounts> = peer.families.iter().map(FamilyCounts::from).collect();
        Self {
            state: text::state(state),
            uptime_s: (state == SessionState::Established).then_some(state_s),
            received: prefixes.iter().map(|family| family.received).sum(),
            accepted: prefixes.iter().map(|family| family.accepted).sum(),
            advertised: prefixes.iter().map(|family| family.advertised).sum(),
            families: prefixes.iter().map(|family| family.family).collect(),
            prefixes,
            address: peer.address,
            asn: peer.asn,
            description: peer.description,
            last_error: peer.last_error,
            bfd,
            link,
            interface: peer.interface,
            group: peer.group,
            dynamic: peer.dynamic,
            local_asn: peer.local_asn,
            offered: peer.offered,
            timers: peer.timers.map(TimersRow::from).unwrap_or_default(),
            limit: peer.limit.map(LimitRow::from),
            ttl: peer.ttl,
            min_ttl: peer.min_ttl,
            authentication: peer.authentication,
            added: peer.added,
            kept: peer.kept,
            enabled: peer.enabled,
            held: peer.held.map(|held| HeldRow {
                left_s: held.left.map_or(0, |left| left.seconds),
                back: held.back,
                long_lived: held.long_lived,
            }),
            awaited: peer.awaited,
            state_s,
            last_error_s: peer.last_error_age.map(|age| age.seconds),
            session: peer.session.map(SessionRow::from),
            established_count: peer.established_count,
            messages: peer.messages.map(Messages::from).unwrap_or_default(),
            attributes_discarded: peer.attributes_discarded,
            treated_as_withdrawn: peer.treated_as_withdrawn,
            import: peer.import.map(|chain| chain.policies),
            export: peer.export.map(|chain| chain.policies),
        }
    }
}

impl From<&proto::v1::PeerFamily> for FamilyCounts {
    fn from(family: &proto::v1::PeerFamily) -> Self {
        Self {
            family: text::family(family.family()),
            received: family.received,
            accepted: family.accepted,
            advertised: family.advertised,
        }
    }
}

impl From<proto::v1::Session> for SessionRow {
    fn from(session: proto::v1::Session) -> Self {
        Self {
            identifier: session.identifier,
            local_address: session.local_address,
            hold_time_s: session.hold_time.map(|time| time.seconds),
            four_octet_as: session.four_octet_as,
            capabilities: session.capabilities,
            agreed: session.agreed,
            keepalive_s: session.keepalive.map(settings::seconds),
        }
    }
}

impl From<proto::v1::MessageCounts> for Messages {
    fn from(counts: proto::v1::MessageCounts) -> Self {
        Self {
            received: counts.received,
            sent: counts.sent,
            updates_received: counts.updates_received,
            updates_sent: counts.updates_sent,
        }
    }
}

impl Row for PeerRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("PEER"),
        Column::number("AS"),
        Column::text("STATE"),
        Column::number("SINCE"),
        Column::number("RECEIVED"),
        Column::number("ACCEPTED"),
        Column::number("ADVERTISED"),
        Column::text("DESCRIPTION"),
        Column::text("FAMILIES").wide(),
        Column::text("INTERFACE").wide(),
        Column::text("GROUP").wide(),
        Column::text("LAST ERROR"),
    ];

    fn lines(&self) -> Vec<Vec<Word>> {
        // While the session is up, why the last one ended is only for who asks for all.
        let error = self.last_error.clone().filter(|_| self.uptime_s.is_none());
        vec![vec![
            self.address.as_str().into(),
            u64::from(self.asn).into(),
            self.state_word(),
            text::age(self.state_s).into(),
            self.received.into(),
            self.accepted.into(),
            self.advertised.into(),
            self.description.clone().into(),
            self.families.join(" ").into(),
            self.interface.clone().into(),
            self.group.clone().into(),
            error.into(),
        ]]
    }
}

impl PeerRow {
    fn state_word(&self) -> Word {
        match (self.uptime_s, self.enabled) {
            (Some(_), _) => Word::new(self.state, Tone::Good),
            (None, true) => Word::new(self.state, Tone::Warning),
            (None, false) => Word::new(format!("{} (disabled)", self.state), Tone::Bad),
        }
    }

    fn line(&self) -> String {
        let mut line = format!("{}  AS{}  {}", self.address, self.asn, self.state);
        match &self.last_error {
            Some(error) if self.uptime_s.is_none() => line.push_str(&format!("  ({error})")),
            Some(_) | None => {}
        }
        line
    }

    fn details(&self) -> Vec<(&'static str, Word)> {
        let policy = |chain: &Option<Vec<String>>| match chain {
            Some(names) => Word::from(names.join(", ")),
            None => "none".into(),
        };
        let error = self.last_error.as_ref().map(|error| {
            let ago = self
                .last_error_s
                .map(|s| format!(" ({} ago)", text::age(s)));
            format!("{error}{}", ago.unwrap_or_default())
        });
        let messages = &self.messages;
        let added = match (self.added, self.kept) {
            (true, true) => Some("over the API, kept over restarts".to_owned()),
            (true, false) => Some("over the API, until the next restart".to_owned()),
            (false, _) => None,
        };
        let mut details = vec![
            ("peer", self.address.as_str().into()),
            ("AS", u64::from(self.asn).into()),
            ("our AS", nonzero(self.local_asn.into())),
            ("description", self.description.clone().into()),
            ("group", self.group.clone().into()),
            ("interface", self.interface.clone().into()),
            ("added", added.into()),
            ("state", self.state_word()),
            ("since", text::age(self.state_s).into()),
            (
                "stale routes",
                self.held.as_ref().map(HeldRow::words).into(),
            ),
            (
                "awaited",
                self.awaited
                    .then(|| "our restart waits for it".to_owned())
                    .into(),
            ),
            ("last error", error.into()),
            ("sessions so far", self.established_count.into()),
            ("import", policy(&self.import)),
            ("export", policy(&self.export)),
        ];
        details.extend(self.prefixes.iter().map(|f| {
            let counts = format!(
                "{} received, {} accepted, {} advertised",
                f.received, f.accepted, f.advertised
            );
            (f.family, counts.into())
        }));
        details.extend(self.session.iter().flat_map(SessionRow::details));
        details.extend(self.settings());
        details.extend([
            (
                "received",
                messages_word(messages.received, messages.updates_received),
            ),
            ("sent", messages_word(messages.sent, messages.updates_sent)),
            ("attributes discarded", nonzero(self.attributes_discarded)),
            ("treated as withdrawn", nonzero(self.treated_as_withdrawn)),
        ]);
        details
    }
}

impl SessionRow {
    fn details(&self) -> [(&'static str, Word); 6] {
        let hold_time = self.hold_time_s.map_or("none".into(), |s| format!("{s}s"));
        [
            ("identifier", self.identifier.as_str().into()),
            ("local address", self.local_address.clone().into()),
            ("hold time", hold_time.into()),
            (
                "keepalive",
                self.keepalive_s.map(|s| format!("{s}s")).into(),
            ),
            ("it offers", self.capabilities.join(", ").into()),
            ("agreed", self.agreed.join(", ").into()),
        ]
    }
}

fn messages_word(all: u64, updates: u64) -> Word {
    format!("{all} messages, {updates} of them UPDATEs").into()
}

fn nonzero(count: u64) -> Word {
    Some(count).filter(|count| *count > 0).into()
}

#[cfg(test)]
mod tests;
