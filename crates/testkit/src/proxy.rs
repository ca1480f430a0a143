//! A faulty TCP proxy for the database: it delays data, closes connections or lets them hang, at any time or during a commit, so
//! that the result of the commit is unknown.
//!
//! A cut connection is closed on both sides. A hanging connection stays open, and data on it is accepted and discarded, as if
//! packets were dropped or the other machine had stopped. It hangs until its client closes it.

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

/// The maximum number of queued pieces in one direction of a connection.
const PIECES_MAX: usize = 1_024;
/// The text of a COMMIT in the PostgreSQL protocol: the statement of the client, and the response of the server.
const COMMIT: &[u8] = b"COMMIT\0";
/// The response to a COMMIT of a failed transaction.
const ROLLBACK: &[u8] = b"ROLLBACK\0";

/// A proxy from a free port to another port. It runs until the process ends.
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
}

/// The direction in which a connection hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hang {
    /// The server receives nothing.
    Requests,
    /// The client receives nothing.
    Answers,
    /// Both receive nothing.
    Both,
}

/// The failure of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed.
    Cut,
    /// The connection hangs.
    Hang,
}

struct Line {
    target: AtomicU16,
    is_down: AtomicBool,
    delay_ms: AtomicU64,
    /// One of this many commits fails; 0 for none.
    fail_commits_of: AtomicU32,
    /// True if the connection of a failed commit hangs; false if it is closed.
    is_hanging_commits: AtomicBool,
    commits: AtomicU32,
    faults: AtomicU32,
    connections: AtomicU32,
    /// The number of calls of [`Proxy::disconnect_all`].
    disconnects: watch::Sender<u32>,
    pairs: Mutex<Pairs>,
}

/// The open connections, and the state of new ones.
#[derive(Default)]
struct Pairs {
    hang: Option<Hang>,
    open: Vec<Weak<Pair>>,
}

/// The connection of a client, and the corresponding connection to the server.
#[derive(Default)]
struct Pair {
    drops_requests: AtomicBool,
    drops_responses: AtomicBool,
    /// Responses are discarded, and the connection is closed at the response to the current commit.
    cuts_answers: AtomicBool,
}

impl Proxy {
    /// Starts a proxy to a port of this machine.
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
            disconnects: watch::Sender::new(0),
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

    /// Returns the port of the proxy on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Delays all later data by `time` in each direction.
    pub fn delay(&self, time: Duration) {
        self.line.delay_ms.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Lets one of `one_of` later commits fail, alternately before and after the database has received it; 0 for none.
    pub fn fail_commits(&self, one_of: u32, fault: Fault) {
        self.line.is_hanging_commits.store(fault == Fault::Hang, Ordering::SeqCst);
        self.line.fail_commits_of.store(one_of, Ordering::SeqCst);
    }

    /// Lets all open connections hang, and all new ones until [`Proxy::restore`].
    pub fn hang(&self, hang: Hang) {
        let mut pairs = self.line.pairs();
        pairs.hang = Some(hang);
        for pair in pairs.open.iter().filter_map(Weak::upgrade) {
            pair.hang(hang);
        }
    }

    /// Closes all connections, and closes new ones immediately until [`Proxy::restore`].
    pub fn disconnect_all(&self) {
        self.line.is_down.store(true, Ordering::SeqCst);
        self.line.disconnects.send_modify(|times| *times += 1);
    }

    /// Serves new connections again. Hanging connections stay hanging, because their data is lost.
    pub fn restore(&self) {
        self.line.is_down.store(false, Ordering::SeqCst);
        self.line.pairs().hang = None;
    }

    /// Connects new connections to another port. Open connections are unchanged.
    pub fn retarget(&self, target: u16) {
        self.line.target.store(target, Ordering::SeqCst);
    }

    /// Returns the number of accepted connections.
    pub fn connections(&self) -> u32 {
        self.line.connections.load(Ordering::SeqCst)
    }

    /// Returns the number of failed commits.
    pub fn faults(&self) -> u32 {
        self.line.faults.load(Ordering::SeqCst)
    }
}

/// The treatment of a piece of data from a client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CommitAction {
    Through,
    /// The piece is lost.
    FailBefore,
    /// The piece reaches the server, and the response is lost.
    FailAfter,
}

impl Line {
    fn commit_action(&self, piece: &[u8]) -> CommitAction {
        let one_of = self.fail_commits_of.load(Ordering::SeqCst);
        if one_of == 0
            || !contains(piece, COMMIT)
            || !self.commits.fetch_add(1, Ordering::SeqCst).is_multiple_of(one_of)
        {
            return CommitAction::Through;
        }
        if self.faults.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            CommitAction::FailBefore
        } else {
            CommitAction::FailAfter
        }
    }

    fn due(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.delay_ms.load(Ordering::SeqCst))
    }

    fn pairs(&self) -> std::sync::MutexGuard<'_, Pairs> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a new connection, which hangs if all connections do.
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
            self.drops_requests.store(true, Ordering::SeqCst);
        }
        if hang != Hang::Requests {
            self.drops_responses.store(true, Ordering::SeqCst);
        }
    }

    fn drops_requests(&self) -> bool {
        self.drops_requests.load(Ordering::SeqCst)
    }

    fn drops_responses(&self) -> bool {
        self.drops_responses.load(Ordering::SeqCst)
    }

    /// Called when the server has closed the connection. Returns, so that the connection to the client is closed, unless the
    /// connection hangs.
    async fn server_is_gone(&self) {
        if self.drops_requests() || self.drops_responses() {
            pending::<()>().await;
        }
    }
}

async fn connection(client: TcpStream, line: Arc<Line>) {
    if line.is_down.load(Ordering::SeqCst) {
        return;
    }
    let (pair, mut disconnect_all) = (line.pair(), line.disconnects.subscribe());
    if pair.drops_requests() {
        let (mut from_client, _to_client) = client.into_split();
        tokio::select! {
            () = discard(&mut from_client) => {}
            _ = disconnect_all.changed() => {}
        }
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, line.target.load(Ordering::SeqCst))).await else {
        return;
    };
    // Nagle's algorithm would add a delay.
    let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (requests, mut answers) = (mpsc::channel(PIECES_MAX), mpsc::channel(PIECES_MAX));
    tokio::select! {
        () = read_client(from_client, &line, requests.0, &pair) => {}
        () = read_server(from_server, &line, answers.0, &pair) => {}
        () = write_server(to_server, requests.1, &pair) => {}
        () = write(to_client, &mut answers.1) => {}
        _ = disconnect_all.changed() => {}
    }
}

/// Reads and discards data until the client closes the connection.
async fn discard(from: &mut OwnedReadHalf) {
    let mut buffer = BytesMut::new();
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        buffer.clear();
    }
}

fn contains(piece: &[u8], text: &[u8]) -> bool {
    piece.windows(text.len()).any(|window| window == text)
}

type Piece = (Instant, Bytes);

/// Reads from the client. Returns when the connection must be cut, or the client has closed it.
async fn read_client(mut from: OwnedReadHalf, line: &Line, pieces: mpsc::Sender<Piece>, pair: &Pair) {
    let mut buffer = BytesMut::new();
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        let piece = buffer.split().freeze();
        if pair.drops_requests() {
            continue;
        }
        match (line.commit_action(&piece), line.is_hanging_commits.load(Ordering::SeqCst)) {
            (CommitAction::Through, _) => {}
            (CommitAction::FailBefore, false) => return,
            (CommitAction::FailAfter, false) => pair.cuts_answers.store(true, Ordering::SeqCst),
            (CommitAction::FailBefore, true) => {
                pair.hang(Hang::Both);
                continue;
            }
            (CommitAction::FailAfter, true) => pair.hang(Hang::Answers),
        }
        if pieces.send((line.due(), piece)).await.is_err() {
            return;
        }
    }
}

/// Reads from the server. Returns at the response to discard, or when the server has closed the connection.
async fn read_server(mut from: OwnedReadHalf, line: &Line, pieces: mpsc::Sender<Piece>, pair: &Pair) {
    let mut buffer = BytesMut::new();
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        let piece = buffer.split().freeze();
        if pair.cuts_answers.load(Ordering::SeqCst) {
            // With a pooler, responses to earlier statements may arrive separately before the response to the commit.
            if contains(&piece, COMMIT) || contains(&piece, ROLLBACK) {
                return;
            }
            continue;
        }
        if !pair.drops_responses() && pieces.send((line.due(), piece)).await.is_err() {
            return;
        }
    }
    pair.server_is_gone().await;
}

/// Writes to the server. Returns when the server has closed the connection, unless the connection hangs.
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
