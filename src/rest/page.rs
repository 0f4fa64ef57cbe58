//! The page for people: files in the binary, nothing from any other host.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Shared;
use crate::digest::sha256_hex;

/// Only what this process serves, and nobody may frame it.
pub const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

struct Asset {
    path: &'static str,
    content_type: &'static str,
    body: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

macro_rules! asset {
    ($path:expr, $name:literal, $content_type:expr) => {
        Asset {
            path: $path,
            content_type: $content_type,
            body: include_str!(concat!("page/", $name)),
        }
    };
    ($name:literal, $content_type:expr) => {
        asset!(concat!("/page/", $name), $name, $content_type)
    };
}

/// Served without a token: the data that they show is not.
const ASSETS: &[Asset] = &[
    asset!("/", "index.html", HTML),
    asset!("style.css", STYLE),
    asset!("icon.svg", IMAGE),
    asset!("actions.js", SCRIPT),
    asset!("app.js", SCRIPT),
    asset!("chart.js", SCRIPT),
    asset!("charts.js", SCRIPT),
    asset!("checkpoints.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("dropped.js", SCRIPT),
    asset!("figures.js", SCRIPT),
    asset!("files.js", SCRIPT),
    asset!("format.js", SCRIPT),
    asset!("headline.js", SCRIPT),
    asset!("partitions.js", SCRIPT),
    asset!("settings.js", SCRIPT),
    asset!("starts.js", SCRIPT),
    asset!("stream.js", SCRIPT),
    asset!("subtasks.js", SCRIPT),
    asset!("theme.js", SCRIPT),
    asset!("themes.js", SCRIPT),
];

pub fn is_asset(path: &str) -> bool {
    ASSETS.iter().any(|asset| asset.path == path)
}

pub fn router() -> Router<Shared> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        let tag = format!("\"{}\"", &sha256_hex(asset.body)[..32]);
        router.route(
            asset.path,
            get(async move |headers: HeaderMap| answer(asset, &tag, &headers)),
        )
    })
}

fn answer(asset: &Asset, tag: &str, asked: &HeaderMap) -> Response {
    let known = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok());
    let known = known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
    let mut response = if known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(Body::from(asset.body))
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(asset.content_type),
    );
    // Asked for each time, sent only after a new version of the service was started.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rest/page");
        for file in std::fs::read_dir(folder).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let path = match name.as_str() {
                "index.html" => "/".to_owned(),
                name => format!("/page/{name}"),
            };
            assert!(is_asset(&path), "{path}");
        }
        assert_eq!(ASSETS.len(), std::fs::read_dir(folder).unwrap().count());
    }
}
