//! Policies and their tests, both ways.

use proto::v1;
use speaker::command::Refusal;
use speaker::policy::{
    Direction, GivenRoute, PolicyOutcome, PolicyTest, PolicyView, RouteSource, TraceStep, Verdict,
};

use super::{answers, requests};

/// Most policies of a chain that is tested.
const CHAIN_MAX: usize = 64;

fn invalid(field: &str, why: impl Into<String>) -> Refusal {
    Refusal::Invalid {
        field: field.to_owned(),
        why: why.into(),
    }
}

pub(crate) fn policy_test(request: v1::TestPolicyRequest) -> Result<PolicyTest, Refusal> {
    if request.policies.is_empty() || request.policies.len() > CHAIN_MAX {
        return Err(invalid(
            "policies",
            format!("name 1 to {CHAIN_MAX} of them"),
        ));
    }
    let direction = match v1::Direction::try_from(request.direction) {
        Ok(v1::Direction::Unspecified | v1::Direction::Import) => Direction::Import,
        Ok(v1::Direction::Export) => Direction::Export,
        Ok(v1::Direction::Kernel) => Direction::Kernel,
        Err(_) => return Err(invalid("direction", "no such direction")),
    };
    let prefix = requests::prefix("prefix", &request.prefix)?;
    let given = request.attributes.is_some();
    if !given && (request.source.is_some() || request.tag != 0) {
        let field = if request.tag == 0 { "source" } else { "tag" };
        return Err(invalid(
            field,
            "it goes with `attributes`: a route of the table has its own",
        ));
    }
    let source = match request.source {
        None => RouteSource::Bgp,
        Some(text) => text.parse().map_err(|why: String| invalid("source", why))?,
    };
    let attributes = request
        .attributes
        .map(|said| requests::parse_attributes("attributes", prefix, &said));
    let route = attributes.transpose()?.map(|attributes| GivenRoute {
        attributes,
        source,
        tag: request.tag,
    });
    let peer = request.peer.map(|name| requests::peer_name("peer", &name));
    Ok(PolicyTest {
        policies: request.policies,
        prefix,
        direction,
        peer: peer.transpose()?,
        route,
    })
}

pub(crate) fn policy_outcome(outcome: PolicyOutcome) -> v1::TestPolicyResponse {
    let step = |step: TraceStep| v1::PolicyStep {
        policy: step.policy,
        rule: step.rule.and_then(|rule| u32::try_from(rule + 1).ok()),
        set: step.set,
        then: step.then,
    };
    let place = outcome.trace.placement;
    v1::TestPolicyResponse {
        table: place.table,
        metric: place.metric,
        prefsrc: place.prefsrc.map(|address| address.to_string()),
        accepted: outcome.verdict == Verdict::Accept,
        tag_before: outcome.before.tag,
        tag_after: outcome.trace.tag,
        steps: outcome.trace.steps.into_iter().map(step).collect(),
        before: Some(answers::attributes(outcome.before.attributes)),
        after: Some(answers::attributes(outcome.after)),
    }
}

pub(crate) fn policy(view: PolicyView) -> v1::Policy {
    let names = |peers: Vec<_>| peers.iter().map(answers::name_text).collect();
    v1::Policy {
        name: view.name,
        default: view.default,
        rules: u32::try_from(view.rules).unwrap_or(u32::MAX),
        import: names(view.import),
        export: names(view.export),
        fib: view.fib,
    }
}
