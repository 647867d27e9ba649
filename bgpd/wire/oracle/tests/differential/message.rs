//! UPDATE messages put together from parts that need not be right.

/// One path attribute, with whatever flags and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) flags: u8,
    pub(crate) code: u8,
    pub(crate) value: Vec<u8>,
}

impl Attribute {
    pub(crate) fn new(flags: u8, code: u8, value: &[u8]) -> Self {
        Self { flags, code, value: value.to_vec() }
    }

    fn octets(&self) -> Vec<u8> {
        let len = u16::try_from(self.value.len()).expect("a short value");
        let [high, low] = len.to_be_bytes();
        let header = match high {
            0 if self.flags & 0x10 == 0 => vec![self.flags, self.code, low],
            _ => vec![self.flags | 0x10, self.code, high, low],
        };
        [header, self.value.clone()].concat()
    }
}

/// The parts of an UPDATE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) withdrawn: Vec<u8>,
    pub(crate) attributes: Vec<Attribute>,
    /// Octets behind the last attribute, still inside the attribute field.
    pub(crate) stray: Vec<u8>,
    pub(crate) nlri: Vec<u8>,
}

impl Parts {
    /// The mandatory attributes and one IPv4 prefix, for a session with AS numbers of this size.
    pub(crate) fn plain(four_octet_as: bool) -> Self {
        let path: &[u8] = if four_octet_as { &[2, 1, 0, 0, 0xfd, 0xe9] } else { &[2, 1, 0xfd, 0xe9] };
        Self {
            attributes: vec![
                Attribute::new(0x40, 1, &[0]),
                Attribute::new(0x40, 2, path),
                Attribute::new(0x40, 3, &[192, 0, 2, 1]),
            ],
            nlri: vec![24, 198, 51, 100],
            ..Self::default()
        }
    }

    /// The message, header included.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let attributes =
            [self.attributes.iter().flat_map(Attribute::octets).collect(), self.stray.clone()].concat();
        let len = |octets: &[u8]| u16::try_from(octets.len()).expect("a short field").to_be_bytes();
        let body =
            [&len(&self.withdrawn)[..], &self.withdrawn, &len(&attributes), &attributes, &self.nlri].concat();
        let total = u16::try_from(19 + body.len()).expect("a short message").to_be_bytes();
        [&[0xff; 16][..], &total, &[2], &body].concat()
    }

    /// The first attribute with this code.
    pub(crate) fn attribute(&self, code: u8) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.code == code)
    }
}
