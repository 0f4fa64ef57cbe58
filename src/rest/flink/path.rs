//! What a path names: the job, a vertex, a subtask. Ids that are malformed are a bad request, ids that
//! are unknown are not found.

use axum::extract::{FromRequestParts, RawPathParams};
use http::Uri;
use http::request::Parts;
use url::form_urlencoded;

use super::vertex::Vertex;
use crate::ids::JobId;
use crate::jobs::view::JobView;
use crate::rest::answer::Refusal;
use crate::rest::{Shared, trigger};

/// The job of this process, looked at now.
pub struct Job {
    pub id: JobId,
    pub view: JobView,
    pub app: Shared,
    params: Vec<(String, String)>,
}

impl Job {
    /// A part of the path by its name in the route.
    pub fn param(&self, name: &str) -> &str {
        param(&self.params, name)
    }
}

fn param<'a>(params: &'a [(String, String)], name: &str) -> &'a str {
    let found = params.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value)
}

impl FromRequestParts<Shared> for Job {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|e| Refusal::bad_request(e.body_text()))?;
        let params: Vec<_> = params
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let asked = param(&params, "jobid");
        let asked = trigger::id_of(asked).ok_or_else(|| Refusal::malformed("jobid", asked))?;
        let view = app.control.view();
        let Some(id) = view.job.clone().filter(|id| id.to_string() == asked) else {
            let ours = view.job.as_ref().map_or_else(
                || "its own id is not known before recovery has read it".to_owned(),
                |id| format!("this service runs job {id}"),
            );
            return Err(Refusal::not_found(format!("Job {asked} not found: {ours}")));
        };
        Ok(Self {
            id,
            view,
            app: app.clone(),
            params,
        })
    }
}

pub struct OneVertex {
    pub job: Job,
    pub vertex: Vertex,
}

impl FromRequestParts<Shared> for OneVertex {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
        let job = Job::from_request_parts(parts, app).await?;
        let asked = job.param("vertexid");
        let asked = trigger::id_of(asked).ok_or_else(|| Refusal::malformed("vertexid", asked))?;
        let vertex = Vertex::ALL
            .into_iter()
            .find(|vertex| vertex.id(&job.id) == asked);
        match vertex {
            Some(vertex) => Ok(Self { job, vertex }),
            None => Err(Refusal::not_found(format!(
                "job {} has no vertex {asked}",
                job.id
            ))),
        }
    }
}

pub struct OneSubtask {
    pub job: Job,
    pub vertex: Vertex,
    pub index: u32,
}

impl FromRequestParts<Shared> for OneSubtask {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
        let OneVertex { job, vertex } = OneVertex::from_request_parts(parts, app).await?;
        let asked = job.param("subtaskindex");
        let index: u32 = asked
            .parse()
            .map_err(|_| Refusal::malformed("subtaskindex", asked))?;
        let parallelism = vertex.parallelism(&job.view);
        if index >= parallelism {
            return Err(Refusal::not_found(format!(
                "Invalid subtask index {index}: the vertex has {parallelism}"
            )));
        }
        Ok(Self { job, vertex, index })
    }
}

/// The values of a query parameter, which may be given several times or separated by commas; `None`
/// if it is not there.
pub fn query(uri: &Uri, name: &str) -> Option<Vec<String>> {
    let query = uri.query().unwrap_or_default();
    let mut given = form_urlencoded::parse(query.as_bytes())
        .filter(|(known, _)| known == name)
        .peekable();
    given.peek()?;
    let values = given.flat_map(|(_, value)| {
        let values: Vec<_> = value.split(',').map(str::to_owned).collect();
        values
    });
    Some(values.filter(|value| !value.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_in_any_form() {
        let of = |uri: &str| query(&uri.parse().unwrap(), "get");
        assert_eq!(of("/m"), None);
        assert_eq!(of("/m?agg=sum"), None);
        assert_eq!(of("/m?get="), Some(vec![]));
        for uri in ["/m?get=a,b", "/m?get=a%2Cb", "/m?get=a&agg=x&get=b"] {
            assert_eq!(of(uri), Some(vec!["a".to_owned(), "b".to_owned()]), "{uri}");
        }
    }
}
