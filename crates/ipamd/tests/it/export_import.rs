//! Export and import of stores: the import equals the export, and a damaged file is never imported.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    Server, claim, command, migrate, pool,
    postgres::{Cluster, Database},
};

use crate::support::{BINARY, CLAIMS, ServerFixture, body, revision, text};

/// A store without a running server.
enum Store {
    File(PathBuf),
    Postgres(Database),
}

impl Store {
    fn new_file(directory: &TempDir, name: &str) -> Self {
        Self::File(directory.path().join(name))
    }

    fn new_database() -> Self {
        let database = Cluster::shared().database();
        migrate(BINARY.as_ref(), &database);
        Self::Postgres(database)
    }

    /// Returns an `ipam` command with the options for this store.
    fn command(&self, words: &[&str]) -> Command {
        let mut ipam = command(BINARY.as_ref());
        ipam.args(words).env("RUST_BACKTRACE", "0");
        match self {
            Self::File(path) => ipam.arg("--data-dir").arg(path),
            Self::Postgres(database) => ipam.env("POSTGRES_DSN", &database.dsn),
        };
        ipam
    }

    /// Runs a command, which must succeed, and returns its standard output.
    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command, which must fail, and returns its standard error.
    #[track_caller]
    fn refuse(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && !said.contains("panicked"), "{words:?}: {said}");
        said
    }

    async fn serve(&self) -> ServerFixture {
        let builder = Server::builder(BINARY.as_ref());
        let builder = match self {
            Self::File(path) => builder.data_dir(path),
            Self::Postgres(database) => builder.database(database),
        };
        ServerFixture::to(builder.start().await)
    }
}

/// Writes child pools, claims in two namespaces, a deleted claim, a retained block, and both IP families.
async fn create_sample_objects(front: &ServerFixture) {
    front.pool(pool("root").cidr("10.0.0.0/16").label("tier", "edge")).await;
    front.pool(pool("child").parent("root").length(20)).await;
    front.pool(pool("six").cidr("2001:db8::/32")).await;
    front.namespace("other").await;
    for name in ["a", "b", "c"] {
        front.claim(claim(name).pool("child").length(26)).await;
    }
    front.claim_in("other", claim("a").pool("six").length(128)).await;
    front.claim(claim("kept").pool("root").length(24).retain()).await;
    front.delete_claim("kept").await;
    front.delete_claim("b").await;
}

/// A filled file store, the objects that its server returned, and the file of its export.
async fn exported(directory: &TempDir) -> (Store, Value, PathBuf) {
    let store = Store::new_file(directory, "furnished");
    let mut front = store.serve().await;
    create_sample_objects(&front).await;
    let everything = front.everything().await;
    front.server.terminate().await;
    let file = directory.path().join("export.jsonl");
    store.run(&["store", "export", path(&file)]);
    (store, everything, file)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The lines of a file, including their newlines.
fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap().split_inclusive('\n').map(str::to_owned).collect()
}

#[tokio::test]
async fn export_and_import_preserve_everything() {
    let directory = tempfile::tempdir().unwrap();
    let (_, everything, first) = exported(&directory).await;
    let postgres = Store::new_database();
    postgres.run(&["store", "import", path(&first)]);
    let second = directory.path().join("second.jsonl");
    postgres.run(&["store", "export", path(&second)]);
    let file = Store::new_file(&directory, "arrived");
    file.run(&["store", "import", path(&second)]);
    let third = file.run(&["store", "export", "-"]);
    assert_eq!(fs::read_to_string(&first).unwrap(), fs::read_to_string(&second).unwrap(), "byte for byte");
    assert_eq!(fs::read_to_string(&first).unwrap(), third, "byte for byte");
    assert_eq!(fs::metadata(&first).unwrap().permissions().mode() & 0o777, 0o600, "only its owner can read it");

    for store in [postgres, file] {
        let front = store.serve().await;
        assert_eq!(front.everything().await, everything, "including resourceVersions");
        assert_eq!(front.block(claim("d").pool("child").length(26)).await, "10.0.0.64/26", "the former block of b");
        assert_eq!(front.block(claim("e").pool("child").length(26)).await, "10.0.0.192/26", "a and c keep theirs");
        front.delete_claim("a").await;
    }
}

#[tokio::test]
async fn export_file_is_documented_json_lines() {
    let directory = tempfile::tempdir().unwrap();
    let (_, everything, file) = exported(&directory).await;
    let lines: Vec<Value> = lines(&file).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["format"], &lines[0]["version"]), (&json!("ipam-export"), &json!(1)));
    let pools: Vec<&Value> =
        lines.iter().map(|line| &line["record"]["object"]).filter(|object| object["kind"] == "IPPool").collect();
    assert_eq!(pools.len(), everything[0].as_array().unwrap().len());
    let spans = lines.iter().filter(|line| line["span"].is_object()).count();
    let end = &lines.last().unwrap()["end"];
    assert_eq!(end["spans"], spans);
    assert_eq!(end["records"], lines.len() - spans - 2);
}

#[tokio::test]
async fn export_during_writes_is_one_snapshot() {
    let store = Store::new_database();
    let front = store.serve().await;
    front.pool(pool("root").cidr("10.0.0.0/16")).await;
    let writing = async {
        for index in 0..60 {
            front.claim(claim(&format!("c{index}")).pool("root").length(28)).await;
        }
    };
    let exporting = tokio::task::spawn_blocking({
        let mut commands: Vec<Command> = (0..4).map(|_| store.command(&["store", "export", "-"])).collect();
        move || commands.iter_mut().map(|command| command.output().unwrap()).collect::<Vec<_>>()
    });
    let ((), exports) = tokio::join!(writing, exporting);
    for export in exports.unwrap() {
        assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
        let lines: Vec<Value> = export
            .stdout
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let of_kind = |kind: &str| {
            let objects = lines.iter().map(|line| &line["record"]["object"]);
            objects.filter(|object| object["kind"] == kind).cloned().collect::<Vec<_>>()
        };
        let (pools, claims) = (of_kind("IPPool"), of_kind("IPClaim"));
        assert_eq!(claims.len(), of_kind("IPAllocation").len());
        assert_eq!(pools[0]["status"]["capacity"]["allocated"], claims.len() * 16);
    }
}

/// Asserts that an import into each kind of store fails with `words` and leaves the store empty.
#[track_caller]
fn assert_refused(directory: &TempDir, contents: &[u8], words: &str) {
    let file = directory.path().join("damaged.jsonl");
    fs::write(&file, contents).unwrap();
    let target = TempDir::new_in(directory.path()).unwrap();
    for store in [Store::new_file(&target, "target"), Store::new_database()] {
        let said = store.refuse(&["store", "import", path(&file)]);
        assert!(said.contains(words), "{words:?} is missing: {said}");
        let good = directory.path().join("export.jsonl");
        store.run(&["store", "import", path(&good)]);
    }
}

#[tokio::test]
async fn damaged_export_file_imports_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (_, _, file) = exported(&directory).await;
    let lines = lines(&file);
    let whole = lines.concat();
    let without = |index: usize| [&lines[..index], &lines[index + 1..]].concat().concat();
    let last = lines.len() - 1;
    assert_refused(&directory, b"", "empty");
    assert_refused(&directory, b"SQLite format 3\0\n", "not a file that `ipam store export` made");
    assert_refused(&directory, &vec![b'x'; 300_000], "cut off");
    assert_refused(&directory, without(0).as_bytes(), "not a file that `ipam store export` made");
    assert_refused(&directory, whole.replacen("\"version\":1", "\"version\":2", 1).as_bytes(), "newer ipam");
    assert_refused(&directory, &whole.as_bytes()[..whole.len() / 2], "cut off");
    assert_refused(&directory, without(last).as_bytes(), "cut off");
    assert_refused(&directory, &whole.as_bytes()[..whole.len() - 1], "cut off");
    assert_refused(&directory, without(1).as_bytes(), "damaged");
    assert_refused(&directory, without(last - 1).as_bytes(), "damaged");
    assert_refused(&directory, whole.replacen("10.0.0.0/26", "10.0.0.0/27", 1).as_bytes(), "SHA-256");
    assert_refused(&directory, whole.replacen("\"record\"", "\"recorx\"", 1).as_bytes(), "line 2");
    let records = whole.replacen("{\"end\":{\"records\":", "{\"end\":{\"records\":1", 1);
    assert_refused(&directory, records.as_bytes(), "its last line states 1");
    assert_refused(&directory, format!("{whole}{}", lines[1]).as_bytes(), "continues after its last line");
    let swapped = [&lines[..1], &lines[2..3], &lines[1..2], &lines[3..]].concat().concat();
    assert_refused(&directory, swapped.as_bytes(), "out of order");
}

#[tokio::test]
async fn import_requires_an_empty_migrated_store() {
    let directory = tempfile::tempdir().unwrap();
    let (full, _, file) = exported(&directory).await;
    let said = full.refuse(&["store", "import", path(&file)]);
    assert!(said.contains("not empty"), "{said}");
    assert_eq!(full.run(&["store", "export", "-"]), fs::read_to_string(&file).unwrap(), "the store is unchanged");

    let unprepared = Store::Postgres(Cluster::shared().database());
    let said = unprepared.refuse(&["store", "import", path(&file)]);
    assert!(said.contains("ipam store migrate up"), "{said}");
}

#[tokio::test]
async fn import_detects_store_that_alters_values() {
    let directory = tempfile::tempdir().unwrap();
    let (_, _, file) = exported(&directory).await;
    let store = Store::new_database();
    let Store::Postgres(database) = &store else { panic!("a database") };
    let forget = "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS \
                  $$ BEGIN NEW.value := NEW.value || ' '; RETURN NEW; END $$; \
                  CREATE TRIGGER forget BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION forget()";
    Cluster::shared().execute(&database.name, forget);
    let said = store.refuse(&["store", "import", path(&file)]);
    assert!(said.contains("do not use it"), "{said}");
}

#[tokio::test]
async fn export_rejects_missing_or_used_store_and_existing_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new_file(&directory, "data");
    let file = directory.path().join("export.jsonl");
    let said = store.refuse(&["store", "export", path(&file)]);
    assert!(said.contains("there is no store"), "{said}");
    assert!(!directory.path().join("data").exists(), "no store was created");

    let mut front = store.serve().await;
    let said = store.refuse(&["store", "export", path(&file)]);
    assert!(said.contains("in use"), "{said}");
    front.server.terminate().await;

    fs::write(&file, "precious").unwrap();
    let said = store.refuse(&["store", "export", path(&file)]);
    assert!(said.contains("exists already"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "no other file is left: {left:?}");
}

#[tokio::test]
async fn import_reads_standard_input() {
    let directory = tempfile::tempdir().unwrap();
    let (_, _, file) = exported(&directory).await;
    let store = Store::new_database();
    let mut import =
        store.command(&["store", "import", "-"]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(&fs::read(&file).unwrap()).unwrap();
    assert!(import.wait().unwrap().success());
    assert_eq!(store.run(&["store", "export", "-"]), fs::read_to_string(&file).unwrap());
}

#[tokio::test]
async fn export_requires_exactly_one_store() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, _) = exported(&directory).await;
    let both = store.command(&["store", "export", "-"]).env("POSTGRES_DSN", "host=nowhere").output().unwrap();
    assert_eq!(both.status.code(), Some(2), "{}", String::from_utf8_lossy(&both.stderr));
    let neither = command(BINARY.as_ref()).args(["store", "export", "-"]).output().unwrap();
    assert_eq!(neither.status.code(), Some(2), "{}", String::from_utf8_lossy(&neither.stderr));
}

#[tokio::test]
async fn progress_bar_is_shown_only_on_terminals() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, file) = exported(&directory).await;
    let Store::File(data) = &store else { panic!("a file") };
    let line =
        format!("{BINARY} store export --data-dir {} {}", path(data), path(&directory.path().join("again.jsonl")));
    let seen = Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let shown = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.status.success() && shown.contains("exporting"), "{shown}");
    let piped = Store::new_database().command(&["store", "import", path(&file)]).output().unwrap();
    let logged = String::from_utf8_lossy(&piped.stderr).into_owned();
    for line in logged.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("not a line of the log: {line:?}"));
    }
    assert!(logged.contains("read back and compared"), "{logged}");
}

#[tokio::test]
async fn watches_of_old_revisions_are_410_after_bump_revision() {
    let directory = tempfile::tempdir().unwrap();
    for store in [Store::new_file(&directory, "data"), Store::new_database()] {
        let mut front = store.serve().await;
        create_sample_objects(&front).await;
        let before = front.everything().await;
        let last = revision(&body(&front.get(CLAIMS).await, 200));
        front.server.terminate().await;
        let said = store.run(&["store", "bump-revision"]);
        assert!(said.contains(&format!("advanced the revision from {last} to")), "{said}");

        let front = store.serve().await;
        assert_eq!(front.everything().await, before, "objects keep their versions");
        let now = revision(&body(&front.get(CLAIMS).await, 200));
        assert!(now >= last + 1_000_000_000, "{now}");
        for old in [last - 1, last, last + 1, now - 1] {
            let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={old}")).await;
            let event = watch.next().await;
            assert_eq!((text(&event, "/type"), &event["object"]["code"]), ("ERROR", &json!(410)), "from {old}");
        }
        let mut watch = front.watch(&format!("{CLAIMS}?watch=true&resourceVersion={now}")).await;
        front.claim(claim("next").pool("root").length(24)).await;
        assert!(revision(&watch.expect("ADDED", "next").await) > now);
        front.delete_claim("a").await;
    }
}
