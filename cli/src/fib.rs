//! `windrose fib`.

use proto::v1::fib_route::State;
use proto::v1::fib_service_client::FibServiceClient;
use proto::v1::{FibRoute, ListFibRequest};
use serde::Serialize;
use tonic::transport::Channel;

use crate::args::FibCommand;
use crate::client::{ANSWER_MAX, Failure};
use crate::output::{Column, Printer, Row, Tone, Word};

pub(crate) async fn run(
    command: FibCommand,
    channel: Channel,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let FibCommand::List { diff } = command;
    let mut client = FibServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX);
    let mut request = ListFibRequest {
        diff_only: diff,
        ..ListFibRequest::default()
    };
    let mut list = printer.list();
    loop {
        let page = client.list_fib(request.clone()).await?.into_inner();
        for route in page.routes {
            list.row(&FibRow::from(route))?;
        }
        if page.next_page_token.is_empty() {
            return Ok(list.finish::<FibRow>()?);
        }
        request.page_token = page.next_page_token;
    }
}

/// A route of the kernel, as JSON has it.
#[derive(Debug, Serialize)]
struct FibRow {
    prefix: String,
    /// What we want; null: nothing.
    wanted: Option<String>,
    /// What is there; null: nothing.
    actual: Option<String>,
    state: &'static str,
    error: Option<String>,
}

impl From<FibRoute> for FibRow {
    fn from(route: FibRoute) -> Self {
        Self {
            state: match route.state() {
                State::Unspecified => "unknown",
                State::Installed => "installed",
                State::Pending => "pending",
                State::Failed => "failed",
                State::Foreign => "foreign",
                State::Stale => "stale",
            },
            prefix: route.prefix,
            wanted: route.wanted,
            actual: route.actual,
            error: route.error,
        }
    }
}

impl Row for FibRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("PREFIX"),
        Column::text("STATE"),
        Column::text("WANTED"),
        Column::text("THERE"),
        Column::text("ERROR"),
    ];

    fn lines(&self) -> Vec<Vec<Word>> {
        let tone = match self.state {
            "installed" => Tone::Good,
            "failed" => Tone::Bad,
            _ => Tone::Warning,
        };
        vec![vec![
            self.prefix.as_str().into(),
            Word::new(self.state, tone),
            self.wanted.clone().into(),
            self.actual.clone().into(),
            self.error.clone().into(),
        ]]
    }
}

#[cfg(test)]
mod tests;
