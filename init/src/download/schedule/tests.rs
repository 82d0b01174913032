use super::late::CRAWL;
use super::*;

/// Bytes of a piece.
const SIZE: u64 = 1 << 20;

/// A schedule of this many pieces, with this many sources that have all.
fn schedule(pieces: usize, members: usize) -> (Schedule, Instant) {
    let mut schedule = Schedule::new(pieces, SIZE);
    for _ in 0..members {
        schedule.join(Standing::Good, true);
    }
    (schedule, Instant::now())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// All runs that are handed out now.
fn runs(schedule: &mut Schedule, now: Instant) -> Vec<(usize, Range<usize>)> {
    std::iter::from_fn(|| schedule.next_run(now)).collect()
}

/// Lets a source receive and prove as many pieces of its run, each of which takes `each`; returns when it is done.
fn receive(schedule: &mut Schedule, member: usize, pieces: usize, mut now: Instant, each: Duration) -> Instant {
    for _ in 0..pieces {
        let bytes = schedule.members[member].work.as_ref().unwrap().bytes;
        let index = schedule.next_piece(member, bytes, now).expect("its run has no more");
        now += each;
        schedule.seen(member, bytes + SIZE, now);
        schedule.filled(member, now);
        schedule.proved(member, index);
    }
    now
}

#[test]
fn one_source_gets_all_in_one_run() {
    let (mut schedule, now) = schedule(60, 1);
    assert_eq!(runs(&mut schedule, now), [(0, 0..60)]);
    receive(&mut schedule, 0, 60, now, seconds(1));
    assert!(schedule.ended(0, End::Well).is_empty());
    assert!(schedule.is_complete() && schedule.rests());
}

#[test]
fn who_is_there_from_the_start_gets_equal_parts() {
    let (mut one, now) = schedule(60, 3);
    assert_eq!(runs(&mut one, now), [(0, 0..20), (1, 20..40), (2, 40..60)]);
    let (mut few, now) = schedule(2, 3);
    assert_eq!(runs(&mut few, now), [(0, 0..1), (1, 1..2)]);
}

#[test]
fn no_more_than_eight_work_at_once() {
    let (mut schedule, now) = schedule(600, 12);
    assert_eq!(runs(&mut schedule, now).len(), 8);
}

#[test]
fn who_has_nothing_to_do_steals_the_far_half_of_the_longest_run() {
    let (mut schedule, now) = schedule(60, 2);
    runs(&mut schedule, now);
    let now = receive(&mut schedule, 0, 30, now, seconds(1));
    let now = receive(&mut schedule, 1, 10, now, seconds(1));
    schedule.next_piece(1, 10 * SIZE, now).unwrap();
    schedule.ended(0, End::Well);
    // One of the twenty that are left is in hand.
    assert_eq!(runs(&mut schedule, now), [(0, 50..60)]);
    assert_eq!(schedule.end(1), Some(50), "the owner wants no more than what it still has");
    // Who joins in the middle is as good as anybody.
    schedule.join(Standing::Good, true);
    assert_eq!(runs(&mut schedule, now), [(2, 45..50)]);
}

#[test]
fn what_is_done_at_once_is_not_worth_a_request() {
    let (mut schedule, now) = schedule(40, 2);
    runs(&mut schedule, now);
    let now = receive(&mut schedule, 0, 20, now, Duration::from_millis(10));
    let now = receive(&mut schedule, 1, 10, now, Duration::from_millis(10));
    schedule.ended(0, End::Well);
    assert_eq!(runs(&mut schedule, now), []);
    // But it has to be done then.
    schedule.next_piece(1, 10 * SIZE, now).unwrap();
    assert_eq!(runs(&mut schedule, now + seconds(1)), [(0, 35..40)]);
}

#[test]
fn a_single_piece_is_not_stolen_back_and_forth() {
    let (mut schedule, now) = schedule(1, 2);
    assert_eq!(runs(&mut schedule, now), [(0, 0..1)]);
    assert_eq!(runs(&mut schedule, now + seconds(1)), []);
}

#[test]
fn who_stalls_loses_its_run_if_somebody_else_is_there() {
    let (mut schedule, now) = schedule(1, 2);
    runs(&mut schedule, now);
    schedule.next_piece(0, 0, now).unwrap();
    schedule.seen(0, 5, now + seconds(1));
    assert_eq!(schedule.late(now + seconds(3)), []);
    assert_eq!(schedule.late(now + seconds(4)), [(0, Late::Stalled(seconds(3)))]);
    // Its thread has been told, and gives the piece back.
    assert_eq!(schedule.ended(0, End::HungUp), [0]);
    assert_eq!(runs(&mut schedule, now + seconds(4)), [(1, 0..1)]);
}

#[test]
fn the_last_one_is_never_late() {
    let (mut schedule, now) = schedule(10, 1);
    runs(&mut schedule, now);
    schedule.next_piece(0, 0, now).unwrap();
    assert_eq!(schedule.late(now + seconds(3600)), []);
    // Nor is somebody as long as all the others work.
    schedule.join(Standing::Good, true);
    runs(&mut schedule, now + seconds(3600));
    assert_eq!(schedule.late(now + seconds(7200)), []);
}

#[test]
fn who_is_much_slower_than_somebody_without_work_is_late() {
    let (mut schedule, now) = schedule(20, 2);
    runs(&mut schedule, now);
    let now = receive(&mut schedule, 0, 10, now, seconds(1));
    let now = receive(&mut schedule, 1, 9, now, seconds(1));
    schedule.ended(0, End::Well);
    schedule.next_piece(1, 9 * SIZE, now).unwrap();
    // At this pace it takes four seconds, and three are left when it is asked: as long as the other one and a request.
    schedule.seen(1, 9 * SIZE + SIZE / 2, now + seconds(2));
    assert_eq!(schedule.late(now + seconds(2)), []);
    assert_eq!(schedule.late(now + seconds(4)), [], "it may have stalled");
    schedule.seen(1, 9 * SIZE + SIZE / 2 + 1, now + seconds(5));
    let late = schedule.late(now + seconds(5));
    assert!(
        matches!(late[..], [(1, Late::Slower(whole, pace))] if whole.as_secs() == 9 && pace == seconds(1)),
        "{late:?}"
    );
}

#[test]
fn who_crawls_is_late_even_if_nobodys_pace_is_known() {
    let (mut schedule, now) = schedule(1, 2);
    runs(&mut schedule, now);
    schedule.next_piece(0, 0, now).unwrap();
    schedule.seen(0, 1000 * 9, now + seconds(9));
    assert_eq!(schedule.late(now + seconds(9)), []);
    assert_eq!(schedule.late(now + seconds(10)), [(0, Late::Crawls(900))]);
    let (mut schedule, now) = self::schedule(1, 2);
    runs(&mut schedule, now);
    schedule.next_piece(0, 0, now).unwrap();
    schedule.seen(0, 10 * CRAWL, now + seconds(10));
    assert_eq!(schedule.late(now + seconds(10)), []);
}

#[test]
fn who_was_set_back_is_asked_when_nobody_else_is_left() {
    let mut schedule = Schedule::new(10, SIZE);
    let now = Instant::now();
    schedule.join(Standing::SetBack, true);
    schedule.join(Standing::Good, true);
    assert_eq!(runs(&mut schedule, now), [(1, 0..10)]);
    schedule.ended(1, End::Failed);
    assert_eq!(runs(&mut schedule, now), [(0, 0..10)]);
    schedule.ended(0, End::Failed);
    assert_eq!(runs(&mut schedule, now), []);
    assert!(schedule.rests() && !schedule.is_complete());
}

#[test]
fn what_was_wrong_comes_from_somebody_else_and_not_from_the_liar() {
    let (mut schedule, now) = schedule(4, 2);
    runs(&mut schedule, now);
    schedule.next_piece(0, 0, now).unwrap();
    schedule.filled(0, now);
    schedule.wrong(0, 0);
    assert_eq!(schedule.next_piece(0, SIZE, now), None, "it goes on after a lie");
    assert_eq!(schedule.ended(0, End::HungUp), [1]);
    let now = receive(&mut schedule, 1, 2, now, seconds(1));
    schedule.ended(1, End::Well);
    assert_eq!(runs(&mut schedule, now), [(1, 0..2)]);
}

#[test]
fn who_gave_what_is_not_proved_yet_gets_nothing_more() {
    let (mut schedule, now) = schedule(20, 2);
    runs(&mut schedule, now);
    schedule.next_piece(0, 0, now).unwrap();
    schedule.filled(0, now);
    let now = receive(&mut schedule, 0, 9, now, seconds(1));
    schedule.ended(0, End::Well);
    assert_eq!(runs(&mut schedule, now), [], "its first piece may be a lie");
    assert!(schedule.proved(0, 0), "it is to be looked after");
    assert_eq!(runs(&mut schedule, now), [(0, 15..20)]);
    assert!(!schedule.proved(1, 10), "it has work");
}

#[test]
fn where_a_run_is_one_piece_who_gave_a_right_one_may_be_one_ahead() {
    let (mut schedule, now) = schedule(20, 1);
    schedule.singly(7);
    let fill = |schedule: &mut Schedule| {
        assert_eq!(runs(schedule, now).len(), 1, "it gets no run");
        let index = schedule.next_piece(0, 0, now).unwrap();
        schedule.filled(0, now);
        schedule.ended(0, End::Well);
        index
    };
    let first = fill(&mut schedule);
    assert_eq!(runs(&mut schedule, now), [], "its first piece may be a lie");
    assert!(schedule.proved(0, first), "it is to be looked after");
    let [second, third] = [fill(&mut schedule), fill(&mut schedule)];
    assert_eq!(runs(&mut schedule, now), [], "two pieces may be lies");
    assert!(schedule.proved(0, second), "it is to be looked after");
    let fourth = fill(&mut schedule);
    schedule.wrong(0, third);
    schedule.proved(0, fourth);
    assert_eq!(runs(&mut schedule, now), [], "who lied is asked again");
}

#[test]
fn a_piece_that_is_being_hashed_is_nobodys_and_not_over() {
    let (mut schedule, now) = schedule(1, 1);
    runs(&mut schedule, now);
    schedule.next_piece(0, 0, now).unwrap();
    schedule.seen(0, SIZE, now);
    schedule.filled(0, now);
    schedule.ended(0, End::Well);
    assert!(!schedule.rests() && !schedule.is_complete());
    assert_eq!((schedule.arrived(), runs(&mut schedule, now)), (SIZE, vec![]));
    schedule.proved(0, 0);
    assert!(schedule.rests() && schedule.is_complete());
}

#[test]
fn a_source_goes_on_after_a_cut_only_so_often() {
    let (mut schedule, _) = schedule(1, 1);
    let goes_on = (0..8).filter(|_| schedule.may_resume(0)).count();
    assert_eq!(goes_on, 5);
}

#[test]
fn without_ranges_a_source_is_asked_for_all_or_nothing_and_last() {
    let (mut schedule, now) = schedule(4, 2);
    assert_eq!(runs(&mut schedule, now), [(0, 0..2), (1, 2..4)]);
    schedule.ended(0, End::NoRanges);
    assert_eq!(runs(&mut schedule, now), []);
    schedule.ended(1, End::NoRanges);
    assert_eq!(runs(&mut schedule, now), [(0, 0..4)]);
    receive(&mut schedule, 0, 1, now, seconds(1));
    schedule.ended(0, End::Failed);
    assert_eq!(runs(&mut schedule, now), [], "a part is proved, and nobody gives the rest alone");
}

/// As a neighbour says it.
fn states(text: &str) -> Vec<PieceState> {
    text.bytes().map(|byte| PieceState::from_byte(byte).unwrap()).collect()
}

#[test]
fn a_neighbour_is_asked_for_what_it_has_and_an_origin_for_what_no_neighbour_has_or_fetches() {
    let (mut schedule, now) = schedule(6, 1);
    let neighbour = schedule.join(Standing::Good, false);
    schedule.has(neighbour, &states("221100"), now);
    assert_eq!(runs(&mut schedule, now), [(0, 4..5), (1, 0..2)]);
    receive(&mut schedule, 0, 1, now, seconds(1));
    schedule.ended(0, End::Well);
    assert_eq!(runs(&mut schedule, now), [(0, 5..6)]);
    schedule.ended(0, End::Well);
}

#[test]
fn what_a_neighbour_says_is_coming_is_not_waited_for_without_end() {
    let (mut schedule, now) = schedule(2, 1);
    let neighbour = schedule.join(Standing::Good, false);
    for second in 0..12 {
        schedule.has(neighbour, &states("11"), now + seconds(second));
    }
    assert_eq!(runs(&mut schedule, now + seconds(9)), []);
    assert!(schedule.waits_for_neighbours());
    assert_eq!(runs(&mut schedule, now + seconds(10)).len(), 1);
    schedule.left(neighbour);
    assert!(!schedule.waits_for_neighbours());
}

#[test]
fn a_neighbour_takes_over_what_it_has_of_a_run() {
    let (mut schedule, now) = schedule(10, 1);
    runs(&mut schedule, now);
    schedule.next_piece(0, 0, now).unwrap();
    let neighbour = schedule.join(Standing::Good, false);
    schedule.has(neighbour, &states("2000002200"), now);
    assert_eq!(runs(&mut schedule, now), [(neighbour, 6..8)]);
    assert_eq!(schedule.end(0), Some(6));
    assert_eq!(runs(&mut schedule, now), [], "8 and 9 wait for the origin");
    receive_rest(&mut schedule, now);
    assert_eq!(runs(&mut schedule, now), [(0, 8..10)]);
}

#[test]
fn a_neighbour_that_is_busy_is_asked_again_later_and_an_origin_not_at_once() {
    let (mut schedule, now) = schedule(1, 1);
    let neighbour = schedule.join(Standing::Good, false);
    schedule.has(neighbour, &states("2"), now);
    for _ in 0..20 {
        assert!(schedule.may_resume(neighbour));
        assert_eq!(runs(&mut schedule, now), [(neighbour, 0..1)]);
        schedule.ended(neighbour, End::Busy);
        assert_eq!(runs(&mut schedule, now), []);
        schedule.has(neighbour, &states("2"), now);
    }
    assert!(!schedule.may_resume(neighbour));
    schedule.left(neighbour);
    assert_eq!(runs(&mut schedule, now), [(0, 0..1)]);
}

/// As often as the crew looks, for so long: lets everybody have work, and gives the runs that the origin, number 0, got.
fn origins_runs(
    schedule: &mut Schedule,
    begin: Instant,
    until: u64,
    said: &mut dyn FnMut(&mut Schedule, Instant),
) -> Vec<Range<usize>> {
    let mut given = Vec::new();
    for tick in 0..until * 10 {
        let now = begin + Duration::from_millis(100 * tick);
        said(schedule, now);
        for (member, run) in runs(schedule, now) {
            if member == 0 {
                given.push(run);
                while schedule.end(0).is_some_and(|end| schedule.members[0].work.as_ref().unwrap().rest.start < end) {
                    receive(schedule, 0, 1, now, Duration::from_millis(100));
                }
                schedule.ended(0, End::Well);
            }
        }
    }
    given
}

#[test]
fn an_origin_is_not_spared_for_neighbours_that_say_much_and_give_nothing() {
    let (mut schedule, now) = schedule(60, 1);
    let neighbours = [schedule.join(Standing::Good, false), schedule.join(Standing::Good, false)];
    // Each says in turn that everything is coming to it, before the other one's word is too old.
    let mut said = |schedule: &mut Schedule, at: Instant| {
        let turn = usize::from((at.duration_since(now).as_secs() / 4).is_multiple_of(2));
        schedule.has(neighbours[turn], &states(&"1".repeat(60)), at);
        schedule.has(neighbours[1 - turn], &states(&"0".repeat(60)), at);
    };
    assert_eq!(origins_runs(&mut schedule, now, 5, &mut said), []);
    let given = origins_runs(&mut schedule, now + seconds(5), 16, &mut said);
    // One piece to see how fast it is, then all.
    assert_eq!((given[0].len(), schedule.is_complete()), (1, true), "{given:?}");
}

#[test]
fn waits_of_an_origin_count_however_short() {
    let (mut schedule, now) = schedule(60, 1);
    let neighbour = schedule.join(Standing::Good, false);
    // It leaves the origin a piece every second.
    let mut said = |schedule: &mut Schedule, at: Instant| {
        let tick = at.duration_since(now).as_millis() / 100;
        schedule.has(neighbour, &states(&"1".repeat(60)), at);
        let free = schedule.pieces.iter().position(|piece| *piece == State::Free);
        if let (0, Some(free)) = (tick % 10, free) {
            schedule.members[neighbour].holds.as_mut().unwrap()[free].0 = PieceState::Missing;
        }
    };
    let given = origins_runs(&mut schedule, now, 9, &mut said);
    assert!(schedule.is_complete(), "{given:?}");
}

#[test]
fn an_origin_is_not_spared_for_a_neighbour_that_is_many_times_slower() {
    for (bytes_a_second, spared) in [(300 << 10, false), (4 << 20, true)] {
        let (mut schedule, begin) = schedule(60, 1);
        let neighbour = schedule.join(Standing::Good, false);
        schedule.has(neighbour, &states(&"2".repeat(60)), begin);
        let mut came = 0;
        // It gives what it has, piece after piece.
        let mut said = |schedule: &mut Schedule, now: Instant| {
            let Some(work) = &schedule.members[neighbour].work else { return };
            let (hand, before) = work.hand.as_ref().map_or((None, came), |hand| (Some(hand.index), hand.before));
            came += bytes_a_second / 10;
            schedule.seen(neighbour, came, now);
            match hand {
                Some(index) if came >= before + SIZE => {
                    schedule.filled(neighbour, now);
                    schedule.proved(neighbour, index);
                }
                Some(_) => return,
                None => {}
            }
            if schedule.next_piece(neighbour, came, now).is_none() {
                (came, _) = (0, schedule.ended(neighbour, End::Well));
            }
        };
        let given = origins_runs(&mut schedule, begin, 25, &mut said);
        let pieces: usize = given.iter().map(ExactSizeIterator::len).sum();
        assert_eq!(pieces <= 1, spared, "{bytes_a_second}: {given:?}");
        // The neighbour keeps no more than the piece in its hand.
        let left = schedule.pieces.iter().filter(|piece| **piece != State::Proved).count();
        assert!(left <= usize::from(!spared), "{bytes_a_second}: {left}");
    }
}

#[test]
fn neighbours_that_only_hold_pieces_come_to_an_end() {
    let mut schedule = Schedule::new(1, SIZE);
    let begin = Instant::now();
    for _ in 0..2 {
        let neighbour = schedule.join(Standing::Good, false);
        schedule.has(neighbour, &states("2"), begin);
    }
    let mut bytes = 0;
    for second in 0..120 {
        let now = begin + seconds(second);
        for (member, _) in runs(&mut schedule, now) {
            // As good as nothing, but something.
            bytes += 1;
            schedule.next_piece(member, 0, now);
            schedule.seen(member, bytes, now);
        }
        for (member, _) in schedule.late(now) {
            schedule.ended(member, End::HungUp);
        }
    }
    // The last one has all the patience that there is.
    assert_eq!([0, 1].iter().filter(|member| schedule.counts(**member)).count(), 1);
}

#[test]
fn who_lied_stays_out_whatever_else_it_does() {
    let (mut schedule, now) = schedule(20, 2);
    runs(&mut schedule, now);
    schedule.next_piece(0, 0, now).unwrap();
    schedule.filled(0, now);
    let now = receive(&mut schedule, 1, 10, now, seconds(1)) + seconds(10);
    schedule.ended(1, End::Well);
    schedule.wrong(0, 0);
    assert_eq!(schedule.late(now), [], "it was told to stop already");
    schedule.ended(0, End::NoRanges);
    assert!(!schedule.counts(0));
    assert_eq!(runs(&mut schedule, now), [(1, 0..10)]);
    schedule.ended(1, End::Failed);
    assert_eq!(runs(&mut schedule, now), [], "who lied is asked again");
}

/// Lets source 0 come to the end of its run, whose first piece is in hand.
fn receive_rest(schedule: &mut Schedule, now: Instant) {
    schedule.filled(0, now);
    schedule.proved(0, 0);
    while let Some(index) = schedule.next_piece(0, 0, now) {
        schedule.filled(0, now);
        schedule.proved(0, index);
    }
    schedule.ended(0, End::Well);
}

#[test]
fn machines_that_share_begin_with_different_single_pieces() {
    let first = |seed: u64| {
        let (mut schedule, now) = schedule(64, 1);
        schedule.singly(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let order: Vec<usize> = (0..64)
            .map(|_| {
                let (_, run) = schedule.next_run(now).unwrap();
                assert_eq!(run.len(), 1);
                receive(&mut schedule, 0, 1, now, seconds(1));
                schedule.ended(0, End::Well);
                run.start
            })
            .collect();
        assert!(schedule.is_complete());
        order[0]
    };
    let firsts: std::collections::BTreeSet<usize> = (1..=20).map(first).collect();
    assert!(firsts.len() >= 12, "{firsts:?}");
}
