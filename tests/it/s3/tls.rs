//! S3 over TLS with an authority of one's own.

use crate::harness::certificates::Authority;
use crate::harness::read_back::{Past, assert_exact};
use crate::harness::tls::TlsMinio;
use crate::harness::{Archive, Lineage, Storage, Topic, looking_with};
use crate::refusals::refused;

#[test]
fn a_store_with_a_certificate_of_a_private_authority_is_used_and_read_back_exactly() {
    let minio = TlsMinio::start(&Authority::new(
        "an authority that no machine trusts by itself",
    ));
    let (archive, topic) = (Archive::new(Storage::S3), Topic::create(2));
    topic.produce(3_000);
    let authority = minio.authority();
    let settings = [
        ("AWS_ENDPOINT_URL", minio.url.as_str()),
        ("AWS_CA_BUNDLE", authority.to_str().unwrap()),
    ];
    let flags = ["--bounded"];
    Lineage::start_with(&archive, &topic, &flags, &settings).ends_with(0);
    for command in [vec!["verify", "--deep"], vec!["orphans", "list"]] {
        let looked = looking_with(&archive, &command, &settings);
        assert_eq!(looked.status.code(), Some(0), "{looked:?}");
    }
    minio.bring_here(&archive.place());
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn certificates_that_cannot_be_trusted_are_refused_at_the_start_each_in_its_own_words() {
    let (archive, topic) = (Archive::new(Storage::S3), Topic::absent());
    let (authority, stranger) = (Authority::new("ours"), Authority::new("stranger"));
    let (good, expired, other, unknown) = (
        TlsMinio::start(&authority),
        TlsMinio::expired(&authority),
        TlsMinio::of_another_name(&authority),
        TlsMinio::start(&stranger),
    );
    let bundle = good.authority();
    let bundle = Some(bundle.to_str().unwrap());
    let plain = unknown.url.replace("https", "http");
    let no_tls = crate::harness::server("LINEAGE_TEST_S3").replace("http", "https");
    for (url, bundle, said) in [
        (&expired.url, bundle, "has expired"),
        (&other.url, bundle, "is for another host name"),
        (&unknown.url, bundle, "AWS_CA_BUNDLE"),
        (&good.url, None, "AWS_CA_BUNDLE"),
        (&plain, bundle, "HTTP request to an HTTPS server"),
        (&no_tls, bundle, "there is no TLS with the store"),
    ] {
        let mut settings = vec![("AWS_ENDPOINT_URL", url.as_str())];
        settings.extend(bundle.map(|path| ("AWS_CA_BUNDLE", path)));
        refused(&archive, &topic, &[], &settings, 2, &["OUTPUT_PATH", said]);
    }
}
