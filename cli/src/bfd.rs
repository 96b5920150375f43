//! `windrose bfd`.

use proto::v1::bfd_service_client::BfdServiceClient;
use proto::v1::{BfdSession, ListBfdSessionsRequest};
use serde::Serialize;
use tonic::transport::Channel;

use crate::args::BfdCommand;
use crate::client::{ANSWER_MAX, Failure};
use crate::output::{Column, Printer, Row, Tone, Word};
use crate::text;

pub(crate) async fn run(
    command: BfdCommand,
    channel: Channel,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let BfdCommand::List = command;
    let mut client = BfdServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX);
    let mut request = ListBfdSessionsRequest::default();
    let mut list = printer.list();
    loop {
        let page = client
            .list_bfd_sessions(request.clone())
            .await?
            .into_inner();
        for session in page.sessions {
            list.row(&BfdRow::from(session))?;
        }
        if page.next_page_token.is_empty() {
            return Ok(list.finish::<BfdRow>()?);
        }
        request.page_token = page.next_page_token;
    }
}

/// A session, as JSON has it.
#[derive(Debug, Serialize)]
struct BfdRow {
    address: String,
    /// Null: any.
    interface: Option<String>,
    local_address: Option<String>,
    multihop: bool,
    state: &'static str,
    /// How long it has been in `state`.
    state_s: i64,
    /// How long it has been up; null while it is not.
    uptime_s: Option<i64>,
    diagnostic: &'static str,
    local_discriminator: u32,
    /// Null, with all that the neighbor says: it is not heard.
    remote_discriminator: Option<u32>,
    remote_state: Option<&'static str>,
    remote_diagnostic: Option<&'static str>,
    remote_transmit_us: Option<u64>,
    remote_receive_us: Option<u64>,
    remote_multiplier: Option<u32>,
    multiplier: u32,
    /// Null: nothing is sent.
    transmit_us: Option<u64>,
    detection_us: Option<u64>,
    packets_sent: u64,
    packets_received: u64,
    ups: u64,
    failures: u64,
    last_failure: Option<String>,
    peers: Vec<String>,
}

impl From<BfdSession> for BfdRow {
    fn from(session: BfdSession) -> Self {
        let state = text::bfd_state(session.state());
        let state_s = session.state_age.map_or(0, |age| age.seconds);
        let theirs = session.neighbor.as_ref();
        Self {
            state,
            state_s,
            uptime_s: (state == "up").then_some(state_s),
            diagnostic: diagnostic(session.diagnostic),
            remote_discriminator: theirs.map(|it| it.discriminator),
            remote_state: theirs.map(|it| text::bfd_state(it.state())),
            remote_diagnostic: theirs.map(|it| diagnostic(it.diagnostic)),
            remote_transmit_us: theirs.map(|it| it.desired_transmit_us),
            remote_receive_us: theirs.map(|it| it.required_receive_us),
            remote_multiplier: theirs.map(|it| it.multiplier),
            address: session.address,
            interface: session.interface,
            local_address: session.local_address,
            multihop: session.multihop,
            local_discriminator: session.local_discriminator,
            multiplier: session.multiplier,
            transmit_us: session.transmit_us,
            detection_us: session.detection_us,
            packets_sent: session.packets_sent,
            packets_received: session.packets_received,
            ups: session.ups,
            failures: session.failures,
            last_failure: session.last_failure,
            peers: session.peers,
        }
    }
}

/// RFC 5880 §4.1.
const fn diagnostic(number: u32) -> &'static str {
    match number {
        0 => "none",
        1 => "control detection time expired",
        2 => "echo function failed",
        3 => "neighbor signaled session down",
        4 => "forwarding plane reset",
        5 => "path down",
        6 => "concatenated path down",
        7 => "administratively down",
        8 => "reverse concatenated path down",
        _ => "unknown",
    }
}

impl Row for BfdRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("NEIGHBOR"),
        Column::text("INTERFACE"),
        Column::text("STATE"),
        Column::number("SINCE"),
        Column::number("SENDS EACH"),
        Column::number("WAITS"),
        Column::number("FAILURES"),
        Column::text("LAST FAILURE"),
        Column::text("PEERS").wide(),
        Column::number("LOCAL").wide(),
        Column::number("REMOTE").wide(),
    ];

    fn lines(&self) -> Vec<Vec<Word>> {
        let tone = match self.state {
            "up" => Tone::Good,
            "down" => Tone::Bad,
            _ => Tone::Warning,
        };
        let time = |us: Option<u64>| us.map(|us| format!("{}ms", us.div_ceil(1000)));
        vec![vec![
            self.address.as_str().into(),
            self.interface.clone().into(),
            Word::new(self.state, tone),
            text::age(self.state_s).into(),
            time(self.transmit_us).into(),
            time(self.detection_us).into(),
            self.failures.into(),
            self.last_failure.clone().into(),
            self.peers.join(" ").into(),
            u64::from(self.local_discriminator).into(),
            self.remote_discriminator.map(|it| it.to_string()).into(),
        ]]
    }
}

#[cfg(test)]
mod tests;
