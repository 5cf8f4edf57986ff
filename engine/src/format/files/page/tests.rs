//! Pages changed, written, read, cut and made up.

use super::*;
use crate::format::files::ItemKind;

fn key(number: u64) -> Key {
    Key::new(ItemKind::Content, 1, number)
}

#[test]
fn a_page_holds_what_is_put_in_whatever_the_order() {
    for page_bytes in [4096, 65536] {
        let mut page = <Page>::empty(page_bytes, 7, 0);
        let mut expected = std::collections::BTreeMap::new();
        let mut number = 1_u64;
        let kinds = [ItemKind::Content, ItemKind::Link];
        // Inserted, removed and grown until values were compacted many times.
        for round in 0..4000_u64 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round | 1);
            // Keys that differ in their ends come late: the frame widens under what is there.
            let kind = kinds[usize::from(round > 2000 && number >> 20 & 7 == 0)];
            let sub = if round % 5 == 0 { number >> 58 << 40 } else { number >> 58 };
            let (chosen, length) = (Key::new(kind, 1, sub), (number >> 33) as usize % 60);
            let value = vec![number as u8; length];
            if let Ok(slot) = page.search(chosen) {
                if !page.overwrite(slot, &value) {
                    page.remove(slot);
                    expected.remove(&chosen);
                } else {
                    expected.insert(chosen, value.clone());
                }
            }
            if let Err(slot) = page.search(chosen)
                && page.has_room(&[chosen], value.len())
            {
                page.insert(slot, chosen, Held::Value(&value));
                expected.insert(chosen, value);
            }
        }
        let read = <Page>::decode(page.encode().into(), 7).unwrap();
        assert_eq!(read.len(), expected.len());
        for (slot, (key, value)) in expected.iter().enumerate() {
            assert_eq!((read.key(slot), read.value(slot)), (*key, &value[..]));
        }
    }
}

#[test]
fn a_split_page_and_its_other_half_join_again() {
    let mut page = <Page>::empty(4096, 1, 0);
    for number in 0..40 {
        page.insert(page.len(), key(number), Held::Value(&[number as u8; 30]));
    }
    let whole = page.clone();
    let right = page.split_off(13, 2);
    assert_eq!((page.len(), right.len(), right.number()), (13, 27, 2));
    assert_eq!(right.key(0), key(13));
    page.append_all(&right);
    assert_eq!(page.encode(), whole.clone().encode());
}

#[test]
fn made_up_pages_are_refused() {
    let mut page = <Page>::empty(4096, 1, 0);
    page.insert(0, key(1), Held::Value(b"one"));
    page.insert(1, key(2), Held::Value(b"two"));
    let bytes: Box<[u8]> = page.encode().into();
    assert!(<Page>::decode(bytes.clone(), 1).is_ok());
    assert!(<Page>::decode(bytes.clone(), 2).is_err(), "of another place");
    let mut refused = 0;
    for bit in 0..8 * page.slot_offset(2) {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        refused += usize::from(<Page>::decode(bad, 1).is_err());
    }
    // What is left are bits of keys that keep their order; a block's checksum guards those.
    assert!(refused > 8 * (HEAD_BYTES - KEY_BYTES) - 16, "{refused}");
}

#[test]
fn four_of_the_longest_values_fit() {
    for page_bytes in [4096, 65536] {
        let mut page = <Page>::empty(page_bytes, 1, 0);
        let value = vec![1; item_bytes_max(page_bytes)];
        for number in 0..4 {
            let sub = !0 >> number << number;
            let key = Key::new(ItemKind::ALL[number], !0 >> number, sub);
            assert!(page.has_room(&[key], value.len()));
            page.insert(page.len(), key, Held::Value(&value));
        }
        assert!(!page.has_room(&[Key::MAX], 0));
    }
}
