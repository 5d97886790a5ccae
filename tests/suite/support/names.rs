//! Names that lead where a test says.

use std::io;
use std::net::IpAddr;

use edm_agent::adapters::http::resolve::Lookup;
use edm_agent::ports::Task;

/// Knows a few names, and no others.
pub(crate) struct Names(Vec<(&'static str, Vec<IpAddr>)>);

impl Names {
    pub(crate) fn new(names: &[(&'static str, &[&str])]) -> Self {
        let read = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        Self(names.iter().map(|(name, addresses)| (*name, read(addresses))).collect())
    }

    /// Leads all these names to this host.
    pub(crate) fn here(names: &[&'static str]) -> Self {
        Self(names.iter().map(|name| (*name, vec!["127.0.0.1".parse().unwrap()])).collect())
    }
}

impl Lookup for Names {
    fn lookup(&self, host: &str) -> Task<'static, io::Result<Vec<IpAddr>>> {
        let found = self.0.iter().find(|(name, _)| *name == host).map(|(_, addresses)| addresses.clone());
        let unknown = "failed to lookup address information: Name or service not known";
        Box::pin(async move { found.ok_or_else(|| io::Error::other(unknown)) })
    }
}

/// Never answers.
pub(crate) struct Mute;

impl Lookup for Mute {
    fn lookup(&self, _: &str) -> Task<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::pending())
    }
}
