//! `windrose route`: what there is, and why.

use proto::v1::injection_service_client::InjectionServiceClient;
use proto::v1::route_service_client::RouteServiceClient;
use proto::v1::{
    ExplainRouteRequest, ExplainRouteResponse, Family, ListRoutesRequest, RouteChange,
    WatchRoutesRequest,
};
use serde::Serialize;
use tokio_stream::StreamExt;
use tonic::transport::Channel;

use crate::args::{RouteCommand, RouteList};
use crate::client::{ANSWER_MAX, Failure};
use crate::fib::Hop;
use crate::inject;
use crate::output::Printer;
use crate::path::{PathRow, RouteRow};

pub(crate) async fn run(
    command: RouteCommand,
    channel: Channel,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut routes = RouteServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_MAX);
    let mut injections = InjectionServiceClient::new(channel);
    match command {
        RouteCommand::List(query) => list(&mut routes, query, printer).await,
        RouteCommand::Explain { prefix } => {
            let request = ExplainRouteRequest {
                prefix: host(prefix),
            };
            let explained = Explained::from(routes.explain_route(request).await?.into_inner());
            if printer.format().is_json() {
                return Ok(printer.done(&explained, String::new)?);
            }
            for line in explained.lines() {
                printer.line(&line)?;
            }
            Ok(())
        }
        RouteCommand::Watch { resume } => watch(&mut routes, resume, printer).await,
        RouteCommand::Inject(command) => inject::inject(&mut injections, command, printer).await,
        RouteCommand::Withdraw {
            prefix,
            owner,
            path_id,
        } => inject::withdraw(&mut injections, host(prefix), path_id, owner, printer).await,
        RouteCommand::Owners => inject::owners(&mut injections, printer).await,
    }
}

/// An address alone is the prefix of that host.
pub(crate) fn host(prefix: String) -> String {
    match prefix.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => format!("{address}/32"),
        Ok(std::net::IpAddr::V6(address)) => format!("{address}/128"),
        Err(_) => prefix,
    }
}

async fn list(
    client: &mut RouteServiceClient<Channel>,
    query: RouteList,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut request = ListRoutesRequest {
        prefix: query.prefix.map(host),
        longer: query.longer,
        best_only: query.best,
        received_from: query.received,
        advertised_to: query.advertised,
        family: query.family.map(|family| Family::from(family).into()),
        ..ListRoutesRequest::default()
    };
    let mut list = printer.list();
    loop {
        let page = client.list_routes(request.clone()).await?.into_inner();
        for route in page.routes {
            list.row(&RouteRow::from(route))?;
        }
        if page.next_page_token.is_empty() {
            return Ok(list.finish::<RouteRow>()?);
        }
        request.page_token = page.next_page_token;
    }
}

async fn watch(
    client: &mut RouteServiceClient<Channel>,
    resume_token: Option<String>,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let request = WatchRoutesRequest { resume_token };
    let mut messages = client.watch_routes(request).await?.into_inner();
    while let Some(message) = messages.next().await {
        let message = message?;
        let resume_token = message.resume_token.as_str();
        if message.reset {
            let line = || "(the whole table follows)".into();
            printer.event(&Event::Reset { resume_token }, line)?;
        }
        for change in message.changes {
            let (event, line) = Event::of(change, resume_token);
            printer.event(&event, || line)?;
        }
        if message.synced {
            let line = || "(that is all; changes follow)".into();
            printer.event(&Event::Synced { resume_token }, line)?;
        }
    }
    Err(Failure::Unreachable("windrosed ended the watch".into()))
}

/// A line of `route watch`: `event`, and the route's own fields.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Reset {
        resume_token: &'a str,
    },
    Updated {
        resume_token: &'a str,
        #[serde(flatten)]
        route: RouteRow,
    },
    Removed {
        resume_token: &'a str,
        prefix: String,
    },
    Synced {
        resume_token: &'a str,
    },
}

impl<'a> Event<'a> {
    fn of(change: RouteChange, resume_token: &'a str) -> (Self, String) {
        let prefix = change.prefix;
        match change.route {
            Some(route) => {
                let route = RouteRow::from(route);
                let line = format!("+ {}", route.line());
                (
                    Self::Updated {
                        resume_token,
                        route,
                    },
                    line,
                )
            }
            None => {
                let line = format!("- {prefix}");
                (
                    Self::Removed {
                        resume_token,
                        prefix,
                    },
                    line,
                )
            }
        }
    }
}

/// `route explain`, as JSON has it.
#[derive(Serialize)]
struct Explained {
    prefix: String,
    best: Option<String>,
    paths: Vec<ExplainedPath>,
    /// What the kernel holds.
    kernel: Option<String>,
    advertised_to: Vec<String>,
    next_hops: Vec<Hop>,
}

#[derive(Serialize)]
struct ExplainedPath {
    #[serde(flatten)]
    path: PathRow,
    /// What import policy did, a line for each rule that spoke.
    policy: Vec<String>,
}

impl From<ExplainRouteResponse> for Explained {
    fn from(answer: ExplainRouteResponse) -> Self {
        let route = RouteRow::from(answer.route.unwrap_or_default());
        let mut traces = answer.policy.into_iter();
        let explain = |path| ExplainedPath {
            path,
            policy: traces.next().unwrap_or_default().lines,
        };
        Self {
            prefix: route.prefix,
            best: route.best,
            paths: route.paths.into_iter().map(explain).collect(),
            kernel: answer.kernel,
            advertised_to: answer.advertised_to,
            next_hops: answer.next_hops.into_iter().map(Hop::from).collect(),
        }
    }
}

impl Explained {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.prefix.clone()];
        for ExplainedPath { path, policy } in &self.paths {
            lines.push(format!("{} {}", path.mark(), path.line()));
            lines.push(format!("      {}", path.attributes()));
            lines.push(format!("      {}", path.reason));
            lines.extend(policy.iter().map(|line| format!("      policy: {line}")));
        }
        lines.extend(self.next_hops.iter().map(Hop::line));
        let kernel = self.kernel.as_deref().unwrap_or("nothing");
        lines.push(format!("  in the kernel: {kernel}"));
        let told = match self.advertised_to.as_slice() {
            [] => "nobody".into(),
            peers => peers.join(", "),
        };
        lines.push(format!("  told to: {told}"));
        lines
    }
}

#[cfg(test)]
mod tests;
