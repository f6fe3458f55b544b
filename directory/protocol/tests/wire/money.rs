//! Amounts as people write them, and that nothing can go over the edge.

use proptest::prelude::*;
use protocol::{
    frame,
    money::{AMOUNT_MAX, Amount, AmountError, Currency},
};

use crate::samples::text;

fn euros() -> Currency {
    Currency::new(text("EUR"), 2).unwrap()
}

fn units(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

#[test]
fn what_is_an_amount_and_what_is_not() {
    use AmountError::{Form, NoDecimals, NoWhole, TooLarge, TooManyDecimals, Zero};
    let rows: &[(&str, Result<u64, AmountError>)] = &[
        ("5", Ok(500)),
        ("12.5", Ok(1_250)),
        ("12.50", Ok(1_250)),
        ("0.01", Ok(1)),
        ("007", Ok(700)),
        ("92233720368547758.07", Ok(AMOUNT_MAX)),
        ("92233720368547758.08", Err(TooLarge)),
        ("9223372036854775808", Err(TooLarge)),
        ("99999999999999999999999999", Err(TooLarge)),
        ("0", Err(Zero)),
        ("0.00", Err(Zero)),
        ("", Err(Form)),
        (".", Err(NoWhole)),
        (".5", Err(NoWhole)),
        ("5.", Err(NoDecimals)),
        ("0.001", Err(TooManyDecimals { scale: 2 })),
        ("-1", Err(Form)),
        ("+1", Err(Form)),
        ("1,50", Err(Form)),
        ("1 000", Err(Form)),
        ("1e3", Err(Form)),
        ("1.2.3", Err(Form)),
        ("0x10", Err(Form)),
        ("٣", Err(Form)),
        ("５", Err(Form)),
        ("1_000", Err(Form)),
        ("NaN", Err(Form)),
    ];
    for (text, expected) in rows {
        assert_eq!(euros().parse(text).map(Amount::units), *expected, "{text:?}");
    }
    assert_eq!(euros().parse_any("0.00"), Ok(Amount::ZERO));
    let whole = Currency::new(text("beer"), 0).unwrap();
    assert_eq!(whole.parse("3").map(Amount::units), Ok(3));
    assert_eq!(whole.parse("3.0"), Err(TooManyDecimals { scale: 0 }));
    assert_eq!(whole.show(units(3)).to_string(), "3");
    assert_eq!(Currency::new(text(""), 10), None);
}

#[test]
fn what_is_above_the_largest_is_refused_wherever_it_comes_from() {
    assert_eq!(Amount::new(AMOUNT_MAX + 1), None);
    assert_eq!(units(AMOUNT_MAX).checked_add(units(1)), None);
    assert_eq!(units(1).checked_sub(units(2)), None);
    let bytes = frame::encode_body(&(AMOUNT_MAX + 1), 16).unwrap();
    assert!(frame::decode_body::<Amount>(&bytes, 16).is_err());
    let bytes = frame::encode_body(&("EUR", 10_u8), 16).unwrap();
    assert!(frame::decode_body::<Currency>(&bytes, 16).is_err());
}

#[test]
fn balances_show_their_sign_and_all_decimals() {
    assert_eq!(euros().show_balance(-1_250).to_string(), "-12.50");
    assert_eq!(euros().show_balance(5).to_string(), "0.05");
    assert_eq!(euros().show_balance(i64::MIN + 1).to_string(), "-92233720368547758.07");
}

#[test]
fn a_sum_is_split_to_the_last_unit_and_the_first_get_more() {
    let shares: Vec<u64> = units(1_000).split(3).into_iter().map(Amount::units).collect();
    assert_eq!(shares, [334, 333, 333]);
    assert_eq!(units(2).split(3).into_iter().map(Amount::units).collect::<Vec<_>>(), [1, 1, 0]);
    assert_eq!(units(5).split(0), []);
}

proptest! {
    #[test]
    fn what_is_shown_is_read_again(amount in 0..=AMOUNT_MAX, scale in 0..=9_u8) {
        let currency = Currency::new(text("X"), scale).unwrap();
        prop_assert_eq!(currency.parse_any(&currency.show(units(amount)).to_string()), Ok(units(amount)));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,40}", scale in 0..=9_u8) {
        let _ = Currency::new(crate::samples::text("X"), scale).unwrap().parse(&text);
    }

    #[test]
    fn shares_add_up(amount in 0..=AMOUNT_MAX, parts in 1..2_000_u32) {
        let shares = units(amount).split(parts);
        prop_assert_eq!(shares.len(), parts as usize);
        prop_assert_eq!(shares.iter().map(|share| share.units()).sum::<u64>(), amount);
        prop_assert!(shares.windows(2).all(|pair| pair[0] >= pair[1]));
    }
}
