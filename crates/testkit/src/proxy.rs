//! A bad line to the database: slow, cut at any time, or cut in the middle of a commit so that nobody hears of its outcome.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
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
/// What a client of PostgreSQL says at the end of a transaction that it wants kept.
const COMMIT: &[u8] = b"COMMIT\0";

/// A line from a free port to another. It ends with the process.
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
}

struct Line {
    target: AtomicU16,
    is_down: AtomicBool,
    delay_ms: AtomicU64,
    /// One of so many commits is cut; 0: none.
    cut_commits_of: AtomicU32,
    commits: AtomicU32,
    cuts: AtomicU32,
    /// Counts the times at which all connections were cut.
    all_cut: watch::Sender<u32>,
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
            cut_commits_of: AtomicU32::new(0),
            commits: AtomicU32::new(0),
            cuts: AtomicU32::new(0),
            all_cut: watch::Sender::new(0),
        });
        let accepting = Arc::clone(&line);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
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

    /// From now on one of so many commits is cut: by turns before the database has it, and after; 0: none.
    pub fn cut_commits(&self, one_of: u32) {
        self.line.cut_commits_of.store(one_of, Ordering::SeqCst);
    }

    /// Cuts all connections, and takes no new ones until [`Proxy::mend`].
    pub fn cut(&self) {
        self.line.is_down.store(true, Ordering::SeqCst);
        self.line.all_cut.send_modify(|times| *times += 1);
    }

    /// Takes connections again.
    pub fn mend(&self) {
        self.line.is_down.store(false, Ordering::SeqCst);
    }

    /// Leads elsewhere from now on. What is connected stays until it is cut.
    pub fn lead_to(&self, target: u16) {
        self.line.target.store(target, Ordering::SeqCst);
    }

    /// How many commits were cut.
    pub fn cuts(&self) -> u32 {
        self.line.cuts.load(Ordering::SeqCst)
    }
}

/// What becomes of a piece that a client sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Through,
    /// It is lost.
    CutBefore,
    /// It arrives, and nothing comes back.
    CutBehind,
}

impl Line {
    fn way(&self, piece: &[u8]) -> Way {
        let one_of = self.cut_commits_of.load(Ordering::SeqCst);
        let is_commit = piece.windows(COMMIT.len()).any(|window| window == COMMIT);
        if one_of == 0 || !is_commit || !self.commits.fetch_add(1, Ordering::SeqCst).is_multiple_of(one_of) {
            return Way::Through;
        }
        if self.cuts.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { Way::CutBefore } else { Way::CutBehind }
    }

    fn due(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.delay_ms.load(Ordering::SeqCst))
    }
}

async fn connection(client: TcpStream, line: Arc<Line>) {
    if line.is_down.load(Ordering::SeqCst) {
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, line.target.load(Ordering::SeqCst))).await else {
        return;
    };
    let mut cut = line.all_cut.subscribe();
    // Small messages that wait for each other's acknowledgement would be a delay that nobody asked for.
    let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let is_deaf = AtomicBool::new(false);
    let (requests, answers) = (mpsc::channel(PIECES_MAX), mpsc::channel(PIECES_MAX));
    tokio::select! {
        () = read_client(from_client, &line, requests.0, &is_deaf) => {}
        () = read_server(from_server, &line, answers.0, &is_deaf) => {}
        () = write(to_server, requests.1) => {}
        () = write(to_client, answers.1) => {}
        _ = cut.changed() => {}
    }
}

type Piece = (Instant, Bytes);

/// Ends when the connection is to be cut, or the client has closed it.
async fn read_client(mut from: OwnedReadHalf, line: &Line, pieces: mpsc::Sender<Piece>, is_deaf: &AtomicBool) {
    let mut buffer = BytesMut::new();
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        let piece = buffer.split().freeze();
        match line.way(&piece) {
            Way::Through => {}
            Way::CutBefore => return,
            Way::CutBehind => is_deaf.store(true, Ordering::SeqCst),
        }
        if pieces.send((line.due(), piece)).await.is_err() {
            return;
        }
    }
}

/// Ends with the answer that nobody is to hear, or when the server has closed the connection.
async fn read_server(mut from: OwnedReadHalf, line: &Line, pieces: mpsc::Sender<Piece>, is_deaf: &AtomicBool) {
    let mut buffer = BytesMut::new();
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        let piece = buffer.split().freeze();
        if is_deaf.load(Ordering::SeqCst) || pieces.send((line.due(), piece)).await.is_err() {
            return;
        }
    }
}

async fn write(mut to: OwnedWriteHalf, mut pieces: mpsc::Receiver<Piece>) {
    while let Some((due, piece)) = pieces.recv().await {
        sleep_until(due).await;
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}
