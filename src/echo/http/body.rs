//! Bodies of answers: whole, written bit by bit by a task, or the request's own.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::life::spawn_local;

/// A body of any of the three sorts.
pub(in crate::echo) type Body = Either<Full<Bytes>, Either<Channel<Bytes>, Incoming>>;

/// A body that is at hand.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Either::Left(Full::new(bytes.into()))
}

/// A body that is the request's, as it comes in, trailers included.
pub(super) fn mirrored(request: Incoming) -> Body {
    Either::Right(Either::Right(request))
}

/// As [`mirrored`], once the first piece of it is there. hyper says 100 Continue when a body is asked
/// for, but not once the answer has begun.
pub(super) async fn awaited(mut request: Incoming) -> Body {
    let mut next = request.frame().await;
    written(async move |mut out: Sender<Bytes, Infallible>| {
        while let Some(Ok(frame)) = next {
            if out.send(frame).await.is_err() {
                return;
            }
            next = request.frame().await;
        }
    })
}

/// A body that a task writes; the task should end when sending fails, as nobody listens then.
pub(super) fn written<W, F>(write: W) -> Body
where
    W: FnOnce(Sender<Bytes, Infallible>) -> F,
    F: Future<Output = ()> + 'static,
{
    // a few frames ahead, so that large bodies do not go in lock-step
    let (sender, body) = Channel::new(4);
    spawn_local("echo body", write(sender));
    Either::Right(Either::Left(body))
}

/// An answer of one line.
pub(in crate::echo) fn text(status: StatusCode, line: &str) -> Response<Body> {
    let mut response = Response::new(whole(format!("{line}\n")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
