//! `windrose route inject`, `withdraw` and `owners`.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};
use proto::v1::injection_service_client::InjectionServiceClient;
use proto::v1::{
    Attributes, InjectRequest, InjectedRoute, ListOwnersRequest, Origin, Owner, RenewRequest,
    RouteKey, WithdrawRequest,
};
use serde::{Deserialize, Serialize};
use tonic::Code;
use tonic::transport::Channel;

use crate::args::Inject;
use crate::client::Failure;
use crate::output::{Column, Printer, Row, Word};
use crate::route::host;
use crate::text;

type Client = InjectionServiceClient<Channel>;

/// Owns what is injected without --owner.
const OWNER: &str = "cli";
/// How soon a lease that is held is renewed again while the daemon is away.
const RETRY: Duration = Duration::from_millis(500);

/// What the help of `inject` says about files.
pub(crate) const BATCH_HELP: &str = r#"A batch is a TOML or JSON file; all of it is done or nothing. Words may be joined by - or _.

  owner = "vip-controller"        # --owner goes before it
  lease = "30s"                   # --lease goes before it
  replace-all = false             # true: take out all other routes of the owner

  [[announce]]
  prefix = "10.96.0.10/32"
  next-hop = "10.0.0.5"           # absent: ourselves
  communities = ["65001:100", "no-export"]
  large-communities = ["65001:1:2"]
  ext-communities = ["rt:65001:5"]
  med = 10
  local-pref = 200
  as-path = "65010 65011"
  origin = "igp"                  # igp, egp, incomplete
  aigp = 100
  path-id = 0
  install = false                 # true: into our own kernel too
  tag = 0                         # a mark for policies

  [[withdraw]]
  prefix = "10.96.0.11/32"
  path-id = 0

The same in JSON: {"owner": "…", "announce": [{"prefix": "…", "next_hop": "…"}], "withdraw": [{"prefix": "…"}]}

Without --owner, a route without a lease belongs to `cli`, and one with a lease to `cli:PREFIX`, so that each lease
runs by itself; a batch belongs to `cli`, or `cli:batch` with a lease.
Without --hold the command ends at once and the lease runs from then on."#;

/// A route to inject: the arguments of the command, and `[[announce]]` of a batch.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteSpec {
    /// Where to; without /LENGTH one host
    #[arg(required_unless_present = "file")]
    prefix: Option<String>,
    /// Where packets go; absent: to ourselves
    #[arg(long, value_name = "ADDRESS")]
    #[serde(alias = "next-hop")]
    next_hop: Option<String>,
    /// As 65001:100 or no-export; several with commas, or repeated
    #[arg(long = "community", value_name = "COMMUNITY", value_delimiter = ',')]
    #[serde(default)]
    communities: Vec<String>,
    /// As 65001:1:2
    #[arg(
        long = "large-community",
        value_name = "COMMUNITY",
        value_delimiter = ','
    )]
    #[serde(default, alias = "large-communities")]
    large_communities: Vec<String>,
    /// As rt:65001:5
    #[arg(
        long = "ext-community",
        value_name = "COMMUNITY",
        value_delimiter = ','
    )]
    #[serde(default, alias = "ext-communities")]
    ext_communities: Vec<String>,
    #[arg(long, value_name = "NUMBER")]
    med: Option<u32>,
    #[arg(long, value_name = "NUMBER")]
    #[serde(alias = "local-pref")]
    local_pref: Option<u32>,
    /// As "65001 65002"
    #[arg(long, value_name = "PATH")]
    #[serde(alias = "as-path")]
    as_path: Option<String>,
    #[arg(long)]
    origin: Option<OriginName>,
    /// The accumulated IGP metric
    #[arg(long, value_name = "NUMBER")]
    aigp: Option<u64>,
    /// Distinguishes several paths of one owner to one prefix
    #[arg(long, value_name = "NUMBER", default_value_t)]
    #[serde(default, alias = "path-id")]
    path_id: u32,
    /// Into our own kernel too
    #[arg(long)]
    #[serde(default)]
    install: bool,
    /// A mark for policies, told to nobody
    #[arg(long, value_name = "NUMBER", default_value_t)]
    #[serde(default)]
    tag: u32,
}

#[derive(Clone, Copy, Debug, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OriginName {
    Igp,
    Egp,
    Incomplete,
}

impl From<OriginName> for Origin {
    fn from(name: OriginName) -> Self {
        match name {
            OriginName::Igp => Self::Igp,
            OriginName::Egp => Self::Egp,
            OriginName::Incomplete => Self::Incomplete,
        }
    }
}

/// A batch as a file has it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    owner: Option<String>,
    lease: Option<String>,
    #[serde(default, alias = "replace-all")]
    replace_all: bool,
    #[serde(default)]
    announce: Vec<RouteSpec>,
    #[serde(default)]
    withdraw: Vec<WithdrawSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WithdrawSpec {
    prefix: String,
    #[serde(default, alias = "path-id")]
    path_id: u32,
}

pub(crate) async fn inject(
    client: &mut Client,
    command: Inject,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let (hold, batch) = (command.hold, command.file.is_some());
    let request = request(command).map_err(Failure::Refused)?;
    let answer = client.inject(request.clone()).await.map_err(|status| {
        match (Failure::from(status), batch) {
            // Of one route, everybody knows which it is.
            (Failure::Refused(why), false) => {
                Failure::Refused(why.trim_start_matches("announce[0].").into())
            }
            (failure, _) => failure,
        }
    })?;
    let answer = answer.into_inner();
    let injected = Injected {
        owner: &request.owner,
        announced: answer.announced,
        withdrawn: answer.withdrawn,
        lease_s: request.lease.map(seconds),
    };
    printer.done(&injected, || injected.line())?;
    match request.lease {
        Some(lease) if hold => renew(client, request, lease).await,
        Some(_) | None => Ok(()),
    }
}

pub(crate) async fn withdraw(
    client: &mut Client,
    prefix: String,
    path_id: u32,
    owner: Option<String>,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    // What `inject` without --owner put in belongs to one of these; which one depends on its lease.
    let owners = match &owner {
        Some(owner) => vec![owner.clone()],
        None => vec![OWNER.into(), leased_owner(&prefix), leased_owner(BATCH)],
    };
    let mut withdrawn = 0;
    for owner in owners {
        let prefix = prefix.clone();
        let routes = vec![RouteKey { prefix, path_id }];
        match client.withdraw(WithdrawRequest { owner, routes }).await {
            Ok(answer) => withdrawn += answer.into_inner().withdrawn,
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) => return Err(status.into()),
        }
    }
    if withdrawn == 0 {
        let whose = owner.map_or("without --owner".into(), |owner| format!("by {owner}"));
        let why = format!("{prefix} was not injected {whose}: see `windrose route owners`");
        return Err(Failure::Refused(why));
    }
    let done = Withdrawn { withdrawn };
    Ok(printer.done(&done, || format!("{} withdrawn", routes(withdrawn)))?)
}

pub(crate) async fn owners(client: &mut Client, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let mut list = printer.list();
    let mut request = ListOwnersRequest::default();
    loop {
        let page = client.list_owners(request.clone()).await?.into_inner();
        for owner in page.owners {
            list.row(&OwnerRow::from(owner))?;
        }
        if page.next_page_token.is_empty() {
            return Ok(list.finish::<OwnerRow>()?);
        }
        request.page_token = page.next_page_token;
    }
}

/// Renews until interrupted. Whatever happens to the daemon, the routes are put in again when it is back.
async fn renew(
    client: &mut Client,
    request: InjectRequest,
    lease: prost_types::Duration,
) -> Result<(), Failure> {
    let lease = Duration::try_from(lease).unwrap_or_default();
    let mut wait = lease / 3;
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            () = tokio::time::sleep(wait) => {}
        }
        let owner = request.owner.clone();
        let renewed = match client.renew(RenewRequest { owner }).await {
            Err(status) if status.code() == Code::NotFound => {
                client.inject(request.clone()).await.map(drop)
            }
            renewed => renewed.map(drop),
        };
        wait = match renewed.map_err(Failure::from) {
            Ok(()) => lease / 3,
            Err(Failure::Unreachable(_)) => RETRY.min(lease / 3),
            Err(failure) => return Err(failure),
        };
    }
}

/// What the words on the command line, and the file they name, ask for.
fn request(command: Inject) -> Result<InjectRequest, String> {
    let batch = match &command.file {
        Some(file) => {
            parse_batch(&read_file(file)?).map_err(|why| format!("{}: {why}", file.display()))?
        }
        None => Batch {
            announce: vec![command.route],
            ..Batch::default()
        },
    };
    let in_file = batch
        .lease
        .as_deref()
        .map(text::parse_duration)
        .transpose()?;
    let lease = command.lease.or(in_file);
    if command.hold && lease.is_none() {
        return Err("--hold renews a lease: give one, as in --lease 30s".into());
    }
    let announce = batch.announce.into_iter().enumerate().map(|(i, route)| {
        route.injected().map_err(|why| match &command.file {
            Some(file) => format!("{}: announce[{i}]: {why}", file.display()),
            None => why,
        })
    });
    let announce: Vec<InjectedRoute> = announce.collect::<Result<_, _>>()?;
    let owner =
        command
            .owner
            .or(batch.owner)
            .unwrap_or_else(|| match (&lease, announce.as_slice()) {
                (None, _) => OWNER.into(),
                (Some(_), [route]) if command.file.is_none() => leased_owner(&route.prefix),
                (Some(_), _) => leased_owner(BATCH),
            });
    let withdraw = batch.withdraw.into_iter().map(|route| RouteKey {
        prefix: host(route.prefix),
        path_id: route.path_id,
    });
    let lease = lease.map(prost_types::Duration::try_from).transpose();
    Ok(InjectRequest {
        owner,
        lease: lease.map_err(|error| format!("lease: {error}"))?,
        announce,
        withdraw: withdraw.collect(),
        replace_all: batch.replace_all,
    })
}

/// What a batch with a lease is called after `cli:`.
const BATCH: &str = "batch";

fn leased_owner(what: &str) -> String {
    format!("{OWNER}:{what}")
}

/// A file's text; that of standard input for `-`.
pub(crate) fn read_file(file: &Path) -> Result<String, String> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|error| format!("{}: {error}", file.display()))
}

fn parse_batch(text: &str) -> Result<Batch, String> {
    // No TOML document begins with a brace.
    if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        toml::from_str(text).map_err(|error| error.to_string().trim_end().into())
    }
}

impl RouteSpec {
    fn injected(self) -> Result<InjectedRoute, String> {
        let prefix = self
            .prefix
            .ok_or("a prefix is missing: write prefix = \"10.96.0.10/32\"")?;
        let origin = self.origin.map_or(Origin::Igp, Origin::from);
        let attributes = Attributes {
            origin: origin.into(),
            as_path: text::parse_as_path(self.as_path.as_deref().unwrap_or_default())?,
            next_hop: self.next_hop.filter(|address| address != "self"),
            med: self.med,
            local_pref: self.local_pref,
            aigp: self.aigp,
            communities: self.communities,
            large_communities: self.large_communities,
            ext_communities: self.ext_communities,
            ..Attributes::default()
        };
        Ok(InjectedRoute {
            prefix: host(prefix),
            path_id: self.path_id,
            attributes: Some(attributes),
            install: self.install,
            tag: self.tag,
        })
    }
}

/// What `inject` did, as JSON has it.
#[derive(Serialize)]
struct Injected<'a> {
    owner: &'a str,
    announced: u64,
    withdrawn: u64,
    lease_s: Option<f64>,
}

#[derive(Serialize)]
struct Withdrawn {
    withdrawn: u64,
}

impl Injected<'_> {
    fn line(&self) -> String {
        let lease = self
            .lease_s
            .map(|s| format!(" with a lease of {s}s"))
            .unwrap_or_default();
        let (announced, withdrawn) = (routes(self.announced), self.withdrawn);
        format!(
            "{announced} injected, {withdrawn} withdrawn, owner {}{lease}",
            self.owner
        )
    }
}

/// An owner of routes, as JSON has it.
#[derive(Debug, Serialize)]
struct OwnerRow {
    owner: String,
    routes: u64,
    /// Null: no lease.
    lease_left_s: Option<f64>,
}

impl From<Owner> for OwnerRow {
    fn from(owner: Owner) -> Self {
        Self {
            owner: owner.name,
            routes: owner.routes,
            lease_left_s: owner.lease_left.map(seconds),
        }
    }
}

impl Row for OwnerRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("OWNER"),
        Column::number("ROUTES"),
        Column::number("LEASE LEFT"),
    ];

    fn lines(&self) -> Vec<Vec<Word>> {
        let left = self.lease_left_s.map(|s| format!("{s:.1}s"));
        vec![vec![
            self.owner.as_str().into(),
            self.routes.into(),
            left.into(),
        ]]
    }
}

fn seconds(duration: prost_types::Duration) -> f64 {
    Duration::try_from(duration)
        .unwrap_or_default()
        .as_secs_f64()
}

fn routes(count: u64) -> String {
    match count {
        1 => "1 route".into(),
        _ => format!("{count} routes"),
    }
}

#[cfg(test)]
mod tests;
