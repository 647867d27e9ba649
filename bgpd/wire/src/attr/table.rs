//! The attribute table: one row per path attribute the codec knows.
//!
//! | column | what | where it is from |
//! |---|---|---|
//! | code, name | attribute type | IANA "BGP Path Attributes" |
//! | class | category, and with it the flags | the attribute's RFC |
//! | malformed | what a malformed value costs | RFC 7606 §7, RFC 6793 §6, RFC 8092 §6, RFC 9234 §5 |
//! | sender | from whom it is taken | RFC 7606 §7.5, §7.9, §7.10 |
//! | file | module with `decode`, `encode`, `show`, `arbitrary` | beside this one |
//!
//! Invariants: rows are in order of their code, which is the order attributes are sent in (RFC 4271 §5), and no code has
//! two rows.

use super::row::{Class::*, Sender::*};
use super::{
    aggregator, as_path, as4_aggregator, as4_path, atomic_aggregate, cluster_list, community,
    extended_community, large_community, local_pref, med, mp_reach, mp_unreach, next_hop, only_to_customer,
    origin, originator_id,
};
use crate::error::Disposition::*;

pub use super::row::{Class, Row, Sender};

macro_rules! table {
    ($($code:literal $name:ident $class:ident $malformed:ident $sender:ident $file:ident $rfc:literal)*) => {
        $(#[doc = concat!("Attribute type code, ", $rfc)] pub const $name: u8 = $code;)*

        /// All rows, in order of their code.
        pub static ROWS: &[Row] = &[$(Row {
            code: $code,
            name: stringify!($name),
            class: $class,
            malformed: $malformed,
            sender: $sender,
            decode: $file::decode,
            encode: $file::encode,
            show: $file::show,
            #[cfg(test)]
            arbitrary: $file::arbitrary,
        }),*];
    };
}

table! {
//  code name                class                  malformed       sender    file                RFC
    1    ORIGIN               Mandatory             TreatAsWithdraw Anyone    origin              "RFC 4271 §5.1.1"
    2    AS_PATH              Mandatory             TreatAsWithdraw Anyone    as_path             "RFC 4271 §5.1.2"
    3    NEXT_HOP             Mandatory             TreatAsWithdraw Anyone    next_hop            "RFC 4271 §5.1.3"
    4    MULTI_EXIT_DISC      OptionalNonTransitive TreatAsWithdraw Anyone    med                 "RFC 4271 §5.1.4"
    5    LOCAL_PREF           Discretionary         TreatAsWithdraw Internal  local_pref          "RFC 4271 §5.1.5"
    6    ATOMIC_AGGREGATE     Discretionary         Discard         Anyone    atomic_aggregate    "RFC 4271 §5.1.6"
    7    AGGREGATOR           OptionalTransitive    Discard         Anyone    aggregator          "RFC 4271 §5.1.7"
    8    COMMUNITIES          OptionalTransitive    TreatAsWithdraw Anyone    community           "RFC 1997"
    9    ORIGINATOR_ID        OptionalNonTransitive TreatAsWithdraw Internal  originator_id       "RFC 4456 §8"
    10   CLUSTER_LIST         OptionalNonTransitive TreatAsWithdraw Internal  cluster_list        "RFC 4456 §8"
    14   MP_REACH_NLRI        OptionalNonTransitive SessionReset    Anyone    mp_reach            "RFC 4760 §3"
    15   MP_UNREACH_NLRI      OptionalNonTransitive SessionReset    Anyone    mp_unreach          "RFC 4760 §4"
    16   EXTENDED_COMMUNITIES OptionalTransitive    TreatAsWithdraw Anyone    extended_community  "RFC 4360"
    17   AS4_PATH             OptionalTransitive    Discard         Anyone    as4_path            "RFC 6793 §3"
    18   AS4_AGGREGATOR       OptionalTransitive    Discard         Anyone    as4_aggregator      "RFC 6793 §3"
    32   LARGE_COMMUNITY      OptionalTransitive    TreatAsWithdraw Anyone    large_community     "RFC 8092"
    35   ONLY_TO_CUSTOMER     OptionalTransitive    TreatAsWithdraw Anyone    only_to_customer    "RFC 9234 §5"
}

/// The row of an attribute type, if the codec knows it.
#[must_use]
pub fn row(code: u8) -> Option<&'static Row> {
    static BY_CODE: [Option<&Row>; 256] = by_code();
    BY_CODE.get(usize::from(code)).copied().flatten()
}

/// The attribute's name for people.
pub(crate) fn name(code: u8) -> String {
    match row(code) {
        Some(row) => row.name.to_owned(),
        None if code == 0 => "NLRI".to_owned(),
        None => format!("attribute {code}"),
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: an index out of range does not build"
)]
const fn by_code() -> [Option<&'static Row>; 256] {
    let mut table = [None; 256];
    let mut position = 0;
    while position < ROWS.len() {
        let row = &ROWS[position];
        assert!(
            position == 0 || ROWS[position - 1].code < row.code,
            "rows must be in order of their code, one each"
        );
        table[row.code as usize] = Some(row);
        position += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_code() {
        for wanted in ROWS {
            assert_eq!(row(wanted.code).map(|found| found.name), Some(wanted.name));
        }
        assert!(row(0).is_none());
        assert!(row(25).is_none());
    }
}
