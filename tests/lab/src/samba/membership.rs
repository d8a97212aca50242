//! How a domain controller comes into its domain, and what the others have to know of it.

use std::fs;

use anyhow::Context;

use super::{DomainController, create};
use crate::{namespace, tool, topology::topology};

impl DomainController {
    /// Makes a domain with this domain controller.
    pub(crate) fn provision(&self) -> anyhow::Result<()> {
        let domain = &topology().domain;
        let how = [
            "provision".to_owned(),
            format!("--realm={}", domain.name.to_uppercase()),
            format!("--domain={}", domain.netbios),
            format!("--host-name={}", self.node.name),
            format!("--host-ip={}", self.address.addr()),
            format!("--adminpass={}", domain.administrator_password),
            "--server-role=dc".to_owned(),
        ];
        self.samba_tool_domain(how).context("provision the domain")
    }

    /// Joins it to the domain, of which a domain controller must be up.
    pub(crate) fn join(&self) -> anyhow::Result<()> {
        let domain = &topology().domain;
        let role = if self.node.read_only { "RODC" } else { "DC" };
        let how = [
            "join".to_owned(),
            domain.name.clone(),
            role.to_owned(),
            format!("--username=Administrator%{}", domain.administrator_password),
            format!("--option=netbios name={}", self.node.name.to_uppercase()),
        ];
        self.samba_tool_domain(how)
            .with_context(|| format!("join {} to the domain as {role}", self.node.name))
    }

    fn samba_tool_domain(&self, how: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
        create(&self.folder)?;
        let empty = self.folder.join("provision.conf");
        fs::write(&empty, "[global]\n").with_context(|| format!("write {}", empty.display()))?;
        let mut argv = vec!["samba-tool".to_owned(), "domain".to_owned()];
        argv.extend(how);
        argv.extend([
            format!("--configfile={}", empty.display()),
            format!("--targetdir={}", self.folder.display()),
            "--dns-backend=SAMBA_INTERNAL".to_owned(),
            format!("--option=interfaces={} lo", self.address),
            "--option=bind interfaces only=yes".to_owned(),
            format!("--option=pid directory={}/run", self.folder.display()),
            format!("--option=ncalrpc dir={}/ncalrpc", self.folder.display()),
            format!("--option=log file={}/log.%m", self.folder.display()),
        ]);
        tool::run(&namespace::command(&self.namespace, None, argv)?).map(|_| ())
    }

    /// Registers its names where they are not yet: the first domain controller has had its own from the beginning. One
    /// that only reads must ask a writable one, which this Samba manages for some of the names.
    pub(crate) fn register(&self) -> anyhow::Result<()> {
        let config = self.folder.join("etc/smb.conf").display().to_string();
        let command = namespace::command(&self.namespace, None, ["samba_dnsupdate", "-s", &config])?;
        match tool::run(&command) {
            Err(error) if !self.node.read_only => {
                Err(error.context("register the names of a domain controller"))
            }
            _ => Ok(()),
        }
    }

    /// Takes over what another domain controller has, DNS above all: by itself it would some minutes later.
    pub(crate) fn replicate(&self, from: &Self) -> anyhow::Result<()> {
        let domain = &topology().domain;
        let base: Vec<String> = domain.name.split('.').map(|label| format!("DC={label}")).collect();
        let config = self.folder.join("etc/smb.conf").display().to_string();
        let [to, from] = [self, from].map(|dc| format!("{}.{}", dc.node.name, domain.name));
        for part in ["", "DC=DomainDnsZones,", "DC=ForestDnsZones,"] {
            let what = format!("{part}{}", base.join(","));
            let administrator = format!("--username=Administrator%{}", domain.administrator_password);
            let argv = ["samba-tool", "drs", "replicate", &to, &from, &what, "-s", &config, &administrator];
            tool::run(&namespace::command(&self.namespace, None, argv)?)
                .with_context(|| format!("replicate {what} from {from} to {to}"))?;
        }
        Ok(())
    }
}
