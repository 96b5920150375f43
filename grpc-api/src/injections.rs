//! `InjectionService`.

use proto::v1;
use proto::v1::injection_service_server::InjectionService;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::core::Core;
use crate::page;

#[derive(Debug)]
pub(crate) struct Injections(pub(crate) Core);

#[tonic::async_trait]
impl InjectionService for Injections {
    async fn inject(
        &self,
        request: Request<v1::InjectRequest>,
    ) -> Result<Response<v1::InjectResponse>, Status> {
        let batch = convert::batch(request.into_inner()).map_err(convert::status)?;
        let done = self
            .0
            .ask(move |speaker, now, effects| speaker.inject(now, batch, effects));
        let done = done.await?.map_err(convert::status)?;
        Ok(Response::new(convert::injected(done)))
    }

    async fn withdraw(
        &self,
        request: Request<v1::WithdrawRequest>,
    ) -> Result<Response<v1::WithdrawResponse>, Status> {
        let mut batch = convert::withdrawal(request.into_inner()).map_err(convert::status)?;
        let done = self.0.ask(move |speaker, now, effects| {
            // A batch sets its owner's lease; this one is to leave it as it is.
            batch.lease = speaker.lease_of(&batch.owner);
            speaker.inject(now, batch, effects)
        });
        let withdrawn = convert::injected(done.await?.map_err(convert::status)?).withdrawn;
        Ok(Response::new(v1::WithdrawResponse { withdrawn }))
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::RenewResponse>, Status> {
        let owner = convert::owner_name(request.into_inner().owner).map_err(convert::status)?;
        let done = self
            .0
            .ask(move |speaker, now, _| speaker.renew(now, &owner));
        done.await?.map_err(convert::status)?;
        Ok(Response::new(v1::RenewResponse {}))
    }

    async fn list_owners(
        &self,
        request: Request<v1::ListOwnersRequest>,
    ) -> Result<Response<v1::ListOwnersResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size);
        let owners = self
            .0
            .ask(|speaker, now, _| speaker.injections(now))
            .await?;
        let mut owners: Vec<_> = owners
            .into_iter()
            .filter(|owner| owner.owner > request.page_token)
            .collect();
        owners.sort_by(|a, b| a.owner.cmp(&b.owner));
        let more = owners.len() > size;
        owners.truncate(size);
        let next = owners
            .last()
            .filter(|_| more)
            .map(|owner| owner.owner.clone());
        let (owners, next_page_token) =
            page::fill(owners, next, convert::owner, |owner| &owner.name);
        Ok(Response::new(v1::ListOwnersResponse {
            owners,
            next_page_token,
        }))
    }
}
