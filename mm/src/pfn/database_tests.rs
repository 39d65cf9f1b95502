//! Where frames go: one place each, the order of taking, and the last mapping.

use super::*;

fn database() -> PfnDatabase {
    PfnDatabase::new(FIRST_SYSTEM_FRAME + 4)
}

fn take(db: &mut PfnDatabase) -> Pfn {
    match db.take().expect("a frame") {
        Taken::Zeroed(pfn) | Taken::Dirty(pfn) | Taken::Standby(pfn) => pfn,
    }
}

/// SPEC I29: the locations add up to all frames, whatever happens.
#[test]
fn every_frame_is_in_exactly_one_place() {
    let mut db = database();
    let total = FIRST_SYSTEM_FRAME + 4;
    assert_eq!(db.counts().total(), total);
    let a = take(&mut db);
    assert_eq!((db.counts().total(), db.counts().transition), (total, 1));
    db.activate(a, PhysAddr::new(8), 0x80, PfnFlags::empty());
    assert_eq!((db.counts().total(), db.counts().active), (total, 1));
    assert_eq!(db.unshare(a), LastShare::Yes);
    db.enter(a, ListName::Free);
    assert_eq!((db.counts().total(), db.counts().free), (total, 1));
}

/// SPEC I27: zeroed, then free, then the standby list of lowest priority.
#[test]
fn frames_are_taken_in_the_order_of_least_loss() {
    let mut db = database();
    let all: Vec<Pfn> = std::iter::from_fn(|| db.counts().zeroed.gt(&0).then(|| take(&mut db))).collect();
    assert!(db.take().is_none());
    for (pfn, name) in [
        (all[0], ListName::Standby(5)),
        (all[1], ListName::Standby(2)),
        (all[2], ListName::Free),
        (all[3], ListName::Zeroed),
    ] {
        db.enter(pfn, name);
    }
    let order: Vec<Taken> = std::iter::from_fn(|| db.take()).collect();
    assert_eq!(
        order,
        [Taken::Zeroed(all[3]), Taken::Dirty(all[2]), Taken::Standby(all[1]), Taken::Standby(all[0])]
    );
}

/// SPEC I24: shares hold one reference together; the last one to go sends the frame where its content asks.
#[test]
fn the_last_mapping_retires_the_frame() {
    let mut db = database();
    for (flags, location) in
        [(PfnFlags::MODIFIED, PageLocation::Modified), (PfnFlags::empty(), PageLocation::Standby)]
    {
        let pfn = take(&mut db);
        db.activate(pfn, PhysAddr::new(8), 0x80, flags);
        db.share(pfn);
        assert_eq!(db.unshare(pfn), LastShare::No);
        assert_eq!((db.get(pfn).share_count, db.get(pfn).reference_count), (1, 1));
        assert_eq!(db.unshare(pfn), LastShare::Yes);
        db.retire(pfn);
        assert_eq!((db.get(pfn).location, db.get(pfn).reference_count), (location, 0));
    }
}

#[test]
fn frame_zero_is_never_handed_out() {
    let mut db = database();
    while let Some(taken) = db.take() {
        assert_ne!(taken, Taken::Zeroed(Pfn::new(0)));
    }
    assert_eq!(db.counts().bad, 1);
}
