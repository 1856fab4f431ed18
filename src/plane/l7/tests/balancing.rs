use super::world::*;
use crate::snapshot::{Algorithm, Balancing, HashKey};

/// A world with so many endpoints behind one Service that says so.
async fn world(count: usize, balancing: Balancing) -> (World, Vec<Canned>) {
    let mut origins = Vec::new();
    for _ in 0..count {
        origins.push(Canned::ok().await);
    }
    origins.sort_by_key(|origin| origin.addr);
    let addrs: Vec<_> = origins.iter().map(|origin| origin.addr).collect();
    let mut world = World::new().await;
    world.publish(all(forward_to(balanced(target("web", &addrs), balancing))), None);
    (world, origins)
}

fn counts(origins: &[Canned]) -> Vec<usize> {
    origins.iter().map(|origin| origin.heads().len()).collect()
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n")
}

#[test]
fn rounds_go_from_one_endpoint_to_the_next() {
    run(async {
        let balancing = Balancing { algorithm: Algorithm::RoundRobin, ..Balancing::default() };
        let (world, origins) = world(3, balancing).await;
        for _ in 0..9 {
            assert!(world.ask(&get("")).await.contains("200 OK"));
        }
        assert_eq!(counts(&origins), [3, 3, 3]);
    });
}

#[test]
fn requests_with_the_same_key_go_to_the_same_endpoint() {
    run(async {
        let keys = [
            (HashKey::Header("x-user".into()), "X-USER: "),
            (HashKey::Cookie("user".into()), "Cookie: users=1; user="),
        ];
        for (key, field) in keys {
            let algorithm = Algorithm::Maglev(key);
            let (world, origins) = world(3, Balancing { algorithm, ..Balancing::default() }).await;
            let mut used = 0;
            for user in 0..100 {
                let before = counts(&origins);
                for _ in 0..2 {
                    assert!(
                        world.ask(&get(&format!("{field}{user}\r\n"))).await.contains("200 OK")
                    );
                }
                let after = counts(&origins);
                let grown: Vec<_> =
                    after.iter().zip(before).map(|(after, before)| after - before).collect();
                assert!(grown.contains(&2), "{grown:?}");
                used |= 1 << grown.iter().position(|it| *it == 2).expect("one");
            }
            assert_eq!(used, 0b111, "a hundred users, and some endpoint has none");
        }
    });
}

#[test]
fn all_requests_of_a_client_go_to_the_same_endpoint_by_its_address() {
    run(async {
        let algorithm = Algorithm::Maglev(HashKey::Source);
        let (world, origins) = world(4, Balancing { algorithm, ..Balancing::default() }).await;
        for _ in 0..8 {
            assert!(world.ask(&get("")).await.contains("200 OK"));
        }
        assert!(counts(&origins).contains(&8), "{:?}", counts(&origins));
    });
}

#[test]
fn an_endpoint_that_is_slow_to_answer_gets_few_requests() {
    run(async {
        let (fast, slow) = (Canned::ok().await, Manual::new().await);
        let slow_addr = slow.addr;
        let asked = std::rc::Rc::<std::cell::Cell<usize>>::default();
        let seen = asked.clone();
        crate::life::spawn_local("slow", async move {
            loop {
                let mut connection = slow.accept().await;
                connection.head().await;
                seen.set(seen.get() + 1);
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                connection.send(CLOSING).await;
            }
        });
        let world = World::to(&[fast.addr, slow_addr]).await;
        for _ in 0..40 {
            assert!(world.ask(&get("")).await.contains("200 OK"));
        }
        // one of 32 has no rival
        assert!((1..=6).contains(&asked.get()), "{}", asked.get());
        assert_eq!(fast.heads().len() + asked.get(), 40);
    });
}

const CLOSING: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
