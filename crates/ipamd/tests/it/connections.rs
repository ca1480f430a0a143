//! Slow, misbehaving and too many connections, while another client makes claims.
//!
//! Latencies are only printed. The server's processor time is asserted, with a wide margin.

use std::{
    fs,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use apiserver::limits::ACCEPT_RETRY_INTERVAL;
use hdrhistogram::Histogram;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use testkit::{Server, claim, pool};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{CLAIMS, ServerFixture, TIMEOUT};

/// Slow clients of each of the four kinds: 1,000 in all.
const SLOW_CLIENTS: usize = 250;
const CLAIMS_MEASURED: usize = 300;
/// Misbehaving connections of each kind.
const RUDE_CONNECTIONS: usize = 20;
/// Streams that each of those connections opens and resets, if the server lets it.
const RESETS: u32 = 5_000;
/// The HTTP/2 client preface and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A server, its administrator over one kept connection, and the means to open more with the administrator's
/// certificate.
struct Site {
    front: ServerFixture,
    roots: RootCertStore,
}

impl Site {
    async fn connect(&self, protocol: &[u8], stream: TcpStream) -> TlsStream<TcpStream> {
        let read = |name: &str| fs::read(self.front.server.data_dir().join("pki").join(name)).unwrap();
        let certificate = CertificateDer::from_pem_slice(&read("admin.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&read("admin.key")).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(self.roots.clone());
        let mut config = builder.with_client_auth_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    async fn tcp(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, self.front.server.port()).into()).await.unwrap()
    }
}

/// The processor time that the server has used since its start.
fn processor_time(server: &Server) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.process_id().unwrap())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    // utime and stime are fields 14 and 15, in ticks of 10 ms; the first two fields are cut off.
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

/// Makes claims sequentially and returns the processor time per claim.
async fn claims(front: &ServerFixture, server: &Server, what: &str) -> Duration {
    let mut latencies = Histogram::<u64>::new(3).unwrap();
    let before = processor_time(server);
    for index in 0..CLAIMS_MEASURED {
        let begun = Instant::now();
        front.claim(claim(&format!("{what}-{index}")).pool("root").length(28)).await;
        latencies.record(u64::try_from(begun.elapsed().as_micros()).unwrap()).unwrap();
    }
    let each = processor_time(server).saturating_sub(before) / u32::try_from(CLAIMS_MEASURED).unwrap();
    println!(
        "{what}: {each:?} of processor time for a claim, latency p50 {} µs, p99 {} µs, longest {} µs",
        latencies.value_at_quantile(0.5),
        latencies.value_at_quantile(0.99),
        latencies.max()
    );
    each
}

async fn site() -> Site {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let server = crate::environment::start().await;
    let mut roots = RootCertStore::empty();
    let authority = fs::read(server.data_dir().join("pki/ca.crt")).unwrap();
    roots.add(CertificateDer::from_pem_slice(&authority).unwrap()).unwrap();
    let front = ServerFixture::to(server);
    front.pool(pool("root").cidr("10.0.0.0/8")).await;
    Site { front, roots }
}

async fn metric(front: &ServerFixture, name: &str) -> f64 {
    let text = front.get("/metrics").await.text();
    text.lines().find_map(|line| line.strip_prefix(name)).map_or(0.0, |value| value.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_hardly_increase_cost_of_other_requests() {
    let site = site().await;
    let (front, server) = (&site.front, &site.front.server);
    claims(front, server, "warm").await;
    let alone = claims(front, server, "alone").await;
    let list = format!("GET {CLAIMS} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let body = format!(
        "POST {CLAIMS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{{"
    );
    let mut silent = Vec::new();
    let mut slow = Vec::new();
    for _ in 0..SLOW_CLIENTS {
        for request in ["GET /livez HTTP/1.1\r\nhost: loc", &body, &list] {
            let mut stream = site.connect(b"http/1.1", site.tcp().await).await;
            stream.write_all(request.as_bytes()).await.unwrap();
            slow.push(stream);
        }
    }
    // These come last because they have the shortest timeout: the start of a TLS handshake record of 512 bytes.
    for _ in 0..SLOW_CLIENTS {
        let mut stream = site.tcp().await;
        stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
        silent.push(stream);
    }
    let open = metric(front, "ipam_connections ").await;
    let busy = claims(front, server, "among-slow-clients").await;
    let after = metric(front, "ipam_connections ").await;
    println!("{open} connections before and {after} after; {:.2} times the processor time", ratio(busy, alone));
    assert!(open >= 600.0, "only {open} connections are open");
    // The aim is 1.2. The wider limit allows for an unoptimized server on a busy machine.
    assert!(ratio(busy, alone) < 1.6, "{alone:?} alone, {busy:?} among slow clients");
    drop((silent, slow));
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abusive_http2_clients_are_disconnected() {
    let site = site().await;
    let (front, server) = (&site.front, &site.front.server);
    claims(front, server, "warm").await;
    let alone = claims(front, server, "alone").await;
    let before = processor_time(server);
    let (busy, sent) = tokio::join!(claims(front, server, "among-rude-clients"), rude(&site));
    let used = processor_time(server).saturating_sub(before);
    println!(
        "{RUDE_CONNECTIONS} connections reset {sent} requests and sent as many frames that are too long; {used:?} in all, \
         {:.2} times the processor time for a claim, theirs included",
        ratio(busy, alone)
    );
    let resets = u32::try_from(RUDE_CONNECTIONS).unwrap() * RESETS;
    assert!(sent < resets / 2, "{sent} of {resets} resets were accepted");
    assert_eq!(front.get("/readyz").await.status, 200);
    let after = claims(front, server, "afterwards").await;
    assert!(ratio(after, alone) < 1.6, "{alone:?} alone, {after:?} afterwards");
}

/// Encodes an HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Resets streams as fast as it can and sends oversized frames. Returns how many resets the server accepted.
async fn rude(site: &Site) -> u32 {
    let path = format!("{CLAIMS}?watch=true");
    let head = [&[0x82, 0x87, 0x04, u8::try_from(path.len()).unwrap()], path.as_bytes()].concat();
    let mut sent = 0;
    for _ in 0..RUDE_CONNECTIONS {
        let stream = site.connect(b"h2", site.tcp().await).await;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let reading = tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
        let mut went = writer.write_all(PREFACE).await.is_ok();
        for index in 0..RESETS {
            let stream = 2 * index + 1;
            let pair = [frame(1, 5, stream, &head), frame(3, 0, stream, &[0, 0, 0, 8])].concat();
            went = went && writer.write_all(&pair).await.is_ok() && !reading.is_finished();
            if !went {
                break;
            }
            sent += 1;
            tokio::task::yield_now().await;
        }
        drop(timeout(TIMEOUT, reading).await.expect("the connection is ended"));
        let mut stream = site.connect(b"h2", site.tcp().await).await;
        stream.write_all(PREFACE).await.unwrap();
        let _ = stream.write_all(&frame(0, 0, 1, &vec![0; 100_000])).await;
        let mut rest = Vec::new();
        let _ = timeout(TIMEOUT, stream.read_to_end(&mut rest)).await.expect("the connection is ended");
    }
    sent
}

#[tokio::test]
async fn server_recovers_from_file_descriptor_exhaustion() {
    let site = site().await;
    let (front, server) = (&site.front, &site.front.server);
    let pid = Pid::from_raw(i32::try_from(server.process_id().unwrap()).unwrap());
    let open = fs::read_dir(format!("/proc/{}/fd", server.process_id().unwrap())).unwrap().count();
    let kept = site.connect(b"http/1.1", site.tcp().await).await;
    let limited = Rlimit { current: Some(open as u64), ..getrlimit(Resource::Nofile) };
    let (before, begun) = (prlimit(pid, Resource::Nofile, limited).unwrap(), Instant::now());
    let waiting = futures::future::join_all((0..20).map(|_| site.tcp())).await;
    let refused = "ipam_connection_ends_total{reason=\"accept\"} ";
    let mut kept = Kept(kept);
    let deadline = Instant::now() + TIMEOUT;
    let refusals = loop {
        match kept.metric(refused).await {
            few if few < 5.0 => assert!(Instant::now() < deadline, "the limit is not reached"),
            refusals => break refusals,
        }
    };
    let most = 2.0 + begun.elapsed().div_duration_f64(ACCEPT_RETRY_INTERVAL);
    assert!(refusals <= most, "{refusals} attempts, at most {most} in this time");
    let lines = server.log().matches("connections could not be accepted").count();
    assert!((1..=2).contains(&lines), "{lines} lines of the log");
    prlimit(pid, Resource::Nofile, before).unwrap();
    drop(waiting);
    assert_eq!(front.get("/readyz").await.status, 200, "new connections are accepted again");
}

/// An HTTP/1.1 connection that is kept open.
struct Kept(TlsStream<TcpStream>);

impl Kept {
    async fn metric(&mut self, name: &str) -> f64 {
        self.0.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        loop {
            timeout(TIMEOUT, self.0.read_buf(&mut answer)).await.expect("an answer").unwrap();
            let text = String::from_utf8_lossy(&answer);
            if text.ends_with("# EOF\n") {
                return text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or(0.0);
            }
        }
    }
}

#[tokio::test]
async fn connections_use_tcp_keep_alive() {
    let site = site().await;
    let server = &site.front.server;
    let mut stream = site.connect(b"http/1.1", site.tcp().await).await;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    let client = stream.get_ref().0.local_addr().unwrap().port();
    let (server, client) = (format!(":{:04X}", server.port()), format!(":{client:04X}"));
    let deadline = Instant::now() + TIMEOUT;
    // After the data is acknowledged, the kernel replaces the retransmission timer with the keep-alive timer.
    loop {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = row.into_iter().find(|row| row[1].ends_with(&server) && row[2].ends_with(&client));
        let (timer, ticks) =
            row.as_ref().and_then(|row| row[5].split_once(':')).expect("the server's end of the connection");
        if timer == "02" {
            let seconds = u64::from_str_radix(ticks, 16).unwrap() / 100;
            assert!((150..=180).contains(&seconds), "the first probe is sent after {seconds} s");
            break;
        }
        assert!(Instant::now() < deadline, "no keep-alive timer: {row:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
