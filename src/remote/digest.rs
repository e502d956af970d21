//! The name of a blob in remote execution: its SHA256 and its size.
//! Knows nothing of where blobs are; the local cache's keys are another hash and live elsewhere.

use std::fmt;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::api;

/// The SHA256 of some bytes, and how many there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    /// SHA256.
    pub hash: [u8; 32],
    /// In bytes.
    pub size: u64,
}

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest {
            hash: Sha256::digest(bytes).into(),
            size: bytes.len() as u64,
        }
    }

    /// The digest of all that can be read, of which little is in memory at once.
    ///
    /// # Errors
    /// The reader's.
    pub fn of_reader(mut from: impl Read) -> io::Result<Digest> {
        let mut hasher = Sha256::new();
        let mut size = 0;
        let mut buffer = vec![0; 1 << 17];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    hasher.update(&buffer[..read]);
                    size += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Digest {
            hash: hasher.finalize().into(),
            size,
        })
    }

    /// SHA256 in lower-case hexadecimal, as the API writes it.
    pub fn hex(&self) -> String {
        use fmt::Write;
        self.hash.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// As the API's message.
    pub fn to_message(self) -> api::Digest {
        api::Digest {
            hash: self.hex(),
            size_bytes: self.size.cast_signed(),
        }
    }

    /// From the API's message; none if it is no SHA256 or its size is negative.
    pub fn from_message(message: &api::Digest) -> Option<Digest> {
        Some(Digest {
            hash: unhex(&message.hash)?,
            size: message.size_bytes.try_into().ok()?,
        })
    }
}

fn unhex(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hex(), self.size)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = ();

    /// `hex/size`, as [`Display`](fmt::Display) writes it.
    fn from_str(text: &str) -> Result<Digest, ()> {
        let (hex, size) = text.split_once('/').ok_or(())?;
        Ok(Digest {
            hash: unhex(hex).ok_or(())?,
            size: size.parse().map_err(|_| ())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_and_there_and_back() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/0";
        assert_eq!(Digest::of(b"").to_string(), empty);
        let abc = Digest::of(b"abc");
        assert_eq!(
            abc.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad/3"
        );
        assert_eq!(abc.to_string().parse(), Ok(abc));
        assert_eq!(Digest::from_message(&abc.to_message()), Some(abc));
        assert_eq!(Digest::of_reader(&b"abc"[..]).unwrap(), abc);
    }

    #[test]
    fn what_is_no_digest_is_none() {
        let good = Digest::of(b"abc").to_message();
        for (hash, size_bytes) in [
            (String::new(), 3),
            (good.hash[1..].to_owned(), 3),
            (good.hash.replace('b', "g"), 3),
            (format!("+{}", &good.hash[1..]), 3),
            (good.hash.clone(), -1),
        ] {
            assert_eq!(Digest::from_message(&api::Digest { hash, size_bytes }), None);
        }
    }
}
