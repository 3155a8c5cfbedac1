//! Bytes on the wire and in the log: a version, a header as JSON, and bodies behind it that are not worth parsing twice.

use super::Entry;
use crate::Error;
use crate::command::Command;
use bytes::Bytes;
use openraft::EntryPayload;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Rises when an earlier version could not read what is written. Fields may be added to headers without.
const VERSION: u8 = 1;

/// A header and the bodies behind it.
pub(crate) fn write<T: Serialize>(header: &T, bodies: &[&[u8]]) -> Result<Bytes, Error> {
    let unwritable = |what: String| Error::Fault(format!("a message cannot be written: {what}"));
    let mut frame = vec![VERSION, 0, 0, 0, 0];
    serde_json::to_writer(&mut frame, header).map_err(|error| unwritable(error.to_string()))?;
    let length = u32::try_from(frame.len() - 5).map_err(|error| unwritable(error.to_string()))?;
    frame[1..5].copy_from_slice(&length.to_be_bytes());
    bodies.iter().for_each(|body| frame.extend_from_slice(body));
    Ok(frame.into())
}

/// The header, and what stands behind it.
pub(crate) fn read<T: DeserializeOwned>(mut frame: Bytes) -> Result<(T, Bytes), String> {
    let Some((&[version, a, b, c, d], _)) = frame.split_first_chunk::<5>() else {
        return Err(format!("it has only {} bytes", frame.len()));
    };
    if version != VERSION {
        return Err(format!("it is written in version {version}, and this node reads {VERSION}"));
    }
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let mut rest = frame.split_off(5);
    if rest.len() < length {
        return Err(format!("its header should have {length} bytes, and {} are there", rest.len()));
    }
    let header = rest.split_to(length);
    serde_json::from_slice(&header).map(|header| (header, rest)).map_err(|error| error.to_string())
}

/// The bodies of entries, in their order.
pub(super) fn bodies(entries: &[Entry]) -> Vec<&[u8]> {
    entries
        .iter()
        .filter_map(|entry| match &entry.payload {
            EntryPayload::Normal(Command::Stage { body, .. }) => Some(&**body),
            EntryPayload::Normal(_) | EntryPayload::Blank | EntryPayload::Membership(_) => None,
        })
        .collect()
}

/// Gives entries their bodies back.
pub(super) fn fill(entries: &mut [Entry], mut bodies: Bytes) -> Result<(), String> {
    for entry in entries {
        if let EntryPayload::Normal(Command::Stage { length, body, .. }) = &mut entry.payload {
            let length = *length as usize;
            if bodies.len() < length {
                return Err(format!("a body should have {length} bytes, and {} are there", bodies.len()));
            }
            *body = bodies.split_to(length);
        }
    }
    if bodies.is_empty() { Ok(()) } else { Err(format!("{} bytes are left over", bodies.len())) }
}

/// One entry as it stands in the log.
pub(super) fn write_entry(entry: &Entry) -> Result<Bytes, Error> {
    write(entry, &bodies(std::slice::from_ref(entry)))
}

/// Reads what [`write_entry`] wrote.
pub(super) fn read_entry(bytes: &[u8]) -> Result<Entry, String> {
    let (mut entry, rest) = read::<Entry>(Bytes::copy_from_slice(bytes))?;
    fill(std::slice::from_mut(&mut entry), rest)?;
    Ok(entry)
}
