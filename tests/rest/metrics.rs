//! Values and names of metrics, and the log.

use std::collections::BTreeSet;
use std::io::Write;

use lineage::jobs::view::JobState;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::goldens::golden;
use super::server::{self, Server, error};

async fn vertex(server: &Server, place: usize) -> String {
    let (_, plan) = server.get("/jobs/{job}/plan").await;
    let id = plan["plan"]["nodes"][place]["id"].as_str().unwrap();
    format!("/jobs/{{job}}/vertices/{id}")
}

const SOURCE: usize = 2;
const WRITER: usize = 1;
const COMMITTER: usize = 0;

fn ids(list: &Value) -> BTreeSet<String> {
    let ids = list.as_array().unwrap().iter();
    ids.map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn every_name_of_ours_is_one_of_flinks() {
    let server = server::start().await.warm().await;
    let (_, ours) = server.get("/jobs/{job}/metrics").await;
    let flink = ids(&golden("job-metrics"));
    assert!(
        ids(&ours).is_subset(&flink),
        "{:?}",
        ids(&ours).difference(&flink)
    );
    assert!(
        ids(&server.get("/jobmanager/metrics").await.1)
            .is_subset(&ids(&golden("jobmanager-metrics")))
    );
    assert!(
        ids(&server.get("/taskmanagers/metrics").await.1)
            .is_subset(&ids(&golden("taskmanagers-metrics")))
    );

    // Of an operator, whose name is its own.
    let operator = |id: &str| {
        let (_, rest) = id.split_once('.').unwrap_or(("", id));
        rest.to_owned()
    };
    let flink: BTreeSet<_> = ["kafka-source", "kafka-sink"]
        .iter()
        .flat_map(|name| ids(&golden(&format!("vertex-{name}-subtasks-metrics"))))
        .flat_map(|id| [operator(&id), id])
        .collect();
    for place in [SOURCE, WRITER] {
        let path = format!("{}/subtasks/metrics", vertex(&server, place).await);
        for id in ids(&server.get(&path).await.1) {
            // Flink's had no partition assigned; these names are in the Kafka connector's manual.
            let of_partition = id.contains(".KafkaSourceReader.topic.orders.partition.");
            let of_kafka = id.ends_with(".pendingRecords");
            let name = if id.contains("__") {
                operator(&id)
            } else {
                id.clone()
            };
            assert!(of_partition || of_kafka || flink.contains(&name), "{id}");
        }
    }
}

#[tokio::test]
async fn values_are_text_and_aggregates_numbers() {
    let server = server::start().await.warm().await;
    let writer = vertex(&server, WRITER).await;
    for list in [
        "0.numBytesOut,1.numBytesOut",
        "0.numBytesOut%2C1.numBytesOut",
    ] {
        let (_, body) = server.get(&format!("{writer}/metrics?get={list}")).await;
        let expected = json!([
            {"id": "0.numBytesOut", "value": "210000"},
            {"id": "1.numBytesOut", "value": "210000"},
        ]);
        assert_eq!(body, expected);
    }
    let (_, body) = server
        .get(&format!("{writer}/subtasks/metrics?get=numBytesOut"))
        .await;
    let expected = json!([{
        "id": "numBytesOut", "min": 210000.0, "max": 210000.0, "avg": 210000.0, "sum": 420000.0,
        "skew": 0.0,
    }]);
    assert_eq!(body, expected);
    let one = format!("{writer}/subtasks/metrics?get=numBytesOut&agg=sum&subtasks=1");
    let expected = json!([{"id": "numBytesOut", "sum": 210000.0}]);
    assert_eq!(server.get(&one).await.1, expected);
    let (status, body) = server
        .get(&format!("{writer}/subtasks/metrics?get=a&agg=mode"))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(error(&body).contains("agg=mode"), "{body}");
}

#[tokio::test]
async fn offsets_lag_and_rates_are_those_of_the_view() {
    let server = server::start().await.warm().await;
    let source = vertex(&server, SOURCE).await;
    let get = |id: &str| {
        let path = format!("{source}/metrics?get={id}");
        async {
            let path = path;
            let (_, body) = server.get(&path).await;
            body[0]["value"].as_str().unwrap_or("none").to_owned()
        }
    };
    let of_kafka = "Source__KafkaSource-orders.KafkaSourceReader.topic.orders.partition";
    assert_eq!(get(&format!("0.{of_kafka}.3.currentOffset")).await, "5002");
    assert_eq!(
        get(&format!("0.{of_kafka}.3.committedOffset")).await,
        "4903"
    );
    assert_eq!(get(&format!("1.{of_kafka}.3.currentOffset")).await, "none");
    assert_eq!(
        get("0.Source__KafkaSource-orders.pendingRecords").await,
        "35"
    );
    assert_eq!(get("0.numRecordsInPerSecond").await, "1000.0");
    assert_eq!(get("0.busyTimeMsPerSecond").await, "300.0");
    assert_eq!(get("0.idleTimeMsPerSecond").await, "500");
    assert_eq!(get("0.numRecordsInErrors").await, "none");

    let (_, pressure) = server.get(&format!("{source}/backpressure")).await;
    assert_eq!(pressure["backpressureLevel"], "low");
    assert_eq!(pressure["subtasks"][1]["ratio"], 0.2);
    let committer = vertex(&server, COMMITTER).await;
    let (_, pressure) = server.get(&format!("{committer}/backpressure")).await;
    assert_eq!(pressure["status"], "deprecated");
}

#[tokio::test]
async fn the_metrics_of_a_job_that_is_not_there_are_none() {
    let server = server::start().await;
    let unknown = format!("/jobs/{}/metrics", "0".repeat(32));
    assert_eq!(server.get(&unknown).await, (StatusCode::OK, json!([])));
    let (status, _) = server.get("/jobs/abc/metrics").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn before_recovery_has_read_the_job_there_is_none() {
    let server = server::start().await;
    server.control.change(|view| {
        view.job = None;
        view.generation = None;
        view.state = JobState::Created;
    });
    assert_eq!(server.get("/jobs").await.1, json!({"jobs": []}));
    assert_eq!(server.get("/jobs/overview").await.1, json!({"jobs": []}));
    let (status, body) = server.get("/jobs/{job}").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(error(&body).contains("recovery"), "{body}");
}

#[tokio::test]
async fn crawlers_find_the_topic_in_the_plan() {
    let server = server::start().await;
    let (_, plan) = server.get("/jobs/{job}/plan").await;
    let nodes = plan["plan"]["nodes"].as_array().unwrap();
    let text = nodes[SOURCE]["description"].as_str().unwrap();
    assert!(
        text.starts_with("Source: KafkaSource-orders<br/>"),
        "{text}"
    );
    let ids: BTreeSet<_> = nodes
        .iter()
        .map(|node| node["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(nodes[SOURCE].get("inputs").is_none());
    assert_eq!(nodes[WRITER]["inputs"][0]["id"], nodes[SOURCE]["id"]);
    assert_eq!(nodes[COMMITTER]["inputs"][0]["id"], nodes[WRITER]["id"]);
}

#[tokio::test]
async fn the_log_is_there_for_who_looks_for_it() {
    let server = server::start().await;
    writeln!(&server.logs, "checkpoint 24 is complete").unwrap();
    let (_, all) = server.get("/taskmanagers").await;
    let id = all["taskmanagers"][0]["id"].as_str().unwrap();
    for folder in ["/jobmanager".to_owned(), format!("/taskmanagers/{id}")] {
        let (_, list) = server.get(&format!("{folder}/logs")).await;
        assert_eq!(list["logs"][0]["name"], "lineage.log");
        assert_eq!(list["logs"][0]["size"], 26);
        for path in ["log", "logs/lineage.log"] {
            let request = server.request(Method::GET, &format!("{folder}/{path}"));
            let text = request.send().await.unwrap().text().await.unwrap();
            assert_eq!(text, "checkpoint 24 is complete\n");
        }
        let (status, _) = server.get(&format!("{folder}/logs/..%2f..%2fpasswd")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}
