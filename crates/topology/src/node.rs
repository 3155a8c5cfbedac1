//! One node of a topology: its node.toml, and the few things in it that others must know to reach it.

use crate::{Error, rewrite};
use std::net::{IpAddr, SocketAddr};
use toml::{Table, Value};

/// Where a node.toml that says nothing has its API.
const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8060);

/// A node. What it is asked to change it changes in its document, so that both always say the same.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Unique in the topology.
    pub name: String,
    /// Its failure domain.
    pub site: String,
    /// It votes and carries no calls.
    pub witness: bool,
    /// Where it takes SIP over UDP.
    pub udp: Vec<SocketAddr>,
    /// Where it takes SIP over TCP.
    pub tcp: Vec<SocketAddr>,
    /// Where other nodes reach it.
    pub mesh: SocketAddr,
    /// Whom it joins; empty: it founds the cluster.
    pub join: Vec<SocketAddr>,
    /// Where its API is.
    pub http: SocketAddr,
    /// Where its data are.
    pub data_dir: String,
    file: String,
    document: Table,
}

impl Node {
    /// Reads a node.toml; `file` is for messages only.
    ///
    /// # Errors
    /// It is no TOML, or names no name, site, data folder or address of the cluster.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let document: Table = toml::from_str(text).map_err(|error| Error::toml(file, text, &error))?;
        Self::read(file, document)
    }

    fn read(file: &str, document: Table) -> Result<Self, Error> {
        let page = Page { file, document: &document };
        Ok(Self {
            name: page.words("node", "name")?,
            site: page.words("node", "site")?,
            witness: page.get("node", "witness").and_then(Value::as_bool).unwrap_or(false),
            udp: page.addresses("sip", "udp")?,
            tcp: page.addresses("sip", "tcp")?,
            mesh: page.address("cluster", "listen", None)?,
            join: page.addresses("cluster", "join")?,
            http: page.address("http", "listen", Some(HTTP))?,
            data_dir: page.words("node", "data_dir")?,
            file: file.to_owned(),
            document,
        })
    }

    /// The file that it was read from.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The node.toml.
    #[must_use]
    pub fn to_toml(&self) -> String {
        self.document.to_string()
    }

    /// With its data elsewhere.
    #[must_use]
    pub fn with_data_dir(self, data_dir: &str) -> Self {
        self.with("node", "data_dir", Value::from(data_dir)).expect("a folder is what was asked for")
    }

    /// With its API elsewhere.
    #[must_use]
    pub fn with_http(self, http: SocketAddr) -> Self {
        self.with("http", "listen", Value::from(http.to_string())).expect("an address is what was asked for")
    }

    /// With another key of its node.toml set; a section that is missing is made.
    ///
    /// # Errors
    /// The key is one of those that [`Node`] shows, and the value is none that it can have.
    pub fn with(self, section: &str, key: &str, value: Value) -> Result<Self, Error> {
        let Self { file, mut document, .. } = self;
        let table = document.entry(section).or_insert_with(|| Value::Table(Table::new()));
        let Some(table) = table.as_table_mut() else {
            return Err(Error::key(&file, section, "is no section", format!("write [{section}]")));
        };
        table.insert(key.to_owned(), value);
        Self::read(&file, document)
    }

    /// With every address in its document moved.
    #[must_use]
    pub fn on_addresses(self, to: &impl Fn(IpAddr) -> IpAddr) -> Self {
        let Self { file, document, .. } = self;
        let mut value = Value::Table(document);
        rewrite::addresses(&mut value, to);
        let Value::Table(document) = value else { unreachable!("a table stays one") };
        Self::read(&file, document).expect("an address that moves is an address still")
    }

    /// The address that stands for it: of its SIP, or of its gRPC where it takes none.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.udp.first().or(self.tcp.first()).unwrap_or(&self.mesh).ip()
    }

    /// The base of its API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Every address on which it listens, with the key that says so.
    pub(crate) fn listens(&self) -> Vec<(&'static str, SocketAddr)> {
        let udp = self.udp.iter().map(|address| ("sip.udp", *address));
        let tcp = self.tcp.iter().map(|address| ("sip.tcp", *address));
        udp.chain(tcp).chain([("cluster.listen", self.mesh), ("http.listen", self.http)]).collect()
    }
}

/// A document, and its name for messages.
struct Page<'a> {
    file: &'a str,
    document: &'a Table,
}

impl Page<'_> {
    fn get(&self, section: &str, key: &str) -> Option<&Value> {
        self.document.get(section)?.get(key)
    }

    fn wrong(&self, section: &str, key: &str, what: impl Into<String>, mend: impl Into<String>) -> Error {
        Error::key(self.file, format!("{section}.{key}"), what, mend)
    }

    fn words(&self, section: &str, key: &str) -> Result<String, Error> {
        match self.get(section, key).map(Value::as_str) {
            Some(Some(text)) if !text.is_empty() => Ok(text.to_owned()),
            Some(_) => Err(self.wrong(section, key, "is no text", "write it in quotes")),
            None => Err(self.wrong(section, key, "is missing", format!("add it to [{section}]"))),
        }
    }

    fn address(&self, section: &str, key: &str, absent: Option<SocketAddr>) -> Result<SocketAddr, Error> {
        match (self.get(section, key), absent) {
            (Some(value), _) => self.one_address(section, key, value),
            (None, Some(absent)) => Ok(absent),
            (None, None) => Err(self.wrong(section, key, "is missing", "write it as \"127.0.1.1:7060\"")),
        }
    }

    fn addresses(&self, section: &str, key: &str) -> Result<Vec<SocketAddr>, Error> {
        let Some(value) = self.get(section, key) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(|| self.wrong(section, key, "is no list", "write it in [ ]"))?;
        list.iter().map(|item| self.one_address(section, key, item)).collect()
    }

    fn one_address(&self, section: &str, key: &str, value: &Value) -> Result<SocketAddr, Error> {
        let text = value.as_str().unwrap_or_default();
        let mend = "write address and port, such as \"127.0.1.1:7060\"";
        text.parse().map_err(|_| self.wrong(section, key, format!("`{text}` is no address"), mend))
    }
}
