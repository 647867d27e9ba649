//! What rutter shows, against what FRR 10.3 showed. See `data/README.md` for where the samples come from.

mod golden {
    mod book;
    mod layout;
    mod roundtrip;
    mod sample;
}
