use super::*;

mod resolvers;

use std::io::{Read as _, Write as _};
use std::iter;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::Query;
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{RData, Record};

use crate::admin::output::Progress;
use crate::admin::parallel;

/// The transport of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Udp,
    Tcp,
}

/// A server on loopback that runs until the tests end. `None` means no answer.
fn serve(reply: impl Fn(By, &Message, Message) -> Option<Message> + Send + Clone + 'static) -> Dns {
    // Another test may have the UDP port of that number.
    let both = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = UdpSocket::bind(listener.local_addr().unwrap()).ok()?;
        Some((listener, socket))
    };
    let (listener, socket) = iter::repeat_with(both).flatten().next().unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |by, bytes: &[u8]| {
        let question = Message::from_vec(bytes).unwrap();
        let mut empty = question.clone().into_response();
        empty.edns = None;
        empty.metadata.authentic_data = false;
        Some(reply(by, &question, empty)?.to_vec().unwrap())
    };
    let by_udp = answer.clone();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
            if let Some(reply) = by_udp(By::Udp, &bytes[..length]) {
                socket.send_to(&reply, peer).unwrap();
            }
        }
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut bytes).unwrap();
            if let Some(reply) = answer(By::Tcp, &bytes) {
                let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
                stream.write_all(&[length.as_slice(), &reply].concat()).unwrap();
            }
        }
    });
    Dns::new(vec![address], Wait::DEFAULT)
}

/// A server that has these TXT records, and no other name.
pub(in crate::admin) fn serve_texts(known: Vec<(String, String)>) -> Dns {
    serve(move |_, question, mut reply| {
        let name = asked(question);
        for (owner, text) in known.iter().filter(|(owner, _)| *owner == name) {
            let strings: Vec<&str> = text.split_inclusive(' ').collect();
            reply.add_answer(txt(owner, &strings));
        }
        if reply.answers.is_empty() {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        Some(reply)
    })
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(parse(owner).unwrap(), 1, data)
}

fn txt(owner: &str, strings: &[&str]) -> Record {
    record(owner, RData::TXT(TXT::new(strings.iter().map(|&text| text.to_owned()).collect())))
}

fn alias_of(owner: &str, of: &str) -> Record {
    record(owner, RData::CNAME(CNAME(parse(of).unwrap())))
}

fn asked(question: &Message) -> String {
    text(question.queries[0].name())
}

fn records(answer: &Answer) -> Vec<Vec<u8>> {
    let Found::Records(records) = &answer.found else { panic!("{answer:?}") };
    records.clone()
}

#[test]
fn rfc6376_3_6_2_2_the_strings_of_a_record_are_joined_and_records_are_not() {
    let dns = serve(|_, question, mut reply| {
        assert!(question.metadata.recursion_desired && question.metadata.authentic_data);
        reply.add_answer(txt("s._domainkey.x.test", &["v=DKIM1; ", "p=AB"]));
        reply.add_answer(txt("s._domainkey.x.test", &["other"]));
        reply.add_answer(txt("unasked.test", &["foreign"]));
        Some(reply)
    });
    let answer = dns.txt("s._domainkey.x.test");
    assert_eq!(records(&answer), [b"v=DKIM1; p=AB".as_slice(), b"other"]);
    assert!(answer.aliases.is_empty() && !answer.authenticated);
}

#[test]
fn an_answer_too_long_for_udp_comes_by_tcp() {
    let dns = serve(|by, _, mut reply| {
        // It may have a part of the answer.
        reply.metadata.truncation = by == By::Udp;
        reply.add_answer(txt("x.test", &["first"]));
        if by == By::Tcp {
            reply.answers.clear();
            reply.metadata.authentic_data = true;
            reply.add_answer(txt("x.test", &["long"; 400]));
        }
        Some(reply)
    });
    let answer = dns.txt("x.test");
    assert_eq!(records(&answer), ["long".repeat(400).into_bytes()]);
    assert!(answer.authenticated);
}

#[test]
fn each_kind_of_missing_record_is_distinguished() {
    let mut dns = serve(|_, question, mut reply| {
        reply.metadata.response_code = match asked(question).as_str() {
            "none.test" => ResponseCode::NoError,
            "absent.test" => ResponseCode::NXDomain,
            "broken.test" => ResponseCode::ServFail,
            "bogus.test" => {
                let reason = EdnsOption::Unknown(15, vec![0, 6]);
                reply.edns.get_or_insert_default().options_mut().insert(reason);
                ResponseCode::ServFail
            }
            _ => return None,
        };
        Some(reply)
    });
    let server = dns.resolvers[0];
    dns.bounds.wait.timeout = Duration::from_millis(300);
    let found = |name| dns.txt(name).found;
    assert_eq!(found("none.test"), Found::NoRecords);
    assert_eq!(found("absent.test"), Found::NoName);
    let error = LookupError::Refused(server, "SERVFAIL".to_owned());
    assert_eq!(found("broken.test"), Found::Unknown(error));
    assert_eq!(found("bogus.test"), Found::Unknown(LookupError::Bogus(server)));
    assert_eq!(found("silent.test"), Found::Unknown(LookupError::Timeout(server)));
    let long = "a.".repeat(200);
    assert_eq!(found(&long), Found::Unknown(LookupError::Name(long.clone())));
}

#[test]
fn aliases_are_followed_and_named() {
    let dns = serve(|_, question, mut reply| {
        match asked(question).as_str() {
            "a.test" => {
                reply.add_answer(alias_of("a.test", "B.test"));
                reply.add_answer(alias_of("b.test", "c.test"));
            }
            "c.test" => drop(reply.add_answer(txt("C.test", &["there"]))),
            "gone.test" => {
                reply.add_answer(alias_of("gone.test", "nothing.test"));
                reply.metadata.response_code = ResponseCode::NXDomain;
            }
            _ => drop(reply.add_answer(alias_of("ring.test", "ring.test"))),
        }
        Some(reply)
    });
    let answer = dns.txt("a.test");
    assert_eq!(
        (answer.aliases.join(" "), records(&answer)),
        ("b.test c.test".to_owned(), vec![b"there".to_vec()])
    );
    let answer = dns.txt("gone.test");
    assert_eq!(
        (answer.aliases.join(" "), answer.found),
        ("nothing.test".to_owned(), Found::NoName)
    );
    assert_eq!(dns.txt("ring.test").found, Found::Unknown(LookupError::Aliases));
}

#[test]
fn the_servers_of_a_zone_are_those_of_the_nearest_cut_above() {
    let dns = serve(|_, question, mut reply| {
        match (asked(question).as_str(), question.queries[0].query_type()) {
            ("x.test", RecordType::NS) => {
                for server in ["ns1.x.test", "ns2.other.test"] {
                    reply.add_answer(record("x.test", RData::NS(NS(parse(server).unwrap()))));
                }
            }
            ("ns1.x.test", RecordType::A) => {
                let address = RData::A(Ipv4Addr::new(127, 0, 0, 2).into());
                reply.add_answer(record("ns1.x.test", address));
            }
            _ => {}
        }
        Some(reply)
    });
    let authorities = dns.authorities("s._domainkey.X.test").unwrap();
    let named = |server: &str, addresses| Authority { server: server.to_owned(), addresses };
    let wanted =
        [named("ns1.x.test", vec![IpAddr::from([127, 0, 0, 2])]), named("ns2.other.test", vec![])];
    assert_eq!(authorities, wanted);
    let answer = dns.txt_at(&authorities[1], "s._domainkey.x.test");
    let no_address = LookupError::NoAddress("ns2.other.test".to_owned());
    assert_eq!(answer.found, Found::Unknown(no_address));
    assert_eq!(dns.authorities("y.test"), Err(LookupError::NoZone("y.test".to_owned())));
}

#[test]
fn an_answer_of_a_zone_server_must_be_authoritative() {
    let dns = serve(|_, question, mut reply| {
        assert!(!question.metadata.recursion_desired);
        reply.metadata.authoritative = asked(question) == "own.test";
        Some(reply)
    });
    let at = |name| dns.answer(name, &dns.resolvers, false).found;
    assert_eq!(at("own.test"), Found::NoRecords);
    assert_eq!(at("cached.test"), Found::Unknown(LookupError::Lame(dns.resolvers[0])));
}

#[test]
fn a_server_is_an_address_with_or_without_a_port() {
    for (text, wanted) in [
        ("127.0.0.1", "127.0.0.1:53"),
        ("127.0.0.1:5353", "127.0.0.1:5353"),
        ("::1", "[::1]:53"),
        ("[::1]", "[::1]:53"),
        ("[::1]:5353", "[::1]:5353"),
    ] {
        assert_eq!(server_address(text).unwrap(), wanted.parse().unwrap(), "{text}");
    }
    for text in ["", "localhost", "127.0.0.1:", "127.0.0.1:x", "1.2.3"] {
        assert!(server_address(text).is_err(), "{text}");
    }
}

#[test]
fn a_reply_to_another_question_is_ignored() {
    let mut dns = serve(|_, question, mut reply| {
        reply.add_answer(txt("x.test", &["right"]));
        if asked(question) == "x.test" {
            return Some(reply);
        }
        reply.queries.clear();
        reply.add_query(Query::query(parse("x.test").unwrap(), RecordType::TXT));
        Some(reply)
    });
    let wait = Wait { timeout: Duration::from_millis(200), attempts: 2 };
    dns.bounds.wait = wait;
    assert_eq!(records(&dns.txt("x.test")), [b"right"]);
    let timeout = LookupError::Timeout(dns.resolvers[0]);
    assert_eq!(dns.txt("y.test").found, Found::Unknown(timeout));
}

/// A slow server with a thread for each query. It counts the concurrent queries.
fn serve_slowly(most: &'static AtomicUsize) -> Dns {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let now = Arc::new(AtomicUsize::new(0));
        let mut bytes = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
            let question = Message::from_vec(&bytes[..length]).unwrap();
            let (socket, now) = (Arc::clone(&socket), Arc::clone(&now));
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst).saturating_add(1), Ordering::SeqCst);
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(10));
                let name = asked(&question);
                let mut reply = question.into_response();
                reply.add_answer(txt(&name, &[&name]));
                now.fetch_sub(1, Ordering::SeqCst);
                socket.send_to(&reply.to_vec().unwrap(), peer).unwrap();
            });
        }
    });
    Dns::new(vec![address], Wait::DEFAULT)
}

fn many(dns: &Dns, count: usize) -> Vec<Answer> {
    let names: Vec<String> = (0..count).map(|number| format!("{number}.test")).collect();
    parallel::all(&names, parallel::WAITING, Progress::none(), |name| dns.txt(name))
}

#[test]
fn many_lookups_run_at_once_in_order_and_no_server_gets_too_many() {
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let dns = serve_slowly(&MOST);
    for (number, answer) in many(&dns, 400).iter().enumerate() {
        assert_eq!(records(answer), [format!("{number}.test").into_bytes()]);
    }
    let most = MOST.load(Ordering::SeqCst);
    assert!((2..=server::AT_ONCE).contains(&most), "{most}");
}

#[test]
fn the_document_says_how_many_lookups_run_and_for_how_long() {
    let (together, at_one) = (parallel::WAITING, server::AT_ONCE);
    let (most, each) = (LONGEST.as_secs(), LONGEST_FOR_EACH.as_millis());
    for text in [
        format!("Up to {together} lookups run at once, up to {at_one} at one server"),
        format!("together take {most} s at most, plus {each} ms for each domain"),
    ] {
        crate::assert_documented("docs/performance.md", &text);
    }
}

#[test]
fn a_server_that_never_answers_is_given_up_for_all_names() {
    // This socket is never read.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dead = socket.local_addr().unwrap();
    let wait = Wait { timeout: Duration::from_millis(300), attempts: 3 };
    let begun = Instant::now();
    let answers = many(&Dns::new(vec![dead], wait), 1_000);
    // One after the other, the lookups would take five minutes.
    assert!(begun.elapsed() < Duration::from_secs(20));
    let (timeout, silent) = (LookupError::Timeout(dead), LookupError::Silent(dead));
    let is = |answer: &Answer, error: &LookupError| answer.found == Found::Unknown(error.clone());
    assert!(answers.iter().all(|answer| is(answer, &timeout) || is(answer, &silent)));
    assert!(answers.iter().filter(|answer| is(answer, &silent)).count() > 800);
}

#[test]
fn a_resolver_that_is_silent_of_some_names_is_asked_for_the_others() {
    let mut dns = serve(|_, question, mut reply| {
        let name = asked(question);
        let number = name.strip_suffix(".test").and_then(|number| number.parse::<usize>().ok());
        if number.is_some_and(|number| number < 50) {
            return None;
        }
        reply.add_answer(txt(&name, &["x"]));
        Some(reply)
    });
    dns.bounds.wait = Wait { timeout: Duration::from_millis(300), attempts: 3 };
    let answers = many(&dns, 100);
    for answer in answers.iter().skip(50) {
        assert_eq!(records(answer), [b"x"]);
    }
    assert_eq!(answers[0].found, Found::Unknown(LookupError::Timeout(dns.resolvers[0])));
}

#[test]
fn all_lookups_together_have_an_end() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dns = Dns::new(vec![socket.local_addr().unwrap()], Wait::DEFAULT);
    dns.for_names(1);
    assert!(dns.deadline().is_some_and(|deadline| deadline > Instant::now()));
    *dns.deadline() = Some(Instant::now() + Duration::from_millis(50));
    for _ in 0..3 {
        assert_eq!(dns.txt("x.test").found, Found::Unknown(LookupError::Late));
    }
}

#[test]
fn the_scope_of_a_link_local_server_is_kept() {
    let SocketAddr::V6(address) = server_address("fe80::1%lo").unwrap() else { panic!() };
    assert_ne!(address.scope_id(), 0);
    assert!(server_address("fe80::1%nowhere").is_err());
}

#[test]
fn an_answer_is_authenticated_if_each_reply_of_it_is() {
    for flags in [[true, true], [true, false], [false, true]] {
        let records = [alias_of("a.test", "b.test"), txt("b.test", &["x"])];
        let mut replies = flags.into_iter().zip(records);
        let answer = Answer::of("a.test", |_| {
            let (is_authentic, record) = replies.next().unwrap();
            let mut reply = Message::query().into_response();
            reply.metadata.authentic_data = is_authentic;
            reply.add_answer(record);
            Ok(reply)
        });
        assert_eq!(self::records(&answer), [b"x"]);
        assert_eq!(answer.authenticated, flags == [true, true], "{flags:?}");
    }
}
