//! Key packages: one for each who asks, the same until it is used, and the last-resort one when there is no other.

use directory::{core::ServiceEffect, store::Store};
use protocol::{
    Bounded,
    directory::{KeyPackageBytes, Push, Refusal, Reply, Request},
    limits::{KEY_PACKAGE_LIFETIME_S, KEY_PACKAGES, KEY_PACKAGES_LOW},
};

use crate::{
    hall::{BEGIN, Hall, Person},
    talk::{Made, is_malformed},
};

over_both!(
    the_same_package_comes_for_the_same_asker_until_it_is_used,
    the_last_resort_comes_when_there_is_no_other,
    a_device_hears_when_its_packages_run_low,
    no_more_is_stocked_than_fits,
    a_package_that_does_not_hold_is_refused,
    a_package_ends_after_eighty_four_days_also_for_whom_it_was_promised,
);

fn publish(hall: &Hall<impl Store>, person: &mut Person, count: usize, last_resort: bool) -> Vec<KeyPackageBytes> {
    let packages: Vec<_> = (0..count).map(|_| person.package(hall.now)).collect();
    let last_resort = last_resort.then(|| person.last_resort(hall.now));
    let all = packages.iter().cloned().chain(last_resort.clone()).collect();
    let request = Request::PublishKeyPackages { packages: packages.try_into().unwrap(), last_resort };
    let answer = hall.ask(person, request);
    assert!(matches!(answer, Ok(Reply::KeyPackageStock { .. })), "{answer:?}");
    all
}

fn taken(hall: &Hall<impl Store>, by: &mut Person, of: &Person) -> Option<KeyPackageBytes> {
    hall.take(by, of.account).pop().map(|(device, package)| {
        assert_eq!(device, of.device());
        package
    })
}

fn the_same_package_comes_for_the_same_asker_until_it_is_used(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    assert_eq!(taken(&hall, &mut alice, &bob), None);
    let packages = publish(&hall, &mut bob, 3, false);
    for _ in 0..2 {
        assert_eq!(taken(&hall, &mut alice, &bob).as_ref(), Some(&packages[0]));
        assert_eq!(taken(&hall, &mut carol, &bob).as_ref(), Some(&packages[1]));
    }
    let Made { new, .. } = hall.make_direct(&mut alice, &bob, 0);
    assert_eq!(hall.create(&mut alice, &new), Ok(Reply::CommitAccepted));
    assert_eq!(taken(&hall, &mut alice, &bob).as_ref(), Some(&packages[2]), "used is used");
    assert_eq!(taken(&hall, &mut carol, &bob).as_ref(), Some(&packages[1]));
    let request = Request::PublishKeyPackages { packages: packages.try_into().unwrap(), last_resort: None };
    assert_eq!(hall.ask(&mut bob, request), Ok(Reply::KeyPackageStock { left: 0 }), "and never stocked again");
    assert_eq!(
        hall.ask(&mut alice, Request::TakeKeyPackages { account: protocol::AccountId([7; 32]) }),
        Err(Refusal::Unknown)
    );
}

fn the_last_resort_comes_when_there_is_no_other(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let packages = publish(&hall, &mut bob, 1, true);
    assert_eq!(taken(&hall, &mut alice, &bob).as_ref(), Some(&packages[0]));
    for _ in 0..2 {
        assert_eq!(taken(&hall, &mut carol, &bob).as_ref(), Some(&packages[1]));
    }
    // It is never used up: the next creation by it is another one.
    let Made { new, .. } = hall.make_direct(&mut carol, &bob, 0);
    assert_eq!(hall.create(&mut carol, &new), Ok(Reply::CommitAccepted));
    assert_eq!(taken(&hall, &mut carol, &bob).as_ref(), Some(&packages[1]));
    let replaced = publish(&hall, &mut bob, 0, true);
    assert_eq!(taken(&hall, &mut carol, &bob).as_ref(), Some(&replaced[0]));
    assert_eq!(taken(&hall, &mut alice, &bob).as_ref(), Some(&packages[0]), "what was promised stays");
}

fn a_device_hears_when_its_packages_run_low(hall: Hall<impl Store>) {
    let mut bob = hall.arrive("bob", 2);
    publish(&hall, &mut bob, KEY_PACKAGES_LOW + 2, false);
    let take = Request::TakeKeyPackages { account: bob.account };
    let low = ServiceEffect::Push { device: bob.device(), push: Push::KeyPackagesLow };
    let told: Vec<_> =
        (10..13).map(|seed| hall.effects(&mut hall.arrive(&format!("asker-{seed}"), seed), take.clone())).collect();
    assert_eq!(told, [vec![], vec![low.clone()], vec![low]]);
}

fn no_more_is_stocked_than_fits(hall: Hall<impl Store>) {
    let mut bob = hall.arrive("bob", 2);
    publish(&hall, &mut bob, KEY_PACKAGES - 1, false);
    let packages: Vec<_> = (0..2).map(|_| bob.package(hall.now)).collect();
    let request = Request::PublishKeyPackages { packages: packages.try_into().unwrap(), last_resort: None };
    for _ in 0..2 {
        let left = u32::try_from(KEY_PACKAGES).unwrap();
        assert_eq!(hall.ask(&mut bob, request.clone()), Ok(Reply::KeyPackageStock { left }));
    }
}

fn a_package_that_does_not_hold_is_refused(hall: Hall<impl Store>) {
    let (mut bob, carol) = (hall.arrive("bob", 2), hall.arrive("carol", 3));
    let good = bob.package(hall.now);
    let mut broken = good.to_vec();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let expired = bob.package(protocol::Timestamp(BEGIN.0 - 85 * 24 * 3_600 * 1_000));
    let early = bob.package(BEGIN.plus_ms(24 * 3_600 * 1_000));
    let cases = [
        ("a signature that does not hold", crate::hall::bytes(&broken)),
        ("another device's", carol.package(hall.now)),
        ("one that has expired", expired),
        ("one of tomorrow", early),
        ("none", KeyPackageBytes::default()),
    ];
    for (what, package) in cases {
        for last_resort in [false, true] {
            let (packages, last) =
                if last_resort { (vec![], Some(package.clone())) } else { (vec![good.clone(), package.clone()], None) };
            let request = Request::PublishKeyPackages { packages: packages.try_into().unwrap(), last_resort: last };
            let answer = hall.ask(&mut bob, request);
            assert!(is_malformed(&answer), "{what}: {answer:?}");
        }
    }
    assert_eq!(hall.service.store().stock(bob.device(), hall.now).unwrap(), (0, false));
}

fn a_package_ends_after_eighty_four_days_also_for_whom_it_was_promised(mut hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let old = publish(&hall, &mut bob, 2, true);
    assert_eq!(taken(&hall, &mut alice, &bob).as_ref(), Some(&old[0]));
    hall.pass(KEY_PACKAGE_LIFETIME_S * 1_000 - 1);
    assert_eq!(taken(&hall, &mut alice, &bob).as_ref(), Some(&old[0]));
    hall.pass(1);
    let announce = Request::Announce { addresses: Bounded::default(), send_counter: 0 };
    let left = |bob: &mut Person| match hall.ask(bob, announce.clone()) {
        Ok(Reply::Announced { key_packages, last_resort, .. }) => (key_packages, last_resort),
        other => panic!("{other:?}"),
    };
    assert_eq!(left(&mut bob), (0, false), "its device hears that there are no more");
    for person in [&mut alice, &mut carol] {
        assert_eq!(taken(&hall, person, &bob), None);
    }
    hall.service.sweep(hall.now);
    let new = publish(&hall, &mut bob, 1, true);
    assert_eq!(taken(&hall, &mut alice, &bob).as_ref(), Some(&new[0]));
    assert_eq!(taken(&hall, &mut carol, &bob).as_ref(), Some(&new[1]));
}
