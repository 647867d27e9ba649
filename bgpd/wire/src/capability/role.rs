//! BGP Role (RFC 9234 §4.1): what the sender is to the receiver.

/// The sender's role.
#[derive(serde::Serialize, serde::Deserialize, Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Role {
    /// Provider
    Provider,
    /// Route server
    RouteServer,
    /// Client of a route server
    RouteServerClient,
    /// Customer
    Customer,
    /// Lateral peer
    Peer,
    /// A value nobody has defined: fits no role.
    Unassigned(u8),
}

impl Role {
    /// Whether a speaker with this role and one with `other` can have a session (RFC 9234 §4.2).
    #[must_use]
    pub const fn fits(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Provider, Self::Customer)
                | (Self::Customer, Self::Provider)
                | (Self::RouteServer, Self::RouteServerClient)
                | (Self::RouteServerClient, Self::RouteServer)
                | (Self::Peer, Self::Peer)
        )
    }

    /// The role in one word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::RouteServer => "rs-server",
            Self::RouteServerClient => "rs-client",
            Self::Customer => "customer",
            Self::Peer => "peer",
            Self::Unassigned(_) => "unassigned",
        }
    }
}

impl From<u8> for Role {
    fn from(octet: u8) -> Self {
        match octet {
            0 => Self::Provider,
            1 => Self::RouteServer,
            2 => Self::RouteServerClient,
            3 => Self::Customer,
            4 => Self::Peer,
            other => Self::Unassigned(other),
        }
    }
}

impl From<Role> for u8 {
    fn from(role: Role) -> Self {
        match role {
            Role::Provider => 0,
            Role::RouteServer => 1,
            Role::RouteServerClient => 2,
            Role::Customer => 3,
            Role::Peer => 4,
            Role::Unassigned(other) => other,
        }
    }
}
