//! `ipam store backup` and `ipam store check`, on stores that are in use, not in use, and damaged.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use kube::api::PostParams;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use store::{Key, Record, Store as _, Write};
use store_sqlite::SqliteStore;
use tempfile::TempDir;
use testkit::{Server, allocated_cidr, claim, claims, command, pool, postgres::Cluster};

use crate::support::{BINARY, CLAIMS, ServerFixture, TIMEOUT, body, seed};

/// The exit code of a check that reports faults.
const FAULTS: Option<i32> = Some(10);

fn ipam(words: &[&str]) -> Command {
    let mut ipam = command(BINARY.as_ref());
    ipam.args(words).env("RUST_BACKTRACE", "0").env("RUST_LIB_BACKTRACE", "0");
    ipam
}

/// Runs a command, which must end in time, and returns its output.
async fn outcome(words: &[&str]) -> Output {
    let mut command = tokio::process::Command::from(ipam(words));
    let ended = tokio::time::timeout(TIMEOUT, command.kill_on_drop(true).output()).await;
    ended.unwrap_or_else(|_| panic!("{words:?} does not end")).unwrap()
}

fn said(output: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Runs a command, which must succeed, and returns its output.
#[track_caller]
fn run(words: &[&str]) -> String {
    let output = ipam(words).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", said(&output));
    said(&output)
}

/// Runs a command, which must fail, and returns its output.
#[track_caller]
fn refuse(words: &[&str]) -> String {
    let output = ipam(words).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{words:?}: {}", said(&output));
    said(&output)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Starts a server on this data directory.
async fn serve(data: &Path) -> ServerFixture {
    ServerFixture::to(Server::builder(BINARY.as_ref()).data_dir(data).start().await)
}

/// Writes pools, claims in two namespaces, a retained block, and deleted claims.
async fn create_sample_objects(front: &ServerFixture) {
    front.pool(pool("corp").cidr("10.0.0.0/16")).await;
    front.pool(pool("eu").parent("corp").length(20)).await;
    front.pool(pool("six").cidr("2001:db8::/32")).await;
    front.pool(pool("other").cidr("192.168.0.0/16")).await;
    front.namespace("team").await;
    for number in 0..6 {
        front.claim(claim(&format!("web{number}")).pool("eu").length(24)).await;
    }
    front.claim(claim("address").pool("corp").length(32)).await;
    front.claim_in("team", claim("web0").pool("six").length(56)).await;
    front.claim(claim("kept").pool("corp").length(24).retain()).await;
    front.delete_claim("kept").await;
    front.delete_claim("web2").await;
}

/// The data directory of a server that has ended.
async fn ended(directory: &TempDir) -> PathBuf {
    let data = directory.path().join("data");
    let mut front = serve(&data).await;
    create_sample_objects(&front).await;
    front.server.terminate().await;
    data
}

/// Clients that make claims until `end` is called.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Vec<(String, String)>>>,
}

impl Load {
    fn start(front: &ServerFixture) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..4).map(|client| {
            let (stop, claims) = (Arc::clone(&stop), claims(&front.another_client(), "default"));
            tokio::spawn(async move {
                let mut done = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = format!("load{client}-{number}");
                    let asked = claim(&name).pool("corp").length(32).into();
                    let made = claims.create(&PostParams::default(), &asked).await.unwrap();
                    done.push((name, allocated_cidr(&made).to_owned()));
                }
                done
            })
        });
        Self { clients: clients.collect(), stop }
    }

    /// Stops the clients and returns the names and blocks of the acknowledged claims.
    async fn end(self) -> Vec<(String, String)> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await.unwrap());
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn online_backup_contains_every_earlier_acknowledged_write() {
    let directory = tempfile::tempdir().unwrap();
    let (data, backup) = (directory.path().join("data"), directory.path().join("backup.db"));
    let mut front = serve(&data).await;
    create_sample_objects(&front).await;
    let mut before = Vec::new();
    for number in 0..20 {
        let name = format!("before{number}");
        let block = front.block(claim(&name).pool("corp").length(32)).await;
        before.push((name, block));
    }
    // More data than a backup copies in one step.
    for number in 0..60 {
        let metadata = json!({"name": format!("large{number}"), "annotations": {"text": "x".repeat(200_000)}});
        let spec = json!({"poolRef": {"name": "six"}, "prefixLength": 64});
        body(&front.post(CLAIMS, json!({"metadata": metadata, "spec": spec})).await, 201);
    }
    let load = Load::start(&front);
    let (from, to) = (path(&data).to_owned(), path(&backup).to_owned());
    let words = move || run(&["store", "backup", "--data-dir", &from, &to]);
    let shown = tokio::task::spawn_blocking(words).await.unwrap();
    let during = load.end().await;
    assert!(shown.contains("wrote a backup of revision"), "{shown}");
    assert!(front.server.log().contains("made a backup"), "the server made it: {}", front.server.log());
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "the data directory and the backup");
    front.server.terminate().await;
    println!("{} claims were acknowledged during the backup", during.len());
    run(&["store", "check", "--data-dir", path(&data)]);
    let whole = run(&["store", "check", "--backup", path(&backup)]);
    assert!(whole.contains("0 faults"), "{whole}");

    let restored = directory.path().join("restored");
    fs::create_dir(&restored).unwrap();
    fs::rename(&backup, restored.join("ipam.db")).unwrap();
    run(&["store", "bump-revision", "--data-dir", path(&restored)]);
    let mut front = serve(&restored).await;
    for (name, block) in before {
        assert_eq!(allocated_cidr(&front.claims.get(&name).await.unwrap()), block, "{name}");
    }
    // The backup contains a claim made during it with the acknowledged block, or does not contain it.
    for (name, block) in &during {
        if let Some(found) = front.claims.get_opt(name).await.unwrap() {
            assert_eq!(allocated_cidr(&found), block, "{name}");
        }
    }
    front.block(claim("after").pool("eu").length(24)).await;
    front.server.terminate().await;
    run(&["store", "check", "--data-dir", path(&restored)]);
}

#[tokio::test]
async fn offline_backup_is_written_by_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let data = ended(&directory).await;
    let words = ["store", "backup", "--data-dir", path(&data), "here.db"];
    let made = ipam(&words).current_dir(directory.path()).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    run(&["store", "check", "--backup", path(&directory.path().join("here.db"))]);
    let again = ipam(&words).current_dir(directory.path()).output().unwrap();
    assert!(again.status.code() == Some(1) && said(&again).contains("exists already"), "{}", said(&again));
    let stream = refuse(&["store", "backup", "--data-dir", path(&data), "-"]);
    assert!(stream.contains("store export"), "{stream}");
    let nothing = refuse(&["store", "backup", "--data-dir", path(directory.path()), "new.db"]);
    assert!(nothing.contains("there is no store in"), "{nothing}");
}

#[tokio::test]
async fn relative_backup_path_is_relative_to_the_caller() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let front = serve(&data).await;
    let words = ["store", "backup", "--data-dir", path(&data), "here.db"];
    let made = ipam(&words).current_dir(directory.path()).output().unwrap();
    assert!(made.status.success() && directory.path().join("here.db").exists(), "{}", said(&made));
    let again = ipam(&words).current_dir(directory.path()).output().unwrap();
    assert!(again.status.code() == Some(1) && said(&again).contains("exists already"), "{}", said(&again));
    drop(front);
}

#[tokio::test]
async fn admin_socket_is_private_and_stale_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    // Longer than the path of a Unix socket may be.
    let data = directory.path().join("d".repeat(120));
    let mut front = serve(&data).await;
    let socket = data.join("admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    front.server.kill();
    assert!(socket.exists(), "a killed server removes nothing");
    run(&["store", "backup", "--data-dir", path(&data), path(&directory.path().join("dead.db"))]);
    front.server.restart().await;
    run(&["store", "backup", "--data-dir", path(&data), path(&directory.path().join("alive.db"))]);
    assert_eq!(front.server.log().matches("made a backup").count(), 1, "only the last by a server");
    front.server.terminate().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn postgres_backup_is_rejected_with_pointer_to_its_tools() {
    let shown = refuse(&["store", "backup", "--postgres-dsn", "host=nowhere", "backup.db"]);
    for words in ["pg_basebackup", "pg_dump", "docs/operating/postgres.md"] {
        assert!(shown.contains(words), "{shown}");
    }
    let database = Cluster::shared().database();
    testkit::migrate(BINARY.as_ref(), &database);
    let server = Server::builder(BINARY.as_ref()).database(&database).start().await;
    let shown = refuse(&["store", "backup", "--data-dir", path(server.data_dir()), "backup.db"]);
    assert!(shown.contains("pg_basebackup"), "{shown}");
}

#[tokio::test]
async fn unreachable_database_exits_with_code_8() {
    let output =
        ipam(&["store", "migrate", "status", "--postgres-dsn", "host=127.0.0.1 port=1 user=u dbname=d"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(8), "{}", said(&output));
}

#[tokio::test]
async fn check_rejects_store_of_running_server() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let _front = serve(&data).await;
    let shown = refuse(&["store", "check", "--data-dir", path(&data)]);
    assert!(shown.contains("in use") && shown.contains("ipam store backup"), "{shown}");
}

#[tokio::test]
async fn check_passes_on_used_sqlite_and_postgres_stores() {
    let directory = tempfile::tempdir().unwrap();
    let data = ended(&directory).await;
    let shown = run(&["store", "check", "--data-dir", path(&data)]);
    for line in [
        "4 pools, 7 claims, 8 allocations, 2 namespaces",
        "  C1  no two allocations or child pools of one pool overlap                ok",
        "  C10 largestFreePrefix is right                                           ok",
        "  S2  the store's spans are those that the objects hold                    ok",
        "0 faults, 0 notes, ",
    ] {
        assert!(shown.contains(line), "{line} is missing in\n{shown}");
    }
    assert_eq!(run(&["store", "check", "--data-dir", path(&data), "-o", "jsonl"]), "");

    let database = Cluster::shared().database();
    testkit::migrate(BINARY.as_ref(), &database);
    let file = directory.path().join("export.jsonl");
    run(&["store", "export", "--data-dir", path(&data), path(&file)]);
    let import = ipam(&["store", "import", path(&file)]).env("POSTGRES_DSN", &database.dsn).output().unwrap();
    assert!(import.status.success(), "{}", said(&import));
    let check = ipam(&["store", "check"]).env("POSTGRES_DSN", &database.dsn).output().unwrap();
    assert!(
        check.status.success() && said(&check).contains("not checked: use PostgreSQL's own tool"),
        "{}",
        said(&check)
    );
}

#[tokio::test]
async fn export_of_backup_equals_export_of_store() {
    let directory = tempfile::tempdir().unwrap();
    let data = ended(&directory).await;
    let backup = directory.path().join("backup.db");
    run(&["store", "backup", "--data-dir", path(&data), path(&backup)]);
    let export = |words: &[&str]| ipam(&[&["store", "export"], words, &["-"]].concat()).output().unwrap().stdout;
    let (one, other) = (export(&["--data-dir", path(&data)]), export(&["--backup", path(&backup)]));
    assert!(!one.is_empty() && one == other);
}

/// The check that must report a fault, the object, and the change that plants it.
type Planted = (&'static str, &'static str, fn(&mut Value));

/// Changes of single objects that no request can make.
const PLANTED: [Planted; 10] = [
    ("C1", "ipallocations/web1", |object| object["status"]["allocatedCIDR"] = json!("10.0.0.0/24")),
    ("C2", "ipallocations/web1", |object| object["status"]["allocatedCIDR"] = json!("172.16.0.0/24")),
    ("C3", "ippools/other", |object| object["status"]["allocatedCIDR"] = json!("10.0.128.0/17")),
    ("C4", "ippools/eu", |object| object["status"]["capacity"]["exact"]["allocated"] = json!("576")),
    ("C5", "ipclaims/web1", |object| object["status"]["allocatedCIDR"] = json!("10.0.9.0/24")),
    ("C6", "ipclaims/web1", |object| object["status"]["phase"] = json!("Pending")),
    ("C7", "ipallocations/web1", |object| object["spec"]["claimRef"]["name"] = json!("another")),
    ("C8", "namespaces/team", |object| object["metadata"]["name"] = json!("renamed")),
    ("C10", "ippools/eu", |object| object["status"]["largestFreePrefix"] = json!(28)),
    ("S2", "ippools/other", |object| object["status"]["allocatedCIDR"] = json!("192.168.0.0/17")),
];

/// Changes one object directly in the store.
async fn plant(data: &Path, what: &str, change: fn(&mut Value)) {
    let store = SqliteStore::open(data.join("ipam.db")).unwrap();
    let (resource, name) = what.split_once('/').unwrap();
    let all = store.list(&format!("{resource}/"), None, None, usize::MAX).await.unwrap().records;
    let is_it = |record: &&Record| {
        let object: Value = serde_json::from_slice(&record.value).unwrap();
        object["metadata"]["name"] == name || object["spec"]["claimRef"]["name"] == name
    };
    let record = all.iter().find(is_it).unwrap();
    let mut object: Value = serde_json::from_slice(&record.value).unwrap();
    change(&mut object);
    let write = Write {
        key: Key::new(record.key.as_str()).unwrap(),
        value: Some(serde_json::to_vec(&object).unwrap().into()),
        expected: Some(record.revision),
        releases: vec![],
        takes: vec![],
    };
    store.begin().await.unwrap().commit(vec![write]).await.unwrap();
}

fn copy(data: &Path, directory: &TempDir, name: &str) -> PathBuf {
    let to = directory.path().join(name);
    fs::create_dir(&to).unwrap();
    fs::copy(data.join("ipam.db"), to.join("ipam.db")).unwrap();
    to
}

#[tokio::test]
async fn every_injected_inconsistency_is_found_by_its_check() {
    let directory = tempfile::tempdir().unwrap();
    let data = ended(&directory).await;
    for (check, what, change) in PLANTED {
        let copy = copy(&data, &directory, check);
        plant(&copy, what, change).await;
        let output = ipam(&["store", "check", "--data-dir", path(&copy)]).output().unwrap();
        let shown = said(&output);
        let line = shown.lines().find(|line| line.trim_start().starts_with(&format!("{check} ")));
        let is_found = line.is_some_and(|line| line.contains(" FAULT"));
        assert!(is_found && output.status.code() == FAULTS, "{check} {what}: {:?}\n{shown}", output.status);
        let lines = ipam(&["store", "check", "--data-dir", path(&copy), "-o", "jsonl"]).output().unwrap();
        assert_eq!(lines.status.code(), FAULTS);
        let lines: Vec<Value> =
            String::from_utf8(lines.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().any(|line| line["check"] == check && line["severity"] == "fault"), "{check}: {lines:?}");
    }
}

#[tokio::test]
async fn length_outside_changed_bounds_is_a_note() {
    let directory = tempfile::tempdir().unwrap();
    let data = ended(&directory).await;
    plant(&data, "ippools/eu", |object| object["spec"]["allocation"]["maxPrefixLength"] = json!(22)).await;
    let shown = run(&["store", "check", "--data-dir", path(&data)]);
    assert!(shown.contains("no fault)   5 notes") && shown.contains("0 faults, 5 notes"), "{shown}");
}

#[tokio::test]
async fn check_of_damaged_file_reports_and_never_panics() {
    let directory = tempfile::tempdir().unwrap();
    let data = ended(&directory).await;
    let backup = directory.path().join("backup.db");
    run(&["store", "backup", "--data-dir", path(&data), path(&backup)]);
    let sound = fs::read(&backup).unwrap();
    let mut random = StdRng::seed_from_u64(seed());
    let mut found = 0;
    for round in 0..40 {
        let mut bytes = sound.clone();
        if round % 2 == 0 {
            let page = random.random_range(1..bytes.len() / 4096) * 4096;
            bytes[page..page + 4096].fill(if round % 4 == 0 { 0 } else { 0xa5 });
        } else {
            for _ in 0..20 {
                let place = random.random_range(100..bytes.len());
                bytes[place] ^= 1 << random.random_range(0..8);
            }
        }
        let copy = directory.path().join("ipam.db");
        fs::write(&copy, &bytes).unwrap();
        let output = outcome(&["store", "check", "--backup", path(&copy)]).await;
        let shown = said(&output);
        assert!(matches!(output.status.code(), Some(0 | 1 | 10)), "round {round}: {:?} {shown}", output.status);
        found += u32::from(output.status.code() == FAULTS);
        if output.status.code() == Some(0) {
            continue;
        }
        let output = outcome(&["store", "check", "--data-dir", path(directory.path())]).await;
        let shown = said(&output);
        assert!(matches!(output.status.code(), Some(1 | 10)), "round {round}: {:?} {shown}", output.status);
        let _ = fs::remove_file(directory.path().join("ipam.db-wal"));
    }
    println!("damage was found in {found} of 40 files");
    assert!(found >= 20, "{found}");
}

#[tokio::test]
async fn check_rejects_files_that_are_not_backups() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    for contents in [&b""[..], b"no database", &[0; 8192]] {
        fs::write(&file, contents).unwrap();
        let shown = refuse(&["store", "check", "--backup", path(&file)]);
        assert!(shown.contains("not an ipam data file"), "{shown}");
    }
    let shown = refuse(&["store", "check", "--backup", path(&directory.path().join("missing"))]);
    assert!(shown.contains("missing"), "{shown}");
}

#[test]
fn store_commands_have_no_top_level_aliases() {
    for old in ["export", "import", "migrate", "bump-revision", "backup"] {
        let output = ipam(&[old]).output().unwrap();
        assert!(
            output.status.code() == Some(2) && said(&output).contains("unrecognized subcommand"),
            "{}",
            said(&output)
        );
    }
}
