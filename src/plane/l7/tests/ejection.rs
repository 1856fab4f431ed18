use super::world::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

async fn failing(response: &str) -> Canned {
    Canned::with(&[response; 200]).await
}

#[test]
fn an_endpoint_with_five_gateway_errors_in_a_row_is_passed_over() {
    run(async {
        for status in ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"] {
            let bad = failing(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
            let good = Canned::ok().await;
            let world = World::to(&[bad.addr, good.addr]).await;
            let mut failures = 0;
            for _ in 0..60 {
                failures += usize::from(!world.ask(GET).await.contains("200 OK"));
            }
            assert_eq!((failures, bad.heads().len()), (5, 5), "{status}");
        }
    });
}

#[test]
fn other_errors_are_answers_and_interrupt_a_row() {
    run(async {
        let error = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
        let rows = [vec![error; 100], [[UNAVAILABLE; 4].as_slice(), &[error]].concat().repeat(20)];
        for responses in rows {
            let (bad, good) = (Canned::with(&responses).await, Canned::ok().await);
            let world = World::to(&[bad.addr, good.addr]).await;
            for _ in 0..60 {
                world.ask(GET).await;
            }
            assert!(bad.heads().len() > 10, "{}", bad.heads().len());
        }
    });
}

#[test]
fn an_endpoint_that_resets_three_requests_in_a_row_is_passed_over() {
    run(async {
        let (bad, good) = (failing(RESET).await, Canned::ok().await);
        let world = World::to(&[bad.addr, good.addr]).await;
        for _ in 0..60 {
            assert!(world.ask(GET).await.contains("200 OK"), "it goes on at the other");
        }
        assert_eq!(bad.connections(), 3);
    });
}

#[test]
fn the_only_endpoint_and_half_of_several_are_always_asked() {
    run(async {
        let alone = failing(UNAVAILABLE).await;
        let world = World::to(&[alone.addr]).await;
        for _ in 0..20 {
            assert!(world.ask(GET).await.contains("503"));
        }
        assert_eq!(alone.heads().len(), 20);
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(failing(UNAVAILABLE).await);
        }
        let addrs: Vec<_> = all.iter().map(|it| it.addr).collect();
        let world = World::to(&addrs).await;
        for _ in 0..100 {
            assert!(world.ask(GET).await.contains("503"));
        }
        let mut asked: Vec<_> = all.iter().map(|it| it.heads().len()).collect();
        asked.sort_unstable();
        assert_eq!(asked[..2], [5, 5], "{asked:?}");
        assert!(asked[2] > 5, "{asked:?}");
    });
}
