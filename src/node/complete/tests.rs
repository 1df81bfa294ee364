use super::*;

const STUDY: &str = "1.2.3";

/// A clock that goes only when it is told to.
struct Clock(Instant);

impl Clock {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn at(&self, seconds: f64) -> Instant {
        self.0 + Duration::from_secs_f64(seconds)
    }
}

fn config(count_by: &str) -> CompletionConfig {
    CompletionConfig {
        idle_s: 60,
        counted_idle_s: 5,
        max_wait_s: 1800,
        count_by: count_by.into(),
    }
}

fn completion(clock: &Clock) -> Completion {
    Completion::new(&config("PACS"), [], clock.at(0.0))
}

fn instance(instances: u32) -> Arrived {
    Arrived {
        study_instance_uid: STUDY.into(),
        instances,
        receiving: true,
        reopens: None,
    }
}

/// Why the study is closed at a moment, and with how many instances.
fn closed(completion: &mut Completion, now: Instant) -> Option<(Reason, u32)> {
    let complete = completion.take_complete(now);
    complete
        .first()
        .map(|study| (study.reason, study.instances))
}

#[test]
fn a_study_is_complete_when_nothing_came_for_the_idle_time() {
    let clock = Clock::new();
    let mut completion = completion(&clock);
    completion.arrived(&instance(1), clock.at(0.0));
    completion.arrived(&instance(2), clock.at(50.0));
    assert_eq!(closed(&mut completion, clock.at(109.9)), None);
    assert_eq!(
        closed(&mut completion, clock.at(110.0)),
        Some((Reason::Idle, 2))
    );
    assert_eq!(completion.open_studies(), 0);
}

#[test]
fn a_complete_study_tells_how_long_it_waited_since_its_last_instance() {
    let clock = Clock::new();
    let mut completion = completion(&clock);
    completion.arrived(&instance(1), clock.at(0.0));
    completion.arrived(&instance(2), clock.at(50.0));
    let complete = completion.take_complete(clock.at(110.5));
    assert_eq!(complete[0].waited, Duration::from_millis(60_500));
}

#[test]
fn a_study_with_as_many_instances_as_the_peer_says_waits_less() {
    let clock = Clock::new();
    let mut completion = completion(&clock);
    completion.arrived(&instance(300), clock.at(0.0));
    assert_eq!(completion.to_count(clock.at(0.4)), [""; 0]);
    assert_eq!(completion.to_count(clock.at(0.5)), [STUDY]);
    assert_eq!(completion.to_count(clock.at(0.6)), [""; 0]);
    completion.counted(STUDY, 300);
    assert_eq!(closed(&mut completion, clock.at(4.9)), None);
    assert_eq!(
        closed(&mut completion, clock.at(5.0)),
        Some((Reason::Counted, 300))
    );
}

#[test]
fn another_count_than_the_peers_waits_for_the_idle_time() {
    for counted in [299, 301] {
        let clock = Clock::new();
        let mut completion = completion(&clock);
        completion.arrived(&instance(300), clock.at(0.0));
        completion.to_count(clock.at(1.0));
        completion.counted(STUDY, counted);
        assert_eq!(closed(&mut completion, clock.at(59.0)), None);
        assert_eq!(
            closed(&mut completion, clock.at(60.0)),
            Some((Reason::Idle, 300))
        );
    }
}

#[test]
fn an_answer_that_an_instance_has_overtaken_is_forgotten() {
    let clock = Clock::new();
    let mut completion = completion(&clock);
    completion.arrived(&instance(299), clock.at(0.0));
    assert_eq!(completion.to_count(clock.at(1.0)), [STUDY]);
    completion.arrived(&instance(300), clock.at(2.0));
    completion.counted(STUDY, 300);
    assert_eq!(closed(&mut completion, clock.at(30.0)), None);
    assert_eq!(completion.to_count(clock.at(30.0)), [STUDY]);
}

#[test]
fn nobody_is_asked_where_no_peer_counts() {
    let clock = Clock::new();
    let mut completion = Completion::new(&config(""), [], clock.at(0.0));
    completion.arrived(&instance(1), clock.at(0.0));
    assert_eq!(completion.to_count(clock.at(10.0)), [""; 0]);
    assert_eq!(completion.next_look(clock.at(10.0)), Some(clock.at(60.0)));
}

#[test]
fn a_study_that_never_rests_is_closed_at_the_latest_wait() {
    let clock = Clock::new();
    let mut completion = completion(&clock);
    for second in 0..1800 {
        completion.arrived(&instance(second + 1), clock.at(f64::from(second)));
        assert_eq!(closed(&mut completion, clock.at(f64::from(second))), None);
    }
    assert_eq!(
        closed(&mut completion, clock.at(1800.0)),
        Some((Reason::MaxWait, 1800))
    );
}

#[test]
fn a_late_instance_opens_a_study_again_with_a_wait_of_its_own() {
    let clock = Clock::new();
    let mut completion = completion(&clock);
    completion.arrived(&instance(1), clock.at(0.0));
    assert!(closed(&mut completion, clock.at(60.0)).is_some());
    completion.arrived(&instance(2), clock.at(5000.0));
    assert_eq!(closed(&mut completion, clock.at(5059.0)), None);
    assert_eq!(
        closed(&mut completion, clock.at(5060.0)),
        Some((Reason::Idle, 2))
    );
}

#[test]
fn what_opens_no_study_is_not_waited_for() {
    let clock = Clock::new();
    let mut completion = completion(&clock);
    let report = Arrived {
        receiving: false,
        ..instance(1)
    };
    completion.arrived(&report, clock.at(0.0));
    assert_eq!(completion.next_look(clock.at(0.0)), None);
}

#[test]
fn studies_that_were_open_at_a_start_wait_anew() {
    let clock = Clock::new();
    let open = [(STUDY.to_owned(), 7)];
    let mut completion = Completion::new(&config(""), open, clock.at(100.0));
    assert_eq!(closed(&mut completion, clock.at(159.0)), None);
    assert_eq!(
        closed(&mut completion, clock.at(160.0)),
        Some((Reason::Idle, 7))
    );
}

#[test]
fn what_the_database_did_not_take_waits_anew_unless_more_came() {
    let clock = Clock::new();
    let mut completion = completion(&clock);
    completion.put_back(STUDY, 7, clock.at(0.0));
    assert_eq!(
        closed(&mut completion, clock.at(60.0)),
        Some((Reason::Idle, 7))
    );
    completion.arrived(&instance(8), clock.at(61.0));
    completion.put_back(STUDY, 7, clock.at(62.0));
    assert_eq!(
        closed(&mut completion, clock.at(121.0)),
        Some((Reason::Idle, 8))
    );
}

#[test]
fn the_next_look_is_the_next_moment_at_which_something_is_due() {
    let clock = Clock::new();
    let mut completion = completion(&clock);
    completion.arrived(&instance(1), clock.at(0.0));
    assert_eq!(completion.next_look(clock.at(0.0)), Some(clock.at(0.5)));
    completion.to_count(clock.at(0.5));
    assert_eq!(completion.next_look(clock.at(0.5)), Some(clock.at(60.0)));
    completion.counted(STUDY, 1);
    assert_eq!(completion.next_look(clock.at(0.5)), Some(clock.at(5.0)));
}

#[test]
fn the_longest_waits_that_can_be_written_overflow_nothing() {
    let clock = Clock::new();
    let config = CompletionConfig {
        idle_s: u64::MAX,
        max_wait_s: u64::MAX,
        ..config("")
    };
    let mut completion = Completion::new(&config, [], clock.at(0.0));
    completion.arrived(&instance(1), clock.at(0.0));
    assert_eq!(closed(&mut completion, clock.at(9e6)), None);
}
