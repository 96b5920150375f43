//! `windrose link`.

use proto::v1::link::{Probe, State};
use proto::v1::link_finding::Verdict;
use proto::v1::link_service_client::LinkServiceClient;
use proto::v1::{
    CheckLinksRequest, GetLinkRequest, Link, LinkFinding, LinkMove, ListLinksRequest, Tunnel,
    WatchLinksRequest,
};
use serde::Serialize;
use tokio_stream::StreamExt;
use tonic::transport::Channel;

use crate::args::LinkCommand;
use crate::client::{ANSWER_MAX, Failure};
use crate::output::{Column, Printer, Row, Tone, Word};
use crate::text;

pub(crate) async fn run(
    command: LinkCommand,
    channel: Channel,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut client = LinkServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX);
    match command {
        LinkCommand::List => list(&mut client, printer).await,
        LinkCommand::Show { peer } => {
            let answer = client.get_link(GetLinkRequest { peer }).await?.into_inner();
            let row = LinkRow::from(answer.link.unwrap_or_default());
            Ok(printer.details(&row, || row.details())?)
        }
        LinkCommand::History { peer } => {
            let answer = client.get_link(GetLinkRequest { peer }).await?.into_inner();
            let mut list = printer.list();
            for row in answer.link.unwrap_or_default().moves {
                list.row(&MoveRow::from(row))?;
            }
            Ok(list.finish::<MoveRow>()?)
        }
        LinkCommand::Check { peer } => check(&mut client, peer, printer).await,
        LinkCommand::Watch => {
            let mut links = client.watch_links(WatchLinksRequest {}).await?.into_inner();
            while let Some(message) = links.next().await {
                if let Some(link) = message?.link {
                    let row = LinkRow::from(link);
                    printer.event(&row, || row.line())?;
                }
            }
            Ok(())
        }
    }
}

async fn list(
    client: &mut LinkServiceClient<Channel>,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut request = ListLinksRequest::default();
    let mut list = printer.list();
    loop {
        let page = client.list_links(request.clone()).await?.into_inner();
        for link in page.links {
            list.row(&LinkRow::from(link))?;
        }
        if page.next_page_token.is_empty() {
            return Ok(list.finish::<LinkRow>()?);
        }
        request.page_token = page.next_page_token;
    }
}

/// Fails if something is bad, once all is shown.
async fn check(
    client: &mut LinkServiceClient<Channel>,
    peer: Option<String>,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let answer = client.check_links(CheckLinksRequest { peer }).await?;
    let mut list = printer.list();
    let mut bad = 0;
    for finding in answer.into_inner().findings {
        bad += usize::from(finding.verdict() == Verdict::Bad);
        list.row(&FindingRow::from(finding))?;
    }
    list.finish::<FindingRow>()?;
    match bad {
        0 => Ok(()),
        1 => Err(Failure::refused("one thing is wrong")),
        bad => Err(Failure::refused(format!("{bad} things are wrong"))),
    }
}

/// Something that was looked at, as JSON has it.
#[derive(Debug, Serialize)]
struct FindingRow {
    /// `good`, `unknown`, `warning` or `bad`.
    verdict: &'static str,
    check: String,
    /// Null: of the machine.
    peer: Option<String>,
    interface: Option<String>,
    found: String,
    remedy: Option<String>,
}

impl From<LinkFinding> for FindingRow {
    fn from(finding: LinkFinding) -> Self {
        Self {
            verdict: match finding.verdict() {
                Verdict::Good => "good",
                Verdict::Unknown | Verdict::Unspecified => "unknown",
                Verdict::Warning => "warning",
                Verdict::Bad => "bad",
            },
            check: finding.check,
            peer: finding.peer,
            interface: finding.interface,
            found: finding.found,
            remedy: finding.remedy,
        }
    }
}

impl Row for FindingRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("VERDICT"),
        Column::text("CHECK"),
        Column::text("PEER"),
        Column::text("INTERFACE"),
        Column::text("FOUND"),
        Column::text("REMEDY"),
    ];

    fn lines(&self) -> Vec<Vec<Word>> {
        let tone = match self.verdict {
            "good" => Tone::Good,
            "bad" => Tone::Bad,
            _ => Tone::Warning,
        };
        vec![vec![
            Word::new(self.verdict, tone),
            self.check.as_str().into(),
            self.peer.clone().into(),
            self.interface.clone().into(),
            self.found.as_str().into(),
            self.remedy.clone().into(),
        ]]
    }
}

/// A link, as JSON has it.
#[derive(Debug, Serialize)]
struct LinkRow {
    peer: String,
    interface: Option<String>,
    /// Null: no probe was answered.
    rtt_us: Option<u64>,
    jitter_us: Option<u64>,
    /// The share lost from us to the peer, and back, over ten seconds, 0 to 1; null: not measured yet.
    loss_out: Option<f64>,
    loss_in: Option<f64>,
    /// What routes over it pay, in microseconds.
    cost: u64,
    cost_in: u64,
    state: &'static str,
    /// How long the cost has been what it is.
    since_s: i64,
    probes_sent: u64,
    /// How it is measured: `stamp`; `icmp`, of whose round trip all loss is said of either direction; or `none`.
    probe: &'static str,
    interval_us: u64,
    loss_out_1s: Option<f64>,
    loss_in_1s: Option<f64>,
    loss_out_60s: Option<f64>,
    loss_in_60s: Option<f64>,
    rejected: u64,
    peers: Vec<String>,
    /// What it can carry, in bit/s; null: nobody said.
    capacity: Option<u64>,
    /// The last changes of its cost, the newest last; of `link show` only.
    history: Vec<MoveRow>,
    /// Of `link show` only; null: no WireGuard device.
    tunnel: Option<TunnelRow>,
}

/// The WireGuard peer behind a link.
#[derive(Debug, Serialize)]
struct TunnelRow {
    public_key: String,
    endpoint: Option<String>,
    /// Null: keys were never agreed on.
    handshake_age_s: Option<i64>,
    received_octets: u64,
    sent_octets: u64,
}

impl From<Tunnel> for TunnelRow {
    fn from(tunnel: Tunnel) -> Self {
        Self {
            public_key: tunnel.public_key,
            endpoint: tunnel.endpoint,
            handshake_age_s: tunnel.handshake_age.map(|age| age.seconds),
            received_octets: tunnel.received_octets,
            sent_octets: tunnel.sent_octets,
        }
    }
}

/// A cost that changed.
#[derive(Debug, Serialize)]
struct MoveRow {
    /// How long ago that was.
    ago_s: i64,
    /// `out` to the peer, or `in`.
    direction: &'static str,
    from: u64,
    to: u64,
    why: String,
    loss_1s: f64,
    loss_10s: f64,
    rtt_us: Option<u64>,
}

impl From<LinkMove> for MoveRow {
    fn from(change: LinkMove) -> Self {
        Self {
            ago_s: change.age.map_or(0, |age| age.seconds),
            direction: if change.outward { "out" } else { "in" },
            from: change.from_us,
            to: change.to_us,
            why: change.why,
            loss_1s: change.loss_1s,
            loss_10s: change.loss_10s,
            rtt_us: change.rtt_us,
        }
    }
}

impl From<Link> for LinkRow {
    fn from(link: Link) -> Self {
        let measure = link.measure.as_ref();
        Self {
            state: match link.state() {
                State::Unspecified => "unknown",
                State::Unanswered => "unanswered",
                State::Measuring => "measuring",
                State::Good => "good",
                State::Lossy => "lossy",
                State::Silent => "silent",
            },
            probe: match link.probe() {
                Probe::Unspecified | Probe::None => "none",
                Probe::Stamp => "stamp",
                Probe::Icmp => "icmp",
            },
            rtt_us: measure.and_then(|m| m.rtt_us),
            jitter_us: measure.map(|m| m.jitter_us),
            loss_out: measure.map(|m| m.loss_out_10s),
            loss_in: measure.map(|m| m.loss_in_10s),
            loss_out_1s: measure.map(|m| m.loss_out_1s),
            loss_in_1s: measure.map(|m| m.loss_in_1s),
            loss_out_60s: measure.map(|m| m.loss_out_60s),
            loss_in_60s: measure.map(|m| m.loss_in_60s),
            cost: link.cost_out_us,
            cost_in: link.cost_in_us,
            since_s: link.cost_age.map_or(0, |age| age.seconds),
            peer: link.peer,
            interface: link.interface,
            probes_sent: link.probes_sent,
            interval_us: link.interval_us,
            rejected: link.rejected,
            peers: link.peers,
            capacity: link.capacity,
            history: link.moves.into_iter().map(MoveRow::from).collect(),
            tunnel: link.tunnel.map(TunnelRow::from),
        }
    }
}

/// `20.5ms`.
fn time(us: u64) -> String {
    format!("{}.{}ms", us / 1000, us % 1000 / 100)
}

fn percent(share: Option<f64>) -> Option<String> {
    share.map(|share| format!("{:.1}%", share * 100.0))
}

impl Row for LinkRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("PEER"),
        Column::text("INTERFACE"),
        Column::text("STATE"),
        Column::number("RTT"),
        Column::number("LOSS OUT"),
        Column::number("LOSS IN"),
        Column::number("COST"),
        Column::number("SINCE"),
        Column::number("JITTER").wide(),
        Column::number("PROBES").wide(),
        Column::text("PROBE").wide(),
    ];

    fn lines(&self) -> Vec<Vec<Word>> {
        vec![vec![
            self.peer.as_str().into(),
            self.interface.clone().into(),
            self.state_word(),
            self.rtt_us.map(time).into(),
            percent(self.loss_out).into(),
            percent(self.loss_in).into(),
            time(self.cost).into(),
            text::age(self.since_s).into(),
            self.jitter_us.map(time).into(),
            self.probes_sent.into(),
            self.probe.into(),
        ]]
    }
}

impl Row for MoveRow {
    const COLUMNS: &'static [Column] = &[
        Column::number("AGO"),
        Column::text("DIRECTION"),
        Column::number("FROM"),
        Column::number("TO"),
        Column::number("LOSS 1s"),
        Column::number("LOSS 10s"),
        Column::text("WHY"),
    ];

    fn lines(&self) -> Vec<Vec<Word>> {
        vec![vec![
            text::age(self.ago_s).into(),
            self.direction.into(),
            time(self.from).into(),
            time(self.to).into(),
            percent(Some(self.loss_1s)).into(),
            percent(Some(self.loss_10s)).into(),
            self.why.as_str().into(),
        ]]
    }
}

impl LinkRow {
    fn state_word(&self) -> Word {
        let tone = match self.state {
            "good" => Tone::Good,
            "lossy" | "silent" => Tone::Bad,
            _ => Tone::Warning,
        };
        Word::new(self.state, tone)
    }

    fn probe_words(&self) -> &'static str {
        match self.probe {
            "stamp" => "STAMP",
            "icmp" => "ICMP echo: what is lost there and back is held against either direction",
            _ => "nothing: no probe was answered",
        }
    }

    fn line(&self) -> String {
        let loss = |share| percent(share).unwrap_or_else(|| "?".to_owned());
        let (out, back) = (loss(self.loss_out), loss(self.loss_in));
        let (cost, state) = (time(self.cost), self.state);
        let peer = &self.peer;
        match self.probe {
            "icmp" => format!("{peer}  {state}  cost {cost}  loss {out} there and back"),
            _ => format!("{peer}  {state}  cost {cost}  loss out {out} in {back}"),
        }
    }

    fn details(&self) -> Vec<(&'static str, Word)> {
        let all = |shares: [Option<f64>; 3]| {
            let words: Vec<_> = shares.into_iter().filter_map(percent).collect();
            Word::from(words.join(", "))
        };
        let mut details = vec![
            ("peer", self.peer.as_str().into()),
            ("interface", self.interface.clone().into()),
            ("state", self.state_word()),
            ("round trip", self.rtt_us.map(time).into()),
            ("jitter", self.jitter_us.map(time).into()),
            (
                "loss out in 1 s, 10 s, 60 s",
                all([self.loss_out_1s, self.loss_out, self.loss_out_60s]),
            ),
            (
                "loss in in 1 s, 10 s, 60 s",
                all([self.loss_in_1s, self.loss_in, self.loss_in_60s]),
            ),
            ("measured by", self.probe_words().into()),
            ("capacity", self.capacity.map(text::rate).into()),
            ("cost out", time(self.cost).into()),
            ("cost in", time(self.cost_in).into()),
            ("cost since", text::age(self.since_s).into()),
            (
                "probes",
                format!(
                    "{} sent, one each {}",
                    self.probes_sent,
                    time(self.interval_us)
                )
                .into(),
            ),
        ];
        if let Some(tunnel) = &self.tunnel {
            let keys = tunnel.handshake_age_s.map(text::age);
            let keys = keys.unwrap_or_else(|| "never agreed on".to_owned());
            let (received, sent) = (tunnel.received_octets, tunnel.sent_octets);
            details.extend([
                ("wireguard peer", tunnel.public_key.as_str().into()),
                ("endpoint", tunnel.endpoint.clone().into()),
                ("keys of", keys.into()),
                ("octets", format!("{received} received, {sent} sent").into()),
            ]);
        }
        details.extend(self.history.iter().map(|change| {
            let (ago, way) = (text::age(change.ago_s), change.direction);
            let (from, to) = (time(change.from), time(change.to));
            let line = format!("{ago} ago, {way}: {from} -> {to}, {}", change.why);
            ("moved", line.into())
        }));
        details
    }
}

#[cfg(test)]
mod tests;
