//! One stream: a request and its response.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::h2::server::SendResponse;
use ::h2::{RecvStream, SendStream};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::calm::Calm;
use super::ongoing::Final;
use super::turns::{Turn, Turns};
use super::{Answer, Ongoing, Shared, tunnel};
use crate::life;
use crate::plane::l7::Server;
use crate::plane::l7::account::Holding;
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::h1::ResponseHead;
use crate::plane::l7::pace::Pace;
use crate::plane::l7::respond::OwnAnswer;
use crate::plane::l7::window::poll_room;
use crate::snapshot::Reason;

/// Carries a request to an endpoint and the response back. Dropped or ended early, the stream is reset
/// and the exchange's connection closed; a panic is told as what it is.
pub(super) async fn run(
    shared: Rc<Shared>,
    calm: Rc<Calm>,
    parts: Box<Parts>,
    body: RecvStream,
    mut respond: SendResponse<Bytes>,
) {
    let carried = {
        let carrying = pin!(carry(shared, &calm, parts, body, &mut respond));
        life::caught("h2-stream", carrying).await
    };
    if carried.is_err() {
        respond.send_reset(::h2::Reason::INTERNAL_ERROR);
    }
}

async fn carry(
    shared: Rc<Shared>,
    calm: &Calm,
    parts: Box<Parts>,
    body: RecvStream,
    respond: &mut SendResponse<Bytes>,
) {
    let (server, turns) = (shared.server.clone(), shared.turns.clone());
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    let body = Incoming { stream: body, length, is_read: false };
    let begun = Ongoing::begin(shared, &parts, body, Ok(()), "HTTP/2");
    drop(parts);
    let response = match begun {
        Err(response) => *response,
        Ok(mut ongoing) => match answered(&mut ongoing, respond).await {
            Some(Answered::Own(answer)) => ongoing.fail(answer),
            Some(Answered::Response(head)) if ongoing.is_switched(&head) => {
                return Box::pin(tunnel::run(&server, calm, *ongoing, &head, respond)).await;
            }
            Some(Answered::Response(head)) => ongoing.finish(&head),
            None => {
                calm.note_reset();
                return ongoing.abandon();
            }
        },
    };
    if send(&server, calm, &turns, response, respond).await == Sent::Reset {
        calm.note_reset();
    }
}

/// What a request comes to.
enum Answered {
    Response(ResponseHead),
    Own(OwnAnswer),
}

/// Waits for a final response, and passes interim ones on. `None`: the client has reset the stream.
async fn answered(
    ongoing: &mut Ongoing<Incoming>,
    respond: &mut SendResponse<Bytes>,
) -> Option<Answered> {
    if ongoing.owes_continue() {
        let _ = respond.send_informational(status(StatusCode::CONTINUE));
    }
    if let Err(answer) = unless_reset(respond, pin!(ongoing.authorize())).await? {
        return Some(Answered::Own(answer));
    }
    loop {
        let next = unless_reset(respond, pin!(ongoing.next())).await?;
        match next {
            Ok(head) if head.is_interim() => {
                if let Some(passed) = ongoing.interim(&head) {
                    // a stream that is gone shows at the next step
                    let _ = respond.send_informational(passed);
                }
            }
            Ok(head) => return Some(Answered::Response(head)),
            Err(reason) => return Some(Answered::Own(reason.into())),
        }
    }
}

fn status(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response
}

/// What a future gives, unless the stream ends before.
async fn unless_reset<T>(
    respond: &mut SendResponse<Bytes>,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => respond.poll_reset(cx).map(|_| None),
    })
    .await
}

/// How a response came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Whole,
    /// The endpoint, or rutter, has failed.
    Cut,
    /// The client wants no more of it.
    Reset,
    /// The client did not take what there was.
    Stalled,
    /// It was one of those who took least of what there was, and memory is short.
    Shed,
}

/// Sends a response to its end. One that ends early is reset, so that nobody takes it for complete; so
/// is one that the client does not take.
async fn send(
    server: &Server,
    calm: &Calm,
    turns: &Rc<Turns>,
    response: Final<Incoming>,
    respond: &mut SendResponse<Bytes>,
) -> Sent {
    let (mut parts, body) = response.into_parts();
    complete(&mut parts.headers, server, &body);
    let head = Response::from_parts(parts, ());
    let is_over = body.is_end_stream();
    let Ok(stream) = respond.send_response(head, is_over) else { return Sent::Reset };
    if is_over {
        return Sent::Whole;
    }
    let mut sending = Sending::new(server, calm, turns, body, stream);
    let sent = poll_fn(|cx| sending.poll(cx)).await;
    match sent {
        Sent::Whole | Sent::Reset => {}
        Sent::Cut => sending.stream.send_reset(::h2::Reason::INTERNAL_ERROR),
        Sent::Stalled | Sent::Shed => sending.stream.send_reset(::h2::Reason::CANCEL),
    }
    sent
}

/// The fields that rutter adds where they are missing.
fn complete(fields: &mut HeaderMap, server: &Server, body: &Answer<Incoming>) {
    fields.entry(DATE).or_insert_with(|| server.clock.date());
    if let Answer::Own(text) = body
        && !text.is_empty()
    {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    }
}

/// A body on its way to the client.
struct Sending<'a> {
    server: &'a Server,
    calm: &'a Calm,
    turns: &'a Rc<Turns>,
    body: Answer<Incoming>,
    stream: SendStream<Bytes>,
    /// What the client's window has no room for yet.
    rest: Bytes,
    /// Whether the client is waited for, until when, and how fast it is.
    turn: Option<Turn>,
    deadline: Option<Deadline>,
    pace: Pace,
    holding: Holding,
}

impl<'a> Sending<'a> {
    fn new(
        server: &'a Server,
        calm: &'a Calm,
        turns: &'a Rc<Turns>,
        body: Answer<Incoming>,
        stream: SendStream<Bytes>,
    ) -> Self {
        Self {
            server,
            calm,
            turns,
            body,
            stream,
            rest: Bytes::new(),
            turn: None,
            deadline: None,
            pace: Pace::default(),
            holding: Holding::default(),
        }
    }

    /// No more of the connection's window is asked for than there is to send: what is kept for an
    /// endpoint that is silent would be kept from others.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Sent> {
        loop {
            let sent = if self.rest.is_empty() {
                let piece = self.server.local.limits.h2_send_buffer / 2;
                let Poll::Ready(frame) = self.body.poll_frame(cx, piece) else {
                    return self.stream.poll_reset(cx).map(|_| Sent::Reset);
                };
                match frame {
                    Some(Ok(frame)) => self.take(frame),
                    Some(Err(broken)) if broken.is_by_client() => return Poll::Ready(Sent::Reset),
                    Some(Err(_)) => return Poll::Ready(Sent::Cut),
                    None => self.stream.send_data(Bytes::new(), true).map(|()| true),
                }
            } else {
                match poll_room(&mut self.stream, self.rest.len(), cx) {
                    Poll::Ready(Ok(room)) if self.is_fast_enough(room) => self.send(room),
                    Poll::Ready(Ok(_)) => return Poll::Ready(self.give_up()),
                    Poll::Ready(Err(_)) => return Poll::Ready(Sent::Reset),
                    Poll::Pending => return self.poll_stalled(cx),
                }
            };
            match sent {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Sent::Whole),
                Err(_) => return Poll::Ready(Sent::Reset),
            }
        }
    }

    /// Whether that was all.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<bool, ::h2::Error> {
        match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                Ok(false)
            }
            Err(frame) => {
                let fields = frame.into_trailers().unwrap_or_default();
                self.stream.send_trailers(fields).map(|()| true)
            }
        }
    }

    /// Whether that was all.
    fn send(&mut self, room: usize) -> Result<bool, ::h2::Error> {
        if self.turn.take().is_some() {
            self.holding = Holding::default();
        }
        self.calm.note_work();
        let data = self.rest.split_to(room.min(self.rest.len()));
        self.turns.note(data.len());
        let is_over = self.rest.is_empty() && self.body.is_end_stream();
        self.stream.send_data(data, is_over).map(|()| is_over)
    }

    /// Counts what the client takes, if it was waited for.
    fn is_fast_enough(&mut self, room: usize) -> bool {
        let taken = room.min(self.rest.len()) as u64;
        self.turn.is_none() || self.pace.moved(Instant::now(), taken, &self.server.local.limits)
    }

    /// Waits for a client that takes nothing, for some time. Its own request goes on meanwhile: it may
    /// take nothing before that is taken.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Sent> {
        if let Answer::Relayed(relayed) = &mut self.body {
            // an error shows again with the next piece
            let _ = relayed.poll_piece_upload(cx);
        }
        // the connection has as much again for it, at most
        let held = self.rest.len() + self.server.local.limits.h2_send_buffer;
        if self.holding.poll_note(cx, &self.server.accounts, held).is_ready() {
            self.body.note(Reason::Overloaded);
            return Poll::Ready(Sent::Shed);
        }
        let stall = self.server.local.limits.client_stall;
        let deadline = self.deadline.get_or_insert_with(|| Deadline::after(stall));
        let turn = self.turn.get_or_insert_with(|| {
            let now = Instant::now();
            deadline.set(now, stall);
            self.pace.wait(now);
            Turn::begin(self.turns)
        });
        loop {
            ready!(deadline.poll_passed(cx));
            if !turn.renew(stall, &self.server.local.limits) {
                return Poll::Ready(self.give_up());
            }
            deadline.set(Instant::now(), stall);
        }
    }

    fn give_up(&mut self) -> Sent {
        self.body.note(Reason::ClientTooSlow);
        Sent::Stalled
    }
}

/// The body of a request. The client may send more once a piece is taken.
pub(super) struct Incoming {
    stream: RecvStream,
    /// What the client says; the crate sees to it that it is true.
    length: Option<u64>,
    /// Whether nothing but trailers may follow.
    is_read: bool,
}

impl Incoming {
    /// The stream itself, of which nothing was read yet.
    pub(super) fn into_stream(self) -> RecvStream {
        self.stream
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = ::h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ::h2::Error>>> {
        let this = self.get_mut();
        if !this.is_read {
            match ready!(this.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    let _ = this.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.is_read = true,
            }
        }
        let trailers = ready!(this.stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|fields| fields.map(Frame::trailers)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
