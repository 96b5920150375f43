//! `SystemService`.

use proto::v1;
use proto::v1::system_service_server::SystemService;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::core::Core;

#[derive(Debug)]
pub(crate) struct System(pub(crate) Core);

#[tonic::async_trait]
impl SystemService for System {
    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let (now, status) = self
            .0
            .ask(|speaker, now, _| (now, speaker.status()))
            .await?;
        Ok(Response::new(convert::system_status(status, now)))
    }

    async fn drain(
        &self,
        request: Request<v1::DrainRequest>,
    ) -> Result<Response<v1::DrainResponse>, Status> {
        let grace = convert::grace(request.into_inner().grace).map_err(convert::status)?;
        let (now, drain) = self
            .0
            .ask(move |speaker, now, out| (now, speaker.drain(now, grace, out)))
            .await?;
        let drain = drain.map_err(convert::status)?;
        let drain = Some(convert::drain(drain, now));
        Ok(Response::new(v1::DrainResponse { drain }))
    }

    async fn undrain(
        &self,
        _: Request<v1::UndrainRequest>,
    ) -> Result<Response<v1::UndrainResponse>, Status> {
        let (now, done) = self
            .0
            .ask(|speaker, now, out| (now, speaker.undrain(now, out)))
            .await?;
        let (was_draining, drain) = done.map_err(convert::status)?;
        Ok(Response::new(v1::UndrainResponse {
            was_draining,
            drain: Some(convert::drain(drain, now)),
        }))
    }

    async fn check_config(
        &self,
        request: Request<v1::CheckConfigRequest>,
    ) -> Result<Response<v1::CheckConfigResponse>, Status> {
        let report = self.0.config.check(&request.into_inner().text).err();
        Ok(Response::new(v1::CheckConfigResponse { report }))
    }

    async fn diff_config(
        &self,
        request: Request<v1::DiffConfigRequest>,
    ) -> Result<Response<v1::DiffConfigResponse>, Status> {
        let (changes, report) = split(self.0.config.diff(request.into_inner().text.as_deref()));
        Ok(Response::new(v1::DiffConfigResponse { changes, report }))
    }

    async fn reload_config(
        &self,
        _: Request<v1::ReloadConfigRequest>,
    ) -> Result<Response<v1::ReloadConfigResponse>, Status> {
        let (changes, report) = split(self.0.config.reload().await);
        Ok(Response::new(v1::ReloadConfigResponse { changes, report }))
    }

    async fn get_config(
        &self,
        _: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        let text = self.0.config.effective();
        Ok(Response::new(v1::GetConfigResponse { text }))
    }
}

fn split(outcome: Result<Vec<String>, String>) -> (Vec<String>, Option<String>) {
    match outcome {
        Ok(changes) => (changes, None),
        Err(report) => (Vec::new(), Some(report)),
    }
}
