//! Makes a certificate authority and one certificate a node, as files: what `tandem cluster certs` does.
//!
//! Nothing is ever overwritten. Called again with the same folder it adds certificates of new nodes by the same authority.

use crate::Error;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

/// How long the authority is good for.
const CA_DAYS: i64 = 3650;
/// How long a node's certificate is good for.
const NODE_DAYS: i64 = 1825;
/// A node whose clock is behind by less than this takes a new certificate.
const BACK_DAYS: i64 = 1;

/// A node to make a certificate for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// `[node] name`.
    pub name: String,
    /// Its host names and addresses, for other programs that check them. The nodes themselves check the name only.
    pub hosts: Vec<String>,
}

/// The DNS name in a node's certificate: what other nodes check.
#[must_use]
pub fn dns_name(node: &str) -> String {
    format!("{node}.tandem")
}

/// Writes `ca.pem` and `ca.key` unless they are there already, and `NAME.pem` and `NAME.key` for each node. Keys are readable
/// by their owner alone. Says which files were written.
///
/// # Errors
/// A file of a node is there already, a name is no DNS label, or the folder cannot be written. Files that were written
/// before stay.
pub fn make(out: &Path, nodes: &[Subject]) -> Result<Vec<PathBuf>, Error> {
    for node in nodes {
        check_name(out, &node.name)?;
        refuse_existing(out, &node.name)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(out).map_err(|e| fault(out, e))?;
    let mut written = Vec::new();
    let authority = authority(out, &mut written)?;
    for node in nodes {
        let key = KeyPair::generate().map_err(|e| fault(out, e))?;
        let certificate = parameters(node, OffsetDateTime::now_utc(), NODE_DAYS)
            .and_then(|parameters| parameters.signed_by(&key, &authority))
            .map_err(|e| fault(&out.join(&node.name), e))?;
        written.push(write(out, &format!("{}.key", node.name), 0o600, &key.serialize_pem())?);
        written.push(write(out, &format!("{}.pem", node.name), 0o644, &certificate.pem())?);
    }
    Ok(written)
}

fn check_name(out: &Path, name: &str) -> Result<(), Error> {
    let label = !name.is_empty() && name.len() <= 63 && !name.starts_with('-') && !name.ends_with('-');
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if label && letters && name != "ca" {
        return Ok(());
    }
    let what = format!("`{name}` cannot stand in a certificate: letters, digits, - and _, at most 63, and not `ca`");
    Err(Error::Certificate { path: out.to_owned(), what })
}

fn refuse_existing(out: &Path, name: &str) -> Result<(), Error> {
    for path in [out.join(format!("{name}.key")), out.join(format!("{name}.pem"))] {
        if path.exists() {
            let what = "is there already; move it away first, nothing is overwritten".to_owned();
            return Err(Error::Certificate { path, what });
        }
    }
    Ok(())
}

/// The authority of the folder, made if there is none.
fn authority(out: &Path, written: &mut Vec<PathBuf>) -> Result<Issuer<'static, KeyPair>, Error> {
    let (certificate, key) = (out.join("ca.pem"), out.join("ca.key"));
    match (certificate.exists(), key.exists()) {
        (false, false) => new_authority(out, written),
        (true, true) => {
            let pem = fs::read_to_string(&certificate).map_err(|e| fault(&certificate, e))?;
            let secret = fs::read_to_string(&key).map_err(|e| fault(&key, e))?;
            let secret = KeyPair::from_pem(&secret).map_err(|e| fault(&key, e))?;
            Issuer::from_ca_cert_pem(&pem, secret).map_err(|e| fault(&certificate, e))
        }
        (found, _) => {
            let missing = if found { key } else { certificate };
            let what =
                "is missing beside the other half of the authority; put it back or name an empty folder".to_owned();
            Err(Error::Certificate { path: missing, what })
        }
    }
}

fn new_authority(out: &Path, written: &mut Vec<PathBuf>) -> Result<Issuer<'static, KeyPair>, Error> {
    let key = KeyPair::generate().map_err(|e| fault(out, e))?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "Tandem cluster");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut parameters, OffsetDateTime::now_utc(), CA_DAYS);
    let certificate = parameters.self_signed(&key).map_err(|e| fault(out, e))?;
    written.push(write(out, "ca.key", 0o600, &key.serialize_pem())?);
    written.push(write(out, "ca.pem", 0o644, &certificate.pem())?);
    Ok(Issuer::new(parameters, key))
}

fn parameters(node: &Subject, now: OffsetDateTime, days: i64) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = std::iter::once(dns_name(&node.name)).chain(node.hosts.iter().cloned()).collect();
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name.push(DnType::CommonName, node.name.as_str());
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    set_validity(&mut parameters, now, days);
    Ok(parameters)
}

fn set_validity(parameters: &mut CertificateParams, now: OffsetDateTime, days: i64) {
    parameters.not_before = now - Duration::days(BACK_DAYS);
    parameters.not_after = now + Duration::days(days);
}

fn write(out: &Path, name: &str, mode: u32, text: &str) -> Result<PathBuf, Error> {
    let path = out.join(name);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(|e| fault(&path, e))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| fault(&path, e))?;
    Ok(path)
}

fn fault(path: &Path, what: impl ToString) -> Error {
    Error::Certificate { path: path.to_owned(), what: what.to_string() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    pub(crate) fn subject(name: &str) -> Subject {
        Subject { name: name.to_owned(), hosts: Vec::new() }
    }

    /// A certificate of that authority which ran out yesterday.
    pub(crate) fn make_expired(out: &Path, name: &str) {
        let authority = authority(out, &mut Vec::new()).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let then = OffsetDateTime::now_utc() - Duration::days(3);
        let certificate =
            parameters(&subject(name), then, 2).and_then(|p| p.signed_by(&key, &authority)).expect("signs");
        write(out, &format!("{name}.key"), 0o600, &key.serialize_pem()).expect("writes");
        write(out, &format!("{name}.pem"), 0o644, &certificate.pem()).expect("writes");
    }

    #[test]
    fn keys_are_private_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("certs");
        let written = make(&out, &[subject("fra-1"), subject("lon-1")]).expect("makes");
        assert_eq!(written.len(), 6);
        for path in &written {
            let mode = fs::metadata(path).expect("there").permissions().mode() & 0o777;
            let wanted = if path.extension().is_some_and(|e| e == "key") { 0o600 } else { 0o644 };
            assert_eq!(mode, wanted, "{}", path.display());
        }
        let before = fs::read(out.join("fra-1.key")).expect("reads");
        let error = make(&out, &[subject("ams-1"), subject("fra-1")]).expect_err("refuses");
        assert!(error.to_string().contains("fra-1.key: is there already"), "{error}");
        assert!(!out.join("ams-1.key").exists(), "all or nothing of what can be known before");
        assert_eq!(fs::read(out.join("fra-1.key")).expect("reads"), before);
    }

    #[test]
    fn a_second_run_uses_the_same_authority() {
        let dir = tempfile::tempdir().expect("a folder");
        make(dir.path(), &[subject("fra-1")]).expect("makes");
        let before = fs::read(dir.path().join("ca.pem")).expect("reads");
        assert_eq!(make(dir.path(), &[subject("lon-1")]).expect("adds").len(), 2);
        assert_eq!(fs::read(dir.path().join("ca.pem")).expect("reads"), before);
        fs::remove_file(dir.path().join("ca.key")).expect("removes");
        let error = make(dir.path(), &[subject("ams-1")]).expect_err("refuses");
        assert!(error.to_string().contains("ca.key: is missing"), "{error}");
    }

    #[test]
    fn a_name_that_is_no_label_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["", "ca", "a.b", "-a", "é", "../x"] {
            make(dir.path(), &[subject(name)]).expect_err(name);
        }
    }
}
