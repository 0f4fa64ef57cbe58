//! Where credentials come from: each way a whole run, and each way that fails its own words. None of them
//! is ever in what the service says.

use std::fs;
use std::time::Duration;

use crate::harness::giver::{Giver, Temporary};
use crate::harness::read_back::{Past, assert_exact};
use crate::harness::s3::User;
use crate::harness::{Archive, Folder, Lineage, Storage, Topic};
use crate::refusals::refused;

/// No keys are set, and a machine's metadata are not asked for any.
const NOTHING: [(&str, &str); 1] = [("AWS_EC2_METADATA_DISABLED", "true")];

/// An archive in S3 that names no keys.
fn without_keys() -> Archive {
    let mut archive = Archive::new(Storage::S3);
    archive.without_keys = true;
    archive
}

/// A whole run with these settings; its log has none of the secrets in it.
#[track_caller]
fn run(settings: &[(&str, &str)], secrets: &[&str]) {
    let (archive, topic) = (without_keys(), Topic::create(2));
    topic.produce(2_000);
    let flags = ["--bounded", "--log-level", "debug"];
    let mut lineage = Lineage::start_with(&archive, &topic, &flags, settings);
    lineage.ends_with(0);
    for secret in secrets {
        assert!(!lineage.log().contains(secret), "a secret is in the log");
    }
    assert_exact(&archive, &topic, Past::Calm);
}

fn file(folder: &Folder, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn profile(name: &str, user: &User) -> String {
    format!(
        "[{name}]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        user.name, user.secret
    )
}

#[test]
fn a_session_token_is_sent_along() {
    let it = Temporary::get();
    let settings = [
        ("AWS_ACCESS_KEY_ID", it.id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", &it.secret),
        ("AWS_SESSION_TOKEN", &it.token),
    ];
    run(&settings, &[&it.secret, &it.token]);
    let (archive, topic) = (without_keys(), Topic::absent());
    let wrong = [settings[0], settings[1], ("AWS_SESSION_TOKEN", "geheim")];
    refused(
        &archive,
        &topic,
        &[],
        &wrong,
        2,
        &["check AWS_SESSION_TOKEN"],
    );
}

#[test]
fn keys_may_be_in_files() {
    let (it, folder) = (Temporary::get(), Folder::new());
    let (id, secret, token) = (
        file(&folder, "id", &format!("{}\n", it.id)),
        file(&folder, "secret", &it.secret),
        file(&folder, "token", &it.token),
    );
    let settings = [
        ("AWS_ACCESS_KEY_ID_FILE", id.as_str()),
        ("AWS_SECRET_ACCESS_KEY_FILE", &secret),
        ("AWS_SESSION_TOKEN_FILE", &token),
    ];
    run(&settings, &[&it.secret, &it.token]);
}

#[test]
fn keys_may_be_in_a_profile_of_the_shared_files() {
    let (user, folder) = (User::with_policy("readwrite"), Folder::new());
    let credentials = file(&folder, "credentials", &profile("archive", &user));
    let settings = [
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str()),
        ("AWS_PROFILE", "archive"),
    ];
    run(&settings, &[&user.secret]);
    let default = file(&folder, "default", &profile("default", &user));
    run(
        &[("AWS_SHARED_CREDENTIALS_FILE", &default)],
        &[&user.secret],
    );

    let (archive, topic) = (without_keys(), Topic::absent());
    let wrong = [settings[0], ("AWS_PROFILE", "nobody")];
    refused(
        &archive,
        &topic,
        &[],
        &wrong,
        2,
        &["no profile nobody", &credentials],
    );
}

#[test]
fn a_profile_that_is_written_anew_while_it_runs_is_read_again() {
    let (old, new) = (
        User::with_policy("readwrite"),
        User::with_policy("readwrite"),
    );
    let folder = Folder::new();
    let credentials = file(&folder, "credentials", &profile("default", &old));
    let (archive, topic) = (without_keys(), Topic::create(2));
    topic.produce(1_000);
    let settings = [("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str())];
    let flags = ["--checkpoint-interval", "200ms"];
    let mut lineage = Lineage::start_with(&archive, &topic, &flags, &settings);
    archive.wait_for_first_slot();
    archive.wait_for_all_of(&topic);
    old.disable();
    lineage.wait_until_it_says("degraded");
    file(&folder, "credentials", &profile("default", &new));
    lineage.wait_until_it_says("recovered");
    topic.produce(1_000);
    archive.wait_for_all_of(&topic);
    lineage.stop();
    assert_exact(&archive, &topic, Past::Calm);
}

#[test]
fn a_web_identity_is_exchanged_for_credentials_of_its_role() {
    let (it, folder) = (Temporary::get(), Folder::new());
    let answer = it.for_a_web_identity();
    let sts = Giver::start(move |request| {
        let expected = [
            "Action=AssumeRoleWithWebIdentity",
            "WebIdentityToken=geheim",
            "RoleSessionName=lineage",
        ];
        match expected.iter().all(|text| request.contains(text)) {
            true => (200, answer.clone()),
            false => (400, "<Code>ValidationError</Code>".into()),
        }
    });
    let (token, url) = (file(&folder, "token", "geheim"), sts.url());
    let settings = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/archive"),
        ("AWS_ENDPOINT_URL_STS", &url),
    ];
    run(&settings, &["geheim", &it.secret, &it.token]);
    assert_eq!(sts.asked(), 1, "four paths are one who asks");

    let refusing = Giver::start(|_| (403, "<Code>AccessDenied</Code>".into()));
    let url = refusing.url();
    let wrong = [settings[0], settings[1], ("AWS_ENDPOINT_URL_STS", &url)];
    let (archive, topic) = (without_keys(), Topic::absent());
    let said = ["AWS_ROLE_ARN", "AccessDenied"];
    refused(&archive, &topic, &[], &wrong, 2, &said);
    let settings = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"),
        settings[1],
        settings[2],
    ];
    refused(&archive, &topic, &[], &settings, 2, &["/nowhere"]);
}

#[test]
fn a_container_and_a_machine_are_asked_for_theirs() {
    let (it, folder) = (Temporary::get(), Folder::new());
    let json = it.in_json();
    let agent = Giver::start(move |request| {
        match request
            .to_ascii_lowercase()
            .contains("authorization: geheim")
        {
            true => (200, json.clone()),
            false => (401, String::new()),
        }
    });
    let (token, url) = (file(&folder, "token", "geheim"), agent.url());
    let settings = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token),
    ];
    run(&settings, &["geheim", &it.secret, &it.token]);
    let given = [settings[0], ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "geheim")];
    run(&given, &["geheim", &it.secret, &it.token]);
    let (archive, topic) = (without_keys(), Topic::absent());
    let said = ["AWS_CONTAINER_CREDENTIALS_", "401"];
    refused(&archive, &topic, &[], &settings[..1], 2, &said);

    let json = it.in_json();
    let metadata = Giver::start(move |request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        match path.trim_start_matches("/latest/") {
            "api/token" => (200, "token".into()),
            "meta-data/iam/security-credentials/" => (200, "a-role".into()),
            "meta-data/iam/security-credentials/a-role" => (200, json.clone()),
            _ => (404, String::new()),
        }
    });
    let url = metadata.url();
    let settings = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
    run(&settings, &[&it.secret, &it.token]);
}

#[test]
fn without_any_credentials_a_start_is_refused_soon_and_says_where_it_has_looked() {
    let (archive, topic) = (without_keys(), Topic::absent());
    let said = [
        "there are no credentials",
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
    ];
    refused(&archive, &topic, &[], &NOTHING, 2, &said);
    // A listener that never answers, in place of a machine's metadata.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let settings = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", address.as_str())];
    let mut lineage = Lineage::start_with(&archive, &topic, &[], &settings);
    lineage.ends_within(Duration::from_secs(20), 2);
    assert!(lineage.log().contains("there are no credentials"));
}
