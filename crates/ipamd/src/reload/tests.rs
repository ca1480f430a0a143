//! Failed renewals.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, UNIX_EPOCH},
};

use clap::Parser as _;

use super::*;
use crate::config::{Command, CommandLine};

/// The current time of these tests, in seconds since 1970.
static CLOCK: AtomicU64 = AtomicU64::new(1_800_000_000);

fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(CLOCK.load(Ordering::Relaxed))
}

#[tokio::test]
async fn failed_renewal_is_retried_after_an_hour() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let directory = tempfile::tempdir().unwrap();
    let line = ["ipam", "serve", "--data-dir", directory.path().to_str().unwrap()];
    let Command::Serve(options) = CommandLine::try_parse_from(line).unwrap().command else {
        panic!("not to be served")
    };
    let (material, _) = Material::read(&options, None, clock().into()).await.unwrap();
    let tls = Arc::new(Tls::new(material.tls()).unwrap());
    let (tokens, metrics) = (Arc::default(), Arc::new(Metrics::default()));
    let address = "127.0.0.1:6443".parse().unwrap();
    let mut reload = Reload::new(material, address, tls, tokens, Arc::clone(&metrics), clock).unwrap();
    let counted = |result: &str| {
        let line = format!("ipam_file_reloads_total{{files=\"own\",result=\"{result}\"}} ");
        metrics.render(&[]).lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    };
    let pass = async |reload: &mut Reload, time: Duration| {
        CLOCK.fetch_add(time.as_secs(), Ordering::Relaxed);
        reload.look().await;
    };

    let key = directory.path().join("pki/ca.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    pass(&mut reload, Duration::from_hours(334 * 24)).await;
    assert_eq!((counted("success"), counted("failure")), (0, 0), "nothing is due");
    pass(&mut reload, Duration::from_hours(2 * 24)).await;
    assert_eq!((counted("success"), counted("failure")), (0, 1));
    fs::write(&key, kept).unwrap();
    pass(&mut reload, Duration::from_secs(limits::RENEWAL_RETRY_INTERVAL.as_secs() - 1)).await;
    assert_eq!((counted("success"), counted("failure")), (0, 1), "not before its time");
    pass(&mut reload, Duration::from_secs(1)).await;
    assert_eq!((counted("success"), counted("failure")), (1, 1));
    assert!(directory.path().join(kubeconfig::FILE_NAME).exists());
}
