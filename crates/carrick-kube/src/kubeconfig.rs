//! Kubeconfigs, read as kubectl reads them.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use thiserror::Error;

use crate::proxy::{Environment, ProxyError, proxy_of};

/// Why a kubeconfig cannot be used.
#[derive(Debug, Error)]
pub enum KubeconfigFault {
    /// None of the files in `$KUBECONFIG` exists.
    #[error("none of the files in $KUBECONFIG exists: {0}")]
    NoFile(String),
    /// The file cannot be read.
    #[error("cannot read the kubeconfig {path}: {error}", path = .path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        error: std::io::Error,
    },
    /// The content is not valid, or what it names is not there.
    #[error("cannot use the kubeconfig: {0}")]
    Content(#[source] KubeconfigError),
    /// `NO_PROXY` cannot be read.
    #[error("cannot use NO_PROXY: {0}; write names, addresses and CIDRs, separated by commas, without empty entries")]
    NoProxy(#[source] KubeconfigError),
    /// The proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

impl From<KubeconfigError> for KubeconfigFault {
    fn from(error: KubeconfigError) -> Self {
        match error {
            KubeconfigError::ReadConfig(error, path) => Self::Unreadable { path, error },
            error => Self::Content(error),
        }
    }
}

/// Reads the file named, else those of `$KUBECONFIG`, else `~/.kube/config`.
///
/// Of a list in `$KUBECONFIG`, files that do not exist are skipped. An empty variable counts as not set.
///
/// # Errors
/// See [`KubeconfigFault`].
pub(crate) fn read(file: Option<&Path>) -> Result<Kubeconfig, KubeconfigFault> {
    match (file, from_variable()?) {
        (Some(file), _) => Ok(Kubeconfig::read_from(file)?),
        (None, Some(kubeconfig)) => Ok(kubeconfig),
        (None, None) => Ok(Kubeconfig::read()?),
    }
}

/// The files of `$KUBECONFIG` as one; `None` if the variable is not set or empty.
///
/// # Errors
/// See [`KubeconfigFault`].
pub(crate) fn from_variable() -> Result<Option<Kubeconfig>, KubeconfigFault> {
    env::var_os("KUBECONFIG").map_or(Ok(None), |list| merged(&list))
}

fn merged(list: &OsStr) -> Result<Option<Kubeconfig>, KubeconfigFault> {
    let files: Vec<PathBuf> = env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect();
    if files.is_empty() {
        return Ok(None);
    }
    let existing: Vec<&PathBuf> = files.iter().filter(|path| path.exists()).collect();
    if existing.is_empty() {
        let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        return Err(KubeconfigFault::NoFile(names.join(", ")));
    }
    let mut merged = Kubeconfig::default();
    for path in existing {
        merged = merged.merge(Kubeconfig::read_from(path)?)?;
    }
    Ok(Some(merged))
}

/// The client's configuration for a context, the current one if none is named.
///
/// # Errors
/// See [`KubeconfigFault`].
pub(crate) async fn config_of(kubeconfig: Kubeconfig, context: Option<&str>) -> Result<Config, KubeconfigFault> {
    let proxy = proxy_url(&kubeconfig, context);
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| match error {
        KubeconfigError::ParseNoProxy(_) => KubeconfigFault::NoProxy(error),
        error => KubeconfigFault::Content(error),
    })?;
    set_proxy(&mut config, proxy.as_deref())?;
    Ok(config)
}

/// Sets the proxy as kubectl does: a `proxy-url` of the kubeconfig always counts, the environment's does not for hosts in `NO_PROXY`.
///
/// # Errors
/// The proxy's URL cannot be used.
pub(crate) fn set_proxy(config: &mut Config, proxy_url: Option<&str>) -> Result<(), ProxyError> {
    config.proxy_url = proxy_of(&config.cluster_url, proxy_url, &Environment::of_process())?;
    Ok(())
}

/// The field `proxy-url` of the cluster that a context names.
fn proxy_url(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let context = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == context)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?.cluster.as_ref()?;
    cluster.proxy_url.clone().filter(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, current: &str, server: &str) -> PathBuf {
        let path = directory.join(name);
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {current}\ncontexts: [{{name: {current}, context: {{cluster: {current}, user: {current}}}}}]\nclusters: [{{name: {current}, cluster: {{server: {server}, proxy-url: 'http://proxy-of-{current}:3128'}}}}]\nusers: [{{name: {current}, user: {{token: t}}}}]\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    fn list(files: &[&Path]) -> std::ffi::OsString {
        env::join_paths(files).unwrap()
    }

    #[test]
    fn a_missing_file_of_a_list_is_skipped_and_the_first_file_wins() {
        let directory = tempfile::tempdir().unwrap();
        let one = write(directory.path(), "one", "one", "https://one:6443");
        let two = write(directory.path(), "two", "two", "https://two:6443");
        let missing = directory.path().join("missing");
        let kubeconfig = merged(&list(&[&missing, &one, &two])).unwrap().unwrap();
        assert_eq!(kubeconfig.current_context.as_deref(), Some("one"));
        assert_eq!(kubeconfig.clusters.len(), 2);
        assert_eq!(proxy_url(&kubeconfig, None).as_deref(), Some("http://proxy-of-one:3128"));
        assert_eq!(proxy_url(&kubeconfig, Some("two")).as_deref(), Some("http://proxy-of-two:3128"));
        let error = merged(&list(&[&missing])).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        assert!(merged(OsStr::new("")).unwrap().is_none());
        assert!(merged(OsStr::new(":")).unwrap().is_none());
    }

    #[test]
    fn a_file_that_cannot_be_parsed_is_an_error_also_in_a_list() {
        let directory = tempfile::tempdir().unwrap();
        let good = write(directory.path(), "good", "good", "https://good:6443");
        let bad = directory.path().join("bad");
        std::fs::write(&bad, "current-context: [").unwrap();
        assert!(merged(&list(&[&good, &bad])).is_err());
    }

    #[test]
    fn a_missing_file_is_named_without_quotes() {
        let error = read(Some(Path::new("/nonexistent/config"))).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the kubeconfig /nonexistent/config: No such file"), "{error}");
    }

    #[tokio::test]
    async fn a_context_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let one = write(directory.path(), "one", "one", "https://one:6443");
        let error = config_of(Kubeconfig::read_from(one).unwrap(), Some("three")).await.unwrap_err().to_string();
        assert!(error.contains("three"), "{error}");
    }
}
