//! Files that are not visible: pending ones, and those that nobody will finish.

use super::{archived, is_exact, sum, verify};
use crate::harness::proxy::{Fate, Proxy};
use crate::harness::s3::read_only_user;
use crate::harness::{
    Archive, LONG, Lineage, Root, Storage, Topic, looking, looking_with, wait_for,
};

/// Killed with files pending in S3 and others open.
fn killed() -> (Archive, std::sync::Arc<Topic>) {
    let archive = Archive::new(Storage::S3);
    let topic = Topic::create(2);
    topic.produce(1_000);
    let (lineage, _proxy) = Lineage::held_before_completion(&archive, &topic);
    // Open files of the checkpoint that will never be.
    topic.produce(1_000);
    wait_for("uploads of the next checkpoint", LONG, || {
        (archive.hidden().len() > 2).then_some(())
    });
    lineage.kill();
    (archive, topic)
}

#[test]
fn pending_files_are_not_missing_and_are_said() {
    let (archive, _) = killed();
    let (code, report) = verify(&archive, &[]);
    assert_eq!(code, 0, "{report}");
    assert!(sum(&report, "pending") > 0);
    let lines = report["lines_without_file"].as_array().unwrap();
    assert!(
        lines.iter().all(|line| line["state"] == "pending"),
        "{report}"
    );
    archive.lose_pending_uploads(Root::Output, false);
    let (code, report) = verify(&archive, &[]);
    assert_eq!(code, 1, "nobody can finalize them any more: {report}");
}

#[test]
fn orphans_are_listed_and_aborted_and_what_a_slot_references_is_not() {
    let (archive, topic) = killed();
    let text = |command: &str| {
        let output = looking(&archive, &["orphans", command]);
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    // The newest slot is of the same generation: what it does not reference may still be written.
    assert_eq!(text("list"), "0 orphans found\n");
    let pending = archive.newest_slot()["pending"].as_array().unwrap().len();
    let open = archive.hidden().len();

    // A start that dies right after its claim: it cannot list the uploads.
    let proxy = Proxy::judged_by(|request| {
        if request.query.starts_with("uploads") || request.completes_an_upload() {
            Fate::Hang
        } else {
            Fate::Pass
        }
    });
    let url = proxy.url();
    let settings = [("AWS_ENDPOINT_URL", url.as_str())];
    let lineage = Lineage::start_with(&archive, &topic, &[], &settings);
    wait_for("recovery", LONG, || (proxy.hung() > 0).then_some(()));
    lineage.kill();
    let listed = text("list");
    assert_eq!(listed.lines().count(), open - pending + 1, "{listed}");
    let (_, report) = verify(&archive, &[]);
    assert_eq!(report["orphans"].as_array().unwrap().len(), open - pending);
    let aborted = text("abort");
    assert!(
        aborted.ends_with(&format!("{} orphans aborted\n", open - pending)),
        "{aborted}"
    );
    assert_eq!(text("list"), "0 orphans found\n");
    assert_eq!(archive.hidden().len(), pending);

    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_eq!(sum(&is_exact(&archive), "rows"), 2_000);
}

/// What is left open, by the job and generation in its name.
fn left_open(archive: &Archive) -> Vec<String> {
    let hidden = archive.hidden().into_iter();
    let mut names: Vec<_> = hidden
        .map(|key| {
            let name = key.split("part-").nth(1).unwrap();
            name.split("-0-900").next().unwrap().to_owned()
        })
        .collect();
    names.sort_unstable();
    names
}

fn of_older_generations_of_the_own_job_alone(storage: Storage) {
    // Generations 1 to 3.
    let (archive, topic) = archived(storage);
    let own = archive.newest_slot()["job"].as_str().unwrap().to_owned();
    let other = "f".repeat(32);
    for (job, generation) in [(&own, 2), (&own, 3), (&own, 4), (&other, 1)] {
        archive.leave_open(job, generation);
    }
    let output = looking(&archive, &["orphans", "abort"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("\n1 orphans aborted\n"), "{text}");
    let [third, fourth] = [3, 4].map(|generation| format!("{own}-{generation}"));
    let others = format!("{other}-1");
    let left = [third, fourth.clone(), others.clone()];
    assert_eq!(left_open(&archive), sorted(left));

    // A start of generation 4 aborts what is of generation 3.
    Lineage::run(&archive, &topic, &["--bounded"]);
    assert_eq!(left_open(&archive), sorted([fourth, others]));
    assert_eq!(sum(&is_exact(&archive), "rows"), 810);
}

fn sorted<const N: usize>(mut names: [String; N]) -> [String; N] {
    names.sort_unstable();
    names
}

#[test]
fn uploads_in_s3_of_older_generations_of_the_own_job_alone_are_aborted() {
    of_older_generations_of_the_own_job_alone(Storage::S3);
}

#[test]
fn files_in_progress_of_older_generations_of_the_own_job_alone_are_aborted() {
    of_older_generations_of_the_own_job_alone(Storage::Local);
}

#[test]
fn credentials_that_may_not_list_uploads_suffice_to_judge_and_orphans_are_said_not_to_be_known() {
    let (archive, _) = archived(Storage::S3);
    let user = read_only_user();
    let run = |flags: &[&str]| {
        let output = looking_with(&archive, flags, &user.settings());
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        text
    };
    let text = run(&["verify"]);
    assert!(
        text.contains("open uploads could not be looked at"),
        "{text}"
    );
    assert!(text.contains("Exact: 810 rows"), "{text}");
    let report: serde_json::Value = serde_json::from_str(&run(&["verify", "--json"])).unwrap();
    let denied = report["uploads_denied"][0].as_str().unwrap();
    assert!(denied.contains("AccessDenied"), "{denied}");
}
