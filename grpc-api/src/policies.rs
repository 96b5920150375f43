//! `PolicyService`.

use proto::v1;
use proto::v1::policy_service_server::PolicyService;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::core::Core;

#[derive(Debug)]
pub(crate) struct Policies(pub(crate) Core);

#[tonic::async_trait]
impl PolicyService for Policies {
    async fn list_policies(
        &self,
        _: Request<v1::ListPoliciesRequest>,
    ) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        let policies = self.0.ask(|speaker, _, _| speaker.policies()).await?;
        let policies = policies.into_iter().map(convert::policy).collect();
        Ok(Response::new(v1::ListPoliciesResponse { policies }))
    }

    async fn test_policy(
        &self,
        request: Request<v1::TestPolicyRequest>,
    ) -> Result<Response<v1::TestPolicyResponse>, Status> {
        let test = convert::policy_test(request.into_inner()).map_err(convert::status)?;
        let outcome = self
            .0
            .ask(move |speaker, _, _| speaker.test_policy(test))
            .await?;
        let outcome = outcome.map_err(convert::status)?;
        Ok(Response::new(convert::policy_outcome(outcome)))
    }
}
