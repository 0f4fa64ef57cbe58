//! How to reach S3.

use super::SettingsError;
use crate::config::args::S3Args;
use crate::store::s3::S3Access;

impl TryFrom<S3Args> for S3Access {
    type Error = SettingsError;

    fn try_from(args: S3Args) -> Result<Self, SettingsError> {
        if args.aws_access_key_id.is_some() != args.aws_secret_access_key.is_some() {
            return Err(SettingsError::HalfCredentials);
        }
        if let Some(endpoint) = &args.aws_endpoint_url {
            let url = url::Url::parse(endpoint).ok();
            if !url.is_some_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host()) {
                return Err(SettingsError::Endpoint(endpoint.clone()));
            }
        }
        Ok(Self {
            endpoint: args.aws_endpoint_url,
            region: args.aws_region,
            access_key_id: args.aws_access_key_id,
            secret_access_key: args.aws_secret_access_key,
            session_token: args.aws_session_token,
        })
    }
}
