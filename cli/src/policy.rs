//! `windrose policy`: what there is, and what it would do.

use clap::Args;
use proto::v1::policy_service_client::PolicyServiceClient;
use proto::v1::system_service_client::SystemServiceClient;
use proto::v1::{
    Attributes, Direction, GetConfigRequest, ListPoliciesRequest, Origin, Path, Policy, PolicyStep,
    TestPolicyRequest, TestPolicyResponse,
};
use serde::Serialize;
use tonic::transport::Channel;

use crate::args::PolicyCommand;
use crate::client::{ANSWER_MAX, Failure};
use crate::inject::OriginName;
use crate::output::{Column, Printer, Row, Word};
use crate::path::PathRow;
use crate::route::host;
use crate::text;

/// A route and the policies that it is sent through.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PolicyTest {
    /// The policy; several in their order, with commas
    policies: String,
    /// Where the route leads to; without /LENGTH one host
    prefix: String,
    /// Whose policy it would be
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<String>,
    #[arg(long, value_enum, default_value_t)]
    direction: DirectionName,
    /// The route of the table instead: on import as --peer sent it, on export the best one
    #[arg(long, conflicts_with_all = ["next_hop", "communities", "large_communities", "ext_communities", "med",
        "local_pref", "as_path", "origin", "aigp", "source", "tag"])]
    existing: bool,
    #[arg(long, value_name = "ADDRESS")]
    next_hop: Option<String>,
    /// As 65001:100 or no-export; several with commas, or repeated
    #[arg(long = "community", value_name = "COMMUNITY", value_delimiter = ',')]
    communities: Vec<String>,
    /// As 65001:1:2
    #[arg(
        long = "large-community",
        value_name = "COMMUNITY",
        value_delimiter = ','
    )]
    large_communities: Vec<String>,
    /// As rt:65001:5
    #[arg(
        long = "ext-community",
        value_name = "COMMUNITY",
        value_delimiter = ','
    )]
    ext_communities: Vec<String>,
    #[arg(long, value_name = "NUMBER")]
    med: Option<u32>,
    #[arg(long, value_name = "NUMBER")]
    local_pref: Option<u32>,
    /// As "65001 65002 {65003}"
    #[arg(long, value_name = "PATH")]
    as_path: Option<String>,
    #[arg(long)]
    origin: Option<OriginName>,
    /// The accumulated IGP metric
    #[arg(long, value_name = "NUMBER")]
    aigp: Option<u64>,
    /// bgp, static, connected, kernel, api, originate or aggregate
    #[arg(long)]
    source: Option<String>,
    #[arg(long, value_name = "NUMBER")]
    tag: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum DirectionName {
    #[default]
    Import,
    Export,
    /// From the table into our kernel, as by the policy of [fib]
    Kernel,
}

impl From<DirectionName> for Direction {
    fn from(name: DirectionName) -> Self {
        match name {
            DirectionName::Import => Self::Import,
            DirectionName::Export => Self::Export,
            DirectionName::Kernel => Self::Kernel,
        }
    }
}

pub(crate) async fn run(
    command: PolicyCommand,
    channel: Channel,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut client =
        PolicyServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_MAX);
    match command {
        PolicyCommand::List => {
            let answer = client.list_policies(ListPoliciesRequest {}).await?;
            let mut list = printer.list();
            for policy in answer.into_inner().policies {
                list.row(&PolicyRow::from(policy))?;
            }
            Ok(list.finish::<PolicyRow>()?)
        }
        PolicyCommand::Show { name } => show(channel, &name, printer).await,
        PolicyCommand::Test(test) => {
            let request = request(*test).map_err(Failure::Refused)?;
            let tested = Tested::from(client.test_policy(request).await?.into_inner());
            if printer.format().is_json() {
                return Ok(printer.done(&tested, String::new)?);
            }
            for line in tested.lines() {
                printer.line(&line)?;
            }
            Ok(())
        }
    }
}

/// A policy as it is in force: what the configuration has, as TOML.
async fn show(channel: Channel, name: &str, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let mut client = SystemServiceClient::new(channel);
    let text = client
        .get_config(GetConfigRequest {})
        .await?
        .into_inner()
        .text;
    let config: toml::Table = toml::from_str(&text).map_err(Failure::refused)?;
    let policies = config.get("policy").and_then(toml::Value::as_array);
    let named =
        |policy: &&toml::Value| policy.get("name").and_then(toml::Value::as_str) == Some(name);
    let policy = policies.and_then(|policies| policies.iter().find(named));
    let policy = policy.ok_or_else(|| {
        Failure::Refused(format!(
            "policy {name}: not found; see `windrose policy list`"
        ))
    })?;
    let section = toml::Table::from_iter([("policy".to_owned(), vec![policy.clone()].into())]);
    let shown = toml::to_string(&section).map_err(Failure::refused)?;
    Ok(printer.done(policy, || shown.trim_end().to_owned())?)
}

fn request(test: PolicyTest) -> Result<TestPolicyRequest, String> {
    let attributes = Attributes {
        origin: test.origin.map_or(Origin::Igp, Origin::from).into(),
        as_path: text::parse_as_path(test.as_path.as_deref().unwrap_or_default())?,
        next_hop: test.next_hop.filter(|address| address != "self"),
        med: test.med,
        local_pref: test.local_pref,
        aigp: test.aigp,
        communities: test.communities,
        large_communities: test.large_communities,
        ext_communities: test.ext_communities,
        ..Attributes::default()
    };
    Ok(TestPolicyRequest {
        policies: test.policies.split(',').map(str::to_owned).collect(),
        prefix: host(test.prefix),
        direction: Direction::from(test.direction).into(),
        peer: test.peer,
        attributes: (!test.existing).then_some(attributes),
        source: test.source,
        tag: test.tag.unwrap_or_default(),
    })
}

/// A policy, as JSON has it.
#[derive(Debug, Serialize)]
struct PolicyRow {
    policy: String,
    /// Null: the next policy of a chain is asked.
    default: Option<String>,
    rules: u32,
    /// Peers that use it.
    import: Vec<String>,
    export: Vec<String>,
    /// The policy of `[fib]` names it.
    fib: bool,
}

impl From<Policy> for PolicyRow {
    fn from(policy: Policy) -> Self {
        Self {
            policy: policy.name,
            default: policy.default,
            rules: policy.rules,
            import: policy.import,
            export: policy.export,
            fib: policy.fib,
        }
    }
}

impl Row for PolicyRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("POLICY"),
        Column::text("DEFAULT"),
        Column::number("RULES"),
        Column::text("IMPORT OF"),
        Column::text("EXPORT OF"),
        Column::text("FIB"),
    ];

    fn lines(&self) -> Vec<Vec<Word>> {
        vec![vec![
            self.policy.as_str().into(),
            self.default.clone().into(),
            u64::from(self.rules).into(),
            self.import.join(" ").into(),
            self.export.join(" ").into(),
            if self.fib { "yes" } else { "" }.into(),
        ]]
    }
}

/// What came of a test, as JSON has it.
#[derive(Debug, Serialize)]
struct Tested {
    accepted: bool,
    steps: Vec<Step>,
    before: PathRow,
    after: PathRow,
    /// Where in the kernel it would be; null: as `[fib]` says.
    table: Option<u32>,
    metric: Option<u32>,
    prefsrc: Option<String>,
}

#[derive(Debug, Serialize)]
struct Step {
    /// Null: the end of the chain.
    policy: Option<String>,
    /// Counted from 1; null: the policy's default.
    rule: Option<u32>,
    set: Vec<String>,
    then: String,
}

impl From<TestPolicyResponse> for Tested {
    fn from(answer: TestPolicyResponse) -> Self {
        let row = |attributes, tag| {
            PathRow::from(Path {
                attributes,
                tag,
                ..Path::default()
            })
        };
        Self {
            accepted: answer.accepted,
            steps: answer.steps.into_iter().map(Step::from).collect(),
            before: row(answer.before, answer.tag_before),
            after: row(answer.after, answer.tag_after),
            table: answer.table,
            metric: answer.metric,
            prefsrc: answer.prefsrc,
        }
    }
}

impl From<PolicyStep> for Step {
    fn from(step: PolicyStep) -> Self {
        Self {
            policy: step.policy,
            rule: step.rule,
            set: step.set,
            then: step.then,
        }
    }
}

impl Step {
    fn line(&self) -> String {
        let who = match (&self.policy, self.rule) {
            (None, _) => "end of the chain".to_owned(),
            (Some(policy), None) => format!("{policy}, default"),
            (Some(policy), Some(rule)) => format!("{policy}, rule {rule}"),
        };
        let set = match self.set.as_slice() {
            [] => String::new(),
            set => format!("set {}; ", set.join(", ")),
        };
        format!("  {who}: {set}{}", self.then)
    }
}

impl Tested {
    /// Where in the kernel policies put it.
    fn kernel(&self) -> Option<String> {
        let table = self.table.map(|table| format!("table {table}"));
        let metric = self.metric.map(|metric| format!("metric {metric}"));
        let source = self.prefsrc.as_ref().map(|from| format!("prefsrc {from}"));
        let all: Vec<String> = [table, metric, source].into_iter().flatten().collect();
        (!all.is_empty()).then(|| format!("kernel: {}", all.join(", ")))
    }

    fn lines(&self) -> Vec<String> {
        let verdict = if self.accepted { "accept" } else { "reject" };
        let mut lines = vec![verdict.to_owned()];
        lines.extend(self.steps.iter().map(Step::line));
        lines.push(format!("before: {}", self.before.attributes()));
        if self.accepted {
            lines.push(format!("after:  {}", self.after.attributes()));
            lines.extend(self.kernel());
        }
        lines
    }
}
