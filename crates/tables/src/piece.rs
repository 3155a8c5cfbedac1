//! A piece of an import as it travels and is staged: a [`routing::Change`] as JSON, packed where every node can read that.
//!
//! Rows of one table are alike, and packed a fifth as long: each node writes a piece twice, to its log and beside its tables.

use bytes::Bytes;
use routing::cluster::Cluster;
use std::borrow::Cow;

/// The protocol between nodes from which on packed pieces are read.
pub const PACKED: u32 = 3;

/// The first byte of a packed piece. No JSON begins with it.
const MARK: u8 = 1;
/// The mark and the length of the JSON, little-endian.
const HEADER: usize = 5;
/// JSON of one piece, in bytes; a longer one is not from here.
const LONGEST: usize = 64 << 20;

/// How pieces are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// JSON, which every release reads.
    Plain,
    /// JSON, packed.
    Packed,
}

impl Form {
    /// What all members read.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        if cluster.members().values().all(|member| member.protocol >= PACKED) { Self::Packed } else { Self::Plain }
    }

    /// Bytes of JSON in a piece: as much as costs each node well under a millisecond, since messages of calls wait for it on the same
    /// threads.
    pub(crate) const fn length(self) -> usize {
        match self {
            Self::Plain => 64 << 10,
            Self::Packed => 256 << 10,
        }
    }

    pub(crate) fn write(self, json: Vec<u8>) -> Bytes {
        let length = match self {
            Self::Packed => u32::try_from(json.len()).ok(),
            Self::Plain => None,
        };
        let Some(length) = length else { return json.into() };
        let mut packed = vec![0; HEADER + lz4_flex::block::get_maximum_output_size(json.len())];
        match lz4_flex::block::compress_into(&json, &mut packed[HEADER..]) {
            Ok(written) => {
                packed[0] = MARK;
                packed[1..HEADER].copy_from_slice(&length.to_le_bytes());
                packed.truncate(HEADER + written);
                // What is left of the room would stay with it for as long as it travels.
                packed.shrink_to_fit();
                packed.into()
            }
            Err(_) => json.into(),
        }
    }
}

/// The JSON of a piece in either form.
pub(crate) fn read(piece: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let Some((header, packed)) = piece.split_first_chunk::<HEADER>().filter(|(header, _)| header[0] == MARK) else {
        return Ok(Cow::Borrowed(piece));
    };
    let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
    if length > LONGEST {
        return Err(format!("it says that it has {length} bytes"));
    }
    let json = lz4_flex::block::decompress(packed, length).map_err(|error| error.to_string())?;
    if json.len() != length {
        return Err(format!("it should have {length} bytes, and {} are there", json.len()));
    }
    Ok(Cow::Owned(json))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json() -> Vec<u8> {
        let rows: Vec<String> =
            (0..3000).map(|row| format!("{{\"Ported\":{{\"number\":\"+447{row:08}\"}}}}")).collect();
        format!("{{\"put\":[{}],\"delete\":[]}}", rows.join(",")).into_bytes()
    }

    #[test]
    fn a_piece_reads_back_in_either_form_and_is_shorter_packed() {
        let plain = Form::Plain.write(json());
        assert_eq!(plain, json());
        assert_eq!(read(&plain).expect("it reads"), json());
        let packed = Form::Packed.write(json());
        assert_eq!(read(&packed).expect("it reads"), json());
        assert!(packed.len() * 4 < plain.len(), "{} of {}", packed.len(), plain.len());
    }

    #[test]
    fn a_piece_that_is_not_whole_is_refused_whatever_it_says_of_itself() {
        let packed = Form::Packed.write(json());
        for end in [HEADER, HEADER + 1, packed.len() / 2, packed.len() - 1] {
            assert!(read(&packed[..end]).is_err(), "{end} bytes");
        }
        for length in [0, 1, u32::MAX, 1 << 20] {
            let mut wrong = packed.to_vec();
            wrong[1..HEADER].copy_from_slice(&length.to_le_bytes());
            assert!(read(&wrong).is_err(), "{length}");
        }
    }
}
