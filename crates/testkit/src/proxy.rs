//! A bad line to the database: slow, cut or hung at any time, or in the middle of a commit so that its outcome is not known.
//!
//! A connection that is cut is closed on both sides. One that hangs stays open: what is sent on it is accepted and goes no
//! further, as when packets are dropped or the machine at the other end stands still. It hangs until its client closes it.

use std::{
    future::pending,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// Pieces that are on their way in one direction.
const PIECES_MAX: usize = 1_024;
/// What a client of PostgreSQL says at the end of a transaction that it wants kept, and is answered when it is.
const COMMIT: &[u8] = b"COMMIT\0";
/// What it is answered when it is not.
const ROLLBACK: &[u8] = b"ROLLBACK\0";

/// A line from a free port to another. It ends with the process.
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
}

/// In which direction connections hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hang {
    /// The server gets nothing any more.
    Requests,
    /// The client gets nothing any more.
    Answers,
    /// Neither does.
    Both,
}

/// What becomes of the connection of a commit that is chosen to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is closed.
    Cut,
    /// It stays open, and nothing comes of what is sent.
    Hang,
}

struct Line {
    target: AtomicU16,
    is_down: AtomicBool,
    delay_ms: AtomicU64,
    /// One of so many commits fails; 0: none.
    fail_commits_of: AtomicU32,
    /// Whether such a commit hangs instead of being cut.
    is_hanging_commits: AtomicBool,
    commits: AtomicU32,
    faults: AtomicU32,
    connections: AtomicU32,
    /// Counts the times at which all connections were cut.
    all_cut: watch::Sender<u32>,
    pairs: Mutex<Pairs>,
}

/// What is connected, and what becomes of a connection that is made now.
#[derive(Default)]
struct Pairs {
    hang: Option<Hang>,
    open: Vec<Weak<Pair>>,
}

/// One connection of a client, and the one to the server that serves it.
#[derive(Default)]
struct Pair {
    swallows_requests: AtomicBool,
    swallows_answers: AtomicBool,
    /// Its answers are lost, and it ends with the one to the commit that is under way.
    cuts_answers: AtomicBool,
}

impl Proxy {
    /// To a port of this machine.
    pub async fn to(target: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let line = Arc::new(Line {
            target: AtomicU16::new(target),
            is_down: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            fail_commits_of: AtomicU32::new(0),
            is_hanging_commits: AtomicBool::new(false),
            commits: AtomicU32::new(0),
            faults: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            all_cut: watch::Sender::new(0),
            pairs: Mutex::default(),
        });
        let accepting = Arc::clone(&line);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(connection(client, Arc::clone(&accepting)));
            }
        });
        Ok(Self { port, line })
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on each piece takes so long in each direction.
    pub fn delay(&self, time: Duration) {
        self.line.delay_ms.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// From now on one of so many commits fails: by turns before the database has it, and after; 0: none.
    pub fn fail_commits(&self, one_of: u32, fault: Fault) {
        self.line.is_hanging_commits.store(fault == Fault::Hang, Ordering::SeqCst);
        self.line.fail_commits_of.store(one_of, Ordering::SeqCst);
    }

    /// Lets all connections hang, those that are open and those that are made until [`Proxy::mend`].
    pub fn hang(&self, hang: Hang) {
        let mut pairs = self.line.pairs();
        pairs.hang = Some(hang);
        for pair in pairs.open.iter().filter_map(Weak::upgrade) {
            pair.hang(hang);
        }
    }

    /// Cuts all connections, and takes no new ones until [`Proxy::mend`].
    pub fn cut(&self) {
        self.line.is_down.store(true, Ordering::SeqCst);
        self.line.all_cut.send_modify(|times| *times += 1);
    }

    /// Takes connections again. Those that hang go on hanging: what was swallowed is lost.
    pub fn mend(&self) {
        self.line.is_down.store(false, Ordering::SeqCst);
        self.line.pairs().hang = None;
    }

    /// Leads elsewhere from now on. What is connected stays until it is cut.
    pub fn lead_to(&self, target: u16) {
        self.line.target.store(target, Ordering::SeqCst);
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u32 {
        self.line.connections.load(Ordering::SeqCst)
    }

    /// How many commits failed.
    pub fn faults(&self) -> u32 {
        self.line.faults.load(Ordering::SeqCst)
    }
}

/// What becomes of a piece that a client sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Through,
    /// It is lost.
    FailBefore,
    /// It arrives, and nothing comes back.
    FailAfter,
}

impl Line {
    fn way(&self, piece: &[u8]) -> Way {
        let one_of = self.fail_commits_of.load(Ordering::SeqCst);
        if one_of == 0
            || !contains(piece, COMMIT)
            || !self.commits.fetch_add(1, Ordering::SeqCst).is_multiple_of(one_of)
        {
            return Way::Through;
        }
        if self.faults.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { Way::FailBefore } else { Way::FailAfter }
    }

    fn due(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.delay_ms.load(Ordering::SeqCst))
    }

    fn pairs(&self) -> std::sync::MutexGuard<'_, Pairs> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection, which hangs if all do.
    fn pair(&self) -> Arc<Pair> {
        let pair = Arc::<Pair>::default();
        let mut pairs = self.pairs();
        pairs.open.retain(|open| open.strong_count() > 0);
        pairs.open.push(Arc::downgrade(&pair));
        if let Some(hang) = pairs.hang {
            pair.hang(hang);
        }
        pair
    }
}

impl Pair {
    fn hang(&self, hang: Hang) {
        if hang != Hang::Answers {
            self.swallows_requests.store(true, Ordering::SeqCst);
        }
        if hang != Hang::Requests {
            self.swallows_answers.store(true, Ordering::SeqCst);
        }
    }

    fn swallows_requests(&self) -> bool {
        self.swallows_requests.load(Ordering::SeqCst)
    }

    fn swallows_answers(&self) -> bool {
        self.swallows_answers.load(Ordering::SeqCst)
    }

    /// The server has closed the connection: the client learns of it unless the connection hangs.
    async fn server_is_gone(&self) {
        if self.swallows_requests() || self.swallows_answers() {
            pending::<()>().await;
        }
    }
}

async fn connection(client: TcpStream, line: Arc<Line>) {
    if line.is_down.load(Ordering::SeqCst) {
        return;
    }
    let (pair, mut cut) = (line.pair(), line.all_cut.subscribe());
    if pair.swallows_requests() {
        let (mut from_client, _to_client) = client.into_split();
        tokio::select! {
            () = swallow(&mut from_client) => {}
            _ = cut.changed() => {}
        }
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, line.target.load(Ordering::SeqCst))).await else {
        return;
    };
    // Small messages that wait for each other's acknowledgement would be a delay that nobody asked for.
    let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (requests, mut answers) = (mpsc::channel(PIECES_MAX), mpsc::channel(PIECES_MAX));
    tokio::select! {
        () = read_client(from_client, &line, requests.0, &pair) => {}
        () = read_server(from_server, &line, answers.0, &pair) => {}
        () = write_server(to_server, requests.1, &pair) => {}
        () = write(to_client, &mut answers.1) => {}
        _ = cut.changed() => {}
    }
}

/// Reads what leads nowhere, until the client closes the connection.
async fn swallow(from: &mut OwnedReadHalf) {
    let mut buffer = BytesMut::new();
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        buffer.clear();
    }
}

fn contains(piece: &[u8], text: &[u8]) -> bool {
    piece.windows(text.len()).any(|window| window == text)
}

type Piece = (Instant, Bytes);

/// Ends when the connection is to be cut, or the client has closed it.
async fn read_client(mut from: OwnedReadHalf, line: &Line, pieces: mpsc::Sender<Piece>, pair: &Pair) {
    let mut buffer = BytesMut::new();
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        let piece = buffer.split().freeze();
        if pair.swallows_requests() {
            continue;
        }
        match (line.way(&piece), line.is_hanging_commits.load(Ordering::SeqCst)) {
            (Way::Through, _) => {}
            (Way::FailBefore, false) => return,
            (Way::FailAfter, false) => pair.cuts_answers.store(true, Ordering::SeqCst),
            (Way::FailBefore, true) => {
                pair.hang(Hang::Both);
                continue;
            }
            (Way::FailAfter, true) => pair.hang(Hang::Answers),
        }
        if pieces.send((line.due(), piece)).await.is_err() {
            return;
        }
    }
}

/// Ends with the answer that is to be lost, or when the server has closed the connection.
async fn read_server(mut from: OwnedReadHalf, line: &Line, pieces: mpsc::Sender<Piece>, pair: &Pair) {
    let mut buffer = BytesMut::new();
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        let piece = buffer.split().freeze();
        if pair.cuts_answers.load(Ordering::SeqCst) {
            // A pooler sends the statements before a commit by themselves, and they are answered by themselves.
            if contains(&piece, COMMIT) || contains(&piece, ROLLBACK) {
                return;
            }
            continue;
        }
        if !pair.swallows_answers() && pieces.send((line.due(), piece)).await.is_err() {
            return;
        }
    }
    pair.server_is_gone().await;
}

/// Ends when the server has closed the connection and the client may learn of it.
async fn write_server(to: OwnedWriteHalf, mut pieces: mpsc::Receiver<Piece>, pair: &Pair) {
    write(to, &mut pieces).await;
    pair.server_is_gone().await;
}

async fn write(mut to: OwnedWriteHalf, pieces: &mut mpsc::Receiver<Piece>) {
    while let Some((due, piece)) = pieces.recv().await {
        sleep_until(due).await;
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}
