//! Requests of our own, signed as `object_store` signs its requests, for what it has no call for or
//! whose answers it does not tell apart.

use http::Method;
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::S3Store;
use crate::store::{Key, StoreError};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListMultipartUploads {
    #[serde(default)]
    pub is_truncated: bool,
    #[serde(default)]
    pub next_key_marker: String,
    #[serde(default)]
    pub next_upload_id_marker: String,
    #[serde(default, rename = "Upload")]
    pub uploads: Vec<ListedUpload>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedUpload {
    pub key: String,
    pub upload_id: String,
    /// When it was begun, RFC 3339.
    #[serde(default)]
    pub initiated: String,
}

impl S3Store {
    /// One page of S3's ListMultipartUploads, which `object_store` has no call for, of the keys that begin
    /// so. MinIO answers a beginning that is not a whole key with nothing.
    pub(super) async fn list_uploads(
        &self,
        beginning: Option<&str>,
        after: Option<&(String, String)>,
    ) -> Result<ListMultipartUploads, StoreError> {
        let action = super::LISTING_UPLOADS;
        let mut query = vec![("uploads", "")];
        query.extend(beginning.map(|beginning| ("prefix", beginning)));
        if let Some((key, id)) = after {
            query.extend([("key-marker", key.as_str()), ("upload-id-marker", id)]);
        }
        let text = self.get_signed(action, &query).await?;
        quick_xml::de::from_str(&text).map_err(|e| StoreError::Denied {
            action,
            url: self.url_of(""),
            source: format!("its answer cannot be read: {e}").into(),
        })
    }

    /// How the store has encrypted an object, as it says.
    pub(super) async fn encryption_of(&self, key: &Key) -> Result<Option<String>, StoreError> {
        let action = super::READING;
        let url = format!("{}/{}", self.bucket_url, self.full(&key.0));
        let response = self.signed(action, Method::HEAD, url).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.failure(action, &key.0, format!("status code: {status}").into()));
        }
        let said = response.headers().get("x-amz-server-side-encryption");
        Ok(said.map(|said| String::from_utf8_lossy(said.as_bytes()).into_owned()))
    }

    /// A GET on the S3 bucket itself; the body of its answer.
    async fn get_signed(
        &self,
        action: &'static str,
        query: &[(&str, &str)],
    ) -> Result<String, StoreError> {
        let url = url::Url::parse(&self.bucket_url);
        let mut url = url.map_err(|e| self.failure(action, "", e.into()))?;
        url.query_pairs_mut().extend_pairs(query);
        // Signatures are over %20, the form encoding of a space is '+'.
        let url = url.as_str().replace('+', "%20");
        let response = self.signed(action, Method::GET, url).await?;
        let failed = |e: object_store::client::HttpError| self.failure(action, "", e.into());
        let status = response.status();
        let body = response.into_body().bytes().await.map_err(failed)?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() {
            return Ok(text);
        }
        Err(self.failure(action, "", format!("status code: {status}: {text}").into()))
    }

    async fn signed(
        &self,
        action: &'static str,
        method: Method,
        url: String,
    ) -> Result<HttpResponse, StoreError> {
        let uri = url.parse();
        let mut request = HttpRequest::new(object_store::client::HttpRequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() =
            uri.map_err(|e: http::uri::InvalidUri| self.failure(action, "", e.into()))?;
        let failed = |e: object_store::Error| self.failure(action, "", e.into());
        let credential = self.client.credentials().get_credential().await;
        AwsAuthorizer::new(&*credential.map_err(failed)?, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(failed)?;
        let failed = |e: object_store::client::HttpError| self.failure(action, "", e.into());
        self.http.execute(request).await.map_err(failed)
    }
}
