//! Against a server of the tests that answers as Confluent's API documents it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::registry::{Login, RegistrySettings};
use crate::runtime::health::Health;

const EVENT: &str = r#"{"type":"record","name":"E","fields":[{"name":"a","type":"int"}]}"#;

#[derive(Default)]
struct Answers {
    /// By path, with the query if that matters: status and body.
    of: Mutex<BTreeMap<String, (u16, String)>>,
    /// What the `Authorization` header must be.
    login: Mutex<Option<String>>,
    asked: AtomicUsize,
}

struct Registry {
    address: SocketAddr,
    answers: Arc<Answers>,
}

async fn answer(
    State(answers): State<Arc<Answers>>,
    uri: Uri,
    headers: HeaderMap,
) -> impl IntoResponse {
    answers.asked.fetch_add(1, Ordering::Relaxed);
    let wanted = answers.login.lock().unwrap().clone();
    let given = headers
        .get("authorization")
        .map(|value| value.to_str().unwrap().to_owned());
    if wanted.is_some() && wanted != given {
        let body = json!({"error_code": 40101, "message": "Unauthorized"});
        return (StatusCode::UNAUTHORIZED, body.to_string());
    }
    let found = {
        let of = answers.of.lock().unwrap();
        of.get(&uri.to_string()).or(of.get(uri.path())).cloned()
    };
    let not_found = || {
        let body = json!({"error_code": 40403, "message": "Schema not found"});
        (404, body.to_string())
    };
    let (status, body) = found.unwrap_or_else(not_found);
    (StatusCode::from_u16(status).unwrap(), body)
}

impl Registry {
    async fn start() -> Self {
        let answers = Arc::new(Answers::default());
        let app = Router::new().fallback(answer).with_state(answers.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, answers }
    }

    fn has(&self, path: &str, schema: &str, references: serde_json::Value) {
        let body = json!({"id": 7, "schema": schema, "references": references});
        self.says(path, 200, &body.to_string());
    }

    fn says(&self, path: &str, status: u16, body: &str) {
        let answer = (status, body.to_owned());
        self.answers
            .of
            .lock()
            .unwrap()
            .insert(path.to_owned(), answer);
    }

    fn forget(&self, path: &str) {
        self.answers.of.lock().unwrap().remove(path);
    }

    fn settings(&self) -> RegistrySettings {
        RegistrySettings {
            urls: vec![Url::parse(&format!("http://{}", self.address)).unwrap()],
            login: None,
            ca: None,
            retry: Duration::from_millis(300),
        }
    }

    fn client(&self) -> RegistryClient {
        RegistryClient::new(&self.settings()).unwrap()
    }

    fn schemas(&self) -> (Arc<Schemas>, Arc<Health>) {
        let health = Arc::new(Health::default());
        let patience = Patience {
            clock: Arc::new(SystemClock::new()),
            health: health.clone(),
        };
        let (schemas, asking) = Schemas::new(self.client(), patience, self.settings().retry);
        tokio::spawn(asking);
        (schemas, health)
    }
}

async fn settled(schemas: &Schemas, id: u32) -> Lookup {
    loop {
        match schemas.look_up(SchemaId(id)) {
            Lookup::NotYet => SystemClock::new().sleep(Duration::from_millis(5)).await,
            settled => return settled,
        }
    }
}

fn refusal(lookup: Lookup) -> String {
    match lookup {
        Lookup::Refused(why) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_id_is_asked_for_once() {
    let registry = Registry::start().await;
    registry.has("/schemas/ids/7", EVENT, json!([]));
    let (schemas, _) = registry.schemas();
    assert_eq!(schemas.look_up(SchemaId(7)), Lookup::NotYet);
    assert!(matches!(settled(&schemas, 7).await, Lookup::Known(_)));
    assert!(matches!(schemas.look_up(SchemaId(7)), Lookup::Known(_)));
    assert_eq!(registry.answers.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_id_that_the_registry_does_not_know_is_refused_after_a_while_and_degraded_until_then() {
    let registry = Registry::start().await;
    let (schemas, health) = registry.schemas();
    schemas.look_up(SchemaId(8));
    while !health.degraded() {
        tokio::task::yield_now().await;
    }
    assert!(health.troubles()[UNKNOWN_ID].message.starts_with("8: "));
    let why = refusal(settled(&schemas, 8).await);
    let address = format!(
        "unknown schema id 8: the registry at http://{}",
        registry.address
    );
    assert!(why.starts_with(&address), "{why}");
    assert!(!health.degraded());
    assert!(registry.answers.asked.load(Ordering::Relaxed) > 1);
}

#[tokio::test]
async fn an_id_that_the_registry_learns_late_is_known() {
    let registry = Registry::start().await;
    let (schemas, health) = registry.schemas();
    schemas.look_up(SchemaId(9));
    while !health.degraded() {
        tokio::task::yield_now().await;
    }
    registry.has("/schemas/ids/9", EVENT, json!([]));
    assert!(matches!(settled(&schemas, 9).await, Lookup::Known(_)));
}

#[tokio::test]
async fn a_registry_that_is_away_or_denies_or_is_none_refuses_nothing() {
    let registry = Registry::start().await;
    for (status, body) in [
        (503, "busy"),
        (401, r#"{"error_code":40101,"message":"no"}"#),
        (403, ""),
        (404, "<html>a proxy's own</html>"),
        (200, "no JSON"),
        (500, r#"{"error_code":50001,"message":"store"}"#),
    ] {
        registry.says("/schemas/ids/10", status, body);
        let (schemas, health) = registry.schemas();
        schemas.look_up(SchemaId(10));
        while !health.degraded() {
            tokio::task::yield_now().await;
        }
        assert!(health.troubles().contains_key(REGISTRY), "{status} {body}");
        // Longer than what an unknown id is asked for.
        SystemClock::new().sleep(Duration::from_millis(500)).await;
        assert_eq!(schemas.look_up(SchemaId(10)), Lookup::NotYet);
        registry.has("/schemas/ids/10", EVENT, json!([]));
        assert!(matches!(settled(&schemas, 10).await, Lookup::Known(_)));
        assert!(!health.degraded());
    }
}

#[tokio::test]
async fn what_a_schema_refers_to_is_fetched_with_it() {
    let registry = Registry::start().await;
    let outer = r#"{"type":"record","name":"O","fields":[
        {"name":"a","type":"x.A"},{"name":"b","type":"x.B"}]}"#;
    let a = r#"{"type":"record","name":"A","namespace":"x","fields":[{"name":"b","type":"x.B"}]}"#;
    let b = r#"{"type":"enum","name":"B","namespace":"x","symbols":["S"]}"#;
    let of = |subject: &str| json!([{"name": "any", "subject": subject, "version": 3}]);
    registry.has("/schemas/ids/11", outer, of("of a/b"));
    registry.has("/subjects/of%20a%2Fb/versions/3", a, of("b"));
    // Deleted softly: it is there only for who asks so.
    registry.has("/subjects/b/versions/3?deleted=true", b, json!([]));
    let whole = registry.client().schema(SchemaId(11)).await.unwrap();
    let schema = crate::transform::avro_schema::InputSchema::parse(&whole).unwrap();
    assert_eq!(schema.arrow().fields().len(), 2);

    registry.has("/subjects/own/versions/latest", outer, of("of a/b"));
    assert!(registry.client().latest("own").await.is_ok());
    registry.forget("/subjects/b/versions/3?deleted=true");
    // It is not the subject that is missing.
    let error = registry.client().latest("own").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unusable(_)), "{error}");
    assert!(error.to_string().contains("version 3 of b"), "{error}");
    let (schemas, _) = registry.schemas();
    let why = refusal(settled(&schemas, 11).await);
    assert!(
        why.starts_with("unknown schema id 11") && why.contains("version 3 of b"),
        "{why}"
    );
}

#[tokio::test]
async fn an_answer_without_end_is_of_no_use() {
    let registry = Registry::start().await;
    registry.says("/schemas/ids/13", 200, &" ".repeat(5 << 20));
    let (schemas, _) = registry.schemas();
    let why = refusal(settled(&schemas, 13).await);
    assert_eq!(why, "unusable schema: id 13: it is longer than 4 MiB");
}

#[tokio::test]
async fn a_login_that_may_not_see_the_first_schema_is_no_wrong_one() {
    let registry = Registry::start().await;
    let denied = json!({"error_code": 40301, "message": "denied"}).to_string();
    registry.says("/schemas/ids/1", 403, &denied);
    registry.client().check().await.unwrap();
    registry.says("/schemas/ids/1", 401, &denied);
    let error = registry.client().check().await.unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
}

#[tokio::test]
async fn a_schema_that_is_not_avro_is_refused_at_once() {
    let registry = Registry::start().await;
    let body = json!({"schema": "syntax = \"proto3\";", "schemaType": "PROTOBUF"});
    registry.says("/schemas/ids/12", 200, &body.to_string());
    let (schemas, _) = registry.schemas();
    let why = refusal(settled(&schemas, 12).await);
    assert_eq!(
        why,
        "unusable schema: id 12: it is a schema of PROTOBUF, not of Avro"
    );
}

#[tokio::test]
async fn the_login_is_sent_and_a_wrong_one_is_denied_without_being_shown() {
    let registry = Registry::start().await;
    registry.has("/subjects/s/versions/latest", EVENT, json!([]));
    let login = |login: Login| {
        let settings = RegistrySettings {
            login: Some(login),
            ..registry.settings()
        };
        RegistryClient::new(&settings).unwrap()
    };
    let basic = |password: &str| {
        login(Login::Basic {
            user: "me".into(),
            password: password.parse().unwrap(),
        })
    };
    // "me:geheim"
    *registry.answers.login.lock().unwrap() = Some("Basic bWU6Z2VoZWlt".into());
    assert_eq!(basic("geheim").latest("s").await.unwrap().0, SchemaId(7));
    basic("geheim").check().await.unwrap();
    let denied = basic("falsch").check().await.unwrap_err();
    assert!(matches!(denied, RegistryError::Denied { .. }), "{denied}");
    assert!(!format!("{denied} {denied:?} {:?}", basic("falsch")).contains("falsch"));
    *registry.answers.login.lock().unwrap() = Some("Bearer geheim".into());
    let token = login(Login::Bearer("geheim".parse().unwrap()));
    assert_eq!(token.latest("s").await.unwrap().0, SchemaId(7));
}

#[tokio::test]
async fn a_second_registry_is_asked_when_the_first_is_away() {
    let registry = Registry::start().await;
    registry.has("/schemas/ids/7", EVENT, json!([]));
    let mut settings = registry.settings();
    settings
        .urls
        .insert(0, Url::parse("http://127.0.0.1:1").unwrap());
    let client = RegistryClient::new(&settings).unwrap();
    client.schema(SchemaId(7)).await.unwrap();
    // What the first one that answers does not know, nobody knows.
    let unknown = client.schema(SchemaId(8)).await.unwrap_err();
    assert!(
        matches!(unknown, RegistryError::Unknown { .. }),
        "{unknown}"
    );
}

#[tokio::test]
async fn a_registry_that_is_asked_in_the_wrong_protocol_is_said_to_be() {
    let registry = Registry::start().await;
    let of = |url: String| {
        let mut settings = registry.settings();
        settings.urls = vec![Url::parse(&url).unwrap()];
        RegistryClient::new(&settings).unwrap()
    };
    let by_tls = of(format!("https://{}", registry.address));
    let said = by_tls.check().await.unwrap_err().to_string();
    assert!(said.starts_with("https://"), "{said}");
    assert!(said.ends_with("is http:// meant?)"), "{said}");

    // Some ports of TLS answer anything else with an alert; others only close.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let alerting = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_u8().await.unwrap();
        connection
            .write_all(&[21, 3, 1, 0, 2, 2, 10])
            .await
            .unwrap();
    });
    let plain = of(format!("http://{address}"));
    let said = plain.check().await.unwrap_err().to_string();
    assert!(said.ends_with("is https:// meant?)"), "{said}");
    alerting.await.unwrap();
}
