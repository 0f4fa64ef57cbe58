//! Requests of our own, signed as `object_store` signs its requests, for what it has no call for or
//! whose answers it does not tell apart.

use object_store::aws::AwsAuthorizer;
use object_store::client::HttpRequest;
use serde::Deserialize;

use super::S3Store;
use crate::store::{Key, PartFiles, StoreError, Upload};

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
}

impl S3Store {
    /// Asks for one name, and puts a part of an upload that does not exist: proves that the S3
    /// bucket is there, that the credentials are right, and that they may write. Leaves nothing.
    ///
    /// By a request of its own, because `object_store` reports every refused listing as an error
    /// of unknown kind, also one that will be refused for ever.
    pub async fn check(&self) -> Result<(), StoreError> {
        let prefix = self.full("");
        let query = [("list-type", "2"), ("max-keys", "1"), ("prefix", &prefix)];
        self.get_signed("listing", &query).await?;
        let nowhere = Upload {
            key: Key::new(".probe"),
            id: uuid::Uuid::new_v4().simple().to_string(),
            token: String::new(),
        };
        // Rights are looked at before uploads are.
        match self.put_part(&nowhere, 0, 0, "probe".into()).await {
            Ok(_) | Err(StoreError::UploadGone { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// One page of S3's ListMultipartUploads, which `object_store` has no call for.
    pub(super) async fn list_uploads(
        &self,
        after: Option<&(String, String)>,
    ) -> Result<ListMultipartUploads, StoreError> {
        let action = "listing the open uploads of";
        // Of the whole S3 bucket: MinIO answers a prefix that is not a whole key with nothing, and
        // orphans would stay for ever.
        let mut query = vec![("uploads", "")];
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

    /// A GET on the S3 bucket itself; the body of its answer.
    async fn get_signed(
        &self,
        action: &'static str,
        query: &[(&str, &str)],
    ) -> Result<String, StoreError> {
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
            StoreError::unavailable(action, self.url_of(""), e)
        };
        let mut url = url::Url::parse(&self.bucket_url).map_err(|e| failed(e.into()))?;
        url.query_pairs_mut().extend_pairs(query);
        // Signatures are over %20, the form encoding of a space is '+'.
        let uri = url.as_str().replace('+', "%20");
        let mut request = HttpRequest::new(object_store::client::HttpRequestBody::empty());
        *request.uri_mut() = uri
            .parse()
            .map_err(|e: http::uri::InvalidUri| failed(e.into()))?;
        let credential = self.client.credentials().get_credential().await;
        let credential = credential.map_err(|e| StoreError::Denied {
            action,
            url: self.url_of(""),
            source: format!(
                "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY ({e})"
            )
            .into(),
        })?;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|e| failed(e.into()))?;
        let response = self
            .http
            .execute(request)
            .await
            .map_err(|e| failed(e.into()))?;
        let status = response.status();
        let body = response
            .into_body()
            .bytes()
            .await
            .map_err(|e| failed(e.into()))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() {
            return Ok(text);
        }
        let source = format!("{status}: {text}").into();
        let later = [
            http::StatusCode::REQUEST_TIMEOUT,
            http::StatusCode::TOO_MANY_REQUESTS,
        ];
        if status.is_server_error() || later.contains(&status) {
            Err(failed(source))
        } else {
            Err(StoreError::Denied {
                action,
                url: self.url_of(""),
                source,
            })
        }
    }
}
