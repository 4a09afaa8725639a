use super::reservation::RESERVE_STEP;
use super::*;
use std::sync::Arc;

fn pool(limit: usize) -> Arc<MemoryPool> {
    MemoryLedger::unlimited().share(Share::Queries, limit)
}

#[test]
fn holders_stop_at_their_own_and_at_the_shared_limit_and_give_everything_back() {
    let pool = pool(3 * RESERVE_STEP);
    let mut first = Reservation::new(&pool, 2 * RESERVE_STEP);
    first.cover(1).unwrap();
    first.cover(2 * RESERVE_STEP).unwrap();
    assert_eq!(first.cover(2 * RESERVE_STEP + 1), Err(Refusal::Holder(2 * RESERVE_STEP)));
    let mut second = Reservation::new(&pool, usize::MAX);
    second.cover(RESERVE_STEP).unwrap();
    let refused = second.cover(RESERVE_STEP + 1);
    assert_eq!(refused, Err(Refusal::Share(Share::Queries, 3 * RESERVE_STEP)));
    second.cover(RESERVE_STEP).unwrap();
    drop(first);
    second.cover(RESERVE_STEP + 1).unwrap();
    drop(second);
    assert_eq!(pool.used(), 0);
}

#[test]
fn a_share_can_be_used_to_its_last_byte() {
    let pool = pool(RESERVE_STEP + 1);
    let mut all = Reservation::new(&pool, usize::MAX);
    all.cover(RESERVE_STEP + 1).unwrap();
    assert_eq!(all.held(), RESERVE_STEP + 1);
    assert!(all.cover(RESERVE_STEP + 2).is_err());
    assert!(all.cover(usize::MAX).is_err());
}

#[test]
fn a_share_with_room_is_refused_what_the_process_has_not() {
    let ledger = MemoryLedger::new(100);
    let (rows, queries) = (ledger.share(Share::Rows, 80), ledger.share(Share::Queries, 80));
    let held = Reservation::charged(&rows, 60);
    assert_eq!(Reservation::exactly(&queries, 41).unwrap_err(), Refusal::Process(100));
    assert_eq!(Reservation::exactly(&queries, 81).unwrap_err(), Refusal::Share(Share::Queries, 80));
    assert_eq!(queries.used(), 0, "what was refused is not held");
    let all = Reservation::exactly(&queries, 40).unwrap();
    let uses = ledger.shares();
    let counted: Vec<_> =
        uses.iter().map(|u| (u.share, u.used, u.refused_by_share, u.refused_by_process)).collect();
    assert_eq!(counted, [(Share::Rows, 60, 0, 0), (Share::Queries, 40, 1, 1)]);
    drop((held, all));
    assert_eq!(ledger.used(), 0);
}

#[test]
fn a_charge_is_never_refused_and_leaves_less_to_the_others() {
    let ledger = MemoryLedger::new(100);
    let (rows, cache) = (ledger.share(Share::Rows, 50), ledger.share(Share::Cache, 50));
    let cached = Reservation::charged(&cache, 50);
    assert_eq!(cache.allowance(), 50);
    let mut rows = Reservation::charged(&rows, 70);
    assert!(ledger.is_overdrawn());
    assert_eq!(cache.allowance(), 30, "the share has to give back 20");
    rows.set(200);
    assert_eq!(cache.allowance(), 0);
    assert!(Reservation::exactly(&cache, 1).is_err());
    rows.set(10);
    assert!(!ledger.is_overdrawn());
    drop(cached);
    assert_eq!(ledger.used(), 10);
}

#[test]
fn a_share_ends_with_its_owner() {
    let ledger = MemoryLedger::new(100);
    drop(ledger.share(Share::Rows, 10));
    let again = ledger.share(Share::Rows, 20);
    assert_eq!(ledger.shares().iter().map(|share| share.limit).collect::<Vec<_>>(), [20]);
    drop(again);
    assert!(ledger.shares().is_empty());
}

/// Numbers that look random and are the same in every run (Marsaglia, "Xorshift RNGs", 2003).
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, end: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end) as usize
    }
}

/// One random step of a holder in any share.
fn step(random: &mut Xorshift, pools: &[Arc<MemoryPool>], holders: &mut Vec<(usize, Reservation)>) {
    let bytes = random.below(300 << 10);
    let number = random.below(pools.len() as u64);
    let chosen = random.below(8);
    let Some((_, holder)) = holders.get_mut(chosen) else {
        let new = match random.below(3) {
            0 => Ok(Reservation::charged(&pools[number], bytes)),
            1 => Reservation::exactly(&pools[number], bytes),
            _ => Ok(Reservation::new(&pools[number], 200 << 10)),
        };
        holders.extend(new.ok().map(|holder| (number, holder)));
        return;
    };
    match random.below(4) {
        0 => drop(holders.swap_remove(chosen)),
        1 => holder.set(bytes),
        2 => holder.charge(bytes),
        _ => {
            let before = holder.held();
            let covered = holder.cover(bytes);
            assert_eq!(covered.is_err(), holder.held() < bytes);
            assert!(covered.is_ok() || holder.held() == before, "a refusal takes nothing");
        }
    }
}

#[test]
fn the_ledger_is_the_sum_of_its_shares_and_a_share_that_of_its_holders() {
    let mut random = Xorshift(0x5eed);
    for _ in 0..50 {
        let ledger = MemoryLedger::new(600 << 10);
        let pools = [(Share::Rows, 300 << 10), (Share::Streams, 400 << 10), (Share::Queries, 500 << 10)]
            .map(|(share, limit)| ledger.share(share, limit));
        let mut holders = Vec::new();
        for _ in 0..200 {
            step(&mut random, &pools, &mut holders);
            for (number, pool) in pools.iter().enumerate() {
                let held: usize = holders.iter().filter(|(n, _)| *n == number).map(|(_, h)| h.held()).sum();
                assert_eq!(pool.used(), held);
            }
            assert_eq!(ledger.used(), pools.iter().map(|pool| pool.used()).sum::<usize>());
        }
        drop(holders);
        assert_eq!(ledger.used(), 0);
    }
}

#[test]
fn nothing_is_lost_between_threads_and_reservations_never_exceed_a_limit() {
    let ledger = MemoryLedger::new(1 << 20);
    let pools = [Share::Streams, Share::Queries].map(|share| ledger.share(share, 700 << 10));
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            let (ledger, pools) = (&ledger, &pools);
            scope.spawn(move || {
                let mut random = Xorshift(seed);
                for _ in 0..2_000 {
                    let pool = &pools[random.below(2)];
                    let mut holder = Reservation::new(pool, usize::MAX);
                    let _ = holder.cover(random.below(500 << 10));
                    assert!(ledger.used() <= ledger.limit() && pool.used() <= pool.limit());
                    holder.set(holder.held() / 2);
                }
            });
        }
    });
    assert_eq!((ledger.used(), pools[0].used(), pools[1].used()), (0, 0, 0));
}
