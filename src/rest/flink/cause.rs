//! Why a request failed, in the form that Flink's command line reads: it takes the cause from a
//! serialized Java object and nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const CLASS: &str = "java.lang.RuntimeException";
/// Strings of the stream have two bytes for their length.
const LONGEST: usize = 16 * 1024;

pub fn of(cause: &str) -> Value {
    json!({
        "class": CLASS,
        "stack-trace": format!("{CLASS}: {cause}"),
        "serialized-throwable": STANDARD.encode(serialized(cause)),
    })
}

/// The head of the stream: an object of Flink's `SerializedThrowable`, with the classes that it
/// extends. `~\0\x01` refers to the first string of the stream.
const HEAD: &[u8] = b"\xac\xed\0\x05sr\
    \0\x29org.apache.flink.util.SerializedThrowable\x65\x16\x9d\xf5\x1f\xa7\x13\xf3\x02\0\x03\
    L\0\x19fullStringifiedStackTracet\0\x12Ljava/lang/String;\
    L\0\x16originalErrorClassNameq\0~\0\x01\
    [\0\x13serializedExceptiont\0\x02[Bx\
    r\0\x13java.lang.Exception\xd0\xfd\x1f\x3e\x1a\x3b\x1c\xc4\x02\0\0x\
    r\0\x13java.lang.Throwable\xd5\xc6\x35\x27\x39\x77\xb8\xcb\x03\0\x04\
    L\0\x05causet\0\x15Ljava/lang/Throwable;\
    L\0\x0ddetailMessageq\0~\0\x01\
    [\0\nstackTracet\0\x1e[Ljava/lang/StackTraceElement;\
    L\0\x14suppressedExceptionst\0\x10Ljava/util/List;xp";

const STRING: u8 = b't';
const NULL: u8 = b'p';
const END_OF_OBJECT: u8 = b'x';

fn serialized(cause: &str) -> Vec<u8> {
    let mut stream = HEAD.to_vec();
    // Throwable: no cause, the message, neither stack nor suppressed ones.
    stream.push(NULL);
    put(&mut stream, cause);
    stream.extend([NULL, NULL, END_OF_OBJECT]);
    // SerializedThrowable: how it prints, what it was, nothing in it.
    put(&mut stream, &format!("{CLASS}: {cause}"));
    put(&mut stream, CLASS);
    stream.push(NULL);
    stream
}

fn put(stream: &mut Vec<u8>, text: &str) {
    // Beyond these, Java's encoding differs from UTF-8.
    let plain = text.chars().map(|c| match c {
        '\u{1}'..='\u{ffff}' => c,
        _ => '?',
    });
    let mut plain: String = plain.collect();
    plain.truncate(plain.floor_char_boundary(LONGEST));
    let length = u16::try_from(plain.len()).unwrap_or(0);
    stream.push(STRING);
    stream.extend(length.to_be_bytes());
    stream.extend(plain.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_that_of_a_real_job_manager() {
        let golden = include_str!("../../../tests/rest/goldens/savepoint-failed.json");
        let golden: Value = serde_json::from_str(golden).unwrap();
        let golden = &golden["operation"]["failure-cause"]["serialized-throwable"];
        let golden = STANDARD.decode(golden.as_str().unwrap()).unwrap();
        assert_eq!(&golden[..HEAD.len()], HEAD);
    }

    #[test]
    fn no_cause_breaks_the_stream() {
        for cause in [
            "",
            "denied",
            "\u{0} \u{1f600} \u{fc}",
            &"\u{20ac}".repeat(30_000),
        ] {
            let stream = serialized(cause);
            let message = &stream[HEAD.len() + 1..];
            assert_eq!(message[0], STRING);
            let length = usize::from(u16::from_be_bytes([message[1], message[2]]));
            assert_eq!(message[3 + length..][..3], [NULL, NULL, END_OF_OBJECT]);
        }
    }
}
