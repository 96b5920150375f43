//! PolicyService against a real speaker.

use proto::v1;
use proto::v1::policy_service_client::PolicyServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use super::lab::{Lab, fault};

async fn client(lab: &Lab) -> PolicyServiceClient<Channel> {
    PolicyServiceClient::new(lab.channel().await)
}

fn test(prefix: &str) -> v1::TestPolicyRequest {
    v1::TestPolicyRequest {
        policies: vec!["marking".into()],
        prefix: prefix.into(),
        attributes: Some(v1::Attributes::default()),
        ..v1::TestPolicyRequest::default()
    }
}

#[tokio::test]
async fn a_test_tells_the_decision_who_spoke_and_what_was_set() {
    let lab = Lab::new().await;
    let mut client = client(&lab).await;
    let answer = client.test_policy(test("10.1.0.0/16")).await.unwrap();
    let answer = answer.into_inner();
    assert!(answer.accepted);
    let step = &answer.steps[0];
    assert_eq!(
        (step.policy.as_deref(), step.rule),
        (Some("marking"), Some(1))
    );
    assert_eq!(
        (step.set.as_slice(), step.then.as_str()),
        (
            &["local-pref 200".to_owned(), "tag 7".to_owned()][..],
            "accept"
        )
    );
    assert_eq!(answer.before.unwrap().local_pref, None);
    assert_eq!(answer.after.unwrap().local_pref, Some(200));
    assert_eq!((answer.tag_before, answer.tag_after), (0, 7));
    let answer = client.test_policy(test("192.0.2.0/24")).await.unwrap();
    let answer = answer.into_inner();
    assert!(!answer.accepted);
    assert_eq!((answer.steps.len(), answer.steps[0].rule), (1, None));
}

#[tokio::test]
async fn a_route_of_the_table_can_be_tested() {
    let lab = Lab::new().await;
    let mut client = client(&lab).await;
    let of_the_table = |prefix: &str, direction: v1::Direction| v1::TestPolicyRequest {
        attributes: None,
        direction: direction.into(),
        ..test(prefix)
    };
    let request = of_the_table("10.100.0.0/16", v1::Direction::Export);
    let answer = client.test_policy(request).await.unwrap().into_inner();
    assert!(answer.accepted);
    let missing = of_the_table("10.101.0.0/16", v1::Direction::Export);
    let refused = client.test_policy(missing).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let whose = of_the_table("10.100.0.0/16", v1::Direction::Import);
    assert_eq!(fault(&client.test_policy(whose).await.unwrap_err()), "peer");
}

#[tokio::test]
async fn on_the_way_into_the_kernel_a_test_tells_where_the_route_would_be() {
    let lab = Lab::new().await;
    let mut client = client(&lab).await;
    let request = v1::TestPolicyRequest {
        policies: vec!["placing".into()],
        attributes: None,
        direction: v1::Direction::Kernel.into(),
        ..test("10.100.0.0/16")
    };
    let answer = client.test_policy(request).await.unwrap().into_inner();
    assert!(answer.accepted);
    assert_eq!(
        (answer.table, answer.metric, answer.prefsrc.as_deref()),
        (Some(1000), None, Some("10.0.0.9"))
    );
    let listed = client.list_policies(v1::ListPoliciesRequest {}).await;
    let policies = listed.unwrap().into_inner().policies;
    let of_fib: Vec<_> = policies.iter().map(|p| (p.name.as_str(), p.fib)).collect();
    assert_eq!(of_fib, [("marking", false), ("placing", true)]);
}

#[tokio::test]
async fn what_there_is_not_is_named() {
    let lab = Lab::new().await;
    let mut client = client(&lab).await;
    let unknown = v1::TestPolicyRequest {
        policies: vec!["marking".into(), "nobody".into()],
        ..test("10.0.0.0/8")
    };
    assert_eq!(
        fault(&client.test_policy(unknown).await.unwrap_err()),
        "policies[1]"
    );
    let none = v1::TestPolicyRequest {
        policies: Vec::new(),
        ..test("10.0.0.0/8")
    };
    assert_eq!(
        fault(&client.test_policy(none).await.unwrap_err()),
        "policies"
    );
    let source = v1::TestPolicyRequest {
        source: Some("ospf".into()),
        ..test("10.0.0.0/8")
    };
    assert_eq!(
        fault(&client.test_policy(source).await.unwrap_err()),
        "source"
    );
    let listed = client
        .list_policies(v1::ListPoliciesRequest {})
        .await
        .unwrap();
    let listed = listed.into_inner().policies;
    assert_eq!(listed[0].name, "marking");
    assert_eq!(
        (listed[0].rules, listed[0].default.as_deref()),
        (1, Some("reject"))
    );
}
