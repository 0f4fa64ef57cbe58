//! The page is in the binary, asks no other host, and is not sent twice.

use reqwest::{Method, StatusCode};

use super::server;

#[tokio::test]
async fn the_page_may_load_nothing_from_elsewhere() {
    let server = server::start().await;
    let page = server.request(Method::GET, "/").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'self';"), "{policy}");
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    let text = page.text().await.unwrap();
    assert!(!text.contains("//"), "an address of another host: {text}");
}

#[tokio::test]
async fn a_page_that_the_client_has_is_not_sent_again() {
    let server = server::start().await;
    let first = server.request(Method::GET, "/").send().await.unwrap();
    assert_eq!(first.headers()["cache-control"], "no-cache");
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    for (known, status) in [
        (tag.clone(), StatusCode::NOT_MODIFIED),
        (format!("\"other\", {tag}"), StatusCode::NOT_MODIFIED),
        ("\"other\"".to_owned(), StatusCode::OK),
    ] {
        let request = server
            .request(Method::GET, "/")
            .header("if-none-match", known);
        let again = request.send().await.unwrap();
        assert_eq!(again.status(), status);
    }
}
