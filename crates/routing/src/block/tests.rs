//! What is packed unpacks the same; what is anything else is refused and never panics.

use super::*;
use crate::Prefix;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Money in every form: small as prices are, and as large as it can be.
fn money() -> impl Strategy<Value = Decimal> {
    prop_oneof![
        (0..100_000i64, 0..8u32).prop_map(|(coefficient, scale)| Decimal::new(coefficient, scale)),
        (any::<u32>(), any::<u32>(), any::<u32>(), any::<bool>(), 0..=28u32)
            .prop_map(|(low, middle, high, negative, scale)| Decimal::from_parts(low, middle, high, negative, scale)),
    ]
}

fn moment() -> impl Strategy<Value = Option<Wall>> {
    prop::option::of(prop_oneof![Just(1_767_225_600_000), 0..u64::MAX].prop_map(Wall))
}

fn price() -> impl Strategy<Value = Price> {
    let steps = prop_oneof![Just((1, 1)), Just((60, 60)), any::<(u32, u32)>()];
    ("[0-9*#]{0,15}", money(), money(), steps, moment(), moment()).prop_map(
        |(prefix, rate, connect_fee, (initial, next), from, to)| {
            let prefix = prefix.parse().expect("digits");
            Price { prefix, rate, connect_fee, initial, next, from, to }
        },
    )
}

fn in_order(prices: Vec<Price>) -> Vec<Price> {
    let sorted: BTreeMap<_, _> = prices.into_iter().map(|price| (key(&price), price)).collect();
    sorted.into_values().collect()
}

fn ported() -> impl Strategy<Value = Vec<Ported>> {
    let row = ("\\+[1-9][0-9]{2,14}", "\\+[1-9][0-9]{2,14}");
    prop::collection::vec(row, 0..60).prop_map(|rows| {
        let rows: BTreeMap<E164, E164> = rows
            .iter()
            .map(|(number, lrn)| (number.parse().expect("it reads"), lrn.parse().expect("it reads")))
            .collect();
        rows.into_iter().map(|(number, lrn)| Ported { number, lrn }).collect()
    })
}

/// Equality of decimals passes over the scale and the sign of zero.
fn parts(prices: &[Price]) -> Vec<([u8; 16], [u8; 16])> {
    prices.iter().map(|price| (price.rate.serialize(), price.connect_fee.serialize())).collect()
}

proptest! {
    #[test]
    fn rates_come_back_as_they_were(prices in prop::collection::vec(price(), 0..60), cut in any::<prop::sample::Index>()) {
        let prices = in_order(prices);
        let bytes = encode_rates(&prices);
        let back = decode_rates(&bytes).expect("what was packed");
        prop_assert_eq!(parts(&back), parts(&prices));
        prop_assert_eq!(&back, &prices);
        prop_assert!(decode_rates(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert!(decode_rates(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn ported_numbers_come_back_as_they_were(rows in ported(), cut in any::<prop::sample::Index>()) {
        let bytes = encode_ported(&rows);
        prop_assert_eq!(decode_ported(&bytes), Ok(rows));
        prop_assert!(decode_ported(&bytes[..cut.index(bytes.len())]).is_err());
    }

    /// Damage may read as other rows, but only as rows that pack again.
    #[test]
    fn damage_is_refused_or_read_as_rows(prices in prop::collection::vec(price(), 1..20), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode_rates(&in_order(prices));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(back) = decode_rates(&bytes) {
            prop_assert_eq!(decode_rates(&encode_rates(&back)), Ok(back));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0..9u8) {
        let _ = (decode_rates(&bytes), decode_ported(&bytes));
        for kind in [RATES, PORTED] {
            let dressed = [&[kind, VERSION, count], &bytes[..]].concat();
            if let Ok(rates) = decode_rates(&dressed) {
                prop_assert_eq!(decode_rates(&encode_rates(&rates)), Ok(rates));
            }
            if let Ok(rows) = decode_ported(&dressed) {
                prop_assert_eq!(decode_ported(&encode_ported(&rows)), Ok(rows));
            }
        }
    }
}

fn plain(prefix: &str) -> Price {
    Price { prefix: prefix.parse().expect("digits"), ..ORIGIN }
}

#[test]
fn another_kind_or_version_is_refused_by_name() {
    let mut bytes = encode_rates(&[plain("44")]);
    assert_eq!(decode_ported(&bytes), Err(BadBlock::Kind(b'E')));
    assert_eq!(decode_rates(b""), Err(BadBlock::Damaged("it ends too early")));
    bytes[1] = 2;
    assert_eq!(decode_rates(&bytes), Err(BadBlock::Version(2)));
    assert_eq!(
        decode_rates(&bytes).unwrap_err().to_string(),
        "the block has version 2, and this program reads version 1"
    );
}

#[test]
fn rows_that_do_not_ascend_are_refused() {
    // The second row keeps both digits and adds none: the same prefix and the same begin.
    let mut bytes = encode_rates(&[plain("44")]);
    bytes[2] = 2;
    bytes.extend([0x22, 0]);
    assert_eq!(decode_rates(&bytes), Err(BadBlock::Damaged("its rates do not ascend")));
}

/// What a stored block of version 1 looks like for ever.
#[test]
fn the_form_of_version_1_stays() {
    let day = Some(Wall(1_767_225_600_000));
    let first = Price { rate: Decimal::new(100, 4), initial: 60, next: 60, from: day, ..plain("44") };
    let second = Price { prefix: "447".parse::<Prefix>().expect("digits"), rate: Decimal::new(250, 4), ..first };
    let bytes = [
        &[b'E', 1, 2, 0x02, 0x44, 0b1_1101, 4, 100, 60, 60][..],
        &[0x81, 0xd0, 0xea, 0xb6, 0xb7, 0x33],
        &[0x23, 0x70, 1, 4, 0xfa, 1],
    ];
    assert_eq!(encode_rates(&[first, second]), bytes.concat());
    let (number, lrn) = ("+442071".parse().expect("it reads"), "+44990".parse().expect("it reads"));
    let ported = [0x4f, 1, 1, 0x06, 0x44, 0x20, 0x71, 0x05, 0x44, 0x99, 0x00];
    assert_eq!(encode_ported(&[Ported { number, lrn }]), ported);
}
