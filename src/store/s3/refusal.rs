//! Why a store refuses a request, and what to do about it, in words.
//!
//! `object_store` keeps the type of its errors to itself, so what S3 said is found in their text: the
//! status, and the code of S3's own.

use std::error::Error;

use rustls::CertificateError;

use super::access::Encryption;
use super::credentials::NoCredentials;
use crate::causes::{TlsFault, find, tls_fault};
use crate::runtime::retry::with_causes;
use crate::store::StoreError;

/// Codes of what may go well with the next try: something was lost or changed on its way.
const PASSING: [&str; 5] = [
    "RequestTimeout",
    "IncompleteBody",
    "BadDigest",
    // MinIO's.
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
];

/// What the text needs beside the error.
pub(crate) struct Request<'a> {
    pub action: &'static str,
    pub s3_bucket: &'a str,
    pub encryption: &'a Encryption,
}

impl Request<'_> {
    /// Refused, or not answered. What the store answered is in neither but for its code and its message: it
    /// may hold what was sent to it.
    pub(crate) fn failed(&self, url: String, error: Box<dyn Error + Send + Sync>) -> StoreError {
        match self.refusal(&*error) {
            Some(why) => StoreError::Denied {
                action: self.action,
                url,
                source: why.into(),
            },
            None => StoreError::unavailable(self.action, url, without_body(error)),
        }
    }
}

/// An error of which nothing shows a body.
fn without_body(error: Box<dyn Error + Send + Sync>) -> Box<dyn Error + Send + Sync> {
    let text = with_causes(&*error);
    match text.contains('<') {
        true => shown(&text).into(),
        false => error,
    }
}

/// A text with the body of an answer, of which only code and message are kept.
pub(super) fn shown(text: &str) -> String {
    let Some((before, body)) = text.split_once('<') else {
        return text.to_owned();
    };
    let before = before.trim_end_matches([' ', ':', '"']).to_owned();
    let said = ["Code", "Message"].iter().filter_map(|part| {
        let (begin, end) = (format!("{part}>"), format!("</{part}>"));
        between(body, &begin, &end).filter(|said| !said.is_empty())
    });
    said.fold(before, |text, said| format!("{text}: {said}"))
}

/// The right that an action needs.
fn right(action: &str) -> &'static str {
    match action {
        super::READING => "s3:GetObject",
        super::LISTING => "s3:ListBucket",
        super::LISTING_UPLOADS => "s3:ListBucketMultipartUploads",
        super::ABORTING => "s3:AbortMultipartUpload",
        super::DELETING => "s3:DeleteObject",
        _ => "s3:PutObject",
    }
}

impl Request<'_> {
    /// `None` when it may succeed by itself, later.
    pub(super) fn refusal(&self, error: &(dyn Error + 'static)) -> Option<String> {
        if let Some(untrusted) = untrusted(error) {
            return Some(untrusted);
        }
        if let Some(none) = find::<NoCredentials>(error) {
            return (!none.may_pass).then(|| none.to_string());
        }
        self.of_answer(&with_causes(error))
    }

    /// Of a text with the status and the body of an answer.
    pub(super) fn of_answer(&self, text: &str) -> Option<String> {
        let status = status(text)?;
        let code = between(text, "<Code>", "</Code>").unwrap_or_default();
        // 501: what it does not have it will not have later. 409: another request was at it just then.
        let lasting = (300..500).contains(&status) || status == 501;
        let passing = [408, 409, 429].contains(&status) || PASSING.contains(&code);
        if passing || !lasting {
            return None;
        }
        let said = match between(text, "<Message>", "</Message>") {
            Some(message) => format!(" (it says: {code}: {message})"),
            None if code.is_empty() => format!(" (it says: {})", shortened(text)),
            None => format!(" (it says: {code})"),
        };
        Some(format!("{}{said}", self.meaning(status, code, text)))
    }

    fn meaning(&self, status: u16, code: &str, text: &str) -> String {
        let encryption = self.encryption.name();
        match (status, code) {
            // The last one is versitygw's.
            (_, "InvalidAccessKeyId" | "InvalidClientTokenId" | "XAdminUserNotFound") => {
                "the store does not know the access key: check AWS_ACCESS_KEY_ID, or where else the \
                 credentials come from"
                    .into()
            }
            (_, "SignatureDoesNotMatch") => {
                "the secret key is not the one of the access key: check AWS_SECRET_ACCESS_KEY, or where \
                 else the credentials come from"
                    .into()
            }
            (_, "ExpiredToken" | "TokenRefreshRequired") => {
                "the session token has expired: get new credentials (AWS_SESSION_TOKEN)".into()
            }
            (_, "InvalidToken" | "InvalidTokenId") => {
                "the session token does not fit the access key: check AWS_SESSION_TOKEN".into()
            }
            (_, "RequestTimeTooSkewed" | "RequestExpired") => {
                "the clock of this machine and the store's differ too much: set it right".into()
            }
            (_, "NoSuchBucket") => format!(
                "there is no S3 bucket '{}': make it, or correct the path",
                self.s3_bucket
            ),
            (
                _,
                "AuthorizationHeaderMalformed"
                | "PermanentRedirect"
                | "IllegalLocationConstraintException",
            )
            | (300..=399, _) => format!(
                "the S3 bucket '{}' is in another region: check AWS_REGION and AWS_ENDPOINT_URL",
                self.s3_bucket
            ),
            (_, code) if code.to_ascii_uppercase().contains("KMS") => format!(
                "the key of S3_SSE={encryption} cannot be used: check S3_SSE_KMS_KEY_ID, and the rights \
                 kms:GenerateDataKey and kms:Decrypt"
            ),
            (401 | 403, _) => {
                let kms = match self.encryption {
                    Encryption::Kms { .. } => ", and kms:GenerateDataKey and kms:Decrypt on its key",
                    _ => "",
                };
                format!(
                    "{} is not permitted: give it to these credentials{kms}; docs/s3.md has a policy",
                    right(self.action)
                )
            }
            _ if text.to_ascii_lowercase().contains("checksum") => {
                "the store does not take this kind of checksum: try S3_CHECKSUM=sha256 or none".into()
            }
            _ if *self.encryption != Encryption::AsTheBucketSays
                && (status == 501 || text.to_ascii_lowercase().contains("encrypt")) =>
            {
                format!("the store does not encrypt by S3_SSE={encryption}")
            }
            (501, _) => "the store does not have what this needs".into(),
            _ => "the store refuses it".into(),
        }
    }
}

/// What is wrong with TLS, if that is it.
pub(super) fn untrusted(error: &(dyn Error + 'static)) -> Option<String> {
    let (error, known) = match tls_fault(error)? {
        TlsFault::Untrusted(error) => (error.to_string(), error),
        TlsFault::NoTls(why) => {
            return Some(format!(
                "there is no TLS with the store: {why}. Check the scheme and the port of AWS_ENDPOINT_URL"
            ));
        }
        TlsFault::Refused(why) => {
            return Some(format!(
                "the store ends the connection by TLS: {why}. Check the host name in AWS_ENDPOINT_URL; \
                 certificates of clients are not supported there"
            ));
        }
    };
    let meaning = match known {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate of the store has expired: it has to be renewed there"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate of the store is not valid yet: check the clock of this machine"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate of the store is for another host name: check AWS_ENDPOINT_URL"
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the certificate of the store is signed by nobody whom this machine trusts: give the \
             certificate of its authority by AWS_CA_BUNDLE"
        }
        _ => {
            "the certificate of the store cannot be trusted: check AWS_CA_BUNDLE, or have it renewed"
        }
    };
    Some(format!("{meaning} ({error})"))
}

fn status(text: &str) -> Option<u16> {
    // object_store's words for a redirection that says no place.
    if text.contains("redirect without LOCATION") {
        return Some(301);
    }
    let (_, behind) = text.split_once("status code: ")?;
    behind.get(..3)?.parse().ok()
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, behind) = text.split_once(begin)?;
    Some(behind.split_once(end)?.0)
}

/// What stands behind the status, in one line that a person can read.
fn shortened(text: &str) -> String {
    let answer = text
        .split_once("status code: ")
        .map_or(text, |(_, answer)| answer);
    // Of a page that nobody has asked for nothing is worth more than its status.
    let answer = answer.split('<').next().unwrap_or(answer);
    let words: Vec<_> = answer.split_whitespace().take(30).collect();
    words.join(" ").trim_end_matches(':').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        action: &'static str,
        encryption: Encryption,
        status: &str,
        body: &str,
    ) -> Option<String> {
        let request = Request {
            action,
            s3_bucket: "archive",
            encryption: &encryption,
        };
        request.of_answer(&format!(
            "Server returned non-2xx status code: {status}: {body}"
        ))
    }

    #[test]
    fn each_refusal_is_said_with_its_cure() {
        let kms = || Encryption::Kms {
            key_id: None,
            bucket_key: None,
        };
        for (action, encryption, status, body, said) in [
            (
                super::super::LISTING,
                kms(),
                "403 Forbidden",
                "AccessDenied",
                "s3:ListBucket is not",
            ),
            (
                super::super::READING,
                Encryption::S3,
                "403 Forbidden",
                "",
                "s3:GetObject is not",
            ),
            (
                super::super::ABORTING,
                Encryption::S3,
                "403 Forbidden",
                "AccessDenied",
                "s3:AbortM",
            ),
            (
                "writing",
                kms(),
                "403 Forbidden",
                "AccessDenied",
                "kms:GenerateDataKey",
            ),
            (
                "writing",
                kms(),
                "400 Bad Request",
                "KMS.NotFoundException",
                "S3_SSE_KMS_KEY_ID",
            ),
            (
                "writing",
                Encryption::S3,
                "501 Not Implemented",
                "NotImplemented",
                "S3_SSE=AES256",
            ),
            (
                "writing",
                kms(),
                "403 Forbidden",
                "InvalidAccessKeyId",
                "AWS_ACCESS_KEY_ID",
            ),
            (
                "writing",
                kms(),
                "403 Forbidden",
                "SignatureDoesNotMatch",
                "AWS_SECRET_ACCESS_KEY",
            ),
            (
                "writing",
                kms(),
                "400 Bad Request",
                "ExpiredToken",
                "AWS_SESSION_TOKEN",
            ),
            (
                "writing",
                kms(),
                "404 Not Found",
                "NoSuchBucket",
                "no S3 bucket 'archive'",
            ),
            (
                "writing",
                kms(),
                "301 Moved Permanently",
                "PermanentRedirect",
                "AWS_REGION",
            ),
            (
                "writing",
                kms(),
                "403 Forbidden",
                "RequestTimeTooSkewed",
                "clock",
            ),
            (
                "writing",
                kms(),
                "400 Bad Request",
                "InvalidChecksum",
                "S3_CHECKSUM",
            ),
        ] {
            let body = match body {
                "" => String::new(),
                code => format!("<Error><Code>{code}</Code><Message>no</Message></Error>"),
            };
            let text = of(action, encryption, status, &body).unwrap();
            assert!(text.contains(said), "{text}");
            assert!(!text.contains('<'), "{text}");
        }
    }

    #[test]
    fn nothing_of_a_body_is_shown_but_code_and_message() {
        let request = Request {
            action: "writing",
            s3_bucket: "archive",
            encryption: &Encryption::S3,
        };
        let body =
            "<Error><Code>TheCode</Code><Message>its words</Message><Token-0>geheim</Token-0>";
        for (answer, said) in [
            (format!("400 Bad Request: {body}"), "TheCode: its words"),
            (format!("503 Slow Down: {body}"), "503 Slow Down: TheCode"),
            (
                "502 Bad Gateway: <html>geheim".to_owned(),
                "502 Bad Gateway",
            ),
            ("403 Forbidden: <html>geheim".to_owned(), "403 Forbidden"),
        ] {
            let error = format!("Server returned non-2xx status code: {answer}");
            let shown = with_causes(&request.failed("s3://archive/x".into(), error.into()));
            assert!(shown.contains(said), "{shown}");
            assert!(!shown.contains("geheim") && !shown.contains('<'), "{shown}");
        }
    }

    #[test]
    fn what_may_pass_by_itself_is_no_refusal() {
        for status in [
            "500 Internal Server Error",
            "503 Slow Down",
            "429 Too Many",
            "408 Timeout",
        ] {
            assert_eq!(of("writing", Encryption::S3, status, ""), None, "{status}");
        }
        // What was damaged on its way, of which the text speaks of checksums.
        for code in ["BadDigest", "XAmzContentChecksumMismatch"] {
            let body = format!("<Error><Code>{code}</Code></Error>");
            let refused = of("writing", Encryption::S3, "400 Bad Request", &body);
            assert_eq!(refused, None, "{code}");
        }
        let request = Request {
            action: "writing",
            s3_bucket: "archive",
            encryption: &Encryption::S3,
        };
        assert_eq!(request.of_answer("connection refused"), None);
    }

    #[test]
    fn a_certificate_is_found_inside_of_errors_of_input_and_output() {
        let inner = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let error = std::io::Error::other(std::io::Error::other(inner));
        assert!(untrusted(&error).unwrap().contains("has expired"));
        assert_eq!(untrusted(&std::io::Error::other("refused")), None);
    }
}
