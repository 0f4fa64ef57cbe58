//! Where something is kept: an S3 prefix or a folder.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use super::secret::{has_login, unless_secret};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `prefix` has no slashes at its ends.
    S3 { s3_bucket: String, prefix: String },
    /// Absolute.
    Folder(PathBuf),
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = "give s3://BUCKET/PREFIX or file:///FOLDER";
        let url = Url::parse(text);
        let text = unless_secret(text);
        let url = url.map_err(|e| format!("'{text}' is not a URL ({e}); {help}"))?;
        if has_login(&url) || url.port().is_some() {
            return Err(format!(
                "a path has no user, password or port: these are settings of their own; {help}"
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "'{text}' has a '?' or '#', which paths here do not; {help}"
            ));
        }
        match url.scheme() {
            "s3" => {
                let s3_bucket = url.host_str().unwrap_or_default().to_owned();
                let path = url.path();
                let prefix = path.strip_prefix('/').unwrap_or(path);
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix).to_owned();
                if s3_bucket.is_empty() {
                    return Err(format!("'{text}' names no S3 bucket; {help}"));
                }
                if prefix.is_empty() {
                    return Err(format!("'{text}' is a whole S3 bucket; {help}"));
                }
                if prefix.split('/').any(|part| part.is_empty()) || prefix.contains('%') {
                    return Err(format!(
                        "'{text}' has an empty or encoded segment; use plain names"
                    ));
                }
                // Some characters are stored under other names; then keys and URLs would differ.
                if object_store::path::Path::from(prefix.as_str()).as_ref() != prefix {
                    return Err(format!(
                        "'{text}' has a character that S3 clients encode; use plain names"
                    ));
                }
                Ok(Self::S3 { s3_bucket, prefix })
            }
            "file" => {
                let path = url
                    .to_file_path()
                    .map_err(|()| format!("'{text}' is not a local folder; {help}"))?;
                if path.parent().is_none() {
                    return Err(format!("'{text}' is the root of the file system"));
                }
                // Without a slash at its end.
                Ok(Self::Folder(path.components().collect()))
            }
            other => Err(format!("'{text}': no store speaks '{other}'; {help}")),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { s3_bucket, prefix } => write!(f, "s3://{s3_bucket}/{prefix}"),
            Self::Folder(path) => write!(f, "file://{}", path.display()),
        }
    }
}

impl Location {
    /// Whether one of the two holds the other, or they are the same.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::S3 {
                    s3_bucket: a,
                    prefix: p,
                },
                Self::S3 {
                    s3_bucket: b,
                    prefix: q,
                },
            ) => {
                a == b
                    && (format!("{p}/").starts_with(&format!("{q}/"))
                        || format!("{q}/").starts_with(&format!("{p}/")))
            }
            (Self::Folder(a), Self::Folder(b)) => a.starts_with(b) || b.starts_with(a),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_both_kinds_read_back() {
        for text in [
            "s3://flink-data/output",
            "s3://b/a/b",
            "file:///tmp/x/output",
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), text);
        }
    }

    #[test]
    fn a_slash_at_the_end_makes_no_difference() {
        for (with, without) in [("s3://b/a/", "s3://b/a"), ("file:///x/y/", "file:///x/y")] {
            let with: Location = with.parse().unwrap();
            assert_eq!(with.to_string(), without);
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_cure() {
        for text in [
            "",
            "output",
            "/tmp/x",
            "s3://",
            "s3://b",
            "s3://b//x",
            "s3:///x",
            "http://b/x",
            "file://host/x",
            "file:///",
            "s3://b/x?y",
            "s3://b/a%20b",
            "s3://b/~a",
            "s3://b/a*",
            "s3://b:9000/a",
            "s3://key@b/a",
        ] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_in_a_path_are_refused_and_not_shown() {
        for text in [
            "s3://key:geheim@b/a",
            "s3://key:ge/heim@b/a",
            "s3://key:geheim@b",
            "key:geheim@b",
            "https://b.example.com/a?X-Amz-Signature=geheim",
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(!error.contains("heim"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic_and_what_it_reads_reads_back(
            text in "(s3://|file://)?[a-z/ ~%.*?#-]{0,30}"
        ) {
            if let Ok(location) = text.parse::<Location>() {
                let again = location.to_string().parse::<Location>();
                proptest::prop_assert_eq!(again, Ok(location));
            }
        }
    }

    #[test]
    fn overlapping_is_by_whole_segments() {
        let at = |text: &str| text.parse::<Location>().unwrap();
        assert!(at("s3://b/out").overlaps(&at("s3://b/out/dropped")));
        assert!(!at("s3://b/out").overlaps(&at("s3://b/output")));
        assert!(!at("s3://b/out").overlaps(&at("s3://c/out")));
        assert!(at("file:///d/x").overlaps(&at("file:///d/x")));
    }
}
