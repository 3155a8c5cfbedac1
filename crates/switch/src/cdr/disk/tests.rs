//! What a disk says against a plain map, through whatever happens to its layers.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Op>),
    Settle,
    /// The move of recent changes begins, and does not end before the next step that moves something.
    Begin,
    /// The process dies, and another one opens the same folder.
    Reopen,
}

/// Some are as short as no row's, some lie below another one as the rows of a copy do, most are like those of rows.
fn row(kind: u8, number: u8) -> Vec<u8> {
    let like_a_row = |number: u8| [&[kind][..], &u64::from(number).to_be_bytes()].concat();
    match number {
        3 => vec![kind],
        8..10 => [like_a_row(6), like_a_row(number)].concat(),
        _ => like_a_row(number),
    }
}

/// Keys of each family and of none, few enough to meet again.
fn key() -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(&b"fhkort"[..]), 0..12_u8).prop_map(|(kind, number)| row(kind, number))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (key(), prop::collection::vec(any::<u8>(), 0..4)).prop_map(|(key, value)| Op::Put(key, value)),
        3 => key().prop_map(Op::Delete),
        1 => (key(), key()).prop_map(|(one, other)| Op::DeleteRange(one.clone().min(other.clone()), one.max(other))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(op(), 1..6).prop_map(Step::Write),
        2 => Just(Step::Settle),
        2 => Just(Step::Begin),
        1 => Just(Step::Reopen),
    ]
}

fn change(model: &mut Model, op: &Op) {
    match op.clone() {
        Op::Put(key, value) => drop(model.insert(key, value)),
        Op::Delete(key) => drop(model.remove(&key)),
        Op::DeleteRange(from, to) => model.retain(|key, _| !(from.clone()..to.clone()).contains(key)),
    }
}

fn says_what_is_there(disk: &Disk, model: &Model) -> Result<(), TestCaseError> {
    for kind in *b"\0fhkorstz" {
        let from = vec![kind];
        let there: Vec<(Vec<u8>, Vec<u8>)> =
            disk.from(&from).map(|pair| pair.map(|(key, value)| (key.into(), value.into())).expect("reads")).collect();
        let expected: Vec<_> = model.range(from.clone()..).map(|(key, value)| (key.clone(), value.clone())).collect();
        prop_assert_eq!(there, expected);
        for number in [0, 5, 12] {
            let key = row(kind, number);
            let expected = model.range(..=key.clone()).next_back().map(|(key, _)| key.clone());
            prop_assert_eq!(disk.last_before(&key).expect("reads").map(Vec::from), expected);
            prop_assert_eq!(disk.get(&key).expect("reads"), model.get(&key).cloned());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_layers_are_one_map_at_any_moment_and_after_any_death(steps in prop::collection::vec(step(), 1..30)) {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut disk, mut model) = (Disk::open(folder.path()).expect("opens"), Model::new());
        for step in steps {
            match step {
                Step::Write(ops) => {
                    ops.iter().for_each(|op| change(&mut model, op));
                    disk.write(ops).expect("written");
                }
                Step::Settle => disk.settle().expect("moved"),
                Step::Begin => disk.begin_move(&mut disk.settling.lock()).expect("begun"),
                Step::Reopen => {
                    drop(disk);
                    disk = Disk::open(folder.path()).expect("opens");
                }
            }
            says_what_is_there(&disk, &model)?;
        }
    }
}

fn number_of(key: &[u8]) -> u32 {
    u32::from_be_bytes(key[1..].try_into().expect("a number"))
}

fn key_of(number: u32) -> Vec<u8> {
    [&b"r"[..], &number.to_be_bytes()].concat()
}

/// Several pages of each layer over each other.
#[test]
fn pages_of_all_layers_are_put_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path()).expect("opens");
    let write = |numbers: &mut dyn Iterator<Item = u32>| {
        disk.write(numbers.map(|number| Op::Put(key_of(number), Vec::new())).collect()).expect("written");
    };
    write(&mut (0..3_000).filter(|number| number % 3 == 0));
    disk.settle().expect("moved");
    write(&mut (0..3_000).filter(|number| number % 3 == 1));
    disk.write(vec![Op::DeleteRange(key_of(300), key_of(900))]).expect("written");
    disk.begin_move(&mut disk.settling.lock()).expect("begun");
    write(&mut (600..3_000).filter(|number| number % 3 == 2));
    disk.write((0..300).map(|number| Op::Delete(key_of(number * 9))).collect()).expect("written");
    let there: Vec<u32> = disk.from(b"r").map(|pair| number_of(&pair.expect("reads").0)).collect();
    let is_there = |number: &u32| match number % 3 {
        2 => *number >= 600,
        _ => !((300..900).contains(number) || number.is_multiple_of(9) && *number < 2_700),
    };
    assert_eq!(there, (0..3_000).filter(is_there).collect::<Vec<_>>());
}

/// A reader goes on over moves that begin and end under it, and misses no row that was there all the time.
#[test]
fn a_reader_misses_nothing_while_rows_are_moved() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path()).expect("opens");
    disk.write((0..2_000).map(|number| Op::Put(key_of(number), Vec::new())).collect()).expect("written");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..50 {
                assert_eq!(disk.from(b"r").filter(|pair| pair.is_ok()).count(), 2_000);
            }
        });
        while !reader.is_finished() {
            disk.write(vec![Op::Put(b"h".to_vec(), vec![0; 50])]).expect("written");
            disk.settle().expect("moved");
        }
        reader.join().expect("it misses nothing");
    });
    assert_eq!(disk.inside.lock().former.len(), 0, "what was synced is not kept");
    let segments = fs::read_dir(folder.path().join(JOURNAL)).expect("there").count();
    assert!(segments <= 2, "segments that were moved are dropped: {segments}");
}

/// What an earlier version wrote, in RocksDB alone.
#[test]
fn what_an_earlier_version_wrote_is_found_where_it_belongs() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let db = rocksdb::DB::open_default(folder.path()).expect("opens");
        for row in 0..2_500_u32 {
            db.put([&b"o"[..], &row.to_be_bytes()].concat(), "open").expect("written");
        }
        db.put("k1", "kept").expect("written");
        db.put("r1", "finished").expect("written");
    }
    for _ in 0..2 {
        let disk = Disk::open(folder.path()).expect("opens");
        let open = disk.from(b"o").filter(|pair| pair.as_ref().is_ok_and(|pair| pair.0[0] == b'o'));
        assert_eq!(open.count(), 2_500);
        assert_eq!(disk.get(b"k1").expect("reads").as_deref(), Some(&b"kept"[..]));
        assert_eq!(disk.get(b"r1").expect("reads").as_deref(), Some(&b"finished"[..]));
    }
}

/// What was moved is where a version without a journal finds it.
#[test]
fn a_disk_that_was_settled_has_everything_in_rocksdb() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path()).expect("opens");
    disk.write(vec![Op::Put(b"r1".to_vec(), b"row".to_vec()), Op::Put(b"o1".to_vec(), b"row".to_vec())]).expect("ok");
    disk.settle().expect("moved");
    disk.write(vec![Op::Delete(b"r1".to_vec())]).expect("written");
    disk.settle().expect("moved");
    drop(disk);
    let settled = Settled::open(folder.path()).expect("opens");
    assert_eq!(settled.get(b"o1").expect("reads").as_deref(), Some(&b"row"[..]));
    assert_eq!(settled.get(b"r1").expect("reads"), None);
}

/// What was exported and deleted long ago costs the next export nothing: no walk leads over it.
#[test]
fn what_is_deleted_is_not_walked_over_again() {
    use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path()).expect("opens");
    let key = |kind: u8, number: u64| [&[kind][..], &number.to_be_bytes()].concat();
    let round = |round: u64| {
        let calls = || round * 10..(round + 1) * 10;
        disk.write(calls().map(|call| Op::Put(key(b'o', call), vec![1])).collect()).expect("written");
        disk.settle().expect("moved");
        let ends = calls().flat_map(|call| [Op::Delete(key(b'o', call)), Op::Put(key(b'r', call), vec![2])]);
        disk.write(ends.collect()).expect("written");
        disk.settle().expect("moved");
        let waiting = disk.from(&key(b'r', calls().start)).map(|row| row.expect("reads").0).collect::<Vec<_>>();
        assert_eq!(waiting.len(), 10);
        let exported =
            [Op::DeleteRange(key(b'r', calls().start), key(b'r', calls().end)), Op::Put(b"n".into(), vec![3])];
        disk.write(exported.into()).expect("written");
        disk.settle().expect("moved");
    };
    (0..200).for_each(round);
    set_perf_stats(PerfStatsLevel::EnableCount);
    let mut counts = PerfContext::default();
    counts.reset();
    round(200);
    let skipped = counts.metric(PerfMetric::InternalDeleteSkippedCount);
    let seeks = counts.metric(PerfMetric::SeekOnMemtableCount);
    set_perf_stats(PerfStatsLevel::Disable);
    assert!(seeks > 0, "the counts are on");
    assert!(skipped <= 20, "{skipped} rows that were deleted before lay on the way");
}

#[test]
fn a_long_range_goes_as_a_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path()).expect("opens");
    let key = |kind: u8, number: u64| [&[kind][..], &number.to_be_bytes()].concat();
    let there = |disk: &Disk| disk.from(b"").map(|pair| pair.expect("reads").0.into_vec()).collect::<Vec<_>>();
    let rows = (0..3_000).flat_map(|number| [Op::Put(key(b'r', number), vec![1]), Op::Put(key(b'o', number), vec![2])]);
    disk.write(rows.collect()).expect("written");
    disk.settle().expect("moved");
    disk.write(vec![Op::DeleteRange(key(b'o', 7), key(b'r', 2_990))]).expect("written");
    disk.settle().expect("moved");
    let left: Vec<_> =
        (0..7).map(|number| key(b'o', number)).chain((2_990..3_000).map(|number| key(b'r', number))).collect();
    assert_eq!(there(&disk), left);
}

#[test]
fn a_sync_that_began_after_this_was_asked_for_counts_for_it_and_no_other_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path()).expect("opens");
    let state = || (*disk.syncing.lock(), disk.syncs.load(Ordering::Acquire));
    disk.write(vec![Op::Put(vec![1], vec![1])]).expect("written");
    disk.sync().expect("synced");
    assert_eq!(state(), (1, 1));
    disk.sync().expect("synced");
    assert_eq!(state(), (2, 2), "the one before may have begun too early");
    // What another one leaves that began while this one waited for its turn.
    *disk.syncing.lock() = 3;
    disk.sync().expect("is synced");
    assert_eq!(state(), (3, 2));
}
