//! Mutual TLS: loads the node's certificate, and checks that the one at the other end is who it says it is.
//!
//! A certificate names its node as the DNS name `NAME.tandem`. Hosts and addresses in it are not looked at: a node may move.

use crate::Error;
use crate::certs::dns_name;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme, version,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// `[cluster.tls]` of node.toml: PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// The authority of the cluster.
    pub ca: PathBuf,
    /// The node's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Both sides, ready for use.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) connector: TlsConnector,
}

/// What stands for "whoever it is, as long as it is a node of this cluster".
const ANYBODY: &str = "anybody.invalid";

impl Tls {
    /// Reads the files and checks that the certificate is for this node, in date and of the authority.
    pub(crate) fn load(files: &Files, name: &str) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for ca in certificates(&files.ca)? {
            roots.add(ca).map_err(|e| fault(&files.ca, format!("is no certificate of an authority: {e}")))?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&files.cert)?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|e| fault(&files.key, format!("holds no private key in PEM: {e}")))?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|e| fault(&files.ca, e.to_string()))?;
        check_own(&verifier, &chain, name).map_err(|what| fault(&files.cert, what))?;
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|e| fault(&files.ca, e.to_string()))?;
        let mismatch = |e: rustls::Error| fault(&files.key, format!("does not belong to the certificate: {e}"));
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS13])
            .and_then(|builder| {
                builder.with_client_cert_verifier(clients).with_single_cert(chain.clone(), key.clone_key())
            })
            .map_err(mismatch)?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .and_then(|builder| {
                let verifier = Arc::new(NodeVerifier(verifier));
                builder.dangerous().with_custom_certificate_verifier(verifier).with_client_auth_cert(chain, key)
            })
            .map_err(mismatch)?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() })
    }
}

/// What to ask the other end for: the node of this name, or any node.
pub(crate) fn server_name(node: Option<&str>) -> Option<ServerName<'static>> {
    ServerName::try_from(node.map_or_else(|| ANYBODY.to_owned(), dns_name)).ok()
}

/// The name of the node that a certificate is for, if it is for exactly one.
pub(crate) fn node_of(certificates: Option<&[CertificateDer<'_>]>) -> Option<String> {
    let certificate = webpki::EndEntityCert::try_from(certificates?.first()?).ok()?;
    let mut names = certificate.valid_dns_names().filter_map(|name| name.strip_suffix(".tandem"));
    names.next().filter(|_| names.next().is_none()).map(str::to_owned)
}

/// What a failed handshake means for the operator; none if it was not about certificates.
pub(crate) fn explain(error: &rustls::Error) -> Option<String> {
    use rustls::AlertDescription as Alert;
    #[allow(clippy::wildcard_enum_match_arm, reason = "both enums of rustls are open")]
    Some(match error {
        rustls::Error::InvalidCertificate(why) => format!("the certificate of the other node {}", reason(why)),
        rustls::Error::NoCertificatesPresented => "the other node has no certificate".to_owned(),
        rustls::Error::AlertReceived(alert) => match alert {
            Alert::UnknownCA | Alert::DecryptError => {
                "the other node refuses our certificate: it is of another authority".to_owned()
            }
            Alert::CertificateExpired => "the other node refuses our certificate: it is out of date".to_owned(),
            Alert::BadCertificate | Alert::CertificateUnknown | Alert::AccessDenied | Alert::CertificateRequired => {
                format!("the other node refuses our certificate: {alert:?}")
            }
            _ => return None,
        },
        _ => return None,
    })
}

fn reason(why: &CertificateError) -> String {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the enum of rustls is open")]
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "is out of date".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet; are the clocks right?".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => "is of another authority".to_owned(),
        CertificateError::NotValidForName => "is for no node of Tandem".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("is for {}, not for {}", presented.join(", "), expected.to_str())
        }
        other => format!("is not good: {other}"),
    }
}

fn check_own(verifier: &WebPkiServerVerifier, chain: &[CertificateDer<'_>], name: &str) -> Result<(), String> {
    let (own, intermediates) = chain.split_first().ok_or("holds no certificate")?;
    let wanted = server_name(Some(name)).ok_or_else(|| format!("`{name}` cannot stand in a certificate"))?;
    let checked = verifier.verify_server_cert(own, intermediates, &wanted, &[], UnixTime::now());
    match checked {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(why)) => Err(reason(&why)),
        Err(other) => Err(other.to_string()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|e| fault(path, format!("holds no certificate in PEM: {e}")))?;
    if certificates.is_empty() {
        return Err(fault(path, "holds no certificate in PEM".to_owned()));
    }
    Ok(certificates)
}

fn fault(path: &Path, what: String) -> Error {
    Error::Tls { path: path.to_owned(), what }
}

/// Checks the chain as for any server; where no node is asked for by name, against the name that the certificate has.
#[derive(Debug)]
struct NodeVerifier(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        wanted: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if wanted.to_str() != ANYBODY {
            return self.0.verify_server_cert(certificate, intermediates, wanted, ocsp, now);
        }
        // The chain is checked first, so that a foreign certificate is called foreign whatever its name.
        let found = node_of(Some(std::slice::from_ref(certificate)));
        let wanted = server_name(found.as_deref()).ok_or(CertificateError::NotValidForName)?;
        self.0.verify_server_cert(certificate, intermediates, &wanted, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::{make, tests::make_expired, tests::subject};

    fn files(dir: &Path, name: &str) -> Files {
        Files { ca: dir.join("ca.pem"), cert: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) }
    }

    fn refused(files: &Files, name: &str) -> String {
        Tls::load(files, name).err().expect("refused").to_string()
    }

    #[test]
    fn a_made_set_loads() {
        let dir = tempfile::tempdir().expect("a folder");
        make(dir.path(), &[subject("fra-1")]).expect("makes");
        Tls::load(&files(dir.path(), "fra-1"), "fra-1").expect("loads");
    }

    #[test]
    fn what_cannot_work_is_refused_at_the_start_with_its_reason() {
        let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        make(dir.path(), &[subject("fra-1"), subject("lon-1")]).expect("makes");
        make(other.path(), &[subject("fra-1")]).expect("makes");
        make_expired(dir.path(), "old-1");
        let wrong = refused(&files(dir.path(), "lon-1"), "fra-1");
        assert!(wrong.contains("is for") && wrong.contains("lon-1.tandem"), "{wrong}");
        assert!(refused(&files(dir.path(), "old-1"), "old-1").contains("is out of date"));
        let foreign = Files { ca: other.path().join("ca.pem"), ..files(dir.path(), "fra-1") };
        assert!(refused(&foreign, "fra-1").contains("is of another authority"));
        let mixed = Files { key: dir.path().join("lon-1.key"), ..files(dir.path(), "fra-1") };
        assert!(refused(&mixed, "fra-1").contains("does not belong to the certificate"));
        assert!(refused(&files(dir.path(), "nobody"), "nobody").contains("holds no certificate"));
    }
}
