//! `windrose drain` and `windrose undrain`.

use std::time::Duration;

use proto::v1::system_service_client::SystemServiceClient;
use proto::v1::{
    DrainRequest, DrainState, DrainStatus, GetStatusRequest, UndrainRequest, UndrainResponse,
};
use serde::Serialize;
use tonic::transport::Channel;

use crate::client::Failure;
use crate::output::Printer;
use crate::text;

/// How often `--wait` looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn drain(
    grace: Duration,
    wait: bool,
    channel: Channel,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut client = SystemServiceClient::new(channel);
    let grace = grace
        .try_into()
        .map_err(|_| Failure::refused("--grace is too long"))?;
    let request = DrainRequest { grace: Some(grace) };
    let mut row = DrainRow::from(client.drain(request).await?.into_inner().drain);
    while wait && !row.is_done()? {
        tokio::time::sleep(LOOK_EVERY).await;
        let status = client.get_status(GetStatusRequest {}).await?.into_inner();
        row = DrainRow::from(status.drain);
    }
    Ok(printer.done(&row, || row.words())?)
}

pub(crate) async fn undrain(channel: Channel, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let mut client = SystemServiceClient::new(channel);
    let answer = client.undrain(UndrainRequest {}).await?.into_inner();
    let UndrainResponse {
        was_draining,
        drain,
    } = answer;
    let row = DrainRow::from(drain);
    Ok(printer.done(&row, || match was_draining {
        true => "undrained: routes are told as they are".to_owned(),
        false => "it was not draining".to_owned(),
    })?)
}

/// How far it is, as JSON has it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct DrainRow {
    /// `none`, `draining` or `drained`.
    state: &'static str,
    since_s: Option<i64>,
    withdraws_in_s: Option<i64>,
    peers_pending: u64,
}

impl From<Option<DrainStatus>> for DrainRow {
    fn from(drain: Option<DrainStatus>) -> Self {
        let drain = drain.unwrap_or_default();
        Self {
            state: match drain.state() {
                DrainState::Unspecified | DrainState::None => "none",
                DrainState::Draining => "draining",
                DrainState::Drained => "drained",
            },
            since_s: drain.state_age.map(|age| age.seconds),
            // Not yet means at least a second.
            withdraws_in_s: drain
                .withdraws_in
                .map(|left| left.seconds + i64::from(left.nanos > 0)),
            peers_pending: drain.peers_pending,
        }
    }
}

impl DrainRow {
    /// Whether peers have been told that all routes are gone. Somebody else may have called it off.
    fn is_done(&self) -> Result<bool, Failure> {
        match self.state {
            "none" => Err(Failure::refused("somebody else has undrained it")),
            state => Ok(state == "drained" && self.peers_pending == 0),
        }
    }

    /// In words; empty: it is not draining.
    pub(crate) fn words(&self) -> String {
        let pending = match self.peers_pending {
            0 => String::new(),
            peers => format!(", {peers} peers have yet to hear it"),
        };
        match (self.state, self.withdraws_in_s) {
            ("none", _) => String::new(),
            (state, Some(left)) => {
                let left = text::age(left);
                format!("{state}: routes are withdrawn in {left}{pending}")
            }
            (state, None) => format!("{state}: no route is told to any peer{pending}"),
        }
    }
}

#[cfg(test)]
mod tests;
