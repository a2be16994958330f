//! `tidewire id`: the peer id that belongs to a key.

use crate::args::{self, Unusable};
use crate::keys;
use crate::output::{Output, note};
use serde::Serialize;
use std::fmt::Write as _;

#[derive(Debug, Serialize)]
struct Report {
    peer: String,
    r#type: String,
    /// In its protobuf, as hexadecimal digits.
    public_key: String,
}

/// Whether all went well.
pub(crate) fn run(args: &args::Id, output: &Output) -> Result<bool, Unusable> {
    let keypair = keys::identity(args.key.as_deref(), args.seed).map_err(|error| Unusable(error.to_string()))?;
    let key = keypair.public();
    let digits = key.to_protobuf().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let report = Report { peer: keypair.peer_id().to_string(), r#type: key.key_type().to_string(), public_key: digits };
    if output.json {
        output.object(&report);
        return Ok(true);
    }
    output.line(format!("peer id     {}", report.peer));
    output.line(format!("key type    {}", report.r#type));
    output.line(format!("public key  {}", report.public_key));
    if args.key.is_none() && args.seed.is_none() {
        note("this key was made for the moment; --key FILE makes one that is kept");
    }
    Ok(true)
}
