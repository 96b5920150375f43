//! `windrose fib`.

use proto::v1::fib_route::State;
use proto::v1::fib_service_client::FibServiceClient;
use proto::v1::{FibNextHop, FibRoute, FibWay, ListFibRequest, ShowFibRequest, ShowFibResponse};
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
    let client = FibServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX);
    match command {
        FibCommand::List { diff } => list(diff, client, printer).await,
        FibCommand::Diff => list(true, client, printer).await,
        FibCommand::Show { prefix } => show(&prefix, client, printer).await,
    }
}

async fn show(
    prefix: &str,
    mut client: FibServiceClient<Channel>,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let request = ShowFibRequest {
        prefix: prefix.to_owned(),
    };
    let detail = Shown::of(prefix, client.show_fib(request).await?.into_inner());
    if printer.format().is_json() {
        return Ok(printer.done(&detail, String::new)?);
    }
    for line in detail.lines() {
        printer.line(&line)?;
    }
    Ok(())
}

async fn list(
    diff: bool,
    mut client: FibServiceClient<Channel>,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
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
    table: u32,
    metric: u32,
    prefsrc: Option<String>,
}

/// `fib show`, as JSON has it.
#[derive(Debug, Serialize)]
struct Shown {
    prefix: String,
    routes: Vec<FibRow>,
    /// What the policy of `[fib]` did with it.
    policy: Vec<String>,
    /// It keeps it out of the kernel.
    rejected: bool,
    next_hops: Vec<Hop>,
}

/// How a next hop is reached.
#[derive(Debug, Serialize)]
pub(crate) struct Hop {
    address: String,
    /// Null: it cannot be reached.
    gateway: Option<String>,
    interface: Option<String>,
    cost: Option<u32>,
    /// The routes of ours that lead to it.
    through: Vec<String>,
    /// All that take the packets.
    ways: Vec<Way>,
}

#[derive(Debug, Serialize)]
struct Way {
    gateway: Option<String>,
    interface: Option<String>,
    weight: u32,
}

impl Shown {
    fn of(prefix: &str, answer: ShowFibResponse) -> Self {
        Self {
            prefix: prefix.to_owned(),
            routes: answer.routes.into_iter().map(FibRow::from).collect(),
            policy: answer.policy,
            rejected: answer.rejected,
            next_hops: answer.next_hops.into_iter().map(Hop::from).collect(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let nothing = || "nothing".to_owned();
        let mut lines = vec![self.prefix.clone()];
        if self.rejected {
            lines.push("  not installed: the policy of [fib] rejects it".to_owned());
        }
        for row in &self.routes {
            lines.push(format!("  {}, {}", row.place(), row.state));
            let [wanted, there] = [&row.wanted, &row.actual];
            lines.push(format!(
                "    wanted: {}",
                wanted.clone().unwrap_or_else(nothing)
            ));
            lines.push(format!(
                "    there: {}",
                there.clone().unwrap_or_else(nothing)
            ));
            lines.extend(row.error.iter().map(|error| format!("    error: {error}")));
        }
        lines.extend(self.policy.iter().map(|line| format!("  policy: {line}")));
        lines.extend(self.next_hops.iter().map(Hop::line));
        lines
    }
}

impl From<FibNextHop> for Hop {
    fn from(hop: FibNextHop) -> Self {
        let way = |way: FibWay| Way {
            gateway: way.gateway,
            interface: way.interface,
            weight: way.weight,
        };
        Self {
            address: hop.address,
            gateway: hop.gateway,
            interface: hop.interface,
            cost: hop.cost,
            through: hop.through,
            ways: hop.ways.into_iter().map(way).collect(),
        }
    }
}

impl Hop {
    /// A line of what is told of a prefix.
    pub(crate) fn line(&self) -> String {
        let gateway = self.gateway.as_deref();
        let Some(gateway) = gateway else {
            return format!("  next hop {}: not reachable", self.address);
        };
        let line = |gateway: &str, interface: &Option<String>| {
            format!("via {gateway} dev {}", interface.as_deref().unwrap_or("?"))
        };
        let weighted = |way: &Way| {
            let gateway = way.gateway.as_deref().unwrap_or("?");
            format!("{} weight {}", line(gateway, &way.interface), way.weight)
        };
        let ways = match self.ways.as_slice() {
            [] | [_] => line(gateway, &self.interface),
            ways => ways.iter().map(weighted).collect::<Vec<_>>().join(", "),
        };
        let cost = self.cost.unwrap_or_default();
        let mut line = format!("  next hop {}: {ways}, cost {cost}", self.address);
        if !self.through.is_empty() {
            line.push_str(&format!(", through {}", self.through.join(", ")));
        }
        line
    }
}

impl FibRow {
    /// As iproute2 says it.
    fn place(&self) -> String {
        let source = self.prefsrc.as_ref();
        let source = source
            .map(|source| format!(" src {source}"))
            .unwrap_or_default();
        format!("table {} metric {}{source}", self.table, self.metric)
    }
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
                State::Different => "different",
                State::Missing => "missing",
                State::Extra => "extra",
            },
            prefix: route.prefix,
            wanted: route.wanted,
            actual: route.actual,
            error: route.error,
            table: route.table,
            metric: route.metric,
            prefsrc: route.prefsrc,
        }
    }
}

impl Row for FibRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("PREFIX"),
        Column::text("STATE"),
        Column::number("TABLE"),
        Column::number("METRIC"),
        Column::text("WANTED"),
        Column::text("THERE"),
        Column::text("SOURCE").wide(),
        Column::text("ERROR"),
    ];

    fn lines(&self) -> Vec<Vec<Word>> {
        let tone = match self.state {
            "installed" => Tone::Good,
            "failed" | "different" => Tone::Bad,
            _ => Tone::Warning,
        };
        vec![vec![
            self.prefix.as_str().into(),
            Word::new(self.state, tone),
            u64::from(self.table).into(),
            u64::from(self.metric).into(),
            self.wanted.clone().into(),
            self.actual.clone().into(),
            self.prefsrc.clone().into(),
            self.error.clone().into(),
        ]]
    }
}

#[cfg(test)]
mod tests;
