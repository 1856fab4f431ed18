//! `/retry/…`: a backend that fails a few times.
//!
//! Requests with the same `uuid` fail until `succeedAfter` of them have; later ones are answered
//! as anything else. A failure is a TCP reset, or the status `responseCode`, after `delayRetry`.

use hyper::{Request, Response, StatusCode};

use super::Connection;
use super::answer::NoAnswer;
use super::body::{Body, text, whole};
use super::wishes;

/// The failure of this attempt, or `None` if it is to succeed.
pub(super) async fn attempt<B>(
    request: &Request<B>,
    connection: &Connection,
) -> Result<Option<Response<Body>>, NoAnswer> {
    let query = request.uri().query().unwrap_or_default();
    let value = |name: &str| {
        let mut parameters = form_urlencoded::parse(query.as_bytes());
        parameters.find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
    };
    let refuse = |message| Ok(Some(text(StatusCode::BAD_REQUEST, message)));
    let Some(uuid) = value("uuid") else { return refuse("uuid is required") };
    let Some(failures) = value("succeedAfter").and_then(|it| it.parse().ok()) else {
        return refuse("succeedAfter is required");
    };
    if !connection.pod.journal.count_attempt(&uuid, failures) {
        return Ok(None);
    }
    if let Some(delay) = value("delayRetry") {
        let Ok(delay) = wishes::time(&delay) else { return refuse("delayRetry is no time") };
        tokio::time::sleep(delay).await;
    }
    let Some(code) = value("responseCode").and_then(|it| it.parse().ok()) else {
        connection.reset.ask();
        return Err(NoAnswer);
    };
    let mut response = Response::new(whole(""));
    *response.status_mut() = code;
    Ok(Some(response))
}
