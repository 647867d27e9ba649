//! TCP MD5 passwords out of Secrets (RFC 2385).
//!
//! Invariant: it fails closed. A password that was asked for and cannot be had keeps the session down; it never runs
//! without. (Cilium runs it without a password when the Secret is missing; that is the one place where we differ on
//! purpose.)

use rutter_api::intent::Secret as Password;

use crate::object::NamespacedName;
use crate::options::Options;
use crate::report::Reason;
use crate::snapshot::Snapshot;

/// The key of the Secret that holds the password.
const KEY: &str = "password";

/// A password and what is odd about it.
pub(super) struct Found {
    pub(super) password: Password,
    pub(super) warning: Option<Reason>,
}

/// Looks up the password that `authSecretRef` names.
pub(super) fn password(
    snapshot: &Snapshot,
    options: &Options,
    peer: &str,
    name: &str,
) -> Result<Found, Reason> {
    let peer = peer.to_owned();
    let Some(namespace) = options.secrets_namespace.clone() else {
        return Err(Reason::SecretsNamespaceMissing { peer });
    };
    let name = name.to_owned();
    let Some(secret) = snapshot.secrets.get(&NamespacedName::new(&namespace, &name)) else {
        return Err(Reason::AuthSecretMissing { peer, name, namespace });
    };
    let value = secret.0.data.as_ref().and_then(|data| data.get(KEY)).map(|value| value.0.as_slice());
    let text = match value {
        None => Err("has no key \"password\""),
        Some([]) => Err("has an empty password"),
        Some(bytes) if bytes.len() > 80 => {
            Err("has a password of more than the 80 bytes that TCP MD5 can use")
        }
        Some(bytes) => {
            std::str::from_utf8(bytes).map_err(|_not_text| "has a password that is not UTF-8 text")
        }
    };
    match text {
        Ok(text) => {
            let warning = text.ends_with('\n').then_some(Reason::PasswordEndsWithNewline { name, namespace });
            Ok(Found { password: Password::new(text), warning })
        }
        Err(problem) => Err(Reason::AuthSecretUnusable { peer, name, namespace, problem }),
    }
}
