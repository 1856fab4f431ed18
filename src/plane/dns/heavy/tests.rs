use proptest::prelude::*;

use super::*;

fn client(number: usize) -> IpAddr {
    [10, 0, (number >> 8) as u8, number as u8].into()
}

/// A socket before which a filter may be: queries a second of each client go in, evenly, and batches of
/// what passes come out, every millisecond.
struct Socket {
    heavy: HeavyHitters,
    filter: Option<SourceFilter>,
    now: Instant,
    /// What of each client has come and makes no whole query yet.
    parts: HashMap<IpAddr, f64, RandomState>,
    changes: Vec<Change>,
    passed: usize,
    fell: f64,
    told: usize,
}

impl Socket {
    fn new() -> Self {
        Self {
            heavy: HeavyHitters::default(),
            filter: None,
            now: Instant::now(),
            parts: HashMap::default(),
            changes: Vec::new(),
            passed: 0,
            fell: 0.0,
            told: 0,
        }
    }

    fn receive(&mut self, rates: &[(IpAddr, f64)], lasts: Duration, is_overloaded: bool) {
        let end = self.now + lasts;
        while self.now < end {
            self.now += TURN;
            let mut batch = Vec::new();
            for (client, rate) in rates {
                let passing = self.passing(*client);
                let came = rate * TURN.as_secs_f64();
                self.fell += came * (1.0 - passing);
                let part = self.parts.entry(*client).or_default();
                *part += came * passing;
                batch.extend(std::iter::repeat_n(*client, *part as usize));
                *part = part.fract();
            }
            self.passed += batch.len();
            let is_full = batch.len() > 256;
            batch.truncate(256);
            let (change, dropped) =
                self.heavy.look(batch.into_iter(), is_full, is_overloaded, self.now);
            self.told += dropped;
            match &change {
                Some(Change::Attach(filter)) => self.filter = Some(filter.clone()),
                Some(Change::Detach) => self.filter = None,
                None => {}
            }
            self.changes.extend(change);
        }
    }

    fn look_at_backlog(&mut self, is_full: bool) -> (Option<Change>, usize) {
        self.now += TURN;
        self.heavy.look(vec![client(0); 256].into_iter(), is_full, true, self.now)
    }

    fn passing(&self, client: IpAddr) -> f64 {
        let filter = self.filter.as_ref().filter(|it| it.sources.contains(&client));
        filter.map_or(1.0, |it| f64::from(it.passing) / f64::from(u32::MAX))
    }
}

const TURN: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn without_overload_nothing_is_counted_and_nobody_filtered() {
    let mut socket = Socket::new();
    socket.receive(&[(client(0), 200_000.0)], SECOND, false);
    assert_eq!(socket.changes, []);
    assert!(socket.heavy.asked.is_empty());
    assert_eq!(socket.heavy.due(socket.now), None);
}

#[test]
fn of_heavy_hitters_as_much_passes_as_the_budget_has_and_of_others_everything() {
    let mut socket = Socket::new();
    let rates = [(client(0), 400_000.0), (client(1), 300_000.0), (client(2), 50.0)];
    socket.receive(&rates, SECOND, true);
    let filter = socket.filter.as_ref().expect("a filter");
    assert_eq!(filter.sources, [client(0), client(1)]);
    let before = socket.passed;
    socket.receive(&rates, SECOND, false);
    let passed = (socket.passed - before) as f64;
    assert!((LEAST_BUDGET..2.0 * BUDGET).contains(&passed), "{passed}");
}

#[test]
fn what_the_kernel_drops_is_told_about_as_it_is() {
    let mut socket = Socket::new();
    socket.receive(&[(client(0), 500_000.0), (client(1), 50.0)], 3 * SECOND, true);
    let error = (socket.told as f64 - socket.fell).abs() / socket.fell;
    assert!(error < 0.1, "{} of {}", socket.told, socket.fell);
}

/// With a filter from just now, before which much of its client may wait.
fn with_a_backlog() -> Socket {
    let mut socket = Socket::new();
    while !matches!(socket.look_at_backlog(true), (Some(Change::Attach(_)), _)) {}
    socket
}

#[test]
fn what_waited_before_the_filter_is_no_sign_of_what_it_drops() {
    let mut socket = with_a_backlog();
    let passing = socket.heavy.filter.as_ref().expect("a filter").passing;
    // for longer than a window
    for place in 0..160 {
        assert_eq!(socket.look_at_backlog(place < 159), (None, 0));
    }
    let filter = socket.heavy.filter.as_ref().expect("a filter");
    assert_eq!((filter.passing, filter.earlier), (passing, 0));
}

#[test]
fn a_buffer_that_is_never_empty_is_counted_again_after_all_that_may_have_waited() {
    let mut socket = with_a_backlog();
    for _ in 0..MOST_WAITING.div_ceil(256) {
        assert_eq!(socket.look_at_backlog(true), (None, 0));
    }
    assert_eq!(socket.heavy.filter.as_ref().map(|it| it.earlier), Some(0));
}

#[test]
fn many_who_ask_for_equally_much_are_left_to_the_choice_after_the_buffer() {
    let mut socket = Socket::new();
    let rates: Vec<_> = (0..2000).map(|it| (client(it), 500.0)).collect();
    socket.receive(&rates, SECOND, true);
    assert_eq!(socket.changes, []);
    assert!(socket.heavy.asked.len() <= COUNTED);
}

#[test]
fn a_heavy_hitter_among_forged_senders_is_found_and_they_are_not() {
    let mut socket = Socket::new();
    let forged = (1..2000).map(|it| (client(it), 200.0));
    let rates: Vec<_> = [(client(0), 400_000.0)].into_iter().chain(forged).collect();
    socket.receive(&rates, SECOND, true);
    assert_eq!(socket.filter.expect("a filter").sources, [client(0)]);
}

#[test]
fn another_heavy_hitter_takes_the_place_of_one_that_stopped() {
    let mut socket = Socket::new();
    socket.receive(&[(client(0), 500_000.0)], SECOND, true);
    socket.receive(&[(client(0), 20.0), (client(1), 500_000.0)], 2 * SECOND, true);
    assert_eq!(socket.filter.expect("a filter").sources, [client(1)]);
}

#[test]
fn the_filter_goes_after_the_flood_also_if_nobody_asks() {
    let mut socket = Socket::new();
    socket.receive(&[(client(0), 500_000.0)], SECOND, true);
    socket.receive(&[], CALM / 2, true);
    assert!(socket.filter.is_some());
    let due = socket.heavy.due(socket.now).expect("a moment");
    assert!(due <= socket.now + WINDOW);
    socket.receive(&[], CALM / 2 + 2 * WINDOW, false);
    assert_eq!(socket.filter, None);
    assert_eq!(socket.heavy.due(socket.now), None);
}

#[test]
fn the_budget_shrinks_where_it_is_too_much_and_grows_again() {
    let mut socket = Socket::new();
    let rates = [(client(0), 500_000.0), (client(1), 50.0)];
    socket.receive(&rates, SECOND, true);
    let budget = socket.heavy.budget;
    let start = socket.now;
    while socket.now < start + SECOND {
        socket.now += WINDOW;
        let batch = vec![client(0); 256].into_iter();
        socket.heavy.look(batch, true, true, socket.now);
    }
    assert!(socket.heavy.budget < budget);
    assert_eq!(socket.heavy.budget, LEAST_BUDGET);
    socket.receive(&rates, 5 * SECOND, false);
    assert!(socket.heavy.budget > 2.0 * LEAST_BUDGET);
}

proptest! {
    #[test]
    fn whatever_is_asked_few_are_filtered_and_never_who_asks_less_than_its_share(
        // no more than is taken in: what falls in the buffer falls evenly, here it does not
        rates in prop::collection::vec(0..4_000u32, 1..60),
    ) {
        let mut socket = Socket::new();
        let rates: Vec<(IpAddr, f64)> =
            rates.iter().enumerate().map(|(it, rate)| (client(it), f64::from(*rate))).collect();
        let total: f64 = rates.iter().map(|(_, rate)| rate).sum();
        socket.receive(&rates, SECOND / 2, true);
        let Some(filter) = &socket.filter else { return Ok(()) };
        prop_assert!(filter.sources.len() <= SourceFilter::MOST);
        for (client, rate) in &rates {
            if filter.sources.contains(client) {
                // who is heavy already remains so for a quarter
                prop_assert!(*rate > total / 200.0, "{} of {}", rate, total);
            }
        }
    }
}
