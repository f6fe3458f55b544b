//! What every store must do with key packages.

use protocol::{DeviceId, Timestamp};

use super::device;
use crate::store::{Package, Store};

/// A package of one byte that ends at some time.
pub(super) fn package(byte: u8, end: u64) -> Package {
    Package { bytes: vec![byte], expires: Timestamp(end) }
}

/// What is left of a device's at some time.
pub(super) fn stock(store: &impl Store, of: u8, at: u64) -> (u32, bool) {
    store.stock(device(of), Timestamp(at)).unwrap()
}

/// What a device is given of another's at some time.
fn take(store: &impl Store, by: u8, of: u8, at: u64) -> Option<u8> {
    let of: [DeviceId; 1] = [device(of)];
    let taken = store.take(device(by), &of, Timestamp(at)).unwrap();
    taken.into_iter().next().unwrap().map(|bytes| bytes[0])
}

pub(super) fn a_key_package_is_reserved_until_it_is_used_and_never_stocked_again(store: &impl Store) {
    let (one, two, last) = (package(1, 9), package(2, 9), package(3, 9));
    assert_eq!(stock(store, 1, 0), (0, false));
    assert_eq!(take(store, 8, 1, 0), None);
    store.publish(device(1), &[one.clone(), two], Some(&last)).unwrap();
    store.publish(device(1), std::slice::from_ref(&one), None).unwrap();
    assert_eq!(stock(store, 1, 0), (2, true));
    assert_eq!(store.take(device(8), &[device(1), device(2)], Timestamp(0)).unwrap(), [Some(vec![1]), None]);
    assert_eq!([take(store, 8, 1, 0), take(store, 9, 1, 0), take(store, 7, 1, 0)], [Some(1), Some(2), Some(3)]);
    store.used(device(8), &[device(1)]).unwrap();
    store.publish(device(1), &[one], None).unwrap();
    assert_eq!(stock(store, 1, 0), (0, true));
    assert_eq!(take(store, 8, 1, 0), Some(3));
}

pub(super) fn a_key_package_that_has_ended_is_given_to_nobody(store: &impl Store) {
    let packages = [package(1, 5), package(2, 7), package(3, 9)];
    store.publish(device(1), &packages, Some(&package(4, 8))).unwrap();
    assert_eq!((stock(store, 1, 4), stock(store, 1, 5), stock(store, 1, 8)), ((3, true), (2, true), (1, false)));
    assert_eq!(take(store, 8, 1, 4), Some(1));
    assert_eq!(take(store, 8, 1, 5), Some(2), "what was reserved has ended, another comes");
    store.used(device(8), &[device(1)]).unwrap();
    store.expire_packages(Timestamp(6), 9).unwrap();
    store.publish(device(1), &packages[1..], None).unwrap();
    assert_eq!(stock(store, 1, 0), (1, true), "a used one stays known until it ends");
    assert_eq!(take(store, 9, 1, 7), Some(3));
    assert_eq!((take(store, 8, 1, 7), take(store, 8, 1, 8)), (Some(4), None));
    // At most so many at a time, and in the end all.
    store.expire_packages(Timestamp(9), 1).unwrap();
    store.publish(device(1), &packages[1..], None).unwrap();
    assert_eq!(stock(store, 1, 0), (1, false), "the first alone was forgotten");
    store.expire_packages(Timestamp(9), 9).unwrap();
    assert_eq!((stock(store, 1, 0), take(store, 9, 1, 0)), ((0, false), None));
}
